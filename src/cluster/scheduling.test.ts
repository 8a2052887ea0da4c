import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Node } from '#api/core/v1/node.ts';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { Partly } from '#api/machinery/kind.ts';
import { StorageClass } from '#api/storage/v1/storage-class.ts';
import type { Client } from '#client/client.ts';
import { startCluster } from './start-cluster.ts';

const namespace = 'default';

async function untilPod(client: Client, name: string, holds: (pod: Pod) => boolean): Promise<Pod> {
  const selected = { namespace, fieldSelector: `metadata.name=${name}`, sendInitialEvents: true };
  for await (const event of client.watch(Pod, selected))
    if (event.type !== 'BOOKMARK' && holds(event.object)) return event.object;
  return assert.fail('the watch ended');
}

test('a claim that waits for its first consumer is bound on the node that the scheduler chooses', async () => {
  await using cluster = await startCluster({ nodes: ['node-1', 'node-2'] });
  const { client } = cluster;
  const local = {
    metadata: { name: 'local' },
    provisioner: 'kubernetes.io/no-provisioner',
    volumeBindingMode: 'WaitForFirstConsumer',
  };
  await client.create(StorageClass, local as Partly<StorageClass>);
  const claimOf = (name: string) => ({
    metadata: { name },
    spec: {
      storageClassName: 'local',
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: '1Gi' } },
    },
  });
  const podOf = (name: string) => ({
    metadata: { name },
    spec: {
      containers: [{ name: 'c', image: 'any' }],
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: `${name}-data` } }],
    },
  });
  await client.create(PersistentVolumeClaim, claimOf('one-data') as Partly<PersistentVolumeClaim>, { namespace });
  await client.create(Pod, podOf('one') as Partly<Pod>, { namespace });
  const refused = await untilPod(client, 'one', pod => pod.status.conditions?.some(each => each.message) ?? false);
  assert.match(
    refused.status.conditions?.find(each => each.type === 'PodScheduled')?.message ?? '',
    /^0\/2 nodes are available: 2 node\(s\) didn't find available persistent volumes to bind\./,
  );

  // The volume is the event that makes another try worthwhile.
  const terms = [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: ['node-2'] }] }];
  const volume = {
    metadata: { name: 'disk' },
    spec: {
      storageClassName: 'local',
      accessModes: ['ReadWriteOnce'],
      capacity: { storage: '2Gi' },
      local: { path: '/mnt/disk' },
      nodeAffinity: { required: { nodeSelectorTerms: terms } },
    },
  };
  await client.create(PersistentVolume, volume as Partly<PersistentVolume>);
  const placed = await untilPod(client, 'one', pod => pod.spec.nodeName !== undefined && pod.spec.nodeName !== '');
  assert.equal(placed.spec.nodeName, 'node-2');
  const bound = await client.get(PersistentVolumeClaim, 'one-data', { namespace });
  assert.equal(bound.spec?.volumeName, 'disk');
  assert.equal((await client.get(PersistentVolume, 'disk')).spec?.claimRef?.uid, bound.metadata.uid);

  const metrics = await client.raw('/metrics');
  assert.match(
    metrics,
    /^scheduler_schedule_attempts_total\{result="unschedulable",profile="default-scheduler"\} \d+$/m,
  );
  assert.match(metrics, /^scheduler_pending_pods\{queue="unschedulable"\} 0$/m);
  assert.match(metrics, /^scheduler_queue_incoming_pods_total\{queue="active",event="UnscheduledPodAdd"\} 1$/m);
  assert.match(metrics, /^scheduler_pod_scheduling_attempts_count 1$/m);
  assert.match(metrics, /^scheduler_pod_scheduling_sli_duration_seconds_count\{attempts="[2-9]"\} 1$/m);
  assert.match(metrics, /^scheduler_scheduling_algorithm_duration_seconds_count [2-9]$/m);
});

test('a pod that fitted nowhere is tried again by what happens elsewhere in its zone', async () => {
  await using cluster = await startCluster({ nodes: ['node-1', 'node-2'] });
  const { client } = cluster;
  for (const name of ['node-1', 'node-2'])
    await client.patch(Node, name, { type: 'merge', patch: { metadata: { labels: { zone: 'x' } } } });
  await client.patch(Node, 'node-1', { type: 'merge', patch: { metadata: { labels: { first: 'yes' } } } });
  const { cpu = '' } = (await client.get(Node, 'node-1')).status.allocatable ?? {};
  const labels = { app: 'db' };
  const term = { topologyKey: 'zone', labelSelector: { matchLabels: labels } };
  const podOf = (name: string, spec: object, requests: object, own: object = {}) =>
    ({
      metadata: { name, labels: own },
      spec: { containers: [{ name: 'c', image: 'any', resources: { requests } }], ...spec },
    }) as Partly<Pod>;
  // node-1 stays full for the one that waits, also when its enemy there has gone.
  await client.create(Pod, podOf('enemy', { nodeSelector: { first: 'yes' } }, { cpu: '1' }, labels), { namespace });
  await untilPod(client, 'enemy', pod => pod.spec.nodeName === 'node-1');
  const rest = `${Number(cpu) - 1}`;
  await client.create(Pod, podOf('rest', { nodeSelector: { first: 'yes' } }, { cpu: rest }), { namespace });
  await untilPod(client, 'rest', pod => pod.spec.nodeName === 'node-1');
  const apart = { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } };
  await client.create(Pod, podOf('waits', { affinity: apart }, { cpu: '2' }), { namespace });
  await untilPod(client, 'waits', pod => pod.status.conditions?.some(each => each.reason === 'Unschedulable') ?? false);
  await client.delete(Pod, 'enemy', { namespace, gracePeriodSeconds: 0 });
  await untilPod(client, 'waits', pod => pod.spec.nodeName === 'node-2');
});
