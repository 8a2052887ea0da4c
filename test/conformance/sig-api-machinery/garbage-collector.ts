import assert from 'node:assert/strict';
import { Deployment } from '#api/apps/v1/deployment.ts';
import { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ReplicationController } from '#api/core/v1/replication-controller.ts';
import type { OwnerReference } from '#api/meta/v1/object-meta.ts';
import { conformance, type Trial } from '../conformance.ts';
import { createPod } from '../pods.ts';
import { until, untilGone } from '../waiting.ts';

const collector = '[sig-api-machinery] Garbage collector should';

conformance(it => {
  it(`${collector} delete pods created by rc when not orphaning [Conformance]`, async t => {
    await controller(t, 'simple', 2);
    await t.client.delete(ReplicationController, 'simple', { namespace: t.namespace, propagationPolicy: 'Background' });
    await t.eventually('its pods are gone', async () => (await podsOf(t)).length === 0);
  });

  it(`${collector} orphan pods created by rc if delete options say so [Conformance] [Serial]`, async t => {
    const { metadata } = await controller(t, 'simple', 20);
    await t.client.delete(ReplicationController, 'simple', { namespace: t.namespace, propagationPolicy: 'Orphan' });
    await untilGone(t, ReplicationController, 'simple');
    await t.eventually('its pods have no owner', async () => (await podsOf(t)).every(isOrphan));
    const orphans = await podsOf(t);
    assert.equal(orphans.filter(({ metadata: { deletionTimestamp } }) => !deletionTimestamp).length, 20);
    assert.ok(orphans.every(each => !each.metadata.ownerReferences?.some(({ uid }) => uid === metadata.uid)));
  });

  it(`${collector} keep the rc around until all its pods are deleted if the deleteOptions says so [Conformance] [Serial]`, async t => {
    await controller(t, 'kept', 10);
    const options = { namespace: t.namespace, propagationPolicy: 'Foreground' } as const;
    // A pod that does not go holds it.
    const [held] = await podsOf(t);
    const name = held?.metadata.name ?? '';
    const finalizers = (values: readonly string[] | null) =>
      t.client.patch(
        Pod,
        name,
        { type: 'merge', patch: { metadata: { finalizers: values } } },
        { namespace: t.namespace },
      );
    await finalizers(['example.com/held']);
    await t.client.delete(ReplicationController, 'kept', options);
    await t.eventually('the other pods are gone', async () => (await podsOf(t)).length === 1);
    const { metadata } = await t.client.get(ReplicationController, 'kept', { namespace: t.namespace });
    assert.ok(metadata.deletionTimestamp);
    assert.deepEqual(metadata.finalizers, ['foregroundDeletion']);
    await finalizers(null);
    await untilGone(t, ReplicationController, 'kept');
    assert.equal((await podsOf(t)).length, 0);
  });

  it(`${collector} not delete dependents that have both valid owner and owner that's waiting for dependents to be deleted [Conformance] [Serial]`, async t => {
    const going = await controller(t, 'going', 8);
    const staying = await controller(t, 'staying', 0);
    const half = (await podsOf(t)).slice(0, 4);
    const second = {
      apiVersion: 'v1',
      kind: 'ReplicationController',
      name: 'staying',
      uid: staying.metadata.uid ?? '',
    };
    for (const { metadata } of half)
      await t.client.patch(
        Pod,
        metadata.name ?? '',
        { type: 'json', operations: [{ op: 'add', path: '/metadata/ownerReferences/-', value: second }] },
        { namespace: t.namespace },
      );
    await t.client.delete(ReplicationController, 'going', { namespace: t.namespace, propagationPolicy: 'Foreground' });
    await untilGone(t, ReplicationController, 'going');
    const left = await t.eventually('only the pods with another owner are left', async () => {
      const pods = await podsOf(t);
      return pods.length === 4 && pods;
    });
    assert.deepEqual(namesOf(left), namesOf(half));
    for (const { metadata } of left) {
      assert.equal(metadata.deletionTimestamp, undefined);
      assert.ok(!metadata.ownerReferences?.some(({ uid }) => uid === going.metadata.uid));
    }
  });

  it(`${collector} not be blocked by dependency circle [Conformance]`, async t => {
    const names = ['circle-1', 'circle-2', 'circle-3'];
    const pods = await Promise.all(names.map(name => createPod(t, { name })));
    for (const [index, name] of names.entries()) {
      const owner = pods[(index + 1) % pods.length]?.metadata;
      const reference: OwnerReference = {
        apiVersion: 'v1',
        kind: 'Pod',
        name: owner?.name ?? '',
        uid: owner?.uid ?? '',
        controller: true,
        blockOwnerDeletion: true,
      };
      const patch = { metadata: { ownerReferences: [reference] } };
      await t.client.patch(Pod, name, { type: 'strategic', patch }, { namespace: t.namespace });
    }
    await t.client.delete(Pod, 'circle-1', { namespace: t.namespace, propagationPolicy: 'Background' });
    await t.eventually('all three are gone', async () => (await podsOf(t)).length === 0);
  });

  it(`${collector} delete RS created by deployment when not orphaning [Conformance]`, async t => {
    await deployment(t);
    await t.client.delete(Deployment, 'web', { namespace: t.namespace, propagationPolicy: 'Background' });
    await t.eventually('its ReplicaSet and pods are gone', async () => {
      const { items } = await t.client.list(ReplicaSet, { namespace: t.namespace });
      return items.length === 0 && (await podsOf(t)).length === 0;
    });
  });

  it(`${collector} orphan RS created by deployment when deleteOptions.PropagationPolicy is Orphan [Conformance]`, async t => {
    await deployment(t);
    await t.client.delete(Deployment, 'web', { namespace: t.namespace, propagationPolicy: 'Orphan' });
    await untilGone(t, Deployment, 'web');
    const { items } = await t.client.list(ReplicaSet, { namespace: t.namespace });
    assert.equal(items.length, 1);
    assert.deepEqual(items[0]?.metadata.ownerReferences ?? [], []);
    assert.equal((await podsOf(t)).length, 2);
  });
});

const labels = { app: 'collected' };

async function podsOf({ client, namespace }: Trial): Promise<readonly Pod[]> {
  return (await client.list(Pod, { namespace })).items;
}

const isOrphan = ({ metadata }: Pod) => !metadata.ownerReferences?.length;
const namesOf = (pods: readonly Pod[]) => pods.map(({ metadata }) => metadata.name).toSorted();

function template(t: Trial) {
  return {
    metadata: { labels },
    spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image: t.image('client') }] },
  };
}

async function controller(t: Trial, name: string, replicas: number): Promise<ReplicationController> {
  await t.client.create(
    ReplicationController,
    { metadata: { name }, spec: { replicas, selector: { ...labels, of: name }, template: named(t, name) } },
    { namespace: t.namespace },
  );
  return until(
    t,
    ReplicationController,
    name,
    `it has ${replicas} pods`,
    ({ status }) => (status?.observedGeneration ?? 0) > 0 && (status?.replicas ?? 0) === replicas,
  );
}

function named(t: Trial, of: string) {
  const { metadata, spec } = template(t);
  return { metadata: { labels: { ...metadata.labels, of } }, spec };
}

async function deployment(t: Trial): Promise<void> {
  await t.client.create(
    Deployment,
    { metadata: { name: 'web' }, spec: { replicas: 2, selector: { matchLabels: labels }, template: template(t) } },
    { namespace: t.namespace },
  );
  await t.eventually('its pods are there', async () => (await podsOf(t)).length === 2);
}
