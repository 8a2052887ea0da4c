import assert from 'node:assert/strict';
import { Event } from '#api/core/v1/event.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { conformance, type Trial } from '../conformance.ts';
import { addScarceResource, labelNode, schedulableNodes } from '../nodes.ts';
import { createPod, readyPod } from '../pods.ts';
import { until } from '../waiting.ts';

const validates = '[sig-scheduling] SchedulerPredicates validates';

conformance(it => {
  it(`${validates} resource limits of pods that are allowed to run [Conformance] [Serial]`, async t => {
    const resource = await addScarceResource(t, 10);
    const asking = (amount: string) => ({
      resources: { requests: { [resource]: amount }, limits: { [resource]: amount } },
    });
    const nodes = await schedulableNodes(t);
    for (const { metadata } of nodes) {
      const nodeSelector = { 'kubernetes.io/hostname': metadata.labels?.['kubernetes.io/hostname'] ?? '' };
      await readyPod(t, { nodeSelector, container: asking('7') });
    }
    await createPod(t, { name: 'additional-pod', container: asking('5') });
    await unschedulable(t, 'additional-pod', new RegExp(`0/\\d+ nodes are available: .*Insufficient ${resource}`));
    // And by what every container has: processing time.
    const [first] = nodes;
    const cpu = `${Number(first?.status?.allocatable?.['cpu'] ?? 0) + 1}`;
    await createPod(t, { name: 'restricted-pod', container: { resources: { requests: { cpu } } } });
    await unschedulable(t, 'restricted-pod', /Insufficient cpu/);
  });

  it(`${validates} that NodeSelector is respected if matching [Conformance] [Serial]`, async t => {
    const [node] = await schedulableNodes(t);
    const name = node?.metadata.name ?? '';
    const { spec } = await readyPod(t, { nodeSelector: await labelNode(t, name) });
    assert.equal(spec?.nodeName, name);
  });

  it(`${validates} that NodeSelector is respected if not matching [Conformance] [Serial]`, async t => {
    await createPod(t, { name: 'restricted-pod', nodeSelector: { label: 'nonempty' } });
    await unschedulable(t, 'restricted-pod', /didn't match Pod's node affinity\/selector/);
  });

  it(`${validates} that there exists conflict between pods with same hostPort and protocol but one using 0.0.0.0 hostIP [Conformance] [Serial]`, async t => {
    const [node] = await schedulableNodes(t);
    const nodeSelector = await labelNode(t, node?.metadata.name ?? '', '95');
    const port = (hostIP: string) => ({ ports: [{ containerPort: 80, hostPort: 54_322, protocol: 'TCP', hostIP }] });
    await readyPod(t, { nodeSelector, container: port('') });
    const { nodeInternalIP } = {
      nodeInternalIP: node?.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '',
    };
    await createPod(t, { name: 'pod5', nodeSelector, container: port(nodeInternalIP) });
    await unschedulable(t, 'pod5', /didn't have free ports for the requested pod ports/);
  });
});

async function unschedulable(t: Trial, name: string, message: RegExp): Promise<void> {
  const conditionOf = ({ status }: Pod) => status?.conditions?.find(({ type }) => type === 'PodScheduled');
  const pod = await until(
    t,
    Pod,
    name,
    'it cannot be scheduled',
    each => conditionOf(each)?.reason === 'Unschedulable',
  );
  assert.equal(pod.status?.phase, 'Pending');
  assert.match(conditionOf(pod)?.message ?? '', message);
  await t.eventually('there is an Event', async () => {
    const fieldSelector = `involvedObject.name=${name},reason=FailedScheduling`;
    const { items } = await t.client.list(Event, { namespace: t.namespace, fieldSelector });
    return items.some(each => message.test(each.message ?? ''));
  });
}
