import { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { claimClassOf, isSmallerVolume, isVolumeFor, volumeMismatch } from '#api/core/v1/volume-matching.ts';
import { StorageClass } from '#api/storage/v1/storage-class.ts';
import { referenceTo } from '#client/events.ts';
import { keyFrom } from '#client/informer.ts';
import { event, update, updateStatus, type Action } from '../actions.ts';
import { defineController } from '../controller.ts';
import { watched } from '../reads.ts';
import { sameApartFromZeros } from '../same.ts';

export const boundByController = 'pv.kubernetes.io/bound-by-controller';
const bindCompleted = 'pv.kubernetes.io/bind-completed';
const provisionerAnnotation = 'volume.kubernetes.io/storage-provisioner';
const betaProvisionerAnnotation = 'volume.beta.kubernetes.io/storage-provisioner';
const selectedNode = 'volume.kubernetes.io/selected-node';
const noProvisioner = 'kubernetes.io/no-provisioner';

/** Finds a volume for each claim, or leaves it to its provisioner. */
export const persistentVolumeClaimController = defineController({
  name: 'persistent-volume-binder',
  component: 'persistentvolume-controller',
  reconciles: PersistentVolumeClaim,
  reads: {
    volumes: watched<PersistentVolumeClaim, PersistentVolume, Volumes>(
      PersistentVolume,
      volumes => {
        const ofClass = volumes.index('class', ({ spec }) => [spec?.storageClassName ?? '']);
        return () => ({
          named: name => volumes.get(name),
          ofClass: name => ofClass.get(name).values(),
        });
      },
      (volume, _old, claims) => {
        const { claimRef } = volume.spec ?? {};
        if (claimRef) return [keyFrom(claimRef.name ?? '', claimRef.namespace)];
        // A volume that is free may be what somebody waits for.
        return [
          ...claims
            .index('unbound', unboundClass)
            .get(volume.spec?.storageClassName ?? '')
            .keys(),
        ];
      },
    ),
    classOf: watched<PersistentVolumeClaim, StorageClass, (name: string) => StorageClass | undefined>(
      StorageClass,
      classes => () => name => classes.get(name),
      (storageClass, _old, claims) =>
        claims
          .index('unbound', unboundClass)
          .get(storageClass.metadata.name ?? '')
          .keys(),
    ),
  },
  writes: [PersistentVolumeClaim, PersistentVolume],
  // Two claims at a time could choose the same volume.
  concurrency: 1,
  decide(claim, { volumes, classOf }) {
    if (claim.metadata.annotations?.[bindCompleted] !== undefined) return boundClaim(claim, volumes);
    const { volumeName = '' } = claim.spec ?? {};
    if (volumeName !== '') return askedFor(claim, volumes.named(volumeName));
    const volume = bestVolume(claim, volumes);
    if (volume) {
      const delayed = classOf(claimClassOf(claim))?.volumeBindingMode === 'WaitForFirstConsumer';
      const chosen = volume.spec?.claimRef !== undefined || claim.metadata.annotations?.[selectedNode] !== undefined;
      if (!delayed || chosen) return bind(claim, volume);
    }
    return waiting(claim, classOf(claimClassOf(claim)));
  },
});

interface Volumes {
  named(name: string): PersistentVolume | undefined;
  ofClass(name: string): Iterable<PersistentVolume>;
}

function unboundClass(claim: PersistentVolumeClaim): string[] {
  return (claim.spec?.volumeName ?? '') === '' ? [claimClassOf(claim)] : [];
}

/** A claim that was bound stays so; without its volume it is lost. */
function boundClaim(claim: PersistentVolumeClaim, volumes: Volumes): readonly Action[] {
  const { volumeName = '' } = claim.spec ?? {};
  const volume = volumeName === '' ? undefined : volumes.named(volumeName);
  if (!volume)
    return lost(claim, 'ClaimLost', 'Bound claim has lost its PersistentVolume. Data on the volume is lost!');
  const { claimRef } = volume.spec ?? {};
  if (claimRef && claimRef.uid !== claim.metadata.uid && (claimRef.uid ?? '') !== '')
    return lost(claim, 'ClaimMisbound', 'Two claims are bound to the same volume, this one is bound incorrectly');
  return bind(claim, volume);
}

function lost(claim: PersistentVolumeClaim, reason: string, message: string): readonly Action[] {
  if (claim.status?.phase === 'Lost') return [];
  return [
    updateStatus(
      PersistentVolumeClaim,
      { ...claim, status: { phase: 'Lost' } },
      { succeeded: () => event(claim, 'Warning', reason, message) },
    ),
  ];
}

/** The claim names its volume. */
function askedFor(claim: PersistentVolumeClaim, volume: PersistentVolume | undefined): readonly Action[] {
  if (!volume) return pending(claim);
  const { claimRef } = volume.spec ?? {};
  if (!claimRef || isVolumeFor(claim, volume)) {
    const problem = volumeMismatch(claim, volume);
    if (problem === undefined) return bind(claim, volume);
    return [
      ...pending(claim),
      event(
        claim,
        'Warning',
        'VolumeMismatch',
        `Cannot bind to requested volume "${volume.metadata.name}": ${problem}`,
      ),
    ];
  }
  const message = `volume "${volume.metadata.name}" already bound to a different claim.`;
  return [...pending(claim), event(claim, 'Warning', 'FailedBinding', message)];
}

function waiting(claim: PersistentVolumeClaim, storageClass: StorageClass | undefined): readonly Action[] {
  const className = claimClassOf(claim);
  if (className === '')
    return [
      ...pending(claim),
      event(
        claim,
        'Normal',
        'FailedBinding',
        'no persistent volumes available for this claim and no storage class is set',
      ),
    ];
  if (!storageClass)
    return [
      ...pending(claim),
      event(claim, 'Warning', 'ProvisioningFailed', `storageclass.storage.k8s.io "${className}" not found`),
    ];
  const { annotations = {} } = claim.metadata;
  if (storageClass.volumeBindingMode === 'WaitForFirstConsumer' && annotations[selectedNode] === undefined)
    return [
      ...pending(claim),
      event(claim, 'Normal', 'WaitForFirstConsumer', 'waiting for first consumer to be created before binding'),
    ];
  const { provisioner } = storageClass;
  if (provisioner === noProvisioner) return pending(claim);
  if (annotations[provisionerAnnotation] !== provisioner)
    return [
      update(PersistentVolumeClaim, {
        ...claim,
        metadata: {
          ...claim.metadata,
          annotations: {
            ...annotations,
            [provisionerAnnotation]: provisioner,
            [betaProvisionerAnnotation]: provisioner,
          },
        },
      }),
    ];
  const message = `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`;
  return [...pending(claim), event(claim, 'Normal', 'ExternalProvisioning', message)];
}

function pending(claim: PersistentVolumeClaim): readonly Action[] {
  return claim.status?.phase === undefined
    ? [updateStatus(PersistentVolumeClaim, { ...claim, status: { phase: 'Pending' } })]
    : [];
}

/** Writes both ends, volume first, so that no two claims get one volume. */
function bind(claim: PersistentVolumeClaim, volume: PersistentVolume): readonly Action[] {
  const actions: Action[] = [];
  const { resourceVersion: _, ...claimRef } = referenceTo(claim, PersistentVolumeClaim);
  const preset = volume.spec?.claimRef !== undefined;
  if (volume.spec?.claimRef?.uid !== claim.metadata.uid) {
    const annotations = preset
      ? volume.metadata.annotations
      : { ...volume.metadata.annotations, [boundByController]: 'yes' };
    actions.push(
      update(PersistentVolume, {
        ...volume,
        metadata: { ...volume.metadata, ...(annotations && { annotations }) },
        spec: { ...volume.spec, claimRef },
      }),
    );
  }
  const { name: volumeName = '' } = volume.metadata;
  const { annotations = {} } = claim.metadata;
  const chosen = claim.spec?.volumeName !== volumeName;
  let written = claim;
  if (chosen || annotations[bindCompleted] === undefined) {
    written = {
      ...claim,
      metadata: {
        ...claim.metadata,
        annotations: { ...annotations, [bindCompleted]: 'yes', ...(chosen && { [boundByController]: 'yes' }) },
      },
      spec: { ...claim.spec, volumeName },
    };
    // The status follows when this has been seen.
    return [...actions, update(PersistentVolumeClaim, written)];
  }
  const status = {
    ...claim.status,
    phase: 'Bound',
    ...(volume.spec?.accessModes && { accessModes: volume.spec.accessModes }),
    capacity: { ...claim.status?.capacity, ...volume.spec?.capacity },
  };
  if (!sameApartFromZeros(status, claim.status))
    actions.push(updateStatus(PersistentVolumeClaim, { ...written, status }));
  return actions;
}

/** The smallest volume that fits; one that is kept for this very claim before all others. */
function bestVolume(claim: PersistentVolumeClaim, volumes: Volumes): PersistentVolume | undefined {
  let best: PersistentVolume | undefined;
  for (const volume of volumes.ofClass(claimClassOf(claim))) {
    if (volumeMismatch(claim, volume) !== undefined) continue;
    if (volume.spec?.claimRef) {
      if (isVolumeFor(claim, volume)) return volume;
      continue;
    }
    if (volume.metadata.deletionTimestamp !== undefined || volume.status?.phase === 'Failed') continue;
    if (!best || isSmallerVolume(volume, best)) best = volume;
  }
  return best;
}
