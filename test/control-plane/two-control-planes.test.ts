import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { CoreV1Api, KubeConfig, Watch } from '@kubernetes/client-node';
import { noEtcd, startEtcd, type TestEtcd } from '#storage/etcd/test-etcd.ts';
import { freePort } from '../../tools/ports.ts';
import { eventually } from '../scenarios/eventually.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');

/** `windlass up --datastore` of its own data directory. */
interface Plane {
  readonly dataDir: string;
  windlass(...args: readonly string[]): Promise<string>;
  kubectl(...args: readonly string[]): Promise<string>;
  pid(): number;
}

function planeAt(dataDir: string): Plane {
  const env = { ...process.env, KUBECONFIG: join(dataDir, 'kubeconfig') };
  return {
    dataDir,
    windlass: async (...args) =>
      (await run(process.execPath, [join(root, 'bin', 'windlass.js'), ...args, '--data-dir', dataDir])).stdout,
    kubectl: async (...args) => (await run('kubectl', [...args], { env })).stdout,
    pid: () => Number(readFileSync(join(dataDir, 'run', 'control-plane.pid'), 'utf8')),
  };
}

const lease = '--output=jsonpath={.spec.holderIdentity}';

describe('two control planes on one etcd', { skip: noEtcd }, () => {
  let etcd: TestEtcd;
  let first: Plane;
  let second: Plane;
  before(async () => {
    etcd = await startEtcd();
    const up = async (plane: Plane, hollowNodes: number) => {
      const port = String(await freePort());
      const datastore = `etcd://127.0.0.1:${etcd.port}`;
      const nodes = ['--runtime', 'hollow', '--hollow-nodes', String(hollowNodes)];
      await plane.windlass('up', '--detach', '--port', port, '--datastore', datastore, ...nodes);
    };
    first = planeAt(mkdtempSync(join(tmpdir(), 'windlass-first-')));
    second = planeAt(mkdtempSync(join(tmpdir(), 'windlass-second-')));
    await up(first, 0);
    // They trust each other's certificates and tokens.
    cpSync(join(first.dataDir, 'pki'), join(second.dataDir, 'pki'), { recursive: true });
    await up(second, 1);
  });
  after(async () => {
    for (const plane of [first, second]) {
      if (!plane) continue;
      await plane.windlass('down');
      rmSync(plane.dataDir, { recursive: true, force: true });
    }
    await etcd?.[Symbol.asyncDispose]();
  });

  test('a later start finds the datastore', async () => {
    const config = JSON.parse(readFileSync(join(first.dataDir, 'cluster.json'), 'utf8'));
    assert.equal(config.datastore, `etcd://127.0.0.1:${etcd.port}`);
    const other = planeAt(mkdtempSync(join(tmpdir(), 'windlass-third-')));
    await assert.rejects(other.windlass('up', '--datastore', 'nonsense'), /it is not like etcd:\/\/host:2379/);
    rmSync(other.dataDir, { recursive: true });
  });

  test('both say that they live, and one of them acts', async () => {
    const leases = await eventually('the leases are there', async () => {
      const names = (await second.kubectl('get', 'leases', '-n', 'kube-system', '-o', 'name')).trim().split('\n');
      return names.length >= 4 && names;
    });
    assert.equal(leases.filter(name => /\/apiserver-[a-z2-7]{26}$/.test(name)).length, 2);
    assert.ok(leases.includes('lease.coordination.k8s.io/kube-controller-manager'));
    assert.ok(leases.includes('lease.coordination.k8s.io/kube-scheduler'));
  });

  test('a watch of a client at one sees what kubectl does at the other', async () => {
    const config = new KubeConfig();
    config.loadFromFile(join(second.dataDir, 'kubeconfig'));
    const seen: string[] = [];
    const watch = await new Watch(config).watch(
      '/api/v1/namespaces/default/configmaps',
      {},
      (type: string, object: { metadata: { name: string } }) => seen.push(`${type} ${object.metadata.name}`),
      () => {},
    );
    await first.kubectl('create', 'configmap', 'news', '--from-literal=a=b');
    await first.kubectl('delete', 'configmap', 'news');
    await eventually('both are seen', () => seen.includes('ADDED news') && seen.includes('DELETED news'));
    watch.abort();
    const { items } = await config.makeApiClient(CoreV1Api).listNamespace();
    assert.ok(items.length >= 4);
  });

  test('a rollout at one is finished at the other', async () => {
    await first.kubectl('create', 'deployment', 'web', '--image=x', '--replicas=3');
    await second.kubectl('rollout', 'status', 'deployment/web', '--timeout=30s');
  });

  test('when the one that acts is killed, the other takes over', { timeout: 90_000 }, async () => {
    const holderOf = (name: string) => second.kubectl('get', 'lease', name, '-n', 'kube-system', lease);
    const before = await holderOf('kube-controller-manager');
    const supervisor = Number(readFileSync(join(first.dataDir, 'run', 'supervisor.pid'), 'utf8'));
    // The supervisor first: it would start the control plane again.
    process.kill(supervisor, 'SIGKILL');
    process.kill(first.pid(), 'SIGKILL');
    await second.kubectl('create', 'deployment', 'after', '--image=x', '--replicas=2');
    await second.kubectl('rollout', 'status', 'deployment/after', '--timeout=60s');
    assert.notEqual(await holderOf('kube-controller-manager'), before);
    assert.equal((await second.kubectl('get', 'pods', '-o', 'name')).trim().split('\n').length, 5);
  });
});
