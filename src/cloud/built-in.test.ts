import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Node } from '#api/core/v1/node.ts';
import { Service, type LoadBalancerIngress } from '#api/core/v1/service.ts';
import { openInformers } from '#client/informers.ts';
import { objectFeed } from '#client/testing/object-feed.ts';
import { builtInLoadBalancers } from './built-in.ts';

const feed = objectFeed();
const informers = openInformers(feed.client);
const { signal } = new AbortController();
after(() => informers[Symbol.dispose]());

type Spec = Partial<NonNullable<Service['spec']>>;

function service(name: string, spec: Spec = {}, ips: readonly string[] = []): Service {
  return {
    metadata: { namespace: 'default', name },
    spec: {
      type: 'LoadBalancer',
      sessionAffinity: 'None',
      ipFamilies: ['IPv4'],
      ports: [{ port: 80, protocol: 'TCP' }],
      ...spec,
    },
    status: { loadBalancer: { ingress: ips.map(ip => ({ ip, ipMode: 'VIP' })) } },
  };
}

async function put(each: Service): Promise<void> {
  await informers.of(Service).synced;
  feed.put(Service, each);
  const { name = '' } = each.metadata;
  while (!informers.of(Service).get(name, 'default')) await new Promise(resolve => setImmediate(resolve));
}

function node(...addresses: readonly string[]): Node {
  return {
    metadata: { name: addresses.join() },
    spec: {},
    status: { addresses: addresses.map(address => ({ type: 'InternalIP', address })) },
  } as unknown as Node;
}

const ipsOf = (ingress: readonly LoadBalancerIngress[]) => ingress.map(({ ip }) => ip);

test('ports of the nodes: each once, and none of the cluster itself', async () => {
  const balancers = builtInLoadBalancers({ informers, pool: [], reservedPorts: [6443] });
  const nodes = [node('192.0.2.2', 'fd00::2'), node('192.0.2.3'), node('192.0.2.3')];
  const first = service('ports-first');
  await put(first);
  assert.deepEqual(await balancers.ensure(first, nodes, signal), [
    { ip: '192.0.2.2', ipMode: 'VIP' },
    { ip: '192.0.2.3', ipMode: 'VIP' },
  ]);
  const second = service('ports-second');
  await put(second);
  await assert.rejects(
    balancers.ensure(second, nodes, signal),
    /port 80\/TCP .* load balancer of default\/ports-first/,
  );
  const udp = service('ports-udp', { ports: [{ port: 80, protocol: 'UDP' }], ipFamilies: ['IPv6', 'IPv4'] });
  assert.deepEqual(ipsOf(await balancers.ensure(udp, nodes, signal)), ['192.0.2.2', 'fd00::2', '192.0.2.3']);
  const api = service('ports-api', { ports: [{ port: 6443, protocol: 'TCP' }] });
  await assert.rejects(balancers.ensure(api, nodes, signal), /the cluster’s own/);
  await assert.rejects(balancers.ensure(second, [], signal), /no available nodes/);
  await balancers.ensureDeleted(first, signal);
  feed.delete(Service, first);
  while (informers.of(Service).get('ports-first', 'default')) await new Promise(resolve => setImmediate(resolve));
  assert.equal((await balancers.ensure(second, nodes, signal)).length, 2);
});

test('a pool: an address for each, the one that it had or asks for, until there are no more', async () => {
  const balancers = builtInLoadBalancers({ informers, pool: ['198.51.100.0/30', 'fd00:5::/64'], reservedPorts: [80] });
  const [one, two] = [service('pool-one'), service('pool-two', {}, ['198.51.100.2'])];
  await put(one);
  await put(two);
  assert.deepEqual(ipsOf(await balancers.ensure(one, [], signal)), ['198.51.100.1']);
  assert.deepEqual(ipsOf(await balancers.ensure(two, [], signal)), ['198.51.100.2']);
  assert.deepEqual(ipsOf((await balancers.get(two, signal)) ?? []), ['198.51.100.2']);
  await assert.rejects(balancers.ensure(service('pool-three'), [], signal), /no free address/);
  const both = service('pool-both', { ipFamilies: ['IPv6'], loadBalancerIP: 'fd00:5::77' });
  assert.deepEqual(ipsOf(await balancers.ensure(both, [], signal)), ['fd00:5::77']);
  const taken = service('pool-taken', { loadBalancerIP: '198.51.100.1' });
  await assert.rejects(balancers.ensure(taken, [], signal), /taken by the load balancer of default\/pool-one/);
  const outside = service('pool-outside', { loadBalancerIP: '203.0.113.1' });
  await assert.rejects(balancers.ensure(outside, [], signal), /not in the pool/);
});
