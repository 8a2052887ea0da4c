import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Lease } from '#api/coordination/v1/lease.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { seededRandom } from '#base/random.ts';
import { hollowNames, startHollowNodes, type HollowNodesOptions } from './hollow.ts';
import { MemoryApi } from './testing/memory-api.ts';

async function started(options: Partial<HollowNodesOptions> = {}) {
  const clock = new ManualClock();
  const api = new MemoryApi(clock);
  const common = { client: api.client, clock, random: seededRandom(1), log: silentLog };
  const nodes = await startHollowNodes({ ...common, names: hollowNames(3), ...options });
  const createPod = (name: string, spec = {}, metadata = {}) =>
    api.client.create(Pod, {
      metadata: { name, namespace: 'default', ...metadata },
      spec: { nodeName: 'hollow-1', containers: [{ name: 'main', image: 'x' }], ...spec } as object,
      status: { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'True' }] },
    });
  const pod = (name: string) => api.object(Pod, name, 'default');
  return { clock, api, nodes, createPod, pod };
}

test('nodes register ready, and keep their leases', async () => {
  const { clock, api, nodes } = await started();
  await using _ = nodes;
  const node = api.object(Node, 'hollow-2');
  assert.equal(node?.status?.conditions?.find(({ type }) => type === 'Ready')?.status, 'True');
  assert.equal(node?.metadata.labels?.['kubernetes.io/hostname'], 'hollow-2');
  const before = api.object(Lease, 'hollow-2', 'kube-node-lease')?.spec?.renewTime;
  await clock.advance(10_000);
  const after = api.object(Lease, 'hollow-2', 'kube-node-lease')?.spec?.renewTime;
  assert.ok(before && after && after > before);
});

test('a pod runs and is ready at once, without time passing', async () => {
  const { clock, nodes, createPod, pod } = await started();
  await using _ = nodes;
  await createPod('a');
  await clock.advance(0);
  const { status } = pod('a') ?? {};
  assert.equal(status?.phase, 'Running');
  const conditions = Object.fromEntries((status?.conditions ?? []).map(each => [each.type, each.status]));
  assert.deepEqual(conditions, {
    PodScheduled: 'True',
    PodReadyToStartContainers: 'True',
    Initialized: 'True',
    Ready: 'True',
    ContainersReady: 'True',
  });
  assert.match(status?.podIP ?? '', /^10\.128\./);
});

test('a pod with a readiness gate is ready when the gate is', async () => {
  const { clock, api, nodes, createPod, pod } = await started();
  await using _ = nodes;
  await createPod('a', { readinessGates: [{ conditionType: 'example.com/gate' }] });
  await clock.advance(0);
  const isReady = () => pod('a')?.status?.conditions?.find(({ type }) => type === 'Ready')?.status;
  assert.equal(isReady(), 'False');
  const patch = { status: { conditions: [{ type: 'example.com/gate', status: 'True' }] } };
  await api.client.patch(Pod, 'a', { type: 'strategic', patch }, { namespace: 'default', subresource: 'status' });
  await clock.advance(0);
  assert.equal(isReady(), 'True');
});

test('a pod of a Job succeeds, a deleted one is gone after its rule says so', async () => {
  const { clock, nodes, createPod, pod } = await started({
    behaviour: [{ ownerKind: 'Job', runMs: 1000 }, { stopMs: 5000 }],
  });
  await using _ = nodes;
  const ownerReferences = [{ kind: 'Job', apiVersion: 'batch/v1', name: 'j', uid: 'u', controller: true }];
  await createPod('work', { restartPolicy: 'Never' }, { ownerReferences });
  await createPod('serve');
  await clock.advance(999);
  assert.equal(pod('work')?.status?.phase, 'Running');
  await clock.advance(1);
  assert.equal(pod('work')?.status?.phase, 'Succeeded');
  await nodes.add('late');
});

test('a deleted pod is stopped within its grace', async () => {
  const { clock, api, nodes, createPod, pod } = await started({ behaviour: [{ stopMs: 5000 }] });
  await using _ = nodes;
  await createPod('long');
  await createPod('short', { terminationGracePeriodSeconds: 1 });
  await clock.advance(0);
  for (const name of ['long', 'short']) await api.client.delete(Pod, name, { namespace: 'default' });
  await clock.advance(1000);
  assert.equal(pod('short'), undefined);
  assert.notEqual(pod('long'), undefined);
  await clock.advance(4000);
  assert.equal(pod('long'), undefined);
});

test('a crashed node says nothing any more, and a new one adopts its pods', async () => {
  const { clock, api, nodes, createPod, pod } = await started();
  await using _ = nodes;
  nodes.crash('hollow-1');
  await createPod('a');
  await clock.advance(60_000);
  assert.equal(pod('a')?.status?.phase, 'Pending');
  const lease = () => api.object(Lease, 'hollow-1', 'kube-node-lease')?.spec?.renewTime;
  const stale = lease();
  await nodes.add('hollow-1');
  await clock.advance(0);
  assert.equal(pod('a')?.status?.phase, 'Running');
  assert.notEqual(lease(), stale);
});

test('one write a pod: Pending to ready is a single patch', async () => {
  const { clock, api, nodes, createPod } = await started();
  await using _ = nodes;
  api.writes.length = 0;
  for (let index = 0; index < 100; index++) await createPod(`p${index}`);
  await clock.advance(0);
  assert.equal(api.writes.filter(write => write.startsWith('patch')).length, 100);
});

test('a pod that was being stopped when its node crashed is stopped when the node is back', async () => {
  const { clock, api, nodes, createPod, pod } = await started({ behaviour: [{ stopMs: 1000 }] });
  await using _ = nodes;
  await createPod('a');
  await clock.advance(0);
  await api.client.delete(Pod, 'a', { namespace: 'default', gracePeriodSeconds: 5 });
  await clock.advance(10);
  nodes.crash('hollow-1');
  await clock.advance(10_000);
  assert.ok(pod('a'));
  await nodes.add('hollow-1');
  await clock.advance(1_000);
  assert.equal(pod('a'), undefined);
});

test('a new process gives no pod an address that a pod has from a former one', async () => {
  const { clock, api, nodes, createPod, pod } = await started();
  await createPod('b');
  await clock.advance(0);
  await nodes[Symbol.asyncDispose]();
  await createPod('a');
  await using _ = await startHollowNodes({
    client: api.client,
    clock,
    random: seededRandom(2),
    log: silentLog,
    names: hollowNames(3),
  });
  await clock.advance(0);
  assert.equal(pod('a')?.status?.phase, 'Running');
  assert.notEqual(pod('a')?.status?.podIP, pod('b')?.status?.podIP);
});

test('a pod whose node has another address in a new process has that one alone', async () => {
  const { clock, api, nodes, createPod, pod } = await started();
  await createPod('a');
  await clock.advance(0);
  const before = pod('a')?.status?.hostIP;
  await nodes[Symbol.asyncDispose]();
  const status = { conditions: [{ type: 'Ready', status: 'False' }] };
  await api.client.patch(
    Pod,
    'a',
    { type: 'strategic', patch: { status } },
    { namespace: 'default', subresource: 'status' },
  );
  await using _ = await startHollowNodes({
    client: api.client,
    clock,
    random: seededRandom(2),
    log: silentLog,
    names: ['hollow-1'],
  });
  await clock.advance(0);
  const { hostIP, hostIPs } = pod('a')?.status ?? {};
  assert.notEqual(hostIP, before);
  assert.deepEqual(hostIPs, [{ ip: hostIP }]);
});
