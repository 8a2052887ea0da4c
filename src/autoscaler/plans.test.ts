import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '#base/random.ts';
import type { Node } from '#api/core/v1/node.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { ClusterState } from '#scheduler/cluster-state.ts';
import { SchedulingCycle } from '#scheduler/cycle.ts';
import { podInfo } from '#scheduler/pod-info.ts';
import { defaultClusterPlugins, defaultPlugins } from '#scheduler/plugins.ts';
import type { NodeGroup } from './node-groups.ts';
import { defaultOptions } from './options.ts';
import { planScaleDown } from './scale-down.ts';
import { planScaleUp } from './scale-up.ts';

function node(name: string, cpu: string, group = ''): Node {
  const labels = { 'kubernetes.io/hostname': name, group };
  return { metadata: { name, labels }, spec: {}, status: { allocatable: { cpu, memory: '8Gi', pods: '10' } } } as never;
}

function pod(name: string, cpu: string, spec: object = {}): Pod {
  const ownerReferences = [{ kind: 'ReplicaSet', name: 'web', uid: 'u', controller: true }];
  const containers = [{ name: 'c', image: 'any', resources: { requests: { cpu, memory: '1Gi' } } }];
  return {
    metadata: { name, namespace: 'default', labels: { app: 'web' }, ownerReferences },
    spec: { containers, ...spec },
    status: { phase: 'Pending' },
  } as never;
}

function group(name: string, cpu: string, size: number, minSize: number, maxSize: number): NodeGroup {
  return {
    name,
    minSize,
    maxSize,
    targetSize: () => size,
    template: nodeName => node(nodeName, cpu, name),
    has: each => each.metadata.labels?.['group'] === name,
    increase: () => Promise.resolve(),
    delete: () => Promise.resolve(),
  };
}

function clusterOf(...nodes: readonly Node[]) {
  const cluster = new ClusterState();
  for (const each of nodes) cluster.setNode(each);
  const cycle = new SchedulingCycle(defaultPlugins, defaultClusterPlugins, cluster, seededRandom(1));
  return { cluster, cycleOf: () => cycle };
}

const idle = (each: NodeGroup, upcoming = 0) => ({ group: each, upcoming, backsOff: false });

test('the group grows that wastes least, by as many nodes as the pods need, and nothing stays changed', () => {
  const { cluster, cycleOf } = clusterOf(node('full', '1'));
  const pods = ['a', 'b', 'c'].map(name => podInfo(pod(name, '1500m')));
  const [small, large] = [group('small', '2', 1, 0, 9), group('large', '64', 0, 0, 9)];
  const { scaleUps, helpless } = planScaleUp(pods, [idle(small), idle(large)], cluster, cycleOf);
  assert.deepEqual(
    scaleUps.map(each => [each.group.name, each.from, each.to, each.pods.map(({ key }) => key)]),
    [['small', 1, 4, ['default/a', 'default/b', 'default/c']]],
  );
  assert.equal(helpless.size, 0);
  assert.deepEqual(
    cluster.nodes.map(each => each.name),
    ['full'],
  );
});

test('nodes on their way and room that is there are counted before anything grows', () => {
  const { cluster, cycleOf } = clusterOf(node('free', '2'));
  const pods = ['a', 'b'].map(name => podInfo(pod(name, '1500m')));
  const small = group('small', '2', 2, 0, 9);
  assert.deepEqual(planScaleUp(pods, [idle(small, 1)], cluster, cycleOf).scaleUps, []);
});

test('who cannot be helped is told why by every group', () => {
  const { cluster, cycleOf } = clusterOf();
  const huge = podInfo(pod('huge', '100'));
  const choosy = podInfo(pod('choosy', '1', { nodeSelector: { disk: 'ssd' } }));
  const groups = [idle(group('small', '2', 0, 0, 9)), idle(group('full', '2', 3, 0, 3))];
  const { scaleUps, helpless } = planScaleUp([huge, choosy], groups, cluster, cycleOf);
  assert.deepEqual(scaleUps, []);
  assert.equal(helpless.get(huge), '1 Insufficient cpu, 1 max node group size reached');
  assert.equal(
    helpless.get(choosy),
    "1 max node group size reached, 1 node(s) didn't match Pod's node affinity/selector",
  );
});

test('a spread over hosts makes one node for each pod', () => {
  const { cluster, cycleOf } = clusterOf();
  const labelSelector = { matchLabels: { app: 'web' } };
  const term = { topologyKey: 'kubernetes.io/hostname', labelSelector };
  const affinity = { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } };
  const pods = ['a', 'b', 'c'].map(name => podInfo(pod(name, '100m', { affinity })));
  const { scaleUps } = planScaleUp(pods, [idle(group('small', '2', 0, 0, 2))], cluster, cycleOf);
  assert.deepEqual(
    scaleUps.map(each => [each.to, each.pods.length]),
    [[2, 2]],
  );
});

test('nodes go whose pods find another place together, and never below the smallest size', () => {
  const names = ['five', 'one', 'two', 'three', 'four'];
  const { cluster, cycleOf } = clusterOf(...names.map(name => node(name, '4', 'small')));
  const put = (name: string, cpu: string, on: string, spec: object = {}) =>
    cluster.setPod(podInfo(pod(name, cpu, { ...spec, nodeName: on })), on);
  put('a', '1500m', 'one');
  put('b', '1500m', 'two');
  put('c', '3', 'three');
  put('d', '100m', 'five', { nodeSelector: { 'kubernetes.io/hostname': 'five' } });
  const groupOf = (minSize: number) => group('small', '4', 5, minSize, 9);
  const plan = (minSize: number) => {
    const own = groupOf(minSize);
    const { unneeded, kept } = planScaleDown(
      cluster.nodes.map(each => ({ node: each, group: own })),
      cluster,
      [],
      cycleOf,
      defaultOptions,
    );
    return { going: unneeded.map(each => [each.node.name, each.moving.length]), kept: Object.fromEntries(kept) };
  };
  // Four is empty, and five has room for what is on one and two.
  const { going, kept } = plan(0);
  assert.deepEqual(going, [
    ['four', 0],
    ['one', 1],
    ['two', 1],
  ]);
  assert.deepEqual(kept, {
    three: 'it is used to 75%',
    five: 'pod default/d has no other place',
  });
  assert.deepEqual(plan(4).going, [['four', 0]]);
  assert.equal(plan(4).kept['one'], 'its group has its minimal size');
  // Nothing of what was tried is left.
  assert.equal(cluster.nodes.length, 5);
  assert.equal(cluster.nodeOfPod('default/a'), 'one');
  assert.equal(cluster.node('one')?.requested.milliCPU, 1500);
});
