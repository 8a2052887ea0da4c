import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { ManualClock, systemClock } from '#base/clock.ts';
import { ensurePki } from '#auth/certificates/pki.ts';
import { certificateFiles, clockProblem } from './certificate-files.ts';
import { openClusterPki } from './cluster-pki.ts';
import { dataDirAt, makeDataDir, writeConfig } from './data-dir.ts';

test('the certificates of a data directory, and a clock that cannot be right', async t => {
  const path = mkdtempSync(join(tmpdir(), 'windlass-certs-'));
  t.after(() => rmSync(path, { recursive: true }));
  const dir = dataDirAt(path);
  assert.deepEqual(certificateFiles(dir), []);
  const clock = new ManualClock(Date.UTC(2026, 5, 1));
  assert.equal(clockProblem(dir, clock.now()), undefined);
  const pki = await ensurePki(dir.pki, { clock });
  await pki.node('n1');
  const files = certificateFiles(dir);
  assert.deepEqual(
    files.map(({ name }) => name),
    [
      'admin',
      'apiserver',
      'apiserver-kubelet-client',
      'ca',
      'controller-manager',
      'front-proxy-ca',
      'front-proxy-client',
      'kubelet-n1-client',
      'kubelet-n1-serving',
      'scheduler',
    ],
  );
  const node = files.find(({ name }) => name === 'kubelet-n1-client');
  assert.deepEqual(
    { ...node, validFromMs: 0 },
    {
      name: 'kubelet-n1-client',
      subject: 'O=system:nodes,CN=system:node:n1',
      issuer: 'CN=kubernetes',
      validFromMs: 0,
      expiresMs: clock.now() + 365 * 86_400_000,
      isAuthority: false,
    },
  );
  assert.equal(clockProblem(dir, clock.now() + 400 * 86_400_000), undefined, 'time passes, certificates are renewed');
  assert.equal(
    clockProblem(dir, Date.UTC(2025, 4, 31)),
    'the clock of this machine says 2025-05-31, but certificates of this cluster were made on 2026-05-31: set the clock if it is wrong. They are made anew for the time it shows.',
  );
});

test('windlass certs lists what expires when, and renews', async t => {
  const path = mkdtempSync(join(tmpdir(), 'windlass-certs-'));
  t.after(() => rmSync(path, { recursive: true }));
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, [
      ...process.execArgv.filter(each => !each.startsWith('--test')),
      join(import.meta.dirname, 'cli.ts'),
      'certs',
      ...args,
      '--data-dir',
      path,
    ]);
  await assert.rejects(run(), /cannot show certificates: there is no cluster in .*; start one with `windlass up`/);
  const dir = dataDirAt(path);
  makeDataDir(dir);
  const config = {
    port: 6443,
    podCIDR: '10.244.0.0/16',
    serviceCIDR: '10.96.0.0/16',
    serviceIP: '10.96.0.1',
    clusterDNS: '10.96.0.10',
    clusterDomain: 'cluster.local',
    nodes: 0,
    hollowNodes: 1,
    runtime: 'hollow',
    runtimeEndpoint: '',
  } as const;
  writeConfig(dir, config);
  const before = await openClusterPki(dir, config, systemClock);
  const { stdout } = await run();
  const [head, ...rows] = stdout.trim().split('\n');
  assert.match(head ?? '', /^NAME +SUBJECT +ISSUER +EXPIRES +DAYS LEFT$/);
  assert.match(
    rows.find(row => row.startsWith('admin ')) ?? '',
    /O=system:masters,CN=kubernetes-admin +CN=windlass +\S+ +36[34]$/,
  );
  const listed = JSON.parse((await run('renew', '-o', 'json')).stdout) as { name: string; daysLeft: number }[];
  assert.equal(listed.length, rows.length);
  const after = await openClusterPki(dir, config, systemClock);
  assert.notEqual(after.admin.certPem, before.admin.certPem);
  assert.equal(after.ca.certPem, before.ca.certPem);
  const kubeconfig = readFileSync(dir.kubeconfig, 'utf8');
  assert.ok(kubeconfig.includes(Buffer.from(after.admin.certPem).toString('base64')));
  await assert.rejects(run('forget'), /cannot do "forget" with certificates/);
});
