import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, rm, stat, writeFile, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { load } from 'js-yaml';
import { ManualClock } from '#base/clock.ts';
import { ensurePki } from './pki.ts';
import { kubeconfigFor } from './kubeconfig.ts';

const dayMs = 24 * 60 * 60_000;

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'pki-'));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

/** TLS looks at the real clock. */
function clockNow(): ManualClock {
  return new ManualClock(new Date().getTime());
}

test('a cluster gets every certificate, and keys only their owner reads', async t => {
  const dir = await directory(t);
  const pki = await ensurePki(dir, { clock: clockNow(), ips: ['192.0.2.7'], hosts: ['box.example'] });
  const { client, serving } = await pki.node('worker-1', { ips: ['192.0.2.8'] });
  const names = new X509Certificate(pki.apiserver.certPem).subjectAltName ?? '';
  for (const name of [
    'DNS:kubernetes.default.svc.cluster.local',
    'DNS:box.example',
    'IP Address:10.96.0.1',
    'IP Address:192.0.2.7',
  ])
    assert.ok(names.includes(name), `${name} in ${names}`);
  const ca = new X509Certificate(pki.ca.certPem);
  assert.ok(ca.ca);
  for (const each of [
    pki.apiserver,
    pki.admin,
    pki.controllerManager,
    pki.scheduler,
    pki.apiserverKubeletClient,
    client,
    serving,
  ]) {
    const certificate = new X509Certificate(each.certPem);
    assert.ok(certificate.checkIssued(ca) && certificate.verify(ca.publicKey));
  }
  assert.equal(new X509Certificate(client.certPem).subject, 'O=system:nodes\nCN=system:node:worker-1');
  assert.equal(new X509Certificate(pki.admin.certPem).subject, 'O=system:masters\nCN=kubernetes-admin');
  assert.ok(
    new X509Certificate(pki.frontProxyClient.certPem).verify(new X509Certificate(pki.frontProxyCa.certPem).publicKey),
  );
  const files = await readdir(dir);
  assert.ok(files.includes('sa.pub') && files.includes('ca.crt'));
  for (const file of files.filter(each => each.endsWith('.key')))
    assert.equal((await stat(join(dir, file))).mode & 0o777, 0o600, file);
});

test('what is there is kept; other addresses, a broken file and age renew only what they concern', async t => {
  const dir = await directory(t);
  const clock = clockNow();
  const first = await ensurePki(dir, { clock, ips: ['2001:db8::1'] });
  const again = await ensurePki(dir, { clock, ips: ['2001:db8:0:0::1'] });
  for (const key of ['ca', 'apiserver', 'admin', 'serviceAccount', 'frontProxyClient'] as const)
    assert.deepEqual(again[key], first[key], key);
  const moved = await ensurePki(dir, { clock, ips: ['192.0.2.9'] });
  assert.notEqual(moved.apiserver.certPem, first.apiserver.certPem);
  assert.equal(moved.admin.certPem, first.admin.certPem);
  await writeFile(join(dir, 'admin.crt'), 'rubbish');
  const repaired = await ensurePki(dir, { clock, ips: ['192.0.2.9'] });
  assert.notEqual(repaired.admin.certPem, first.admin.certPem);
  assert.equal(await readFile(join(dir, 'admin.crt'), 'utf8'), repaired.admin.certPem);
  await clock.advance(340 * dayMs);
  const later = await ensurePki(dir, { clock, ips: ['192.0.2.9'] });
  assert.equal(later.ca.certPem, first.ca.certPem);
  assert.notEqual(later.scheduler.certPem, first.scheduler.certPem);
});

test('a clock that was a year ahead, or a certificate of the authority that runs out, leaves the key in place', async t => {
  const dir = await directory(t);
  const ahead = clockNow();
  await ahead.advance(365 * dayMs);
  const first = await ensurePki(dir, { clock: ahead });
  const now = await ensurePki(dir, { clock: clockNow() });
  assert.notEqual(now.ca.certPem, first.ca.certPem);
  assert.equal(now.ca.keyPem, first.ca.keyPem);
  assert.ok(Date.parse(new X509Certificate(now.apiserver.certPem).validFrom) < clockNow().now());
  // Who still holds an older certificate of the same authority verifies the new ones.
  assert.ok(new X509Certificate(now.admin.certPem).verify(new X509Certificate(first.ca.certPem).publicKey));
});

test('mutual TLS holds with the certificates, and a kubeconfig carries them', async t => {
  const pki = await ensurePki(await directory(t), { clock: clockNow() });
  const server = createServer(
    {
      cert: pki.apiserver.certPem,
      key: pki.apiserver.keyPem,
      ca: pki.ca.certPem,
      requestCert: true,
      rejectUnauthorized: true,
    },
    socket => {
      const subject = socket.getPeerCertificate().subject;
      socket.end(JSON.stringify(subject));
    },
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const text = kubeconfigFor({
    server: 'https://127.0.0.1:6443',
    caPem: pki.ca.certPem,
    ...pki.admin,
    name: 'windlass',
  });
  const config = load(text) as {
    clusters: { cluster: Record<string, string> }[];
    users: { user: Record<string, string> }[];
    'current-context': string;
  };
  assert.equal(config['current-context'], 'windlass');
  const decoded = (value: string | undefined) => Buffer.from(value ?? '', 'base64');
  const socket = connect({
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    servername: 'kubernetes.default.svc',
    ca: decoded(config.clusters[0]?.cluster['certificate-authority-data']),
    cert: decoded(config.users[0]?.user['client-certificate-data']),
    key: decoded(config.users[0]?.user['client-key-data']),
  });
  let said = '';
  for await (const chunk of socket) said += String(chunk);
  assert.deepEqual(JSON.parse(said), { O: 'system:masters', CN: 'kubernetes-admin' });
});
