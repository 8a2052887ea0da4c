import assert from 'node:assert/strict';
import { Pod } from '#api/core/v1/pod.ts';
import { ReplicationController } from '#api/core/v1/replication-controller.ts';
import { ResourceQuota } from '#api/core/v1/resource-quota.ts';
import { apiOperations, scaleEndpoints, statusEndpoints } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { createPod, isReady } from '../pods.ts';
import { until } from '../waiting.ts';
import { ownerOf, podsOf, relabel, templateOf } from '../workloads.ts';

const selector = { app: 'rc' };

conformance(it => {
  it('[sig-apps] ReplicationController should serve a basic image on each replica with a public image [Conformance]', async t => {
    await make(t, 2, 'web:v1');
    const pods = await t.eventually('both are ready', async () => {
      const all = await podsOf(t);
      return all.length === 2 && all.every(isReady) && all;
    });
    for (const { metadata } of pods)
      assert.equal(
        await t.client.raw(`/api/v1/namespaces/${t.namespace}/pods/${metadata.name}/proxy/`),
        `web v1 ${metadata.name}\n`,
      );
  });

  it('[sig-apps] ReplicationController should adopt matching pods on creation [Conformance]', async t => {
    await createPod(t, { name: 'orphan', labels: selector });
    const { uid } = (await make(t, 1)).metadata;
    await until(t, Pod, 'orphan', 'it is adopted', pod => ownerOf(pod) === uid);
  });

  it('[sig-apps] ReplicationController should release no longer matching pods [Conformance]', async t => {
    const { uid } = (await make(t, 1)).metadata;
    const [pod] = await t.eventually('its pod is there', async () => {
      const pods = await podsOf(t);
      return pods.length === 1 && pods;
    });
    const name = pod?.metadata.name ?? '';
    await until(t, Pod, name, 'it is owned', each => ownerOf(each) === uid);
    await relabel(t, name, { app: 'released' });
    await until(t, Pod, name, 'it is released', each => ownerOf(each) === undefined);
  });

  it('[sig-apps] ReplicationController should surface a failure condition on a common issue like exceeded quota [Conformance]', async t => {
    const { client, namespace } = t;
    await client.create(ResourceQuota, { metadata: { name: 'two' }, spec: { hard: { pods: '2' } } }, { namespace });
    await until(t, ResourceQuota, 'two', 'it counts', ({ status }) => status?.used?.['pods'] === '0');
    await make(t, 3);
    const failure = ({ status }: ReplicationController) =>
      status?.conditions?.find(({ type }) => type === 'ReplicaFailure');
    const failed = await until(t, ReplicationController, 'rc', 'it says so', rc => failure(rc)?.status === 'True');
    assert.match(failure(failed)?.message ?? '', /exceeded quota/);
    await t.kubectl('scale', 'rc', 'rc', '--replicas=2');
    await until(t, ReplicationController, 'rc', 'it says so no longer', rc => failure(rc) === undefined);
  });

  it('[sig-apps] ReplicationController should get and update a ReplicationController scale [Conformance]', async t => {
    await make(t, 1);
    await until(t, ReplicationController, 'rc', 'it has a pod', ({ status }) => status?.replicas === 1);
    await scaleEndpoints(t, ReplicationController, 'rc');
    await until(t, ReplicationController, 'rc', 'it has four pods', ({ status }) => status?.replicas === 4);
  });

  it('[sig-apps] ReplicationController should test the lifecycle of a ReplicationController [Conformance]', async t => {
    await apiOperations(t, {
      kind: ReplicationController,
      object: { spec: { replicas: 0, selector, template: templateOf(t, selector) } },
    });
    await make(t, 1);
    await until(t, ReplicationController, 'rc', 'it is ready', ({ status }) => status?.readyReplicas === 1);
    await statusEndpoints(t, ReplicationController, 'rc');
  });
});

function make(t: Trial, replicas: number, image?: string): Promise<ReplicationController> {
  const template = templateOf(t, selector, image ? { image } : {});
  const object = { metadata: { name: 'rc' }, spec: { replicas, selector, template } };
  return t.client.create<ReplicationController>(ReplicationController, object, { namespace: t.namespace });
}
