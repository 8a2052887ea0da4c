import assert from 'node:assert/strict';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { conformance, type Trial } from '../conformance.ts';
import { readyPod } from '../pods.ts';
import { until, untilGone } from '../waiting.ts';

conformance(it => {
  it('[sig-node] Node Lifecycle should run through the lifecycle of a node [Conformance]', async t => {
    const { client } = t;
    const name = t.unique('e2e-fake-node');
    const labels = { 'e2e-fake': name };
    const labelSelector = `e2e-fake=${name}`;
    // Cordoned and without capacity: nothing goes there.
    const spec = { unschedulable: true };
    await client.create<Node>(Node, { metadata: { name, labels }, spec } as never);
    t.defer(() => client.deleteCollection(Node, { labelSelector }));
    const patched = await client.patch(Node, name, {
      type: 'merge',
      patch: { metadata: { labels: { patched: 'yes' } } },
    });
    assert.equal(patched.metadata.labels?.['patched'], 'yes');
    assert.deepEqual(
      (await client.list(Node, { labelSelector })).items.map(({ metadata }) => metadata.name),
      [name],
    );
    await t.eventually('it is updated', async () => {
      const read = await client.get(Node, name);
      const updated = await client.update(Node, {
        ...read,
        metadata: { ...read.metadata, labels: { ...read.metadata.labels, updated: 'yes' } },
      });
      return updated.metadata.labels?.['updated'] === 'yes';
    });
    const status = { capacity: { 'example.com/e2e': '5' } };
    const answer = await client.patch(Node, name, { type: 'merge', patch: { status } }, { subresource: 'status' });
    assert.equal(answer.status?.capacity?.['example.com/e2e'], '5');
    await client.deleteCollection(Node, { labelSelector });
    await untilGone(t, Node, name, { namespace: null });
  });

  const manager = '[sig-node] NoExecuteTaintManager';

  it(`${manager} Single Pod removing taint cancels eviction [Conformance] [Disruptive] [Serial]`, async t => {
    const pod = await readyPod(t, { tolerations: [toleration(10)] });
    // Another that is evicted shows that time has gone by.
    const other = await readyPod(t, { tolerations: [toleration(3)], nodeName: pod.spec?.nodeName });
    const remove = await taint(t, pod.spec?.nodeName ?? '');
    await untilGone(t, Pod, other.metadata.name);
    await remove();
    const late = await readyPod(t, { tolerations: [toleration(1)] });
    assert.ok(late);
    const again = await taint(t, late.spec?.nodeName ?? '');
    await untilGone(t, Pod, late.metadata.name);
    await again();
    await until(t, Pod, pod.metadata.name, 'it is still there', ({ metadata }) => !metadata.deletionTimestamp);
  });

  it(`${manager} Multiple Pods evicts pods with minTolerationSeconds [Conformance] [Disruptive] [Serial]`, async t => {
    const first = await readyPod(t, { name: 'first', tolerations: [toleration(2)] });
    const second = await readyPod(t, { name: 'second', tolerations: [toleration(6)], nodeName: first.spec?.nodeName });
    await taint(t, first.spec?.nodeName ?? '');
    const startMs = performance.now();
    await untilGone(t, Pod, first.metadata.name);
    const firstMs = performance.now() - startMs;
    await untilGone(t, Pod, second.metadata.name);
    const secondMs = performance.now() - startMs;
    assert.ok(firstMs >= 1900 && secondMs - firstMs >= 2000, `they went after ${firstMs} and ${secondMs} ms`);
  });
});

const key = 'kubernetes.io/e2e-evict-taint-key';

function toleration(tolerationSeconds: number) {
  return { key, value: 'evictTaintVal', effect: 'NoExecute', tolerationSeconds };
}

/** Resolves with what takes it away, which the test's end does, too. */
async function taint(t: Trial, node: string): Promise<() => Promise<unknown>> {
  const value = { key, value: 'evictTaintVal', effect: 'NoExecute' };
  const { spec } = await t.client.get(Node, node);
  const others = (spec?.taints ?? []).filter(each => each.key !== key);
  const set = (taints: readonly object[]) => t.client.patch(Node, node, { type: 'merge', patch: { spec: { taints } } });
  await set([...others, value]);
  const remove = () => set(others);
  t.defer(remove);
  return remove;
}
