import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { issue, issueAuthority } from '#auth/certificates/issue.ts';
import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ApiError, isReason } from '#api/machinery/errors.ts';
import { discover } from '#client/discovery.ts';
import { httpsClient, type HttpsClientOptions } from '#client/https.ts';
import { openInformers } from '#client/informers.ts';
import { readKubeconfig } from '#client/kubeconfig.ts';
import { startControlPlane, type ControlPlane } from './control-plane.ts';

const timeout = 20_000;
const namespace = 'default';
const issuing = { clock: systemClock, random: systemRandom };

/** An API server on loopback, and how its administrator reaches it. */
interface Served extends AsyncDisposable {
  readonly plane: ControlPlane;
  readonly connection: HttpsClientOptions;
  /** Stops listening; `again` listens on the same port. */
  leave(): Promise<{ again(): Promise<void> }>;
}

async function served(): Promise<Served> {
  const authority = await issueAuthority({ commonName: 'kubernetes', validForMs: 86_400_000 }, issuing);
  const request = { commonName: 'admin', ips: ['127.0.0.1'], validForMs: 86_400_000 };
  const { certPem, keyPem } = await issue(authority, { ...request, usages: ['client', 'server'] }, issuing);
  const plane = await startControlPlane({ only: [], nodes: false });
  const tls = { certPem, keyPem, clientCaPem: authority.certPem };
  const listener = await plane.server.listen({ host: '127.0.0.1', port: 0, tls });
  const { port } = listener;
  return {
    plane,
    connection: { server: `https://127.0.0.1:${port}`, caPem: authority.certPem, certPem, keyPem },
    async leave() {
      await listener[Symbol.asyncDispose]();
      return {
        async again() {
          await plane.server.listen({ host: '127.0.0.1', port, tls });
        },
      };
    },
    [Symbol.asyncDispose]: () => plane[Symbol.asyncDispose](),
  };
}

describe('the client over HTTPS', () => {
  test('reads, writes, lists and says what went wrong', { timeout }, async () => {
    await using server = await served();
    await using client = httpsClient(server.connection);
    const made = await client
      .create(ConfigMap, { metadata: { name: 'a:b', namespace }, data: { umlaut: 'grün' } })
      .catch(e => e as Error);
    assert.ok(isReason(made, 'Invalid'), String(made));
    const created = await client.create(ConfigMap, { metadata: { name: 'a', namespace }, data: { umlaut: 'grün' } });
    assert.equal(created.data?.umlaut, 'grün');
    const updated = await client.update(ConfigMap, { ...created, data: { umlaut: 'rot' } });
    assert.equal(updated.data?.umlaut, 'rot');
    await assert.rejects(
      client.update(ConfigMap, { ...created, data: {} }),
      (error: ApiError) => error.reason === 'Conflict',
    );
    const patch = { type: 'merge', patch: { data: { other: 'x' } } } as const;
    assert.deepEqual((await client.patch(ConfigMap, 'a', patch, { namespace })).data, { umlaut: 'rot', other: 'x' });
    const { items } = await client.list(ConfigMap, { namespace });
    assert.deepEqual(
      items.map(({ kind, apiVersion, metadata }) => [apiVersion, kind, metadata.name]),
      [['v1', 'ConfigMap', 'a']],
    );
    await client.delete(ConfigMap, 'a', { namespace });
    await assert.rejects(
      client.get(ConfigMap, 'a', { namespace }),
      (error: ApiError) => error.reason === 'NotFound' && error.message === 'configmaps "a" not found',
    );
    assert.equal(JSON.parse(await client.raw('/version')).major, '1');
    const { kinds } = await discover(client);
    assert.ok(kinds.some(({ kind, namespaced }) => kind === 'Deployment' && namespaced));
  });

  test('feeds informers, ends with its signal, and many requests share one connection', { timeout }, async () => {
    await using server = await served();
    await using client = httpsClient(server.connection);
    using informers = openInformers(client);
    const informer = informers.of(ConfigMap, { namespace });
    await informer.synced;
    const names = Array.from({ length: 100 }, (_, number) => `item-${number}`);
    const written = await Promise.all(
      names.map(name => client.create(ConfigMap, { metadata: { name, namespace }, data: { big: 'x'.repeat(10_000) } })),
    );
    const newest = Math.max(...written.map(({ metadata }) => Number(metadata.resourceVersion)));
    await informer.reached(String(newest));
    assert.equal(informer.objects.size, 100);
    const stop = new AbortController();
    const watching = (async () => {
      for await (const event of client.watch(ConfigMap, {
        namespace,
        resourceVersion: String(newest),
        signal: stop.signal,
      }))
        if (event.type === 'DELETED') stop.abort(new Error('seen enough'));
    })();
    const ended = assert.rejects(watching, /seen enough/);
    await client.delete(ConfigMap, 'item-0', { namespace });
    await ended;
  });

  test('reaches a server that was away, and informers go on', { timeout }, async () => {
    await using server = await served();
    await using client = httpsClient(server.connection);
    using informers = openInformers(client);
    const informer = informers.of(ConfigMap, { namespace });
    await client.create(ConfigMap, { metadata: { name: 'before', namespace } });
    await informer.synced;
    const listening = await server.leave();
    await assert.rejects(client.get(ConfigMap, 'before', { namespace }), /cannot reach 127\.0\.0\.1/);
    const { client: inside } = server.plane;
    await inside.create(ConfigMap, { metadata: { name: 'after', namespace } });
    await inside.delete(ConfigMap, 'before', { namespace });
    await listening.again();
    const followed = Promise.withResolvers<void>();
    const look = () => {
      if (informer.get('after', namespace) && !informer.get('before', namespace)) followed.resolve();
    };
    informer.subscribe({ added: look, updated: look, deleted: look });
    await followed.promise;
    assert.ok(await client.get(ConfigMap, 'after', { namespace }));
  });

  test('a refused upgrade is an error of the API', { timeout }, async () => {
    await using server = await served();
    await using client = httpsClient(server.connection);
    await assert.rejects(
      client.connect('/api/v1/namespaces/default/pods/ghost/exec?command=true', ['v5.channel.k8s.io']),
      (error: unknown) => error instanceof ApiError && error.code >= 400,
    );
    const inside = server.plane.client;
    await assert.rejects(
      inside.connect('/api/v1/namespaces/default/pods/ghost/exec?command=true', ['v5.channel.k8s.io']),
      (error: unknown) => error instanceof ApiError && error.code >= 400,
    );
    assert.equal((await client.list(Pod, { namespace })).items.length, 0);
  });

  test('a server that is not there is said so', { timeout }, async () => {
    await using client = httpsClient({ server: 'https://127.0.0.1:1' });
    await assert.rejects(client.raw('/version'), /cannot reach 127\.0\.0\.1:1/);
  });
});

describe('a kubeconfig', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'windlass-kubeconfig-'));
  });
  after(() => rm(folder, { recursive: true }));

  test('says how to reach the cluster of its context', async () => {
    await writeFile(join(folder, 'ca.crt'), 'CA');
    await writeFile(
      join(folder, 'config'),
      `apiVersion: v1
kind: Config
current-context: one
clusters:
- name: c
  cluster: {server: "https://example:6443", certificate-authority: ca.crt}
users:
- name: cert
  user: {client-certificate-data: ${btoa('CERT')}, client-key-data: ${btoa('KEY')}}
- name: token
  user: {token: secret, tokenFile: token.txt}
contexts:
- name: one
  context: {cluster: c, user: cert, namespace: blue}
- name: two
  context: {cluster: c, user: token}
- name: broken
  context: {cluster: nowhere, user: token}
`,
    );
    assert.deepEqual(await readKubeconfig(join(folder, 'config')), {
      name: 'one',
      namespace: 'blue',
      connection: { server: 'https://example:6443', caPem: 'CA', certPem: 'CERT', keyPem: 'KEY' },
    });
    const { namespace: used, connection } = await readKubeconfig(join(folder, 'config'), 'two');
    assert.equal(used, 'default');
    assert.deepEqual([connection.token, connection.tokenFile], ['secret', join(folder, 'token.txt')]);
    await assert.rejects(
      readKubeconfig(join(folder, 'config'), 'broken'),
      /cannot read the kubeconfig: cluster "nowhere" does not exist/,
    );
  });
});
