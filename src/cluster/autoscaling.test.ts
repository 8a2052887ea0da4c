import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Deployment } from '#api/apps/v1/deployment.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Event } from '#api/core/v1/event.ts';
import { Node } from '#api/core/v1/node.ts';
import type { ApiObject, Kind, Partly } from '#api/machinery/kind.ts';
import { PodDisruptionBudget } from '#api/policy/v1/pod-disruption-budget.ts';
import type { Client } from '#client/client.ts';
import { startCluster } from './start-cluster.ts';

const namespace = 'default';

async function until<Type extends ApiObject>(
  client: Client,
  kind: Kind<Type>,
  holds: (objects: readonly Type[]) => boolean,
): Promise<readonly Type[]> {
  const objects = new Map<string, Type>();
  for await (const event of client.watch(kind, { sendInitialEvents: true })) {
    if (event.type === 'BOOKMARK') {
      if (holds([...objects.values()])) return [...objects.values()];
      continue;
    }
    const object = event.object as Type;
    if (event.type === 'DELETED') objects.delete(object.metadata.name ?? '');
    else objects.set(object.metadata.name ?? '', object);
    if (holds([...objects.values()])) return [...objects.values()];
  }
  return assert.fail('the watch ended');
}

test('a group of nodes grows for pods that fit nowhere, and shrinks when nobody needs it, within budgets', async () => {
  await using cluster = await startCluster({
    nodes: 0,
    autoscalerArguments: {
      nodes: [{ name: 'small', minSize: 1, maxSize: 3 }],
      'hollow-shape': [{ name: 'small', capacity: { cpu: '2', memory: '4Gi' }, labels: { pool: 'small' } }],
      'scan-interval': 200,
      'scale-down-unneeded-time': 300,
      'scale-down-delay-after-add': 300,
    },
  });
  const { client } = cluster;
  const labels = { app: 'web' };
  const containers = [{ name: 'c', image: 'any', resources: { requests: { cpu: '1500m' } } }];
  const template = { metadata: { labels }, spec: { terminationGracePeriodSeconds: 0, containers } };
  const web = { metadata: { name: 'web' }, spec: { replicas: 5, selector: { matchLabels: labels }, template } };
  await client.create(
    PodDisruptionBudget,
    {
      metadata: { name: 'web' },
      spec: { minAvailable: 1, selector: { matchLabels: labels } },
    } as Partly<PodDisruptionBudget>,
    { namespace },
  );
  await client.create(Deployment, web as Partly<Deployment>, { namespace });
  const full = await until(client, Deployment, ([each]) => each?.status?.readyReplicas === 3);
  assert.equal(full[0]?.status?.unavailableReplicas, 2);
  const nodes = (await client.list(Node)).items;
  assert.equal(nodes.length, 3);
  for (const node of nodes) assert.equal(node.metadata.labels?.['pool'], 'small');
  const told = await until(client, Event, events =>
    ['NotTriggerScaleUp', 'TriggeredScaleUp'].every(reason => events.some(each => each.reason === reason)),
  );
  const messages = (reason: string) => told.filter(each => each.reason === reason).map(each => each.message ?? '');
  assert.deepEqual(
    new Set(messages('NotTriggerScaleUp')),
    new Set(["pod didn't trigger scale-up: 1 max node group size reached"]),
  );
  for (const each of messages('TriggeredScaleUp'))
    assert.match(each, /^pod triggered scale-up: \[\{small \d->\d \(max: 3\)\}\]$/);

  // One pod is left and its budget keeps it: nodes go down to the smallest size around it.
  const replicas = (count: number) =>
    client.patch(Deployment, 'web', { type: 'merge', patch: { spec: { replicas: count } } }, { namespace });
  await replicas(1);
  await until(client, Node, left => left.length === 1);
  const [status] = await until(client, ConfigMap, maps =>
    maps.some(
      each =>
        /total: 1\n/.test(each.data?.['status'] ?? '') && /cloudProviderTarget: 1\n/.test(each.data?.['status'] ?? ''),
    ),
  ).then(maps => maps.filter(each => each.metadata.name === 'cluster-autoscaler-status'));
  assert.match(status?.data?.['status'] ?? '', /autoscalerStatus: Running/);
  assert.match(status?.metadata.annotations?.['cluster-autoscaler.kubernetes.io/last-updated'] ?? '', /^\d{4}-.* UTC$/);
  await until(client, Event, events => events.some(each => each.reason === 'ScaleDownEmpty'));
});

test('a node whose pods find another place is emptied and goes; one that must not be disturbed stays', async () => {
  await using cluster = await startCluster({
    nodes: 0,
    autoscalerArguments: {
      nodes: [{ name: 'small', minSize: 0, maxSize: 3 }],
      'hollow-shape': [{ name: 'small', capacity: { cpu: '4', memory: '8Gi' }, labels: {} }],
      'scan-interval': 200,
      'scale-down-unneeded-time': 300,
      'scale-down-delay-after-add': 300,
    },
  });
  const { client } = cluster;
  const deploy = (name: string, cpu: string, annotations: object = {}) => {
    const labels = { app: name };
    const containers = [{ name: 'c', image: 'any', resources: { requests: { cpu } } }];
    const template = { metadata: { labels, annotations }, spec: { terminationGracePeriodSeconds: 0, containers } };
    const spec = { replicas: 1, selector: { matchLabels: labels }, template };
    return client.create(Deployment, { metadata: { name }, spec } as Partly<Deployment>, { namespace });
  };
  const ready = (count: number) =>
    until(client, Deployment, all => all.filter(each => each.status?.readyReplicas === 1).length === count);
  // Together they need two nodes; when the large one is gone, the two small ones have room on one.
  await deploy('large', '3500m');
  await ready(1);
  await deploy('moves', '1500m');
  await ready(2);
  assert.equal((await client.list(Node)).items.length, 2);
  await deploy('stays', '1', { 'cluster-autoscaler.kubernetes.io/safe-to-evict': 'false' });
  await ready(3);
  await client.patch(
    Deployment,
    'large',
    {
      type: 'merge',
      patch: {
        spec: {
          template: { spec: { containers: [{ name: 'c', image: 'any', resources: { requests: { cpu: '1' } } }] } },
        },
      },
    },
    { namespace },
  );
  await until(client, Node, left => left.length === 1);
  await ready(3);
  const events = await until(client, Event, all =>
    all.some(each => each.message === 'node removed by cluster autoscaler'),
  );
  assert.ok(events.some(each => each.message === 'marked the node as toBeDeleted/unschedulable'));
});
