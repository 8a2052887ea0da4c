import assert from 'node:assert/strict';
import { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { apiOperations, scaleEndpoints, statusEndpoints } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { createPod, isReady } from '../pods.ts';
import { until } from '../waiting.ts';
import { imageOf, ownerOf, podsOf, relabel, templateOf } from '../workloads.ts';

const labels = { app: 'set' };

conformance(it => {
  it('[sig-apps] ReplicaSet should serve a basic image on each replica with a public image [Conformance]', async t => {
    await make(t, 2, 'web:v1');
    const pods = await t.eventually('both are ready', async () => {
      const all = await podsOf(t);
      return all.length === 2 && all.every(isReady) && all;
    });
    for (const { metadata } of pods) {
      const path = `/api/v1/namespaces/${t.namespace}/pods/${metadata.name}/proxy/`;
      assert.equal(await t.client.raw(path), `web v1 ${metadata.name}\n`);
    }
  });

  it('[sig-apps] ReplicaSet should adopt matching pods on creation and release no longer matching pods [Conformance]', async t => {
    const { metadata } = await createPod(t, { name: 'orphan', labels });
    const { uid } = (await make(t, 1)).metadata;
    await until(t, Pod, 'orphan', 'it is adopted', pod => ownerOf(pod) === uid);
    assert.equal((await podsOf(t)).length, 1);
    await relabel(t, metadata.name, { app: 'released' });
    await until(t, Pod, 'orphan', 'it is released', pod => ownerOf(pod) === undefined);
    await t.eventually('another takes its place', async () => (await podsOf(t, 'app=set')).length === 1);
  });

  it('[sig-apps] ReplicaSet Replace and Patch tests [Conformance]', async t => {
    const { client, namespace } = t;
    await make(t, 1);
    const counted = (replicas: number) =>
      until(t, ReplicaSet, 'set', `${replicas} are ready`, ({ status }) => status?.readyReplicas === replicas);
    await counted(1);
    await t.kubectl('scale', 'replicaset', 'set', '--replicas=2');
    const scaled = await counted(2);
    await client.update(ReplicaSet, { ...scaled, spec: { ...scaled.spec, replicas: 3 } } as ReplicaSet, { namespace });
    await counted(3);
    const template = {
      spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'main', image: t.image('busybox') }] },
    };
    const patch = { metadata: { labels: { patched: 'yes' } }, spec: { replicas: 2, template } };
    const patched = await client.patch(ReplicaSet, 'set', { type: 'strategic', patch }, { namespace });
    assert.equal(patched.metadata.labels?.['patched'], 'yes');
    assert.equal(patched.spec?.template?.spec?.containers[0]?.image, t.image('busybox'));
    assert.equal(patched.spec?.template?.spec?.terminationGracePeriodSeconds, 0);
    await t.eventually('two are left, of the old image', async () => {
      const pods = await podsOf(t);
      return pods.length === 2 && pods.every(pod => imageOf(pod) === t.image('client:latest'));
    });
  });

  it('[sig-apps] ReplicaSet Replicaset should have a working scale subresource [Conformance]', async t => {
    await make(t, 1);
    await scaleEndpoints(t, ReplicaSet, 'set');
  });

  it('[sig-apps] ReplicaSet should validate Replicaset Status endpoints [Conformance]', async t => {
    await make(t, 1);
    await until(t, ReplicaSet, 'set', 'it is ready', ({ status }) => status?.readyReplicas === 1);
    await statusEndpoints(t, ReplicaSet, 'set');
  });

  it('[sig-apps] ReplicaSet should list and delete a collection of ReplicaSets [Conformance]', async t =>
    apiOperations(t, {
      kind: ReplicaSet,
      object: { spec: { replicas: 0, selector: { matchLabels: labels }, template: templateOf(t, labels) } },
    }));
});

function make(t: Trial, replicas: number, image?: string): Promise<ReplicaSet> {
  const template = templateOf(t, labels, image ? { image } : {});
  const spec = { replicas, selector: { matchLabels: labels }, template };
  return t.client.create<ReplicaSet>(ReplicaSet, { metadata: { name: 'set' }, spec }, { namespace: t.namespace });
}
