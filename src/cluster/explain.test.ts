import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Deployment } from '#api/apps/v1/deployment.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ResourceQuota } from '#api/core/v1/resource-quota.ts';
import type { ApiObject, Kind, Partly } from '#api/machinery/kind.ts';
import type { Client } from '#client/client.ts';
import { clusterText, explainCluster, explainManifest, explainObject, objectText } from './explain.ts';
import { startCluster } from './start-cluster.ts';

const namespace = 'default';

/** Waits until an object is as wanted. */
async function until<Type extends ApiObject>(
  client: Client,
  kind: Kind<Type>,
  name: string,
  holds: (object: Type) => boolean,
): Promise<void> {
  const where = kind.namespaced ? { namespace } : {};
  const selected = { ...where, fieldSelector: `metadata.name=${name}`, sendInitialEvents: true };
  for await (const event of client.watch(kind, selected)) if (event.type !== 'BOOKMARK' && holds(event.object)) return;
}

function podAsking(name: string, cpu: string, more: Record<string, unknown> = {}): Partly<Pod> {
  const containers = [{ name: 'c', image: 'any', resources: { requests: { cpu } } }];
  return { metadata: { name }, spec: { containers, ...more } } as Partly<Pod>;
}

test('a pod that fits nowhere is explained with what would help, a manifest as if it were there', async () => {
  await using cluster = await startCluster({ nodes: ['node-1', 'node-2'] });
  const { client } = cluster;
  const ask = (resource: string, name: string) => explainObject(client, { resource, name, namespace });
  const taints = [{ key: 'dedicated', value: 'gpu', effect: 'NoSchedule' }];
  await client.patch(Node, 'node-1', { type: 'merge', patch: { spec: { taints } } });
  const { cpu } = (await client.get(Node, 'node-2')).status.allocatable ?? {};
  assert.ok(cpu !== undefined);
  await client.create(Pod, podAsking('greedy', `${Number(cpu) * 1000 + 200}m`), { namespace });
  const waits = (pod: Pod) => pod.status.conditions?.some(each => each.reason === 'Unschedulable') ?? false;
  await until(client, Pod, 'greedy', waits);

  const report = await ask('po', 'greedy');
  assert.deepEqual(report.scheduling?.advice[0], { changes: ['it asked for 200m less cpu'], nodes: ['node-2'] });
  const text = objectText(report);
  assert.match(text, /^Pod default\/greedy cannot be scheduled: 0\/2 nodes are available: 1 Insufficient cpu, 1 node/);
  assert.match(text, /node-1 {2}TaintToleration: taint dedicated=gpu:NoSchedule is not tolerated/);
  assert.match(text, /on node-2 if it asked for 200m less cpu/);
  assert.match(text, /on node-1 if it tolerated dedicated=gpu:NoSchedule, and it asked for 200m less cpu/);

  const dry = await explainManifest(client, { ...podAsking('greedy', '100m'), kind: 'Pod' }, namespace);
  assert.equal(dry.summary, 'would go to node-2');
  assert.deepEqual(
    dry.scheduling?.candidates.map(each => each.node),
    ['node-2'],
  );
  const template = { metadata: { labels: { app: 'web' } }, spec: podAsking('', '1').spec };
  const workload = { kind: 'Deployment', metadata: { name: 'web' }, spec: { template } };
  assert.equal((await explainManifest(client, workload, namespace)).summary, 'would go to node-2');
  assert.deepEqual(
    (await client.list(Pod, { namespace })).items.map(each => each.metadata.name),
    ['greedy'],
  );
  await assert.rejects(explainManifest(client, { kind: 'ConfigMap' }, namespace), /ConfigMap is no Pod/);

  await assert.rejects(ask('pod', 'nobody'), /there is no pod "nobody" in namespace "default"/);
  await assert.rejects(ask('gizmo', 'x'), /the server has no resource "gizmo"/);
});

test('what stays Terminating names its finalizers, who set them and who removes them', async () => {
  await using cluster = await startCluster();
  const { client } = cluster;
  const finalizers = ['example.com/keep', 'foregroundDeletion'];
  const held = { metadata: { name: 'held', finalizers } };
  const { metadata } = await client.create(ConfigMap, held, { namespace, fieldManager: 'keeper' });
  const owner = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    name: 'held',
    uid: metadata.uid ?? '',
    blockOwnerDeletion: true,
  };
  const child = { metadata: { name: 'child', finalizers: ['example.com/child'], ownerReferences: [owner] } };
  await client.create(ConfigMap, child, { namespace });
  await client.delete(ConfigMap, 'held', { namespace, propagationPolicy: 'Foreground' });
  const { deletion } = await explainObject(client, { resource: 'cm', name: 'held', namespace });
  assert.deepEqual(
    deletion?.finalizers.map(each => [each.name, each.setBy]),
    [
      ['example.com/keep', 'keeper'],
      ['foregroundDeletion', 'keeper'],
    ],
  );
  assert.match(deletion?.finalizers[0]?.remover ?? '', /the controller of example.com/);
  assert.match(deletion?.waitsFor[0] ?? '', /^ConfigMap default\/child, which it owns/);
  const all = await explainCluster(client);
  assert.ok(all.terminating.some(each => each.kind === 'ConfigMap' && each.name === 'held'));
  assert.match(clusterText(all), /Terminating:\n {2}ConfigMap default\/(held|child) since/);
});

test('what was refused by a quota is told for the workload and for the cluster', async () => {
  await using cluster = await startCluster();
  const { client } = cluster;
  await client.create(ResourceQuota, { metadata: { name: 'none' }, spec: { hard: { pods: '0' } } }, { namespace });
  await until(client, ResourceQuota, 'none', quota => quota.status.hard?.pods === '0');
  const labels = { app: 'web' };
  const template = { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'any' }] } };
  const spec = { selector: { matchLabels: labels }, template };
  await client.create(Deployment, { metadata: { name: 'web' }, spec } as Partly<Deployment>, { namespace });
  const failing = ({ status }: Deployment) => status.conditions?.some(each => each.type === 'ReplicaFailure') ?? false;
  await until(client, Deployment, 'web', failing);
  const { notReady } = await explainObject(client, { resource: 'deploy', name: 'web', namespace });
  assert.ok(notReady.some(line => line.startsWith('ReplicaFailure is True') && line.includes('exceeded quota: none')));
});
