import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Node } from '#api/core/v1/node.ts';
import { Service } from '#api/core/v1/service.ts';
import { eventLoopTurn, ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { openInformers } from '#client/informers.ts';
import { objectFeed } from '#client/testing/object-feed.ts';
import type { LoadBalancers } from './provider.ts';
import { startServiceController } from './service-controller.ts';

test('a crowd of nodes changes a load balancer once, and what does not matter of a node not at all', async () => {
  const clock = new ManualClock();
  const feed = objectFeed();
  const ingress = [{ ip: '192.0.2.1' }];
  const told: { readonly what: string; readonly nodes: number }[] = [];
  const loadBalancers: LoadBalancers = {
    get: () => Promise.resolve(ingress),
    ensure: (_service, nodes) => {
      told.push({ what: 'ensure', nodes: nodes.length });
      return Promise.resolve(ingress);
    },
    update: (_service, nodes) => {
      told.push({ what: 'update', nodes: nodes.length });
      return Promise.resolve(ingress);
    },
    ensureDeleted: () => Promise.resolve(),
  };
  const node = (index: number, heartbeat = '') => ({
    metadata: { name: `node-${index}`, annotations: { heartbeat } },
    spec: {},
    status: {
      addresses: [{ type: 'InternalIP', address: `10.0.${index >> 8}.${index & 255}` }],
      conditions: [{ type: 'Ready', status: 'True' }],
    },
  });
  feed.put(Service, {
    metadata: { namespace: 'default', name: 'web', finalizers: ['service.kubernetes.io/load-balancer-cleanup'] },
    spec: { type: 'LoadBalancer', ports: [{ port: 80 }] },
    status: { loadBalancer: { ingress } },
  } as never);
  const informers = openInformers(feed.client, { clock });
  const controller = startServiceController({ client: feed.client, informers, loadBalancers, clock, log: silentLog });
  try {
    const until = async (reached: () => boolean) => {
      for (let turn = 0; !reached(); turn++) {
        assert.ok(turn < 1_000, `waits in vain: ${JSON.stringify(told)}`);
        await eventLoopTurn();
      }
    };
    await until(() => told.length === 1);
    for (let index = 0; index < 300; index++) feed.put(Node, node(index) as never);
    await until(() => informers.of(Node).objects.size === 300);
    await clock.advance(100);
    await until(() => told.length === 2);
    for (let index = 0; index < 300; index++) feed.put(Node, node(index, 'again') as never);
    await until(() => informers.of(Node).get('node-299')?.metadata.annotations?.['heartbeat'] === 'again');
    await clock.advance(1_000);
    feed.delete(Node, node(7) as never);
    await until(() => informers.of(Node).objects.size === 299);
    await clock.advance(100);
    await until(() => told.length === 3);
    assert.deepEqual(told, [
      { what: 'ensure', nodes: 0 },
      { what: 'update', nodes: 300 },
      { what: 'update', nodes: 299 },
    ]);
  } finally {
    await controller[Symbol.asyncDispose]();
  }
});
