import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { seededRandom } from '#base/random.ts';
import { renewalMsOf } from './certificate.ts';
import { keepCertificates } from './keep.ts';
import { ensurePki } from './pki.ts';

const dayMs = 86_400_000;

async function cluster(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'windlass-keep-'));
  t.after(() => rm(directory, { recursive: true }));
  const clock = new ManualClock();
  const random = seededRandom(1);
  const pki = await ensurePki(directory, { clock, random });
  await pki.node('n1');
  return { directory, clock, random, pki };
}

test('a certificate is renewed between 70 and 90 % of its life, each in its own time; the authority and the keys of tokens stay', async t => {
  const { clock, pki } = await cluster(t);
  const names = ['apiserver', 'admin', 'scheduler', 'frontProxyClient'] as const;
  const before = Object.fromEntries(names.map(name => [name, pki[name].certPem]));
  const { certPem: authority } = pki.ca;
  const keys = pki.serviceAccount;
  const renewed: string[] = [];
  using _keeping = keepCertificates(pki, files => void renewed.push(...files), { clock, log: silentLog });
  const until = async (days: number) => {
    // Day by day: a look takes the turns that files need.
    for (let day = 0; day < days; day++) {
      await clock.advance(dayMs - 30_000);
      const due = pki.nextRenewalMs <= clock.now();
      await clock.advance(30_000);
      while (due && pki.nextRenewalMs <= clock.now()) await new Promise(resolve => setImmediate(resolve));
    }
  };
  await until(255);
  assert.deepEqual(renewed, []);
  await until(75);
  assert.deepEqual(
    renewed.sort(),
    [
      'admin',
      'apiserver',
      'apiserver-kubelet-client',
      'controller-manager',
      'front-proxy-client',
      'kubelet-n1-client',
      'kubelet-n1-serving',
      'scheduler',
    ],
    'each once',
  );
  for (const name of names) {
    assert.notEqual(pki[name].certPem, before[name]);
    assert.ok(new X509Certificate(pki[name].certPem).checkPrivateKey(createPrivateKey(pki[name].keyPem)));
  }
  assert.equal(pki.ca.certPem, authority);
  assert.deepEqual(pki.serviceAccount, keys);
});

test('not all are due in the same hour', async t => {
  const { pki } = await cluster(t);
  const { client, serving } = await pki.node('n1');
  const due = [pki.apiserver, pki.admin, pki.scheduler, client, serving].map(({ certPem }) => renewalMsOf(certPem));
  assert.equal(new Set(due.map(each => Math.floor(each / 3_600_000))).size, due.length);
});

test('what somebody else has renewed is taken over, what they broke is not', async t => {
  const { directory, clock, random, pki } = await cluster(t);
  const other = await ensurePki(directory, { clock, random });
  assert.equal(other.admin.certPem, pki.admin.certPem);
  await other.renew('all');
  assert.notEqual(other.admin.certPem, pki.admin.certPem);
  assert.deepEqual((await pki.reload()).includes('admin'), true);
  assert.equal(pki.admin.certPem, other.admin.certPem);
  const { writeFile } = await import('node:fs/promises');
  await writeFile(join(directory, 'admin.crt'), other.scheduler.certPem);
  assert.deepEqual(await pki.reload(), []);
  assert.equal(pki.admin.certPem, other.admin.certPem);
});

test('after a year off every certificate is new, and the authority the same', async t => {
  const { directory, clock, random, pki } = await cluster(t);
  await clock.advance(400 * dayMs);
  const back = await ensurePki(directory, { clock, random });
  for (const name of [
    'apiserver',
    'apiserverKubeletClient',
    'admin',
    'controllerManager',
    'frontProxyClient',
  ] as const) {
    assert.notEqual(back[name].certPem, pki[name].certPem, name);
    assert.ok(Date.parse(new X509Certificate(back[name].certPem).validTo) > clock.now() + 300 * dayMs);
  }
  assert.equal(back.ca.certPem, pki.ca.certPem);
});
