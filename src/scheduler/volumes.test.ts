import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '#base/random.ts';
import type { Node } from '#api/core/v1/node.ts';
import type { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import type { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import type { StorageObjects } from './storage-state.ts';
import { reserveVolumes } from './bind-volumes.ts';
import { ClusterState } from './cluster-state.ts';
import { SchedulingCycle } from './cycle.ts';
import { fitErrorMessage } from './fit-error.ts';
import { podInfo } from './pod-info.ts';
import { defaultClusterPlugins, defaultPlugins } from './plugins.ts';

function node(name: string, zone: string): Node {
  return {
    metadata: { name, labels: { 'kubernetes.io/hostname': name, 'topology.kubernetes.io/zone': zone } },
    spec: {},
    status: { allocatable: { cpu: '2', memory: '4Gi', pods: '110' } },
  } as unknown as Node;
}

function pod(name: string, ...claims: string[]): Pod {
  const volumes = claims.map(claimName => ({ name: claimName, persistentVolumeClaim: { claimName } }));
  const spec = { containers: [{ name: 'c', image: 'busybox' }], volumes };
  return { metadata: { name, namespace: 'default', uid: name }, spec, status: {} } as unknown as Pod;
}

function claim(name: string, spec: object = {}, more: object = {}): PersistentVolumeClaim {
  const bound = 'volumeName' in spec;
  const annotations = bound ? { 'pv.kubernetes.io/bind-completed': 'yes' } : {};
  return {
    metadata: { name, namespace: 'default', uid: name, annotations },
    spec: {
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: '1Gi' } },
      storageClassName: 'local',
      ...spec,
    },
    status: { phase: bound ? 'Bound' : 'Pending' },
    ...more,
  } as unknown as PersistentVolumeClaim;
}

function volume(name: string, host: string | undefined, spec: object = {}, labels: object = {}): PersistentVolume {
  const matchExpressions = [{ key: 'kubernetes.io/hostname', operator: 'In', values: [host] }];
  return {
    metadata: { name, labels },
    spec: {
      accessModes: ['ReadWriteOnce'],
      capacity: { storage: '1Gi' },
      storageClassName: 'local',
      ...(host !== undefined && { nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions }] } } }),
      ...spec,
    },
    status: { phase: 'Available' },
  } as unknown as PersistentVolume;
}

const classes: Record<string, object> = {
  local: { provisioner: 'kubernetes.io/no-provisioner', volumeBindingMode: 'WaitForFirstConsumer' },
  fast: {
    provisioner: 'csi.example.com',
    volumeBindingMode: 'WaitForFirstConsumer',
    allowedTopologies: [{ matchLabelExpressions: [{ key: 'topology.kubernetes.io/zone', values: ['y'] }] }],
  },
  now: { provisioner: 'csi.example.com', volumeBindingMode: 'Immediate' },
};

function clusterOf(
  claims: readonly PersistentVolumeClaim[],
  volumes: readonly PersistentVolume[],
  more: Partial<StorageObjects> = {},
) {
  const cluster = new ClusterState();
  cluster.storage.objects = {
    claim: key => claims.find(each => `default/${each.metadata.name}` === key),
    volume: name => volumes.find(each => each.metadata.name === name),
    volumesOfClass: name => volumes.filter(each => each.spec?.storageClassName === name),
    storageClass: name =>
      Object.hasOwn(classes, name)
        ? ({ metadata: { name }, ...classes[name] } as unknown as ReturnType<StorageObjects['storageClass']>)
        : undefined,
    csiNode: () => undefined,
    csiDriver: () => undefined,
    capacities: () => [],
    ...more,
  };
  cluster.setNode(node('a', 'x'));
  cluster.setNode(node('b', 'y'));
  const cycle = new SchedulingCycle(defaultPlugins, defaultClusterPlugins, cluster, seededRandom(1));
  return {
    cluster,
    cycle,
    whereOrWhy(wanted: Pod): string {
      const placement = cycle.place(podInfo(wanted));
      return placement.node === undefined ? fitErrorMessage(placement.rejections, '') : placement.node.name;
    },
  };
}

test('what a claim lacks is said once and for all nodes', () => {
  const deleted = { metadata: { name: 'gone', namespace: 'default', deletionTimestamp: '2026-01-01T00:00:00Z' } };
  const { whereOrWhy } = clusterOf(
    [
      claim('soon', { storageClassName: 'now' }),
      claim('gone', {}, deleted),
      claim('lost', {}, { status: { phase: 'Lost' } }),
    ],
    [],
  );
  const why = (reason: string) => `0/2 nodes are available: ${reason}.`;
  assert.equal(whereOrWhy(pod('p', 'none')), why('persistentvolumeclaim "none" not found'));
  assert.equal(whereOrWhy(pod('p', 'soon')), why('pod has unbound immediate PersistentVolumeClaims'));
  assert.equal(whereOrWhy(pod('p', 'gone')), why('persistentvolumeclaim "gone" is being deleted'));
  assert.equal(
    whereOrWhy(pod('p', 'lost')),
    why('persistentvolumeclaim "lost" bound to non-existent persistentvolume ""'),
  );
  const scratch = {
    ...pod('p'),
    spec: { ...pod('p').spec, volumes: [{ name: 'tmp', ephemeral: {} }] },
  } as unknown as Pod;
  assert.equal(
    whereOrWhy(scratch),
    why('waiting for ephemeral volume controller to create the persistentvolumeclaim "p-tmp"'),
  );
});

test('a bound volume decides by its node affinity, and by its zone', () => {
  const { whereOrWhy } = clusterOf(
    [
      claim('here', { volumeName: 'on-b' }),
      claim('missing', { volumeName: 'nowhere' }),
      claim('zoned', { volumeName: 'in-x' }),
      claim('both', { volumeName: 'on-b-in-x' }),
    ],
    [
      volume('on-b', 'b'),
      volume('in-x', undefined, {}, { 'topology.kubernetes.io/zone': 'x__z' }),
      volume('on-b-in-x', 'b', {}, { 'topology.kubernetes.io/zone': 'x' }),
    ],
  );
  assert.equal(whereOrWhy(pod('p', 'here')), 'b');
  assert.equal(whereOrWhy(pod('p', 'zoned')), 'a');
  assert.equal(
    whereOrWhy(pod('p', 'both')),
    '0/2 nodes are available: 1 node(s) had no available volume zone, 1 node(s) had volume node affinity conflict.',
  );
  assert.equal(whereOrWhy(pod('p', 'missing')), '0/2 nodes are available: persistentvolume "nowhere" not found.');
});

test('claims that wait for a consumer take the smallest free volume of the node, and no volume is promised twice', () => {
  const { cluster, cycle, whereOrWhy } = clusterOf(
    [claim('one'), claim('two'), claim('big', { resources: { requests: { storage: '5Gi' } } })],
    [volume('small', 'a'), volume('large', 'a', { capacity: { storage: '3Gi' } })],
  );
  const first = podInfo(pod('p', 'one'));
  const { node: chosen } = cycle.place(first);
  assert.equal(chosen?.name, 'a');
  const reservation = chosen && cycle.reserve(first, chosen);
  assert.ok(reservation);
  assert.deepEqual(
    reservation.bindings.map(each => each.volume.metadata.name),
    ['small'],
  );
  const release = reserveVolumes(cluster.storage, 'a', reservation);
  const second = podInfo(pod('q', 'two'));
  const next = cycle.reserve(second, cluster.node('a') ?? assert.fail());
  assert.deepEqual(
    next?.bindings.map(each => each.volume.metadata.name),
    ['large'],
  );
  reserveVolumes(cluster.storage, 'a', next ?? assert.fail());
  const nothing = "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.";
  assert.equal(whereOrWhy(pod('r', 'big')), nothing);
  release();
  assert.equal(whereOrWhy(pod('p', 'one')), 'a');
});

test('what is provisioned goes where the class allows it and where there is capacity', () => {
  const fast = { storageClassName: 'fast' };
  assert.equal(clusterOf([claim('c', fast)], []).whereOrWhy(pod('p', 'c')), 'b');
  const capacity = { storageClassName: 'fast', capacity: '512Mi', nodeTopology: {} };
  const more = {
    csiDriver: () => ({ spec: { storageCapacity: true } }) as unknown as ReturnType<StorageObjects['csiDriver']>,
    capacities: () => [capacity] as unknown as ReturnType<StorageObjects['capacities']>,
  };
  assert.equal(
    clusterOf([claim('c', fast)], [], more).whereOrWhy(pod('p', 'c')),
    "0/2 nodes are available: 1 node(s) did not have enough free storage, 1 node(s) didn't find available persistent volumes to bind.",
  );
});

test('a ReadWriteOncePod claim has one user, a node as many volumes as its driver attaches', () => {
  const csi = (volumeHandle: string) => ({ csi: { driver: 'csi.example.com', volumeHandle } });
  const limits = { drivers: [{ name: 'csi.example.com', nodeID: 'a', allocatable: { count: 1 } }] };
  const { cluster, whereOrWhy } = clusterOf(
    [
      claim('alone', { volumeName: 'v0', accessModes: ['ReadWriteOncePod'] }),
      claim('one', { volumeName: 'v1' }),
      claim('two', { volumeName: 'v2' }),
    ],
    [volume('v0', undefined), volume('v1', undefined, csi('1')), volume('v2', undefined, csi('2'))],
    { csiNode: () => ({ spec: limits }) as unknown as ReturnType<StorageObjects['csiNode']> },
  );
  cluster.setPod(podInfo(pod('user', 'alone')), 'a');
  assert.equal(
    whereOrWhy(pod('p', 'alone')),
    '0/2 nodes are available: 2 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod.',
  );
  cluster.removePod('default/user');
  assert.match(whereOrWhy(pod('p', 'alone')), /^[ab]$/);
  cluster.setPod(podInfo(pod('first', 'one')), 'a');
  assert.equal(whereOrWhy(pod('p', 'two')), 'b');
  cluster.setPod(podInfo(pod('second', 'two')), 'b');
  const { csiNode } = cluster.storage.objects;
  assert.ok(csiNode('a'));
  assert.equal(whereOrWhy(pod('p', 'one', 'two')), '0/2 nodes are available: 2 node(s) exceed max volume count.');
});
