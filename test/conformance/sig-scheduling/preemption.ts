import assert from 'node:assert/strict';
import { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { PriorityClass } from '#api/scheduling/v1/priority-class.ts';
import { conformance, type Trial } from '../conformance.ts';
import { addScarceResource, schedulableNodes } from '../nodes.ts';
import { createPod, isReady, readyPod } from '../pods.ts';
import { refusal, until, untilGone } from '../waiting.ts';
import { podsOf, templateOf } from '../workloads.ts';

const preemption = '[sig-scheduling] SchedulerPreemption';

conformance(it => {
  it(`${preemption} validates basic preemption works [Conformance] [Serial]`, async t => {
    const { low, medium, high, asking } = await crowd(t);
    const [first, second] = await schedulableNodes(t);
    await readyPod(t, { name: 'low', priorityClassName: low, nodeSelector: on(first), ...asking('3') });
    await readyPod(t, { name: 'medium', priorityClassName: medium, nodeSelector: on(second), ...asking('3') });
    await createPod(t, { name: 'preemptor', priorityClassName: high, ...asking('3') });
    await until(t, Pod, 'preemptor', 'it runs', isReady);
    await untilGone(t, Pod, 'low');
    assert.ok(isReady(await t.client.get(Pod, 'medium', { namespace: t.namespace })));
  });

  it(`${preemption} validates lower priority pod preemption by critical pod [Conformance] [Serial]`, async t => {
    const { low, medium, asking } = await crowd(t);
    const [first, second] = await schedulableNodes(t);
    await readyPod(t, { name: 'low', priorityClassName: low, nodeSelector: on(first), ...asking('3') });
    await readyPod(t, { name: 'medium', priorityClassName: medium, nodeSelector: on(second), ...asking('3') });
    const pod = {
      metadata: { name: t.unique('critical') },
      spec: (await import('../pods.ts')).podOf(t, { priorityClassName: 'system-cluster-critical', ...asking('3') })
        .spec,
    };
    const { metadata } = await t.client.create<Pod>(Pod, pod as never, { namespace: 'kube-system' });
    const name = metadata.name ?? '';
    t.defer(() => t.client.delete(Pod, name, { namespace: 'kube-system', gracePeriodSeconds: 0 }));
    await until(t, Pod, name, 'it runs', isReady, { namespace: 'kube-system' });
    await untilGone(t, Pod, 'low');
    assert.ok(isReady(await t.client.get(Pod, 'medium', { namespace: t.namespace })));
  });

  it(`${preemption} validates pod disruption condition is added to the preempted pod [Conformance] [Serial]`, async t => {
    const { low, high, asking } = await crowd(t);
    const [first] = await schedulableNodes(t);
    const victim = await readyPod(t, {
      name: 'victim',
      priorityClassName: low,
      nodeSelector: on(first),
      ...asking('3'),
    });
    const finalizers = (values: readonly string[] | null) =>
      t.client.patch(
        Pod,
        'victim',
        { type: 'merge', patch: { metadata: { finalizers: values } } },
        { namespace: t.namespace },
      );
    await finalizers(['example.com/test-finalizer']);
    await createPod(t, { name: 'preemptor', priorityClassName: high, nodeSelector: on(first), ...asking('3') });
    const { status } = await until(
      t,
      Pod,
      'victim',
      'it is being deleted',
      ({ metadata }) => !!metadata.deletionTimestamp,
    );
    const condition = status?.conditions?.find(({ type }) => type === 'DisruptionTarget');
    assert.deepEqual([condition?.status, condition?.reason], ['True', 'PreemptionByScheduler']);
    await finalizers(null);
    await untilGone(t, Pod, victim.metadata.name);
    await until(t, Pod, 'preemptor', 'it runs', isReady);
  });

  it(`${preemption} PreemptionExecutionPath runs ReplicaSets to verify preemption running path [Conformance] [Serial]`, async t => {
    const resource = await addScarceResource(t, 0);
    const [node] = await schedulableNodes(t);
    const { Node } = await import('#api/core/v1/node.ts');
    const patch = { status: { capacity: { [resource]: '10' }, allocatable: { [resource]: '10' } } };
    await t.client.patch(Node, node?.metadata.name ?? '', { type: 'merge', patch }, { subresource: 'status' });
    const classes = await Promise.all([1, 2, 3, 4].map(value => priorityClass(t, value)));
    for (const [index, { replicas, amount }] of [
      { replicas: 5, amount: '1' },
      { replicas: 4, amount: '1' },
      { replicas: 4, amount: '1' },
      { replicas: 1, amount: '5' },
    ].entries()) {
      const labels = { of: `p${index + 1}` };
      const container = { resources: { requests: { [resource]: amount }, limits: { [resource]: amount } } };
      const template = templateOf(t, labels, {
        priorityClassName: classes[index] ?? '',
        nodeSelector: on(node),
        container,
      });
      const spec = { replicas, selector: { matchLabels: labels }, template };
      await t.client.create<ReplicaSet>(
        ReplicaSet,
        { metadata: { name: `rs-p${index + 1}` }, spec },
        { namespace: t.namespace },
      );
      await t.eventually(
        `all of rs-p${index + 1} run`,
        async () => (await podsOf(t, `of=p${index + 1}`)).filter(isReady).length === replicas,
      );
    }
    // 5 + 4 = 9; the third needs 3 of the first's; the fourth 5, of the lowest.
    const running = async (of: string) => (await podsOf(t, `of=${of}`)).filter(isReady).length;
    await t.eventually('the lowest made room', async () => {
      const counts = [await running('p1'), await running('p2'), await running('p3'), await running('p4')];
      return counts[0] === 0 && counts[1] === 1 && counts[2] === 4 && counts[3] === 1;
    });
  });

  it(`${preemption} PriorityClass endpoints verify PriorityClass endpoints can be operated with different HTTP methods [Conformance] [Serial]`, async t => {
    const { client } = t;
    const names = [await priorityClass(t, 1), await priorityClass(t, 2)];
    const { items } = await client.list(PriorityClass);
    assert.ok(names.every(name => items.some(({ metadata }) => metadata.name === name)));
    for (const name of names) {
      const description = {
        type: 'json',
        operations: [{ op: 'add', path: '/description', value: 'updated' }],
      } as const;
      assert.equal((await client.patch(PriorityClass, name, description)).description, 'updated');
      const read = await client.get(PriorityClass, name);
      assert.equal((await client.update(PriorityClass, { ...read, description: 'again' })).description, 'again');
      const value = { type: 'json', operations: [{ op: 'replace', path: '/value', value: 100 }] } as const;
      const status = await refusal(client.patch(PriorityClass, name, value));
      assert.equal(status.code, 422);
      assert.match(status.message ?? '', /value: (Forbidden: may not be changed in an update|Invalid value)/);
    }
  });
});

async function priorityClass(t: Trial, value: number): Promise<string> {
  const name = t.unique(`p${value}`);
  await t.client.create(PriorityClass, { metadata: { name }, value });
  t.defer(() => t.client.delete(PriorityClass, name));
  return name;
}

/** Every node has 5 of a resource that pods of three priorities ask for. */
async function crowd(t: Trial) {
  const resource = await addScarceResource(t, 5);
  const [low = '', medium = '', high = ''] = await Promise.all([1, 100, 1000].map(value => priorityClass(t, value)));
  const asking = (amount: string) => ({
    container: { resources: { requests: { [resource]: amount }, limits: { [resource]: amount } } },
  });
  return { low, medium, high, asking };
}

function on(node: Awaited<ReturnType<typeof schedulableNodes>>[number] | undefined): Readonly<Record<string, string>> {
  return { 'kubernetes.io/hostname': node?.metadata.labels?.['kubernetes.io/hostname'] ?? '' };
}
