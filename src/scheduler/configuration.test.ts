import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '#base/random.ts';
import type { Node } from '#api/core/v1/node.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { ClusterState } from './cluster-state.ts';
import { schedulerConfigurationFrom, type Profile } from './configuration.ts';
import { SchedulingCycle } from './cycle.ts';
import { explainPod } from './explain/explain-pod.ts';
import { podInfo } from './pod-info.ts';
import { workloadsFrom } from './workloads.ts';

const head = { apiVersion: 'kubescheduler.config.k8s.io/v1', kind: 'KubeSchedulerConfiguration' };

function profileOf(profile: object): Profile {
  return schedulerConfigurationFrom({ ...head, profiles: [profile] }).profiles[0] ?? assert.fail();
}

function node(name: string, amounts: object = {}, labels: object = {}): Node {
  return {
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } },
    spec: {},
    status: { allocatable: { cpu: '4', memory: '8Gi', pods: '110', ...amounts } },
  } as unknown as Node;
}

function pod(name: string, requests: object = {}, more: object = {}): Pod {
  const containers = [{ name: 'c', image: 'busybox', resources: { requests } }];
  return { metadata: { name, namespace: 'default', ...more }, spec: { containers }, status: {} } as unknown as Pod;
}

function placed(profile: Profile, cluster: ClusterState, wanted: Pod): string | undefined {
  const cycle = new SchedulingCycle(profile.plugins, profile.clusterPlugins, cluster, seededRandom(3));
  return cycle.place(podInfo(wanted)).node?.name;
}

function scoreOf(profile: Profile, cluster: ClusterState, wanted: Pod, on: string, plugin: string): number | undefined {
  const { candidates } = explainPod(podInfo(wanted), cluster, profile, []);
  return candidates.find(each => each.node === on)?.scores.find(each => each.plugin === plugin)?.score;
}

test('extenders are read with upstream defaults and mistakes', () => {
  const base = { apiVersion: 'kubescheduler.config.k8s.io/v1', kind: 'KubeSchedulerConfiguration' };
  const managedResources = [{ name: 'example.com/foo', ignoredByScheduler: true }];
  const extender = { urlPrefix: 'https://127.0.0.1/', filterVerb: 'filter', managedResources };
  const { extenders, profiles } = schedulerConfigurationFrom({
    ...base,
    extenders: [extender],
    percentageOfNodesToScore: 50,
  });
  assert.deepEqual(extenders, [
    {
      urlPrefix: 'https://127.0.0.1/',
      filterVerb: 'filter',
      prioritizeVerb: '',
      preemptVerb: '',
      bindVerb: '',
      weight: 0,
      timeoutMs: 5_000,
      nodeCacheCapable: false,
      ignorable: false,
      managedResources: ['example.com/foo'],
      tls: undefined,
    },
  ]);
  assert.equal(profiles[0]?.scoredPercentage, 50);
  const wrong =
    (...given: readonly object[]) =>
    () =>
      schedulerConfigurationFrom({ ...base, extenders: given });
  assert.throws(
    wrong({ ...extender, prioritizeVerb: 'score' }),
    /weight: Invalid value: 0: must have a positive weight/,
  );
  assert.throws(
    wrong({ ...extender, bindVerb: 'b' }, { urlPrefix: 'x', bindVerb: 'b' }),
    /only one extender can implement bind/,
  );
  assert.throws(wrong({ ...extender, managedResources: [{ name: 'cpu' }] }), /is an invalid extended resource name/);
  assert.throws(wrong(extender, extender), /duplicate extender managed resource name example\.com\/foo/);
  assert.throws(wrong({ ...extender, verb: 'x' }), /unknown field "extenders\[0\]\.verb"/);
});

test('a scoring strategy packs instead of spreading, or follows a shape', () => {
  const cluster = new ClusterState();
  cluster.setNode(node('empty'));
  cluster.setNode(node('used'));
  cluster.setPod(podInfo(pod('there', { cpu: '2', memory: '4Gi' })), 'used');
  const strategy = (scoringStrategy: object) =>
    profileOf({ pluginConfig: [{ name: 'NodeResourcesFit', args: { scoringStrategy } }] });
  const wanted = pod('p', { cpu: '1', memory: '2Gi' });
  assert.equal(placed(profileOf({}), cluster, wanted), 'empty');
  const most = strategy({ type: 'MostAllocated' });
  assert.equal(placed(most, cluster, wanted), 'used');
  assert.equal(scoreOf(most, cluster, wanted, 'used', 'NodeResourcesFit'), 75);
  const ratio = strategy({
    type: 'RequestedToCapacityRatio',
    resources: [{ name: 'cpu', weight: 3 }, { name: 'memory' }],
    requestedToCapacityRatio: {
      shape: [
        { utilization: 0, score: 0 },
        { utilization: 50, score: 10 },
        { utilization: 100, score: 0 },
      ],
    },
  });
  assert.equal(scoreOf(ratio, cluster, wanted, 'empty', 'NodeResourcesFit'), 50);
  assert.equal(scoreOf(ratio, cluster, pod('q', { cpu: '2', memory: '2Gi' }), 'empty', 'NodeResourcesFit'), 88);
});

test('plugins are turned off and weighed by extension point', () => {
  const cluster = new ClusterState();
  cluster.setNode(node('small', { cpu: '1' }));
  const greedy = pod('p', { cpu: '2' });
  assert.equal(placed(profileOf({}), cluster, greedy), undefined);
  const off = profileOf({ plugins: { filter: { disabled: [{ name: 'NodeResourcesFit' }] } } });
  assert.equal(placed(off, cluster, greedy), 'small');
  const none = profileOf({
    plugins: { multiPoint: { disabled: [{ name: '*' }], enabled: [{ name: 'NodeResourcesFit', weight: 7 }] } },
  });
  assert.deepEqual(
    none.plugins.map(each => [each.name, each.weight]),
    [['NodeResourcesFit', 7]],
  );
  assert.deepEqual([none.clusterPlugins, none.preempts], [[], false]);
  const { candidates } = explainPod(podInfo(pod('q')), cluster, none, []);
  assert.deepEqual(
    candidates[0]?.scores.map(each => [each.plugin, each.weight]),
    [['NodeResourcesFit', 7]],
  );
  const extended = { 'example.com/foo': '1' };
  const ignoring = { name: 'NodeResourcesFit', args: { ignoredResourceGroups: ['example.com'] } };
  assert.equal(placed(profileOf({}), cluster, pod('r', extended)), undefined);
  assert.equal(placed(profileOf({ pluginConfig: [ignoring] }), cluster, pod('r', extended)), 'small');
});

test('the affinity that a profile adds holds for every pod', () => {
  const cluster = new ClusterState();
  cluster.setNode(node('a'));
  cluster.setNode(node('b', {}, { pool: 'own' }));
  const nodeSelectorTerms = [{ matchExpressions: [{ key: 'pool', operator: 'In', values: ['own'] }] }];
  const addedAffinity = { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } };
  const profile = profileOf({ pluginConfig: [{ name: 'NodeAffinity', args: { addedAffinity } }] });
  assert.equal(placed(profile, cluster, pod('p')), 'b');
  cluster.removeNode('b');
  assert.equal(
    explainPod(podInfo(pod('p')), cluster, profile, []).message,
    "0/1 nodes are available: 1 node(s) didn't match scheduler-enforced node affinity.",
  );
});

test('pods of one Service are spread over zones without asking for it; a profile may demand it', () => {
  const cluster = new ClusterState();
  for (const [name, zone] of [
    ['a', 'x'],
    ['b', 'y'],
  ] as const)
    cluster.setNode(node(name, {}, { 'topology.kubernetes.io/zone': zone }));
  const labels = { app: 'web' };
  const service = { spec: { selector: labels } };
  cluster.workloads = workloadsFrom({
    servicesIn: () => [service] as unknown as ReturnType<Parameters<typeof workloadsFrom>[0]['servicesIn']>,
    replicaSet: () => undefined,
    statefulSet: () => undefined,
    replicationController: () => undefined,
  });
  cluster.setPod(podInfo(pod('one', {}, { labels })), 'a');
  // As full as the other one, so that nothing else decides.
  cluster.setPod(podInfo(pod('other', {})), 'b');
  assert.equal(placed(profileOf({}), cluster, pod('two', {}, { labels })), 'b');
  assert.equal(scoreOf(profileOf({}), cluster, pod('two'), 'a', 'PodTopologySpread'), undefined);
  const constraint = { topologyKey: 'topology.kubernetes.io/zone', maxSkew: 1, whenUnsatisfiable: 'DoNotSchedule' };
  const args = { defaultingType: 'List', defaultConstraints: [constraint] };
  const strict = profileOf({ pluginConfig: [{ name: 'PodTopologySpread', args }] });
  const { refusals } = explainPod(podInfo(pod('two', {}, { labels })), cluster, strict, []);
  assert.deepEqual(
    refusals.map(each => [each.node, each.filters[0]?.plugin]),
    [['a', 'PodTopologySpread']],
  );
});

test('what is wrong is said in the words of upstream', () => {
  const wrong = (more: object): string => {
    try {
      schedulerConfigurationFrom({ ...head, ...more });
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };
  const fit = (scoringStrategy: object) =>
    wrong({ profiles: [{ pluginConfig: [{ name: 'NodeResourcesFit', args: { scoringStrategy } }] }] });
  const path = 'profiles[0].pluginConfig[0].args.scoringStrategy';
  assert.equal(wrong({}), '');
  assert.equal(
    wrong({ podInitialBackoffSeconds: 0 }),
    'podInitialBackoffSeconds: Invalid value: 0: must be greater than 0',
  );
  assert.equal(
    wrong({ podInitialBackoffSeconds: 20, parallelism: 0 }),
    '[parallelism: Invalid value: 0: should be an integer value greater than zero, podMaxBackoffSeconds: Invalid value: 10: must be greater than or equal to PodInitialBackoffSeconds]',
  );
  assert.equal(
    wrong({ percentageOfNodesToScore: 101 }),
    'percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]',
  );
  assert.equal(wrong({ profiles: [] }), 'profiles: Required value');
  assert.equal(
    wrong({ profiles: [{ schedulerName: 'a' }, { schedulerName: 'a' }] }),
    'profiles[1].schedulerName: Duplicate value: "profiles[0].schedulerName"',
  );
  assert.equal(
    fit({ type: 'Most' }),
    `${path}.type: Unsupported value: "Most": supported values: "LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"`,
  );
  assert.equal(
    fit({ type: 'RequestedToCapacityRatio' }),
    `${path}.requestedToCapacityRatio: Required value: must be specified when type is RequestedToCapacityRatio`,
  );
  assert.equal(
    fit({ resources: [{ name: 'cpu', weight: 101 }] }),
    `${path}.resources[0].weight: Invalid value: 101: resource weight of cpu not in valid range (0, 100]`,
  );
  assert.equal(wrong({ profile: [] }), 'strict decoding error: unknown field "profile"');
  assert.match(wrong({ apiVersion: 'v1' }), /^no kind "KubeSchedulerConfiguration" is registered for version "v1"/);
});
