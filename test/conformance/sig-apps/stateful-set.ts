import assert from 'node:assert/strict';
import { StatefulSet } from '#api/apps/v1/stateful-set.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { Service } from '#api/core/v1/service.ts';
import { apiOperations, eventsUntil, scaleEndpoints, statusEndpoints } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { execIn, isReady, podOf } from '../pods.ts';
import { until } from '../waiting.ts';
import { imageOf, podsOf, templateOf } from '../workloads.ts';

const basic = '[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic]';
const labels = { app: 'ss' };

conformance(it => {
  it(`${basic} should perform rolling updates and roll backs of template modifications [Conformance]`, async t => {
    const { status } = await running(t, 3);
    const first = status?.currentRevision ?? '';
    assert.equal(status?.updateRevision, first);
    const rolls = async (image: string, expected?: string) => {
      const { resourceVersion } = (await t.client.list(Pod, { namespace: t.namespace })).metadata;
      const deleted = eventsUntil(
        t,
        Pod,
        { resourceVersion },
        events => events.filter(each => each.startsWith('DELETED')).length === 3,
      );
      await change(t, image);
      const updated = await settled(
        t,
        set => set.status?.currentRevision === set.status?.updateRevision && set.status?.updatedReplicas === 3,
      );
      const order = (await deleted).filter(each => each.startsWith('DELETED'));
      assert.deepEqual(order, ['DELETED ss-2', 'DELETED ss-1', 'DELETED ss-0'], 'in reverse order');
      for (const pod of await podsOf(t)) assert.equal(imageOf(pod), t.image(image));
      if (expected !== undefined) assert.equal(updated.status?.currentRevision, expected);
      return updated.status?.currentRevision ?? '';
    };
    assert.notEqual(await rolls('web:v2'), first);
    await rolls('web:v1', first);
  });

  it(`${basic} should perform canary updates and phased rolling updates of template modifications [Conformance]`, async t => {
    const partition = (value: number) => ({ type: 'RollingUpdate', rollingUpdate: { partition: value } });
    const { status } = await running(t, 3, { updateStrategy: partition(3) });
    const old = status?.currentRevision ?? '';
    await change(t, 'web:v2');
    const changed = await settled(
      t,
      set => set.status?.updateRevision !== old && set.status?.observedGeneration === set.metadata.generation,
    );
    const next = changed.status?.updateRevision ?? '';
    const revisions = async () =>
      (await podsOf(t)).map(({ metadata }) => (metadata.labels?.['controller-revision-hash'] === next ? 'new' : 'old'));
    assert.deepEqual(await revisions(), ['old', 'old', 'old'], 'nothing beyond the partition');
    const move = (value: number) =>
      t.client.patch(
        StatefulSet,
        'ss',
        { type: 'merge', patch: { spec: { updateStrategy: partition(value) } } },
        { namespace: t.namespace },
      );
    await move(2);
    const canary = (wanted: readonly string[]) =>
      t.eventually(`the pods are ${wanted.join(', ')}`, async () => {
        const pods = await podsOf(t);
        return pods.length === 3 && pods.every(isReady) && String(await revisions()) === String(wanted);
      });
    await canary(['old', 'old', 'new']);
    for (const name of ['ss-0', 'ss-2']) await t.client.delete(Pod, name, { namespace: t.namespace });
    await canary(['old', 'old', 'new']);
    await move(1);
    await canary(['old', 'new', 'new']);
    await move(0);
    await canary(['new', 'new', 'new']);
    await settled(t, set => set.status?.currentRevision === next);
  });

  it(`${basic} Scaling should happen in predictable order and halt if any stateful pod is unhealthy [Conformance] [Slow]`, async t => {
    const start = (await t.client.list(Pod, { namespace: t.namespace })).metadata.resourceVersion;
    await running(t, 1, {}, true);
    await unhealthy(t, 'ss-0');
    await scale(t, 3);
    await until(
      t,
      StatefulSet,
      'ss',
      'the change is seen',
      ({ status, metadata }) => status?.observedGeneration === metadata.generation,
    );
    assert.equal((await podsOf(t)).length, 1, 'it halts');
    await healthy(t, 'ss-0');
    await settled(t, ({ status }) => status?.readyReplicas === 3);
    const added = (
      await eventsUntil(t, Pod, { resourceVersion: start }, events => events.filter(isAdded).length === 3)
    ).filter(isAdded);
    assert.deepEqual(added, ['ADDED ss-0', 'ADDED ss-1', 'ADDED ss-2']);
    const middle = (await t.client.list(Pod, { namespace: t.namespace })).metadata.resourceVersion;
    for (const name of names) await unhealthy(t, name);
    await scale(t, 0);
    await until(
      t,
      StatefulSet,
      'ss',
      'the change is seen',
      ({ status, metadata }) => status?.observedGeneration === metadata.generation,
    );
    assert.equal((await podsOf(t)).length, 3, 'it halts');
    for (const name of names) await execIn(t, name, 'rm', '/broken');
    const gone = (
      await eventsUntil(t, Pod, { resourceVersion: middle }, events => events.filter(isDeleted).length === 3)
    ).filter(isDeleted);
    assert.deepEqual(gone, ['DELETED ss-2', 'DELETED ss-1', 'DELETED ss-0']);
  });

  it(`${basic} Burst scaling should run to completion even with unhealthy pods [Conformance] [Slow]`, async t => {
    await running(t, 1, { podManagementPolicy: 'Parallel' }, true);
    await unhealthy(t, 'ss-0');
    await scale(t, 3);
    await t.eventually('three are there although one is not ready', async () => (await podsOf(t)).length === 3);
    await healthy(t, 'ss-0');
    await settled(t, ({ status }) => status?.readyReplicas === 3);
    await unhealthy(t, 'ss-0');
    await scale(t, 0);
    await t.eventually('all are gone although one was not ready', async () => (await podsOf(t)).length === 0);
  });

  it(`${basic} Should recreate evicted statefulset [Conformance]`, async t => {
    const node = (await t.kubectl('get', 'nodes', '--output=jsonpath={.items[0].metadata.name}')).trim();
    const port = { ports: [{ containerPort: 21_017, hostPort: 21_017 }] };
    const taken = podOf(t, { name: 'taken', nodeName: node, container: port });
    await t.client.create<Pod>(Pod, taken, { namespace: t.namespace });
    await until(t, Pod, 'taken', 'it runs', ({ status }) => status?.phase === 'Running');
    await service(t);
    const template = templateOf(t, labels, { nodeName: node, container: port });
    const { resourceVersion } = (await t.client.list(Pod, { namespace: t.namespace })).metadata;
    const again = eventsUntil(
      t,
      Pod,
      { resourceVersion },
      events => events.filter(each => each === 'ADDED ss-0').length > 1,
    );
    await make(t, { replicas: 1, template });
    await again;
    await t.client.delete(Pod, 'taken', { namespace: t.namespace });
    await until(t, Pod, 'ss-0', 'it runs in the end', ({ status }) => status?.phase === 'Running');
  });

  it(`${basic} should have a working scale subresource [Conformance]`, async t => {
    await running(t, 1);
    await scaleEndpoints(t, StatefulSet, 'ss');
  });

  it(`${basic} should validate Statefulset Status endpoints [Conformance]`, async t => {
    await running(t, 1);
    await statusEndpoints(t, StatefulSet, 'ss');
  });

  it(`${basic} should list, patch and delete a collection of StatefulSets [Conformance]`, async t =>
    apiOperations(t, {
      kind: StatefulSet,
      object: {
        spec: { replicas: 0, serviceName: 'ss', selector: { matchLabels: labels }, template: templateOf(t, labels) },
      },
    }));
});

const names = ['ss-2', 'ss-1', 'ss-0'];
const isAdded = (event: string) => event.startsWith('ADDED');
const isDeleted = (event: string) => event.startsWith('DELETED');

async function service({ client, namespace }: Trial): Promise<void> {
  const spec = { clusterIP: 'None', selector: labels, ports: [{ port: 80 }] };
  await client.create(Service, { metadata: { name: 'ss' }, spec }, { namespace });
}

function make(t: Trial, spec: object): Promise<StatefulSet> {
  const object = { metadata: { name: 'ss' }, spec: { serviceName: 'ss', selector: { matchLabels: labels }, ...spec } };
  return t.client.create<StatefulSet>(StatefulSet, object as never, { namespace: t.namespace });
}

/** Its readiness is a file. */
async function running(t: Trial, replicas: number, more: object = {}, breakable = false): Promise<StatefulSet> {
  await service(t);
  const readinessProbe = breakable
    ? { exec: { command: ['test', '!', '-e', '/broken'] }, periodSeconds: 1, failureThreshold: 1 }
    : { httpGet: { path: '/healthz', port: 80 }, periodSeconds: 1 };
  const template = templateOf(t, labels, { image: 'web:v1', container: { readinessProbe } });
  await make(t, { replicas, template, ...more });
  return settled(t, ({ status }) => status?.readyReplicas === replicas);
}

function settled(t: Trial, holds: (set: StatefulSet) => boolean): Promise<StatefulSet> {
  return until(
    t,
    StatefulSet,
    'ss',
    'it is settled',
    set =>
      holds(set) &&
      set.status?.readyReplicas === set.spec?.replicas &&
      set.status?.observedGeneration === set.metadata.generation,
    {
      withinMs: 120_000,
    },
  );
}

async function unhealthy(t: Trial, name: string): Promise<void> {
  await execIn(t, name, 'touch', '/broken');
  await until(t, Pod, name, 'it is not ready', pod => !isReady(pod));
}

async function healthy(t: Trial, name: string): Promise<void> {
  await execIn(t, name, 'rm', '/broken');
  await until(t, Pod, name, 'it is ready', isReady);
}

function scale(t: Trial, replicas: number): Promise<StatefulSet> {
  return t.client.patch(
    StatefulSet,
    'ss',
    { type: 'merge', patch: { spec: { replicas } } },
    { namespace: t.namespace },
  );
}

function change(t: Trial, image: string): Promise<StatefulSet> {
  const patch = { spec: { template: { spec: { containers: [{ name: 'main', image: t.image(image) }] } } } };
  return t.client.patch(StatefulSet, 'ss', { type: 'strategic', patch }, { namespace: t.namespace });
}
