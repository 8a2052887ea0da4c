import assert from 'node:assert/strict';
import { Pod } from '#api/core/v1/pod.ts';
import { PodDisruptionBudget } from '#api/policy/v1/pod-disruption-budget.ts';
import { apiOperations } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { readyPod } from '../pods.ts';
import { refusal, until, untilGone } from '../waiting.ts';

const should = '[sig-apps] DisruptionController should';
const matchLabels = { foo: 'bar' };

conformance(it => {
  it(`${should} create a PodDisruptionBudget [Conformance]`, async t =>
    apiOperations(t, { kind: PodDisruptionBudget, object: { spec: { minAvailable: 1, selector: { matchLabels } } } }));

  it('[sig-apps] DisruptionController Listing PodDisruptionBudgets for all namespaces should list and delete a collection of PodDisruptionBudgets [Conformance]', async t => {
    const { client, namespace } = t;
    const other = await t.makeNamespace();
    const label = t.unique('listed');
    const labelSelector = `listed=${label}`;
    for (const [name, where] of [
      ['foo', namespace],
      ['bar', namespace],
      ['baz', other],
    ] as const)
      await budget(t, name, { minAvailable: 1 }, where, { listed: label });
    const list = async (where: object) =>
      (await client.list(PodDisruptionBudget, { ...where, labelSelector })).items.length;
    assert.deepEqual([await list({}), await list({ namespace })], [3, 2]);
    await client.deleteCollection(PodDisruptionBudget, { namespace, labelSelector });
    assert.deepEqual([await list({}), await list({ namespace })], [1, 0]);
  });

  it(`${should} observe PodDisruptionBudget status updated [Conformance]`, async t => {
    await budget(t, 'foo', { minAvailable: 1 });
    for (const name of ['one', 'two', 'three']) await readyPod(t, { name, labels: matchLabels });
    const { status } = await until(
      t,
      PodDisruptionBudget,
      'foo',
      'two may go',
      each => each.status?.disruptionsAllowed === 2,
    );
    assert.deepEqual([status?.currentHealthy, status?.desiredHealthy, status?.expectedPods], [3, 1, 3]);
    assert.equal(status?.conditions?.find(({ type }) => type === 'DisruptionAllowed')?.reason, 'SufficientPods');
  });

  it(`${should} update/patch PodDisruptionBudget status [Conformance]`, async t => {
    const { client, namespace } = t;
    await budget(t, 'foo', { minAvailable: 1 });
    await readyPod(t, { labels: matchLabels });
    const settled = await until(
      t,
      PodDisruptionBudget,
      'foo',
      'it is counted',
      ({ status }) => status?.currentHealthy === 1,
    );
    const where = { namespace, subresource: 'status' };
    const disruptedPods = (name: string) => ({ [name]: '2026-11-20T12:00:00Z' });
    const updated = await client.update(
      PodDisruptionBudget,
      { ...settled, status: { ...settled.status, disruptedPods: disruptedPods('pod1') } } as PodDisruptionBudget,
      where,
    );
    assert.deepEqual(Object.keys(updated.status?.disruptedPods ?? {}), ['pod1']);
    const patch = { status: { disruptedPods: { pod1: null, ...disruptedPods('pod2') } } };
    const patched = await client.patch(PodDisruptionBudget, 'foo', { type: 'merge', patch }, where);
    assert.deepEqual(Object.keys(patched.status?.disruptedPods ?? {}), ['pod2']);
  });

  it(`${should} block an eviction until the PDB is updated to allow it [Conformance]`, async t => {
    const { client, namespace } = t;
    const evict = (name: string) =>
      client.createSubresource(
        Pod,
        name,
        'eviction',
        { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace } },
        { namespace },
      );
    await readyPod(t, { name: 'protected', labels: matchLabels });
    await budget(t, 'foo', { minAvailable: 1 });
    await until(t, PodDisruptionBudget, 'foo', 'it is counted', ({ status }) => status?.currentHealthy === 1);
    const status = await refusal(evict('protected'));
    assert.equal(status.code, 429);
    assert.equal(status.details?.causes?.[0]?.reason, 'DisruptionBudget');
    assert.match(status.message ?? '', /Cannot evict pod as it would violate the pod's disruption budget/);
    await readyPod(t, { name: 'second', labels: matchLabels });
    await until(t, PodDisruptionBudget, 'foo', 'one may go', each => each.status?.disruptionsAllowed === 1);
    await evict('second');
    await untilGone(t, Pod, 'second');
    assert.equal((await refusal(evict('protected'))).code, 429);
    const all = { spec: { minAvailable: 0 } };
    await client.patch(PodDisruptionBudget, 'foo', { type: 'merge', patch: all }, { namespace });
    await t.eventually('the eviction is let through', () => evict('protected').then(() => true));
    await untilGone(t, Pod, 'protected');
  });
});

function budget(
  t: Trial,
  name: string,
  spec: object,
  namespace = t.namespace,
  labels: Readonly<Record<string, string>> = {},
): Promise<PodDisruptionBudget> {
  const object = { metadata: { name, labels }, spec: { selector: { matchLabels }, ...spec } };
  return t.client.create<PodDisruptionBudget>(PodDisruptionBudget, object, { namespace });
}
