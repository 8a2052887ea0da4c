import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '#base/random.ts';
import type { Node } from '#api/core/v1/node.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { ClusterState } from './cluster-state.ts';
import { SchedulingCycle } from './cycle.ts';
import { fitErrorMessage } from './fit-error.ts';
import { podInfo } from './pod-info.ts';
import { defaultClusterPlugins, defaultPlugins } from './plugins.ts';
import { preempt } from './preemption.ts';

function node(name: string, more: Partial<Node['spec']> = {}, amounts: Record<string, string> = {}): Node {
  const allocatable = { cpu: '2', memory: '4Gi', pods: '110', ...amounts };
  return {
    metadata: { name, labels: { 'kubernetes.io/hostname': name } },
    spec: more,
    status: { allocatable },
  } as unknown as Node;
}

function pod(name: string, spec: Record<string, unknown> = {}, requests: Record<string, string> = {}): Pod {
  const containers = [{ name: 'c', image: 'busybox', resources: { requests } }];
  return { metadata: { name, namespace: 'default' }, spec: { containers, ...spec }, status: {} } as unknown as Pod;
}

function clusterOf(...nodes: Node[]) {
  const cluster = new ClusterState();
  for (const each of nodes) cluster.setNode(each);
  return { cluster, cycle: new SchedulingCycle(defaultPlugins, defaultClusterPlugins, cluster, seededRandom(1)) };
}

function messageFor(cycle: SchedulingCycle, wanted: Pod): string {
  const placement = cycle.place(podInfo(wanted));
  assert.equal(placement.node, undefined);
  return fitErrorMessage(placement.node === undefined ? placement.rejections : new Map(), '');
}

test('reasons are counted in upstream words, the first filter that refuses a node gives the reason', () => {
  const { cycle } = clusterOf(
    node('small', {}, { cpu: '500m' }),
    node('cordoned', { unschedulable: true }),
    node('tainted', { taints: [{ key: 'dedicated', value: 'gpu', effect: 'NoSchedule' }] }),
  );
  assert.equal(
    messageFor(cycle, pod('p', {}, { cpu: '1' })),
    '0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.',
  );
  assert.equal(
    messageFor(cycle, pod('q', { nodeSelector: { disk: 'ssd' }, tolerations: [{ operator: 'Exists' }] })),
    "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.",
  );
});

test('without nodes the message says so', () => {
  const { cycle } = clusterOf();
  assert.equal(messageFor(cycle, pod('p')), 'no nodes available to schedule pods');
});

test('pods spread to the emptier node, and full nodes refuse', () => {
  const { cluster, cycle } = clusterOf(node('a'), node('b'));
  const where: string[] = [];
  for (let index = 0; index < 4; index++) {
    const info = podInfo(pod(`p${index}`, {}, { cpu: '1', memory: '1Gi' }));
    const { node: chosen } = cycle.place(info);
    assert.ok(chosen);
    where.push(chosen.name);
    cluster.setPod(info, chosen.name);
  }
  assert.deepEqual(where.toSorted(), ['a', 'a', 'b', 'b']);
  assert.equal(messageFor(cycle, pod('more', {}, { cpu: '1' })), '0/2 nodes are available: 2 Insufficient cpu.');
  cluster.removePod('default/p0');
  assert.ok(cycle.place(podInfo(pod('more', {}, { cpu: '1' }))).node);
});

test('host ports collide by protocol and address', () => {
  const { cluster, cycle } = clusterOf(node('a'));
  const withPort = (name: string, hostIP: string, protocol = 'TCP') =>
    podInfo(
      pod(name, {
        containers: [{ name: 'c', image: 'i', ports: [{ containerPort: 80, hostPort: 8080, hostIP, protocol }] }],
      }),
    );
  cluster.setPod(withPort('first', '127.0.0.1'), 'a');
  assert.ok(cycle.place(withPort('other-address', '10.0.0.1')).node);
  assert.ok(cycle.place(withPort('other-protocol', '127.0.0.1', 'UDP')).node);
  assert.equal(cycle.place(withPort('wildcard', '')).node, undefined);
});

test('preferred affinity and soft taints decide between equal nodes', () => {
  const prefers = {
    nodeAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        {
          weight: 1,
          preference: { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: ['b'] }] },
        },
      ],
    },
  };
  const { cycle } = clusterOf(node('a'), node('b'), node('c'));
  assert.equal(cycle.place(podInfo(pod('p', { affinity: prefers }))).node?.name, 'b');
  const soft = { taints: [{ key: 'k', effect: 'PreferNoSchedule' }] };
  const tainted = clusterOf(node('a', soft), node('b', soft), node('c'));
  assert.equal(tainted.cycle.place(podInfo(pod('p'))).node?.name, 'c');
});

test('a sidecar counts beside the containers, an init container only at its peak', () => {
  const info = podInfo(
    pod('p', {
      containers: [{ name: 'c', image: 'i', resources: { requests: { cpu: '100m' } } }],
      initContainers: [
        { name: 'sidecar', image: 'i', restartPolicy: 'Always', resources: { requests: { cpu: '50m' } } },
        { name: 'setup', image: 'i', resources: { requests: { cpu: '300m' } } },
      ],
    }),
  );
  assert.equal(info.requests.milliCPU, 350);
});

test('preemption takes the least important pods, as few as needed', () => {
  const { cluster, cycle } = clusterOf(node('a'), node('b', { unschedulable: true }));
  const low = podInfo(pod('low', { priority: 1 }, { cpu: '1' }));
  const lower = podInfo(pod('lower', { priority: 0 }, { cpu: '1' }));
  cluster.setPod(low, 'a');
  cluster.setPod(lower, 'a');
  const high = podInfo(pod('high', { priority: 10 }, { cpu: '1' }));
  const placement = cycle.place(high);
  assert.ok(placement.node === undefined);
  const result = preempt(high, placement.rejections, cluster, [], cycle.judgeOf(high));
  assert.deepEqual(
    result.found?.victims.map(each => each.key),
    ['default/lower'],
  );
  const equal = podInfo(pod('equal', { priority: 0 }, { cpu: '1' }));
  const none = preempt(equal, placement.rejections, cluster, [], cycle.judgeOf(equal));
  assert.deepEqual(none, {
    found: undefined,
    why: '0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.',
  });
});

function placeAll(cluster: ClusterState, cycle: SchedulingCycle, pods: readonly Pod[]): (string | undefined)[] {
  return pods.map(each => {
    const info = podInfo(each);
    const { node: chosen } = cycle.place(info);
    if (chosen) cluster.setPod(info, chosen.name);
    return chosen?.name;
  });
}

const labelled = (name: string, spec: Record<string, unknown>) => {
  const made = pod(name, spec);
  return { ...made, metadata: { ...made.metadata, labels: { app: 'web' } } } as Pod;
};
const inZone = (name: string, zone: string) => {
  const made = node(name);
  return { ...made, metadata: { ...made.metadata, labels: { ...made.metadata.labels, zone } } } as Node;
};

test('spread constraints keep the skew over zones', () => {
  const { cluster, cycle } = clusterOf(inZone('a1', 'a'), inZone('a2', 'a'), inZone('b1', 'b'), node('nowhere'));
  const spread = {
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'zone',
        whenUnsatisfiable: 'DoNotSchedule',
        labelSelector: { matchLabels: { app: 'web' } },
      },
    ],
  };
  const where = placeAll(
    cluster,
    cycle,
    Array.from({ length: 6 }, (_, index) => labelled(`p${index}`, spread)),
  );
  assert.equal(where.filter(each => each === 'b1').length, 3);
  cluster.removeNode('b1');
  cluster.setNode({ ...inZone('b1', 'b'), spec: { unschedulable: true } } as Node);
  assert.equal(where.filter(each => each === 'nowhere').length, 0);
  // One more fits beside the three of the other zone, which is closed now.
  assert.match(String(placeAll(cluster, cycle, [labelled('p6', spread)])[0]), /^a/);
  assert.equal(
    messageFor(cycle, labelled('more', spread)),
    "0/4 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label), " +
      "1 node(s) were unschedulable, 2 node(s) didn't match pod topology spread constraints.",
  );
});

test('anti-affinity holds for the pod that comes and for the pods that are there', () => {
  const { cluster, cycle } = clusterOf(node('a'), node('b'));
  const apart = {
    affinity: {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'web' } } },
        ],
      },
    },
  };
  const where = placeAll(cluster, cycle, [labelled('p0', apart), labelled('p1', apart)]);
  assert.deepEqual(where.toSorted(), ['a', 'b']);
  assert.equal(
    messageFor(cycle, labelled('p2', apart)),
    "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.",
  );
  assert.equal(
    messageFor(cycle, labelled('plain', {})),
    "0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules.",
  );
  assert.ok(cycle.place(podInfo(pod('stranger'))).node);
});

test('affinity gathers a group around its first pod', () => {
  const { cluster, cycle } = clusterOf(node('a'), node('b'), node('c'));
  const together = {
    affinity: {
      podAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'web' } } },
        ],
      },
    },
  };
  const where = placeAll(cluster, cycle, [
    labelled('p0', together),
    labelled('p1', together),
    labelled('p2', together),
  ]);
  assert.equal(new Set(where).size, 1);
  assert.equal(
    messageFor(
      cycle,
      pod('lonely', {
        affinity: {
          podAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: [
              { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'db' } } },
            ],
          },
        },
      }),
    ),
    "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.",
  );
});

test('a share of the nodes that fit is compared where the configuration wants it, everywhere in turn', () => {
  const names = Array.from({ length: 300 }, (_, index) => `node-${index}`);
  const { cluster } = clusterOf(...names.map(name => node(name)));
  const cycle = new SchedulingCycle(defaultPlugins, defaultClusterPlugins, cluster, seededRandom(1), 40);
  const looked = [1, 2, 3].map(() => cycle.candidates(podInfo(pod('p'))));
  for (const each of looked) assert.equal('rejections' in each ? 0 : each.size, 120);
  const all = new Set(
    looked.flatMap(each => ('rejections' in each ? [] : Array.from(each.keys(), ({ name }) => name))),
  );
  assert.equal(all.size, 300);
});
