import assert from 'node:assert/strict';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { CSIDriver } from '#api/storage/v1/csi-driver.ts';
import { CSINode } from '#api/storage/v1/csi-node.ts';
import { CSIStorageCapacity } from '#api/storage/v1/csi-storage-capacity.ts';
import { StorageClass } from '#api/storage/v1/storage-class.ts';
import { VolumeAttachment } from '#api/storage/v1/volume-attachment.ts';
import { VolumeAttributesClass } from '#api/storage/v1/volume-attributes-class.ts';
import { apiOperations, annotated } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { podOf } from '../pods.ts';
import { until } from '../waiting.ts';

conformance(it => {
  it('[sig-storage] CSIInlineVolumes should run through the lifecycle of a CSIDriver [Conformance]', t =>
    apiOperations(t, {
      kind: CSIDriver,
      object: { spec: { attachRequired: true, volumeLifecycleModes: ['Ephemeral'] } } as never,
    }));

  it('[sig-storage] CSIInlineVolumes should support CSIVolumeSource in Pod API [Conformance]', async t => {
    const driver = t.unique('e2e.example.com');
    await t.client.create<CSIDriver>(CSIDriver, {
      metadata: { name: driver },
      spec: { volumeLifecycleModes: ['Ephemeral'] },
    } as never);
    t.defer(() => t.client.delete(CSIDriver, driver));
    // Nowhere to go: it is the API that is tried.
    const pod = podOf(t, {
      nodeSelector: { no: 'where' },
      volumes: [{ name: 'inline', csi: { driver, volumeAttributes: { foo: 'bar' } } }],
    } as never);
    await apiOperations(t, { kind: Pod, object: { spec: pod.spec } as never });
  });

  it('[sig-storage] CSINodes CSI Conformance should run through the lifecycle of a csinode [Conformance]', t =>
    apiOperations(t, {
      kind: CSINode,
      object: {
        spec: { drivers: [{ name: 'e2e.example.com', nodeID: 'one', topologyKeys: ['example.com/zone'] }] },
      } as never,
    }));

  it('[sig-storage] CSIStorageCapacity should support CSIStorageCapacities API operations [Conformance]', t =>
    apiOperations(t, { kind: CSIStorageCapacity, object: { storageClassName: 'none', capacity: '1Gi' } as never }));

  it('[sig-storage] StorageClasses CSI Conformance should run through the lifecycle of a StorageClass [Conformance]', t =>
    apiOperations(t, {
      kind: StorageClass,
      object: { provisioner: 'e2e.example.com', reclaimPolicy: 'Delete' } as never,
    }));

  it('[sig-storage] VolumeAttributesClass [FeatureGate:VolumeAttributesClass] should run through the lifecycle of a VolumeAttributesClass [Conformance]', t =>
    apiOperations(t, {
      kind: VolumeAttributesClass,
      object: { driverName: 'e2e.example.com', parameters: { foo: 'bar' } } as never,
    }));

  const attachment = {
    spec: { attacher: 'e2e.example.com', nodeName: 'no-such-node', source: { persistentVolumeName: 'none' } },
  };
  it('[sig-storage] VolumeAttachment Conformance should run through the lifecycle of a VolumeAttachment [Conformance]', t =>
    apiOperations(t, { kind: VolumeAttachment, object: attachment as never }));
  it('[sig-storage] VolumeAttachment Conformance should apply changes to a volumeattachment status [Conformance]', t =>
    apiOperations(t, { kind: VolumeAttachment, object: attachment as never, status: { attached: true } }));

  it('[sig-storage] PersistentVolumes CSI Conformance should run through the lifecycle of a PV and a PVC [Conformance]', async t => {
    const label = t.unique('pvpvc');
    const { metadata, claim } = await bound(t, label);
    const { client, namespace } = t;
    const patched = await client.patch(PersistentVolume, metadata.name ?? '', {
      type: 'merge',
      patch: { metadata: { labels: { patched: 'yes' } } },
    });
    assert.equal(patched.metadata.labels?.['patched'], 'yes');
    const updated = await client.update(PersistentVolumeClaim, annotated(claim, { updated: 'yes' }), { namespace });
    assert.equal(updated.metadata.annotations?.['updated'], 'yes');
    await client.deleteCollection(PersistentVolumeClaim, { namespace, labelSelector: `e2e=${label}` });
    await t.eventually(
      'the claim is gone',
      async () => (await client.list(PersistentVolumeClaim, { namespace })).items.length === 0,
    );
    await client.deleteCollection(PersistentVolume, { labelSelector: `e2e=${label}` });
    await t.eventually(
      'the volume is gone',
      async () => (await client.list(PersistentVolume, { labelSelector: `e2e=${label}` })).items.length === 0,
    );
  });

  it('[sig-storage] PersistentVolumes CSI Conformance should apply changes to a pv/pvc status [Conformance]', async t => {
    const { metadata } = await bound(t, t.unique('pvpvc'));
    const { client, namespace } = t;
    const volume = metadata.name ?? '';
    const status = { subresource: 'status' };
    const condition = { type: 'StatusPatched', status: 'True', reason: 'E2E', message: 'by a test' };
    const patched = await client.patch(
      PersistentVolumeClaim,
      'claim',
      { type: 'merge', patch: { status: { conditions: [condition] } } },
      { namespace, ...status },
    );
    assert.equal(patched.status?.conditions?.[0]?.type, 'StatusPatched');
    const conditions = [...(patched.status?.conditions ?? []), { ...condition, type: 'StatusUpdate' }];
    const updated = await client.update(
      PersistentVolumeClaim,
      { ...patched, status: { ...patched.status, conditions } } as PersistentVolumeClaim,
      { namespace, ...status },
    );
    assert.equal(updated.status?.conditions?.length, 2);
    const message = await client.patch(
      PersistentVolume,
      volume,
      { type: 'merge', patch: { status: { message: 'patched', reason: 'E2E' } } },
      status,
    );
    assert.deepEqual([message.status?.message, message.status?.reason], ['patched', 'E2E']);
    const again = await client.update(
      PersistentVolume,
      { ...message, status: { ...message.status, message: 'updated' } } as PersistentVolume,
      status,
    );
    assert.equal(again.status?.message, 'updated');
  });
});

/** A claim bound to a volume that only it fits. */
async function bound(t: Trial, label: string): Promise<PersistentVolume & { readonly claim: PersistentVolumeClaim }> {
  const { client, namespace } = t;
  const storageClassName = label;
  const labels = { e2e: label };
  const volume = await client.create<PersistentVolume>(PersistentVolume, {
    metadata: { name: t.unique('pv'), labels },
    spec: {
      capacity: { storage: '1Gi' },
      accessModes: ['ReadWriteOnce'],
      persistentVolumeReclaimPolicy: 'Retain',
      storageClassName,
      hostPath: { path: '/tmp/none' },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'Exists' }] }],
        },
      },
    },
  } as never);
  t.defer(() => client.deleteCollection(PersistentVolume, { labelSelector: `e2e=${label}` }));
  const spec = { accessModes: ['ReadWriteOnce'], storageClassName, resources: { requests: { storage: '1Gi' } } };
  await client.create<PersistentVolumeClaim>(
    PersistentVolumeClaim,
    { metadata: { name: 'claim', labels }, spec } as never,
    { namespace },
  );
  const claim = await until(
    t,
    PersistentVolumeClaim,
    'claim',
    'it is bound',
    ({ status }) => status?.phase === 'Bound',
  );
  assert.equal(claim.spec?.volumeName, volume.metadata.name);
  const now = await until(
    t,
    PersistentVolume,
    volume.metadata.name ?? '',
    'it is bound',
    ({ status }) => status?.phase === 'Bound',
    { namespace: null },
  );
  return { ...now, claim };
}
