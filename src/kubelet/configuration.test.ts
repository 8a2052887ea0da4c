import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { defaultKubeletConfiguration, readConfiguration } from './configuration.ts';

const folder = mkdtempSync(join(tmpdir(), 'windlass-kubelet-configuration-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, `apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n${text}`);
  return path;
}

test('a file, drop-ins in their order, and flags above them', () => {
  const directory = join(folder, 'conf.d');
  mkdirSync(directory);
  const base = file(
    'base.yaml',
    'maxPods: 10\nsystemReserved: {cpu: 100m, memory: 1Gi}\nevictionHard: {memory.available: 1Gi}\n',
  );
  file('conf.d/20.conf', 'maxPods: 30\nsystemReserved: {cpu: 300m}\n');
  file('conf.d/10.conf', 'maxPods: 20\nclusterDNS: [10.0.0.1]\n');
  file('conf.d/ignored.yaml', 'maxPods: 99\n');
  const read = readConfiguration({ file: base, directory, flags: { resolvConf: '/tmp/resolv.conf' } });
  assert.equal(read.maxPods, 30);
  assert.deepEqual(read.systemReserved, { cpu: '300m', memory: '1Gi' });
  assert.deepEqual(read.clusterDNS, ['10.0.0.1']);
  assert.equal(read.resolvConf, '/tmp/resolv.conf');
  // A map in a file takes the place of the defaults, as upstream.
  assert.deepEqual(read.evictionHard, { 'memory.available': '1Gi' });
  assert.equal(read.imageGCHighThresholdPercent, defaultKubeletConfiguration.imageGCHighThresholdPercent);
});

test('what is wrong is said with its file and field', () => {
  const read = (name: string, text: string) => () => readConfiguration({ file: file(name, text) });
  assert.throws(read('a', 'maxPods: many'), /a: maxPods must be a whole number/);
  assert.throws(read('b', 'nodeStatusUpdateFrequency: soon'), /b: nodeStatusUpdateFrequency must be a duration/);
  assert.throws(read('c', 'imageGCHighThresholdPercent: 50'), /imageGCLowThresholdPercent 80 must be less than/);
  assert.throws(read('d', 'evictionSoft: {memory.available: 1Gi}'), /grace period must be specified/);
  assert.throws(read('f', 'evictionHard: {luck.available: 1Gi}'), /unknown eviction signal "luck.available"/);
  writeFileSync(join(folder, 'e'), 'kind: Pod\napiVersion: v1\n');
  assert.throws(() => readConfiguration({ file: join(folder, 'e') }), /it is Pod in v1, not KubeletConfiguration/);
});
