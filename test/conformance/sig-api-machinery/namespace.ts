import assert from 'node:assert/strict';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { Service } from '#api/core/v1/service.ts';
import { annotated } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { podOf } from '../pods.ts';
import { until, untilGone } from '../waiting.ts';

const should = '[sig-api-machinery] Namespaces should';
const clusterWide = { namespace: null };

conformance(it => {
  it(`${should} ensure that all pods are removed when a namespace is deleted [Conformance] [Serial]`, async t => {
    const namespace = await made(t);
    await t.client.create(Pod, podOf(t, { name: 'removed' }), { namespace });
    await until(t, Pod, 'removed', 'it runs', ({ status }) => status?.phase === 'Running', { namespace });
    await recreated(t, namespace);
    assert.deepEqual((await t.client.list(Pod, { namespace })).items, []);
  });

  it(`${should} ensure that all services are removed when a namespace is deleted [Conformance] [Serial]`, async t => {
    const namespace = await made(t);
    const spec = { selector: { app: 'none' }, ports: [{ port: 80 }] };
    await t.client.create(Service, { metadata: { name: 'removed' }, spec }, { namespace });
    await recreated(t, namespace);
    assert.deepEqual((await t.client.list(Service, { namespace })).items, []);
  });

  it(`${should} patch a Namespace [Conformance] [Serial]`, async t => {
    const namespace = await made(t);
    const patch = { metadata: { labels: { testLabel: 'testValue' } } };
    await t.client.patch(Namespace, namespace, { type: 'strategic', patch });
    const { metadata } = await t.client.get(Namespace, namespace);
    assert.equal(metadata.labels?.['testLabel'], 'testValue');
    assert.equal(metadata.labels?.['kubernetes.io/metadata.name'], namespace);
  });

  it(`${should} apply an update to a Namespace [Conformance] [Serial]`, async t => {
    const namespace = await made(t);
    const read = await t.client.get(Namespace, namespace);
    const labels = { ...read.metadata.labels, updated: 'yes' };
    const updated = await t.client.update(Namespace, { ...read, metadata: { ...read.metadata, labels } });
    assert.equal(updated.metadata.labels?.['updated'], 'yes');
  });

  it(`${should} apply changes to a namespace status [Conformance] [Serial]`, async t => {
    const namespace = await made(t);
    const options = { subresource: 'status' };
    assert.equal((await t.client.get(Namespace, namespace, options)).status?.phase, 'Active');
    const condition = (reason: string) => ({ type: 'StatusPatch', status: 'True', reason, message: 'set by a test' });
    const patch = { metadata: { annotations: { patched: 'true' } }, status: { conditions: [condition('E2E')] } };
    const patched = await t.client.patch(Namespace, namespace, { type: 'merge', patch }, options);
    assert.equal(patched.status?.conditions?.[0]?.reason, 'E2E');
    assert.equal(patched.status?.phase, 'Active');
    const conditions = [...(patched.status?.conditions ?? []), { ...condition('Updated'), type: 'StatusUpdate' }];
    const updated = await t.client.update(
      Namespace,
      { ...annotated(patched, { updated: 'true' }), status: { ...patched.status, conditions } } as Namespace,
      options,
    );
    assert.deepEqual(
      updated.status?.conditions?.map(({ type }) => type),
      ['StatusPatch', 'StatusUpdate'],
    );
  });

  it(`${should} apply a finalizer to a Namespace [Conformance] [Serial]`, async t => {
    const namespace = await made(t);
    const finalizer = 'e2e.example.com/fakeFinalizer';
    const read = await t.client.get(Namespace, namespace);
    const finalize = (object: Namespace, finalizers: readonly string[]) =>
      t.client.update(Namespace, { ...object, spec: { finalizers } } as Namespace, { subresource: 'finalize' });
    const added = await finalize(read, [...(read.spec?.finalizers ?? []), finalizer]);
    assert.deepEqual(added.spec?.finalizers, ['kubernetes', finalizer]);
    const removed = await finalize(added, ['kubernetes']);
    assert.deepEqual(removed.spec?.finalizers, ['kubernetes']);
  });

  it('[sig-api-machinery] OrderedNamespaceDeletion namespace deletion should delete pod first [Conformance]', async t => {
    const namespace = await made(t);
    const finalizers = ['e2e.example.com/held'];
    const { metadata, spec } = podOf(t, { name: 'held' });
    await t.client.create<Pod>(Pod, { metadata: { ...metadata, finalizers }, spec }, { namespace });
    await t.client.create(ConfigMap, { metadata: { name: 'later' } }, { namespace });
    await t.client.delete(Namespace, namespace);
    await until(t, Pod, 'held', 'it is being deleted', ({ metadata: { deletionTimestamp } }) => !!deletionTimestamp, {
      namespace,
    });
    await until(
      t,
      Namespace,
      namespace,
      'it says that a pod holds it',
      ({ status }) =>
        status?.conditions?.some(each => each.type === 'NamespaceDeletionContentFailure' && each.status === 'True') ||
        status?.conditions?.some(each => each.type === 'NamespaceContentRemaining' && each.status === 'True') ||
        false,
      clusterWide,
    );
    assert.equal((await t.client.get(ConfigMap, 'later', { namespace })).metadata.deletionTimestamp, undefined);
    await t.client.patch(Pod, 'held', { type: 'merge', patch: { metadata: { finalizers: null } } }, { namespace });
    await untilGone(t, Namespace, namespace, clusterWide);
  });
});

/** One that the test may delete itself. */
async function made(t: Trial): Promise<string> {
  const name = t.unique('nsdeletetest');
  await t.client.create(Namespace, { metadata: { name } });
  t.defer(() => t.client.delete(Namespace, name).catch(() => undefined));
  return name;
}

async function recreated(t: Trial, namespace: string): Promise<void> {
  await t.client.delete(Namespace, namespace);
  await untilGone(t, Namespace, namespace, clusterWide);
  await t.client.create(Namespace, { metadata: { name: namespace } });
}
