import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { keepEndpoints } from '#apiserver/endpoint-leases.ts';
import { inUpstreamForm, type UpstreamFormOptions } from '#apiserver/upstream-form.ts';
import { openTestServer, type TestServer } from '#apiserver/test-server.ts';
import { issue, issueAuthority } from '#auth/certificates/issue.ts';
import { loopbackAdmin, type User } from '#auth/user.ts';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { seededRandom, systemRandom } from '#base/random.ts';
import { inProcessClient } from '#client/in-process.ts';
import { openEtcdStorage, type EtcdOptions } from '#storage/etcd/etcd-storage.ts';
import { noEtcd, startEtcd, startProxy, type TestEtcd } from '#storage/etcd/test-etcd.ts';
import { eventually } from '../scenarios/eventually.ts';

let seed = 0;

/** An API server over an etcd, as it is in `windlass up --datastore`. */
async function openServer(
  url: string,
  { form = {}, tls = {} }: { readonly form?: UpstreamFormOptions; readonly tls?: Partial<EtcdOptions> } = {},
): Promise<TestServer> {
  const storage = await openEtcdStorage({ servers: [url], clock: systemClock, log: silentLog, ...tls });
  return openTestServer({ storage: inUpstreamForm(storage, form), clock: systemClock, random: seededRandom(++seed) });
}

const configMaps = '/api/v1/namespaces/default/configmaps';

function configMap(name: string, data: Readonly<Record<string, string>> = {}) {
  return { metadata: { name }, data };
}

/** etcd's own HTTP gateway: another reader than ours. */
async function gateway(etcd: TestEtcd, path: string, body: object) {
  const response = await fetch(`${etcd.url}/v3/${path}`, { method: 'POST', body: JSON.stringify(body) });
  return (await response.json()) as {
    kvs?: { key: string; value: string; lease?: string }[];
    leases?: { ID: string }[];
  };
}

const base64 = (text: string | Uint8Array) => Buffer.from(text).toString('base64');
const text = (encoded: string) => Buffer.from(encoded, 'base64').toString();

async function read(etcd: TestEtcd, key: string): Promise<{ value: Buffer; lease?: string } | undefined> {
  const { kvs = [] } = await gateway(etcd, 'kv/range', { key: base64(key) });
  return kvs[0] && { ...kvs[0], value: Buffer.from(kvs[0].value, 'base64') };
}

async function keys(etcd: TestEtcd): Promise<readonly string[]> {
  const { kvs = [] } = await gateway(etcd, 'kv/range', {
    key: base64('/'),
    range_end: base64('0'),
    keys_only: true,
  });
  return kvs.map(({ key }) => text(key));
}

describe('two API servers on one etcd', { skip: noEtcd }, () => {
  let etcd: TestEtcd;
  let one: TestServer;
  let other: TestServer;
  before(async () => {
    etcd = await startEtcd();
    [one, other] = await Promise.all([openServer(etcd.url), openServer(etcd.url)]);
  });
  after(async () => {
    await one[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
    await etcd[Symbol.asyncDispose]();
  });

  test('what is written at one is read at the other at once, and watched there', async () => {
    const watch = await other.watch(`${configMaps}?watch=true`);
    for (let index = 0; index < 20; index++) {
      const writer = index % 2 === 0 ? one : other;
      const reader = index % 2 === 0 ? other : one;
      const made = await writer.call('POST', configMaps, configMap(`seen-${index}`, { index: `${index}` }));
      assert.equal(made.code, 201, made.text);
      const got = await reader.call('GET', `${configMaps}/seen-${index}`);
      assert.deepEqual(got.body, made.body);
      const { body } = await reader.call('GET', configMaps);
      assert.equal(body.items.length, index + 1);
    }
    await eventually('all are watched', () => watch.events.length === 20);
    assert.deepEqual(
      watch.events.map(({ type, object }) => `${type} ${object.metadata.name}`),
      Array.from({ length: 20 }, (_, index) => `ADDED seen-${index}`),
    );
    watch.close();
  });

  test('changes of one object at both lose nothing', async () => {
    await one.call('POST', configMaps, configMap('counted'));
    const add = (index: number) =>
      (index % 2 === 0 ? one : other).call(
        'PATCH',
        `${configMaps}/counted`,
        { data: { [`key-${index}`]: 'x' } },
        { 'content-type': 'application/merge-patch+json' },
      );
    const answers = await Promise.all(Array.from({ length: 16 }, (_, index) => add(index)));
    assert.deepEqual([...new Set(answers.map(({ code }) => code))], [200]);
    const { body } = await one.call('GET', `${configMaps}/counted`);
    assert.equal(Object.keys(body.data).length, 16);
  });

  test('addresses and node ports are given out once', async () => {
    const made = await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        (index % 2 === 0 ? one : other).call('POST', '/api/v1/namespaces/default/services', {
          metadata: { name: `web-${index}` },
          spec: { type: 'NodePort', ports: [{ port: 80 }] },
        }),
      ),
    );
    assert.deepEqual([...new Set(made.map(({ code }) => code))], [201]);
    assert.equal(new Set(made.map(({ body }) => body.spec.clusterIP)).size, 30);
    assert.equal(new Set(made.map(({ body }) => body.spec.ports[0].nodePort)).size, 30);
    const { body } = await other.call('GET', '/apis/networking.k8s.io/v1/ipaddresses');
    assert.equal(body.items.length, 30);
    assert.match((await read(etcd, '/registry/ranges/servicenodeports'))?.value.toString() ?? '', /RangeAllocation/);
  });

  test("keys and values are upstream's", async () => {
    const definition = {
      metadata: { name: 'crontabs.stable.example.com' },
      spec: {
        group: 'stable.example.com',
        scope: 'Namespaced',
        names: { plural: 'crontabs', singular: 'crontab', kind: 'CronTab' },
        versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
      },
    };
    await one.call('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', definition);
    const crontabs = '/apis/stable.example.com/v1/namespaces/default/crontabs';
    await eventually('the kind is served', async () => (await one.call('GET', crontabs)).code === 200);
    const event = {
      metadata: { name: 'e' },
      involvedObject: { kind: 'Pod', name: 'x', namespace: 'default' },
      reason: 'Tested',
    };
    for (const [path, body] of [
      [crontabs, { apiVersion: 'stable.example.com/v1', kind: 'CronTab', metadata: { name: 'my-cron' } }],
      ['/api/v1/nodes', { metadata: { name: 'node-1' } }],
      ['/api/v1/namespaces/default/events', event],
      ['/apis/rbac.authorization.k8s.io/v1/clusterroles', { metadata: { name: 'reader' }, rules: [] }],
    ] as const)
      assert.equal((await one.call('POST', path, body)).code, 201, path);
    const there = await keys(etcd);
    for (const key of [
      '/registry/apiextensions.k8s.io/customresourcedefinitions/crontabs.stable.example.com',
      '/registry/clusterroles/reader',
      '/registry/configmaps/default/counted',
      '/registry/events/default/e',
      '/registry/minions/node-1',
      '/registry/services/specs/default/web-1',
      '/registry/stable.example.com/crontabs/default/my-cron',
    ])
      assert.ok(there.includes(key), `${key} is not among ${there.join(' ')}`);
    const stored = (await read(etcd, '/registry/clusterroles/reader'))?.value.toString() ?? '';
    assert.ok(stored.startsWith('{"kind":"ClusterRole","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{'));
    assert.ok(stored.endsWith('\n') && !stored.includes('resourceVersion'));
    // Events expire by a lease; nothing else does.
    const { leases = [] } = await gateway(etcd, 'lease/leases', {});
    assert.equal(leases.length, 1);
    assert.equal((await read(etcd, '/registry/events/default/e'))?.lease, leases[0]?.ID);
    assert.equal((await read(etcd, '/registry/minions/node-1'))?.lease, undefined);
  });

  test('what another program writes is served and watched', async () => {
    const watch = await one.watch(`${configMaps}?watch=true`);
    const written = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"foreign","namespace":"default","uid":"u"},"data":{"a":"b"}}\n`;
    await gateway(etcd, 'kv/put', { key: base64('/registry/configmaps/default/foreign'), value: base64(written) });
    await eventually('it is watched', () => watch.events.some(each => each.object.metadata.name === 'foreign'));
    const { body } = await other.call('GET', `${configMaps}/foreign`);
    assert.deepEqual([body.kind, body.data], ['ConfigMap', { a: 'b' }]);
    assert.equal((await other.call('DELETE', `${configMaps}/foreign`)).code, 200);
    assert.equal(await read(etcd, '/registry/configmaps/default/foreign'), undefined);
    watch.close();
  });

  test('what others write into the same etcd delays nobody', async () => {
    for (let index = 0; index < 5; index++) {
      await gateway(etcd, 'kv/put', { key: base64('/others/x'), value: base64(`${index}`) });
      const { code } = await one.call('GET', `${configMaps}/seen-0`);
      assert.equal(code, 200);
    }
    const { body } = await one.call('GET', configMaps);
    const later = await other.call('GET', `${configMaps}?resourceVersion=${body.metadata.resourceVersion}`);
    assert.equal(later.code, 200);
  });

  test('a server that comes later has everything, and finds the watches of before', async () => {
    const { body } = await one.call('GET', configMaps);
    await using third = await openServer(etcd.url);
    const again = await third.call('GET', configMaps);
    assert.deepEqual(
      again.body.items.map((item: { metadata: object }) => item.metadata),
      body.items.map((item: { metadata: object }) => item.metadata),
    );
    await one.call('POST', configMaps, configMap('late'));
    const watch = await third.watch(`${configMaps}?watch=true&resourceVersion=${body.metadata.resourceVersion}`);
    await eventually('it goes on', () => watch.events.length === 1);
    watch.close();
  });
});

test('built-in kinds can be written in protobuf; either form is read', { skip: noEtcd }, async () => {
  await using etcd = await startEtcd();
  {
    await using json = await openServer(etcd.url);
    await json.call('POST', configMaps, configMap('json', { a: 'b' }));
  }
  await using server = await openServer(etcd.url, { form: { mediaType: 'application/vnd.kubernetes.protobuf' } });
  await server.call('POST', configMaps, configMap('protobuf', { a: 'b' }));
  const stored = (await read(etcd, '/registry/configmaps/default/protobuf'))?.value ?? Buffer.alloc(0);
  assert.equal(stored.subarray(0, 4).toString('latin1'), 'k8s\0');
  await using reader = await openServer(etcd.url, { form: { keyPrefix: 'registry' } });
  const { body } = await reader.call('GET', configMaps);
  assert.deepEqual(
    body.items.map((item: { metadata: { name: string }; data: object }) => [item.metadata.name, item.data]),
    [
      ['json', { a: 'b' }],
      ['protobuf', { a: 'b' }],
    ],
  );
  const live = await server.call('GET', `${configMaps}/protobuf`);
  assert.deepEqual((await reader.call('GET', `${configMaps}/protobuf`)).body, live.body);
});

test('a server whose revisions were compacted while it was away starts over', { skip: noEtcd }, async () => {
  await using etcd = await startEtcd();
  await using proxy = await startProxy(etcd.port);
  await using away = await openServer(proxy.url);
  await using direct = await openServer(etcd.url);
  for (const name of ['changed', 'deleted', 'kept']) await direct.call('POST', configMaps, configMap(name));
  const before = await away.call('GET', configMaps);
  const watch = await away.watch(`${configMaps}?watch=true`);
  await eventually('the watch has begun', () => watch.events.length === 3);
  await proxy.cut();
  await direct.call('PUT', `${configMaps}/changed`, configMap('changed', { a: 'b' }));
  await direct.call('DELETE', `${configMaps}/deleted`);
  await direct.call('POST', configMaps, configMap('made'));
  const { revision } = direct.server.cache;
  await direct.storage.compact(revision);
  await proxy.mend();
  await eventually('the watch has ended', () => watch.ended);
  await eventually('the server is itself again', async () => (await away.call('GET', configMaps)).code === 200);
  assert.deepEqual((await away.call('GET', configMaps)).body.items, (await direct.call('GET', configMaps)).body.items);
  assert.equal((await away.call('GET', '/readyz')).code, 200);
  // A watch from before would have a gap.
  const old = await away.watch(`${configMaps}?watch=true&resourceVersion=${before.body.metadata.resourceVersion}`).then(
    log => log.events[0]?.object.code,
    (error: Error) => /"code":(\d+)/.exec(error.message)?.[1],
  );
  assert.equal(Number(old), 410);
});

test('while etcd is away requests are refused, and afterwards they are not', {
  skip: noEtcd,
  timeout: 60_000,
}, async () => {
  await using etcd = await startEtcd();
  await using server = await openServer(etcd.url);
  await server.call('POST', configMaps, configMap('a'));
  await etcd.kill();
  const [read, write, health] = await Promise.all([
    server.call('GET', `${configMaps}/a`),
    server.call('POST', configMaps, configMap('b')),
    server.call('GET', '/readyz/etcd'),
  ]);
  assert.deepEqual([read.code, health.code], [503, 500]);
  assert.ok([503, 504].includes(write.code), write.text);
  // The cache answers those who do not ask for the newest.
  assert.equal((await server.call('GET', `${configMaps}/a?resourceVersion=0`)).code, 200);
  await etcd.start();
  assert.equal((await server.call('GET', `${configMaps}/a`)).code, 200);
  assert.equal((await server.call('POST', configMaps, configMap('c'))).code, 201);
});

test('etcd is spoken to over TLS, with a certificate of the own', { skip: noEtcd }, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'windlass-etcd-tls-'));
  try {
    const issuing = { clock: systemClock, random: systemRandom };
    const validForMs = 3_600_000;
    const authority = await issueAuthority({ commonName: 'etcd-ca', validForMs }, issuing);
    const server = await issue(
      authority,
      { commonName: 'etcd', hosts: ['localhost'], ips: ['127.0.0.1'], usages: ['server', 'client'], validForMs },
      issuing,
    );
    const client = await issue(authority, { commonName: 'kube-apiserver', usages: ['client'], validForMs }, issuing);
    const file = (name: string, content: string) => {
      writeFileSync(join(directory, name), content);
      return join(directory, name);
    };
    await using etcd = await startEtcd({
      scheme: 'https',
      arguments: [
        `--cert-file=${file('cert', server.certPem)}`,
        `--key-file=${file('key', server.keyPem)}`,
        `--trusted-ca-file=${file('ca', authority.certPem)}`,
        '--client-cert-auth',
      ],
    });
    const tls = { caPem: authority.certPem, certPem: client.certPem, keyPem: client.keyPem };
    await using api = await openServer(etcd.url, { tls });
    assert.equal((await api.call('POST', configMaps, configMap('a'))).code, 201);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('the endpoints of the kubernetes Service are the API servers that live', { skip: noEtcd }, async () => {
  await using etcd = await startEtcd();
  await using one = await openServer(etcd.url);
  await using other = await openServer(etcd.url);
  const keep = ({ server, storage }: TestServer, address: string) => {
    const client = inProcessClient((user: User, request) => server.handleAs(user, request), loopbackAdmin);
    const advertise = { address, port: 6443 };
    return keepEndpoints({ storage, client, clock: systemClock, log: silentLog, advertise });
  };
  const addresses = async () => {
    const { body } = await one.call('GET', '/api/v1/namespaces/default/endpoints/kubernetes');
    const slice = await other.call('GET', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes');
    const found = body.subsets[0].addresses.map(({ ip }: { ip: string }) => ip);
    assert.deepEqual(
      slice.body.endpoints.flatMap((endpoint: { addresses: readonly string[] }) => endpoint.addresses),
      found,
    );
    return found;
  };
  const first = await keep(one, '10.0.0.1');
  assert.deepEqual(await addresses(), ['10.0.0.1']);
  const second = await keep(other, '10.0.0.2');
  assert.deepEqual(await addresses(), ['10.0.0.1', '10.0.0.2']);
  const lease = await read(etcd, '/registry/masterleases/10.0.0.2');
  assert.equal(JSON.parse(lease?.value.toString() ?? '').kind, 'Endpoints');
  assert.ok(lease?.lease !== undefined, 'it expires');
  await first[Symbol.asyncDispose]();
  assert.deepEqual(await addresses(), ['10.0.0.2']);
  await second[Symbol.asyncDispose]();
  // The last one leaves the Service as it is: nobody would be there to put it right.
  assert.deepEqual(await addresses(), ['10.0.0.2']);
});
