import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '#base/random.ts';
import type { Node } from '#api/core/v1/node.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { ClusterState } from '../cluster-state.ts';
import { SchedulingCycle } from '../cycle.ts';
import { podInfo } from '../pod-info.ts';
import { defaultClusterPlugins, defaultPlugins } from '../plugins.ts';
import { explainPod } from './explain-pod.ts';

const plugins = { plugins: defaultPlugins, clusterPlugins: defaultClusterPlugins };

function node(name: string, labels: Record<string, string> = {}, spec: object = {}, amounts: object = {}): Node {
  return {
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } },
    spec,
    status: { allocatable: { cpu: '2', memory: '4Gi', pods: '110', ...amounts } },
  } as unknown as Node;
}

function pod(name: string, spec: object = {}, requests: object = {}, labels: object = {}): Pod {
  const containers = [{ name: 'c', image: 'busybox', resources: { requests } }];
  return {
    metadata: { name, namespace: 'default', labels },
    spec: { containers, ...spec },
    status: {},
  } as unknown as Pod;
}

function clusterOf(nodes: readonly Node[], pods: readonly (readonly [Pod, string])[] = []): ClusterState {
  const cluster = new ClusterState();
  for (const each of nodes) cluster.setNode(each);
  for (const [each, where] of pods) cluster.setPod(podInfo(each), where);
  return cluster;
}

const gpu = { taints: [{ key: 'dedicated', value: 'gpu', effect: 'NoSchedule' }] };

test('each node says which filters refuse with numbers, and what would help, the least first', () => {
  const cluster = clusterOf(
    [
      node('full'),
      node('gpu-1', {}, gpu),
      node('gpu-2', {}, gpu),
      node('gpu-small', {}, gpu, { cpu: '1' }),
      node('cordoned', {}, { unschedulable: true }),
    ],
    [[pod('other', {}, { cpu: '700m' }), 'full']],
  );
  const explained = explainPod(podInfo(pod('p', {}, { cpu: '1500m', memory: '1Gi' })), cluster, plugins, []);
  assert.deepEqual(explained.candidates, []);
  assert.equal(
    explained.message,
    '0/5 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable, 3 node(s) had untolerated taint(s).',
  );
  const full = explained.refusals.find(each => each.node === 'full');
  assert.deepEqual(full?.filters, [
    {
      plugin: 'NodeResourcesFit',
      reasons: ['Insufficient cpu'],
      details: ['cpu: asks for 1500m, 1300m of 2 are free'],
    },
  ]);
  const small = explained.refusals.find(each => each.node === 'gpu-small');
  assert.deepEqual(
    small?.filters.map(each => each.plugin),
    ['TaintToleration', 'NodeResourcesFit'],
  );
  assert.deepEqual(explained.advice, [
    { changes: ['it tolerated dedicated=gpu:NoSchedule'], nodes: ['gpu-1', 'gpu-2'] },
    { changes: ['cordoned were uncordoned (kubectl uncordon cordoned)'], nodes: ['cordoned'] },
    { changes: ['it asked for 200m less cpu'], nodes: ['full'] },
    { changes: ['it tolerated dedicated=gpu:NoSchedule', 'it asked for 500m less cpu'], nodes: ['gpu-small'] },
  ]);
});

test('selectors, host ports, spreading and affinity name what stands in the way', () => {
  const zones = [node('a', { zone: 'x' }), node('b', { zone: 'y' })];
  const web = { app: 'web' };
  const port = { containers: [{ name: 'c', ports: [{ hostPort: 80, containerPort: 80, protocol: 'TCP' }] }] };
  const labelSelector = { matchLabels: web };
  const ask = (wanted: Pod, pods: readonly (readonly [Pod, string])[]) =>
    explainPod(podInfo(wanted), clusterOf(zones, pods), plugins, []);
  const details = ({ refusals }: ReturnType<typeof ask>, at: string) =>
    refusals.find(each => each.node === at)?.filters.flatMap(each => each.details);

  const selecting = ask(pod('p', { nodeSelector: { disk: 'ssd' } }), []);
  assert.deepEqual(details(selecting, 'a'), ['label disk is not set, the pod selects "ssd"']);
  assert.deepEqual(selecting.advice, [{ changes: ['its nodeSelector did not ask for disk=ssd'], nodes: ['a', 'b'] }]);

  const ports = ask(pod('p', port), [
    [pod('one', port), 'a'],
    [pod('two', port), 'b'],
  ]);
  assert.deepEqual(details(ports, 'b'), ['host port 80/TCP is held by default/two']);

  const spread = { topologyKey: 'zone', maxSkew: 1, whenUnsatisfiable: 'DoNotSchedule', labelSelector };
  const spreading = explainPod(
    podInfo(pod('p', { topologySpreadConstraints: [spread] }, { cpu: '2' }, web)),
    clusterOf(zones, [
      [pod('one', {}, {}, web), 'a'],
      [pod('big', {}, { cpu: '500m' }), 'b'],
    ]),
    plugins,
    [],
  );
  assert.deepEqual(details(spreading, 'a'), [
    'zone=x has 1 of its pods, the emptiest has 0: with it the skew is 2, at most 1 is allowed',
  ]);
  assert.deepEqual(spreading.advice[0]?.nodes, ['b']);
  assert.deepEqual(spreading.advice[1], { changes: ['it allowed a skew of 2 over zone instead of 1'], nodes: ['a'] });

  const term = { topologyKey: 'zone', labelSelector };
  const alone = { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } } };
  const apart = ask(pod('p', alone), [
    [pod('one', {}, {}, web), 'a'],
    [pod('two', {}, {}, web), 'b'],
  ]);
  assert.deepEqual(details(apart, 'a'), ['1 pod(s) that it must not be near are in zone=x']);
  assert.deepEqual(apart.advice, [{ changes: ['its anti-affinity by zone were preferred only'], nodes: ['a', 'b'] }]);
  const refused = ask(pod('p', {}, {}, web), [
    [pod('one', alone), 'a'],
    [pod('two', alone), 'b'],
  ]);
  assert.deepEqual(details(refused, 'a'), ['1 pod(s) in zone=x refuse such a pod near them']);
  assert.deepEqual(refused.advice, []);
});

test('a pod of higher priority is told whom it would push out', () => {
  const cluster = clusterOf([node('a')], [[pod('low', { priority: 1 }, { cpu: '2' }), 'a']]);
  const { preemption } = explainPod(podInfo(pod('high', { priority: 9 }, { cpu: '1' })), cluster, plugins, []);
  assert.deepEqual(preemption, { node: 'a', victims: ['default/low'], budgetViolations: 0 });
});

test('the best candidates are those that the scheduler chooses from', () => {
  const random = seededRandom(7);
  const pick = <Value>(values: readonly Value[]) => values[Math.floor(random.next() * values.length)] as Value;
  for (let round = 0; round < 60; round++) {
    const soft = { taints: [{ key: 'slow', effect: 'PreferNoSchedule' }] };
    const nodes = Array.from({ length: 6 }, (_, index) =>
      node(`n${index}`, { zone: pick(['x', 'y']), disk: pick(['ssd', 'hdd']) }, pick([{}, soft]), {
        cpu: pick(['1', '4']),
      }),
    );
    const running = Array.from(
      { length: 12 },
      (_, index) =>
        [
          pod(`r${index}`, {}, { cpu: pick(['100m', '400m']) }, { app: pick(['web', 'db']) }),
          `n${Math.floor(random.next() * 6)}`,
        ] as const,
    );
    const spread = {
      topologyKey: 'zone',
      maxSkew: 1,
      whenUnsatisfiable: pick(['DoNotSchedule', 'ScheduleAnyway']),
      labelSelector: { matchLabels: { app: 'web' } },
    };
    const preference = { matchExpressions: [{ key: 'disk', operator: 'In', values: ['ssd'] }] };
    const nodeAffinity = { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 5, preference }] };
    const wanted = podInfo(
      pod(
        'p',
        { topologySpreadConstraints: pick([[], [spread]]), affinity: pick([{}, { nodeAffinity }]) },
        { cpu: pick(['200m', '900m', '3900m']) },
        { app: 'web' },
      ),
    );
    const cluster = clusterOf(nodes, running);
    const cycle = new SchedulingCycle(defaultPlugins, defaultClusterPlugins, cluster, random);
    const placement = cycle.place(wanted);
    const { candidates, refusals } = explainPod(wanted, cluster, plugins, []);
    assert.equal(candidates.length + refusals.length, 6);
    const best = candidates.filter(each => each.total === candidates[0]?.total).map(each => each.node);
    if (placement.node === undefined) assert.deepEqual(best, []);
    else assert.ok(best.includes(placement.node.name), `round ${round}: ${placement.node.name} of ${best.join()}`);
    if (placement.node === undefined)
      for (const each of refusals)
        assert.deepEqual(each.filters[0]?.reasons, placement.rejections.get(each.node)?.reasons);
  }
});
