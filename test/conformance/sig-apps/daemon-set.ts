import assert from 'node:assert/strict';
import { ControllerRevision } from '#api/apps/v1/controller-revision.ts';
import { DaemonSet } from '#api/apps/v1/daemon-set.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { apiOperations, statusEndpoints } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { isReady } from '../pods.ts';
import { until } from '../waiting.ts';
import { imageOf, podsOf, templateOf } from '../workloads.ts';

const should = '[sig-apps] Daemon set should';
const labels = { 'daemonset-name': 'daemon' };

conformance(it => {
  it(`${should} run and stop simple daemon [Conformance] [Serial]`, async t => {
    await make(t);
    const [pod] = await onNodes(t, await nodes(t));
    await t.client.delete(Pod, pod?.metadata.name ?? '', { namespace: t.namespace });
    await onNodes(t, await nodes(t), pods => pods.every(({ metadata }) => metadata.uid !== pod?.metadata.uid));
  });

  it(`${should} run and stop complex daemon [Conformance] [Serial]`, async t => {
    const color = (value: string | null) =>
      ({ type: 'merge', patch: { metadata: { labels: { 'daemonset-color': value } } } }) as const;
    await make(t, { nodeSelector: { 'daemonset-color': 'blue' } });
    await onNodes(t, []);
    const [node = ''] = await nodes(t);
    t.defer(() => t.client.patch(Node, node, color(null)));
    await t.client.patch(Node, node, color('blue'));
    await onNodes(t, [node]);
    await t.client.patch(Node, node, color('green'));
    await onNodes(t, []);
    const patch = {
      spec: {
        template: { spec: { nodeSelector: { 'daemonset-color': 'green' } } },
        updateStrategy: { type: 'RollingUpdate' },
      },
    };
    await t.client.patch(DaemonSet, 'daemon', { type: 'strategic', patch }, { namespace: t.namespace });
    await onNodes(t, [node]);
  });

  it(`${should} retry creating failed daemon pods [Conformance] [Serial]`, async t => {
    await make(t);
    const [pod] = await onNodes(t, await nodes(t));
    const name = pod?.metadata.name ?? '';
    const where = { namespace: t.namespace, subresource: 'status' };
    await t.client.patch(Pod, name, { type: 'merge', patch: { status: { phase: 'Failed' } } }, where);
    await onNodes(t, await nodes(t), pods => pods.every(({ metadata }) => metadata.name !== name));
  });

  it(`${should} update pod when spec was updated and update strategy is RollingUpdate [Conformance] [Serial]`, async t => {
    await make(t);
    const before = await onNodes(t, await nodes(t));
    const hashOf = ({ metadata }: Pod) => metadata.labels?.['controller-revision-hash'];
    assert.ok(before.every(pod => hashOf(pod) !== undefined));
    await change(t, 'web:v2');
    const after = await onNodes(t, await nodes(t), pods => pods.every(pod => imageOf(pod) === t.image('web:v2')));
    assert.notEqual(hashOf(after[0] as Pod), hashOf(before[0] as Pod));
    const { items } = await t.client.list(ControllerRevision, { namespace: t.namespace });
    assert.deepEqual(items.map(({ revision }) => revision).toSorted(), [1, 2]);
    // Clients find the revision of a template by comparing bytes with what Go writes: names in order.
    for (const { data } of items) assert.equal(JSON.stringify(data), JSON.stringify(data, inOrder));
  });

  it(`${should} rollback without unnecessary restarts [Conformance] [Serial]`, async t => {
    await make(t);
    const before = await onNodes(t, await nodes(t));
    await change(t, 'foo:non-existent');
    const mixed = await t.eventually('the update has begun', async () => {
      const pods = await podsOf(t);
      return pods.some(pod => imageOf(pod) === t.image('foo:non-existent')) && pods;
    });
    const kept = mixed.filter(pod => imageOf(pod) !== t.image('foo:non-existent'));
    assert.ok(kept.length < before.length && kept.length > 0);
    await change(t, 'web:v1');
    const after = await onNodes(t, await nodes(t), pods => pods.every(pod => imageOf(pod) === t.image('web:v1')));
    for (const { metadata } of kept)
      assert.ok(
        after.some(each => each.metadata.uid === metadata.uid),
        'what was right was not restarted',
      );
  });

  it(`${should} list and delete a collection of DaemonSets [Conformance] [Serial]`, async t =>
    apiOperations(t, {
      kind: DaemonSet,
      object: {
        spec: { selector: { matchLabels: labels }, template: templateOf(t, labels, { nodeSelector: { no: 'where' } }) },
      },
    }));

  it(`${should} verify changes to a daemon set status [Conformance] [Serial]`, async t => {
    await make(t);
    await onNodes(t, await nodes(t));
    await statusEndpoints(t, DaemonSet, 'daemon');
  });

  it('[sig-apps] ControllerRevision should manage the lifecycle of a ControllerRevision [Conformance] [Serial]', async t => {
    const { client, namespace } = t;
    await make(t);
    await onNodes(t, await nodes(t));
    const revisions = async () =>
      (await client.list(ControllerRevision, { namespace, labelSelector: 'daemonset-name=daemon' })).items;
    const [initial] = await revisions();
    const name = initial?.metadata.name ?? '';
    const patched = await client.patch(
      ControllerRevision,
      name,
      { type: 'strategic', patch: { metadata: { labels: { [name]: 'patched' } } } },
      { namespace },
    );
    assert.equal(patched.metadata.labels?.[name], 'patched');
    const second = {
      metadata: {
        name: `${name}-2`,
        labels: initial?.metadata.labels,
        ownerReferences: initial?.metadata.ownerReferences,
      },
      data: initial?.data,
      revision: 2,
    };
    await client.create<ControllerRevision>(ControllerRevision, second as never, { namespace });
    assert.equal((await revisions()).length, 2);
    await client.delete(ControllerRevision, name, { namespace });
    // It is the current template's: made again.
    await t.eventually('there is one of the template again', async () => (await revisions()).length >= 1);
    const [read] = await revisions();
    const labelled = { ...read, metadata: { ...read?.metadata, labels: { ...read?.metadata.labels, updated: 'yes' } } };
    const updated = await client.update(ControllerRevision, labelled as ControllerRevision, { namespace });
    assert.equal(updated.metadata.labels?.['updated'], 'yes');
    await change(t, 'web:v2');
    await t.eventually('a new template is a new revision', async () =>
      (await revisions()).some(({ revision }) => revision === 3),
    );
    const { length } = await revisions();
    await client.deleteCollection(ControllerRevision, { namespace, labelSelector: 'updated=yes' });
    await t.eventually('it is gone', async () => (await revisions()).length < length);
  });
});

async function nodes({ client }: Trial): Promise<readonly string[]> {
  const { items } = await client.list(Node);
  return items
    .filter(({ spec }) => !spec?.unschedulable && !spec?.taints?.length)
    .map(({ metadata }) => metadata.name ?? '');
}

function make(t: Trial, wish: { readonly nodeSelector?: Readonly<Record<string, string>> } = {}): Promise<DaemonSet> {
  const spec = { selector: { matchLabels: labels }, template: templateOf(t, labels, { image: 'web:v1', ...wish }) };
  return t.client.create<DaemonSet>(DaemonSet, { metadata: { name: 'daemon' }, spec }, { namespace: t.namespace });
}

/** Resolves with its pods when there is a ready one on each of these nodes and none elsewhere. */
async function onNodes(
  t: Trial,
  expected: readonly string[],
  holds: (pods: readonly Pod[]) => boolean = () => true,
): Promise<Awaited<ReturnType<typeof podsOf>>> {
  if (expected.length === 0)
    await until(
      t,
      DaemonSet,
      'daemon',
      'it has been looked at',
      ({ status, metadata }) => status?.observedGeneration === metadata.generation,
    );
  return t.eventually(`a pod runs on ${expected.join(', ') || 'no node'}`, async () => {
    const pods = await podsOf(t);
    const places = pods.map(({ spec }) => spec?.nodeName ?? '').toSorted();
    return String(places) === String(expected.toSorted()) && pods.every(isReady) && holds(pods) && pods;
  });
}

function change(t: Trial, image: string): Promise<DaemonSet> {
  const patch = { spec: { template: { spec: { containers: [{ name: 'main', image: t.image(image) }] } } } };
  return t.client.patch(DaemonSet, 'daemon', { type: 'strategic', patch }, { namespace: t.namespace });
}

function inOrder(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([left], [right]) => (left < right ? -1 : 1)));
}
