import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '#base/random.ts';
import { openMemoryStorage } from '#storage/memory/memory-storage.ts';
import type { Storage } from '#storage/storage.ts';
import { openTestServer, type TestServer } from '../test-server.ts';

const services = '/api/v1/namespaces/default/services';
const addresses = '/apis/networking.k8s.io/v1/ipaddresses';
const cidrs = '/apis/networking.k8s.io/v1/servicecidrs';

function service(name: string, spec: object = {}) {
  return { metadata: { name }, spec: { ports: [{ port: 80 }], selector: { a: 'b' }, ...spec } };
}

/** Two servers beside each other on one store. */
async function openPair(options: { readonly serviceCIDR?: string; readonly nodePorts?: object } = {}) {
  const memory = openMemoryStorage();
  const watch = memory.watch.bind(memory);
  const storage: Storage = Object.assign(memory, {
    shared: { compactInTurn: () => Promise.resolve(), awaited() {} },
    // Between processes only bytes travel.
    watch: ((prefix, after, watcher, signal) =>
      watch(
        prefix,
        after,
        {
          ...watcher,
          onEvents: events => watcher.onEvents(events.map(each => ({ ...each, value: { bytes: each.value.bytes } }))),
        },
        signal,
      )) as Storage['watch'],
  });
  const server = () => openTestServer({ storage, random: seededRandom(1), ...(options as object) });
  return { storage, servers: [await server(), await server()] as const };
}

async function names(server: TestServer, path: string): Promise<readonly string[]> {
  const { body } = await server.call('GET', path);
  return body.items.map((item: { metadata: { name: string } }) => item.metadata.name);
}

/** Gives what goes on behind an answer its turns. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 1_000 && !(await condition()); turn++) await new Promise(resolve => setImmediate(resolve));
  assert.ok(await condition());
}

test('an address is an object that names its Service, and goes with it', async () => {
  await using server = await openTestServer();
  const made = await server.call('POST', services, service('web'));
  const { clusterIP } = made.body.spec;
  const { body } = await server.call('GET', `${addresses}/${clusterIP}`);
  assert.deepEqual(body.spec.parentRef, { resource: 'services', namespace: 'default', name: 'web' });
  assert.deepEqual(body.metadata.labels, {
    'ipaddress.kubernetes.io/ip-family': 'IPv4',
    'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io',
  });
  const external = { type: 'ExternalName', externalName: 'example.com', clusterIP: null, clusterIPs: null };
  const patched = await server.call('PATCH', `${services}/web`, { spec: external }, merge);
  assert.equal(patched.code, 200, patched.text);
  assert.deepEqual(await names(server, addresses), []);
  await server.call('PATCH', `${services}/web`, { spec: { type: 'ClusterIP', externalName: null } }, merge);
  assert.equal((await names(server, addresses)).length, 1);
  await server.call('DELETE', `${services}/web`);
  assert.deepEqual(await names(server, addresses), []);
});

const merge = { 'content-type': 'application/merge-patch+json' };

test('a refused or tried Service leaves no address', async () => {
  await using server = await openTestServer();
  await server.call('POST', services, service('web'));
  assert.equal((await server.call('POST', services, service('web'))).code, 409);
  assert.equal((await server.call('POST', `${services}?dryRun=All`, service('tried'))).code, 201);
  assert.equal((await names(server, addresses)).length, 1);
});

test('servers beside each other give out every address and port once', async () => {
  const { storage, servers } = await openPair({
    serviceCIDR: '10.9.0.0/26',
    nodePorts: { first: 30_000, last: 30_039 },
  });
  // Both have the same seed, so they try the same ones at the same time.
  const made = await Promise.all(
    Array.from({ length: 40 }, (_, index) =>
      (servers[index % 2] as TestServer).call('POST', services, service(`s${index}`, { type: 'NodePort' })),
    ),
  );
  assert.deepEqual([...new Set(made.map(each => `${each.code} ${each.body.message ?? ''}`))], ['201 ']);
  assert.equal(new Set(made.map(each => each.body.spec.clusterIP)).size, 40);
  assert.equal(new Set(made.map(each => each.body.spec.ports[0].nodePort)).size, 40);
  const more = await servers[0].call('POST', services, service('more', { type: 'NodePort' }));
  assert.equal(more.code, 422, more.text);
  assert.match(more.body.message, /failed to allocate a nodePort: range is full/);
  // What the refused one had taken is free again.
  const { nodePort } = (made[0] as (typeof made)[0]).body.spec.ports[0];
  assert.equal((await servers[1].call('DELETE', `${services}/s0`)).code, 200);
  const next = await servers[0].call('POST', services, service('next', { type: 'NodePort' }));
  assert.equal(next.body.spec.ports[0].nodePort, nodePort);
  assert.equal((await names(servers[1], addresses)).length, 40);
  const record = JSON.parse(
    Buffer.from((await storage.get('/registry/ranges/servicenodeports'))?.value.bytes ?? []).toString(),
  );
  assert.deepEqual([record.kind, record.range, record.data], ['RangeAllocation', '30000-30039', '//////8=']);
  for (const server of servers) await server[Symbol.asyncDispose]();
});

test('addresses come out of the ServiceCIDRs that are ready', async () => {
  await using server = await openTestServer();
  await server.call('POST', cidrs, { metadata: { name: 'kubernetes' }, spec: { cidrs: ['10.8.0.0/30'] } });
  const first = [await server.call('POST', services, service('a')), await server.call('POST', services, service('b'))];
  assert.deepEqual(first.map(each => each.body.spec.clusterIP).toSorted(), ['10.8.0.1', '10.8.0.2']);
  assert.match((await server.call('POST', services, service('c'))).body.message, /range is full/);
  await server.call('POST', cidrs, { metadata: { name: 'more' }, spec: { cidrs: ['10.7.0.0/24'] } });
  assert.match((await server.call('POST', services, service('c'))).body.spec.clusterIP, /^10\.7\.0\./);
  const broadcast = await server.call('POST', services, service('d', { clusterIP: '10.7.0.255' }));
  assert.match(
    broadcast.body.message,
    /the provided IP \(10.7.0.255\) is not in the valid range. The range of valid IPs is 10.7.0.0\/24/,
  );
  const notReady = { status: { conditions: [{ type: 'Ready', status: 'False', reason: 'Terminating' }] } };
  await server.call('PATCH', `${cidrs}/more/status`, notReady, merge);
  assert.match((await server.call('POST', services, service('e'))).body.message, /range is full/);
});

test('what a server that died has left is put right', async () => {
  await using server = await openTestServer();
  const { body } = await server.call('POST', services, service('web'));
  const { clusterIP } = body.spec;
  await server.call('DELETE', `${addresses}/${clusterIP}`);
  const orphan = {
    metadata: { name: '10.96.7.7', labels: { 'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io' } },
    spec: { parentRef: { resource: 'services', namespace: 'default', name: 'gone' } },
  };
  assert.equal((await server.call('POST', addresses, orphan)).code, 201);
  const foreign = { ...orphan, metadata: { name: '10.96.7.8' } };
  assert.equal((await server.call('POST', addresses, foreign)).code, 201);
  await server.clock.advance(181_000);
  await until(
    async () => (await names(server, addresses)).toSorted().join() === [clusterIP, '10.96.7.8'].toSorted().join(),
  );
});
