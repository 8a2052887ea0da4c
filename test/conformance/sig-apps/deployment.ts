import assert from 'node:assert/strict';
import { Deployment } from '#api/apps/v1/deployment.ts';
import { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { apiOperations, scaleEndpoints, statusEndpoints } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { isReady } from '../pods.ts';
import { until } from '../waiting.ts';
import { imageOf, podsOf, templateOf, type TemplateWish } from '../workloads.ts';

const labels = { app: 'web' };

conformance(it => {
  it('[sig-apps] Deployment RollingUpdateDeployment should delete old pods and create new ones [Conformance]', async t => {
    // A ReplicaSet that was there before is adopted and rolled away.
    const spec = {
      replicas: 1,
      selector: { matchLabels: { ...labels, old: 'yes' } },
      template: templateOf(t, { ...labels, old: 'yes' }),
    };
    const old = await t.client.create<ReplicaSet>(
      ReplicaSet,
      {
        metadata: { name: 'old', labels, annotations: { 'deployment.kubernetes.io/revision': '3546342826724305832' } },
        spec,
      },
      { namespace: t.namespace },
    );
    await until(t, ReplicaSet, 'old', 'it is ready', ({ status }) => status?.readyReplicas === 1);
    await make(t, 1, { image: 'web:v1' });
    await complete(t, 1);
    const sets = (await t.client.list(ReplicaSet, { namespace: t.namespace })).items;
    assert.equal(sets.length, 2);
    const adopted = sets.find(({ metadata }) => metadata.uid === old.metadata.uid);
    assert.equal(adopted?.metadata.ownerReferences?.[0]?.kind, 'Deployment');
    assert.equal(adopted?.spec?.replicas, 0);
    const fresh = sets.find(({ metadata }) => metadata.uid !== old.metadata.uid);
    assert.equal(fresh?.metadata.annotations?.['deployment.kubernetes.io/revision'], '3546342826724305833');
  });

  it('[sig-apps] Deployment RecreateDeployment should delete old pods and create new ones [Conformance]', async t => {
    await make(t, 2, {}, { strategy: { type: 'Recreate' } });
    await complete(t, 2);
    const { resourceVersion } = (await t.client.list(Pod, { namespace: t.namespace })).metadata;
    const watching = new AbortController();
    t.defer(() => watching.abort());
    const images = new Map<string, string>();
    const mixed: string[] = [];
    for (const pod of await podsOf(t)) images.set(pod.metadata.name, imageOf(pod));
    const watched = (async () => {
      for await (const event of t.client.watch(Pod, {
        namespace: t.namespace,
        resourceVersion,
        signal: watching.signal,
      })) {
        if (event.type === 'BOOKMARK') continue;
        const name = event.object.metadata.name ?? '';
        const ended = ['Succeeded', 'Failed'].includes(event.object.status?.phase ?? '');
        if (event.type === 'DELETED' || ended) images.delete(name);
        else images.set(name, imageOf(event.object));
        if (new Set(images.values()).size > 1) mixed.push(name);
      }
    })().catch(() => undefined);
    await change(t, { image: 'web:v1' });
    await complete(t, 2);
    watching.abort();
    await watched;
    assert.deepEqual(mixed, [], 'old and new never run together');
  });

  it('[sig-apps] Deployment deployment should delete old replica sets [Conformance]', async t => {
    await make(t, 1, {}, { revisionHistoryLimit: 0 });
    await complete(t, 1);
    await change(t, { image: 'web:v1' });
    await complete(t, 1);
    await t.eventually('the old ReplicaSet is gone', async () => {
      const { items } = await t.client.list(ReplicaSet, { namespace: t.namespace });
      return items.length === 1 && items[0]?.spec?.template?.spec?.containers[0]?.image === t.image('web:v1');
    });
  });

  it('[sig-apps] Deployment deployment should support rollover [Conformance]', async t => {
    const strategy = { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } };
    await make(t, 1, {}, { strategy });
    await complete(t, 1);
    await change(t, { image: 'does-not-exist:never' });
    await until(t, Deployment, 'web', 'it rolls', ({ status }) => status?.updatedReplicas === 1);
    await change(t, { image: 'web:v1' });
    await complete(t, 1);
    const { items } = await t.client.list(ReplicaSet, { namespace: t.namespace });
    const replicas = items.map(({ spec }) => [
      spec?.template?.spec?.containers[0]?.image?.split('/')[1],
      spec?.replicas,
    ]);
    assert.deepEqual(Object.fromEntries(replicas), { 'client:latest': 0, 'does-not-exist:never': 0, 'web:v1': 1 });
  });

  it('[sig-apps] Deployment deployment should support proportional scaling [Conformance]', async t => {
    const strategy = { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 2, maxSurge: 3 } };
    await make(t, 10, {}, { strategy });
    await until(t, Deployment, 'web', 'ten are available', ({ status }) => status?.availableReplicas === 10);
    await change(t, { image: 'does-not-exist:never' });
    const sizes = async () => {
      const { items } = await t.client.list(ReplicaSet, { namespace: t.namespace });
      const of = (image: string) =>
        items.find(({ spec }) => spec?.template?.spec?.containers[0]?.image === t.image(image))?.spec?.replicas;
      return `${of('client:latest')}+${of('does-not-exist:never')}`;
    };
    await t.eventually('eight are left and five are new', async () => (await sizes()) === '8+5');
    await until(
      t,
      Deployment,
      'web',
      'it is seen',
      ({ status, metadata }) => status?.observedGeneration === metadata.generation,
    );
    await t.kubectl('scale', 'deployment', 'web', '--replicas=30');
    await t.eventually('the increase is split in proportion', async () => (await sizes()) === '20+13');
  });

  it('[sig-apps] Deployment Deployment should have a working scale subresource [Conformance]', async t => {
    await make(t, 1);
    await complete(t, 1);
    await scaleEndpoints(t, Deployment, 'web');
  });

  it('[sig-apps] Deployment should validate Deployment Status endpoints [Conformance]', async t => {
    await make(t, 1);
    await complete(t, 1);
    await statusEndpoints(t, Deployment, 'web');
  });

  it('[sig-apps] Deployment should run the lifecycle of a Deployment [Conformance]', async t => {
    const { client, namespace } = t;
    await apiOperations(t, {
      kind: Deployment,
      object: { spec: { replicas: 0, selector: { matchLabels: labels }, template: templateOf(t, labels) } },
    });
    await make(t, 1);
    await complete(t, 1);
    const patch = {
      spec: {
        replicas: 2,
        template: { spec: { containers: [{ name: 'main', image: t.image('busybox'), command: ['sleep', '3600'] }] } },
      },
    };
    await client.patch(Deployment, 'web', { type: 'strategic', patch }, { namespace });
    await complete(t, 2);
    const read = await client.get(Deployment, 'web', { namespace });
    assert.equal(read.spec?.template?.spec?.containers[0]?.image, t.image('busybox'));
    await client.deleteCollection(Deployment, { namespace });
    await t.eventually('its pods go with it', async () => (await podsOf(t)).length === 0);
  });
});

function make(t: Trial, replicas: number, wish: TemplateWish = {}, more: object = {}): Promise<Deployment> {
  const spec = { replicas, selector: { matchLabels: labels }, template: templateOf(t, labels, wish), ...more };
  return t.client.create<Deployment>(Deployment, { metadata: { name: 'web' }, spec }, { namespace: t.namespace });
}

function change(t: Trial, { image }: { readonly image: string }): Promise<Deployment> {
  const patch = { spec: { template: { spec: { containers: [{ name: 'main', image: t.image(image) }] } } } };
  return t.client.patch(Deployment, 'web', { type: 'strategic', patch }, { namespace: t.namespace });
}

async function complete(t: Trial, replicas: number): Promise<void> {
  await until(
    t,
    Deployment,
    'web',
    `its ${replicas} replicas are the newest and available`,
    ({ metadata, status }) =>
      status?.observedGeneration === metadata.generation &&
      status?.updatedReplicas === replicas &&
      status?.availableReplicas === replicas &&
      status?.replicas === replicas,
  );
  assert.ok((await podsOf(t, 'app=web')).filter(isReady).length >= replicas);
}
