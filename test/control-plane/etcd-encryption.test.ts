import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { openEncryption } from '#apiserver/encryption/encryption.ts';
import { openTestServer } from '#apiserver/test-server.ts';
import { inUpstreamForm, resourceOfPath } from '#apiserver/upstream-form.ts';
import { openEtcdStorage } from '#storage/etcd/etcd-storage.ts';
import { noEtcd, startEtcd } from '#storage/etcd/test-etcd.ts';
import { eventually } from '../scenarios/eventually.ts';

const secrets = '/api/v1/namespaces/default/secrets';

test('two servers on one etcd read what the other encrypted; etcdctl reads nothing of it', {
  skip: noEtcd,
}, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'windlass-encryption-'));
  try {
    const file = join(folder, 'encryption.yaml');
    await writeFile(
      file,
      `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - aesgcm: {keys: [{name: key1, secret: ${Buffer.alloc(32, 5).toString('base64')}}]}
  - identity: {}
`,
    );
    await using etcd = await startEtcd();
    const outside = { clock: systemClock, random: systemRandom, log: silentLog };
    const open = async () => {
      const resourceOf = (path: string) => resourceOfPath(path);
      const encryption = await openEncryption({ file, reloads: false, resourceOf }, outside);
      const storage = await openEtcdStorage({ servers: [etcd.url], clock: systemClock, log: silentLog });
      return openTestServer({
        storage: inUpstreamForm(encryption.over(storage)),
        clock: systemClock,
        random: systemRandom,
      });
    };
    await using first = await open();
    await using second = await open();
    const watch = await second.watch(`${secrets}?watch=1&resourceVersion=0`);
    const canary = 'canary-1f0a77';
    const made = await first.call('POST', secrets, { metadata: { name: 'a' }, stringData: { password: canary } });
    assert.equal(made.code, 201, made.text);
    const merge = { 'content-type': 'application/merge-patch+json' };
    await first.call('PATCH', `${secrets}/a`, { stringData: { more: canary } }, merge);
    await eventually('both changes', () => watch.events.length === 2);
    assert.equal(Buffer.from(watch.events[1].object.data.more, 'base64').toString(), canary);
    // The other one changes it on top, and deletes it; the first one hears of both.
    await second.call('PATCH', `${secrets}/a`, { stringData: { more: 'x' } }, merge);
    const { body } = await first.call('GET', `${secrets}/a`);
    assert.equal(Buffer.from(body.data.more, 'base64').toString(), 'x');
    const etcdctl = async (...words: string[]) =>
      (
        await promisify(execFile)('etcdctl', ['--endpoints', etcd.url, ...words], {
          env: { ...process.env, ETCDCTL_API: '3' },
          encoding: 'latin1',
        })
      ).stdout;
    const all = await etcdctl('get', '--prefix', '/registry/secrets/');
    assert.match(all, /^\/registry\/secrets\/default\/a\nk8s:enc:aesgcm:v1:key1:/);
    assert.ok(!all.includes(canary) && !all.includes(Buffer.from(canary).toString('base64').slice(0, 12)));
    await second.call('DELETE', `${secrets}/a`);
    await eventually('the deletion', () => watch.events.at(-1).type === 'DELETED');
    assert.equal((await first.call('GET', `${secrets}/a`)).code, 404);
    watch.close();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
