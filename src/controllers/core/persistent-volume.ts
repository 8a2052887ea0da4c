import { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { keyFrom, keyOf } from '#client/informer.ts';
import { event, remove, update, updateStatus, type Action } from '../actions.ts';
import { defineController } from '../controller.ts';
import { watched } from '../reads.ts';
import { timeText } from '../time.ts';
import { boundByController } from './persistent-volume-claim.ts';

/** Follows a volume from free over bound to released, and reclaims it. */
export const persistentVolumeController = defineController({
  name: 'persistent-volume-controller',
  account: 'persistent-volume-binder',
  component: 'persistentvolume-controller',
  reconciles: PersistentVolume,
  reads: {
    claim: watched<PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaim | undefined>(
      PersistentVolumeClaim,
      claims =>
        ({ spec }) =>
          spec?.claimRef && claims.objects.get(keyFrom(spec.claimRef.name ?? '', spec.claimRef.namespace)),
      (claim, _old, volumes) =>
        volumes
          .index('claim', ({ spec }) =>
            spec?.claimRef ? [keyFrom(spec.claimRef.name ?? '', spec.claimRef.namespace)] : [],
          )
          .get(keyOf(claim))
          .keys(),
    ),
  },
  writes: [PersistentVolume],
  decide(volume, { claim, nowMs }) {
    const { claimRef } = volume.spec ?? {};
    if (!claimRef || (claimRef.uid ?? '') === '') return phase(volume, 'Available', nowMs);
    if (claim && claim.metadata.uid === claimRef.uid) {
      if (claim.spec?.volumeName === volume.metadata.name) return phase(volume, 'Bound', nowMs);
      if ((claim.spec?.volumeName ?? '') === '') return [];
      // The claim took another volume: this one is free again, if we had given it away.
      return volume.metadata.annotations?.[boundByController] === undefined
        ? phase(volume, 'Released', nowMs)
        : [unbind(volume)];
    }
    return [...phase(volume, 'Released', nowMs), ...reclaim(volume)];
  },
});

function phase(volume: PersistentVolume, wanted: string, nowMs: number): readonly Action[] {
  const { status } = volume;
  if (status?.phase === wanted) return [];
  // Failed to be deleted stays so until somebody looks.
  if (status?.phase === 'Failed' && wanted === 'Released') return [];
  return [
    updateStatus(PersistentVolume, { ...volume, status: { phase: wanted, lastPhaseTransitionTime: timeText(nowMs) } }),
  ];
}

function unbind(volume: PersistentVolume): Action {
  const { [boundByController]: _, ...annotations } = volume.metadata.annotations ?? {};
  const { claimRef: __, ...spec } = volume.spec ?? {};
  return update(PersistentVolume, { ...volume, metadata: { ...volume.metadata, annotations }, spec });
}

/** What a volume's own provisioner made, it takes away; what an administrator made is only forgotten. */
function reclaim(volume: PersistentVolume): readonly Action[] {
  if (volume.spec?.persistentVolumeReclaimPolicy !== 'Delete' || volume.metadata.deletionTimestamp !== undefined)
    return [];
  if (volume.metadata.annotations?.['pv.kubernetes.io/provisioned-by'] !== undefined) return [];
  if (volume.spec.csi !== undefined) return [];
  // A directory of a node is deleted by hand; upstream only does it below /tmp, for tests.
  if (volume.spec.hostPath === undefined || !volume.spec.hostPath.path.startsWith('/tmp/')) {
    if (volume.status?.phase === 'Failed') return [];
    const message = 'error getting deleter volume plugin for volume: no deletable volume plugin matched';
    return [
      updateStatus(
        PersistentVolume,
        { ...volume, status: { ...volume.status, phase: 'Failed', message } },
        { succeeded: () => event(volume, 'Warning', 'VolumeFailedDelete', message) },
      ),
    ];
  }
  return [remove(PersistentVolume, volume)];
}
