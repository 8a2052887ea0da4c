import { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { VolumeAttributesClass } from '#api/storage/v1/volume-attributes-class.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { keyFrom } from '#client/informer.ts';
import { update, type Action } from '../actions.ts';
import { defineController } from '../controller.ts';
import { watched, type Read } from '../reads.ts';
import { isTerminal } from './pod-state.ts';

const claimFinalizer = 'kubernetes.io/pvc-protection';
const volumeFinalizer = 'kubernetes.io/pv-protection';
const classFinalizer = 'kubernetes.io/vac-protection';

/** A claim that pods use is not removed before they are gone. */
export const claimProtectionController = defineController({
  name: 'pvc-protection-controller',
  reconciles: PersistentVolumeClaim,
  reads: {
    users: watched<PersistentVolumeClaim, Pod, Iterable<Pod>>(
      Pod,
      pods => {
        const byClaim = pods.index('claim', claimsOf);
        return ({ metadata }) => byClaim.get(keyFrom(metadata.name ?? '', metadata.namespace)).values();
      },
      (pod, old, _claims, change) => {
        const ended = change === 'deleted' || (old !== undefined && isTerminal(pod) && !isTerminal(old));
        return ended ? claimsOf(pod) : [];
      },
    ),
  },
  writes: [PersistentVolumeClaim],
  decide(claim, { users }) {
    if (claim.metadata.deletionTimestamp === undefined) return protect(PersistentVolumeClaim, claim, claimFinalizer);
    for (const pod of users) if ((pod.spec?.nodeName ?? '') !== '' && !isTerminal(pod)) return [];
    return release(PersistentVolumeClaim, claim, claimFinalizer);
  },
});

/** A volume that is bound is not removed before its claim is gone. */
export const volumeProtectionController = defineController({
  name: 'pv-protection-controller',
  reconciles: PersistentVolume,
  reads: {},
  writes: [PersistentVolume],
  decide(volume) {
    if (volume.metadata.deletionTimestamp === undefined) return protect(PersistentVolume, volume, volumeFinalizer);
    return volume.status?.phase === 'Bound' ? [] : release(PersistentVolume, volume, volumeFinalizer);
  },
});

/** A class that claims or volumes name is not removed before they name another. */
export const attributesClassProtectionController = defineController({
  name: 'volumeattributesclass-protection-controller',
  reconciles: VolumeAttributesClass,
  reads: {
    claimed: named(PersistentVolumeClaim, ({ spec, status }) => [
      spec.volumeAttributesClassName,
      status.currentVolumeAttributesClassName,
      status.modifyVolumeStatus?.targetVolumeAttributesClassName,
    ]),
    used: named(PersistentVolume, ({ spec }) => [spec.volumeAttributesClassName]),
  },
  writes: [VolumeAttributesClass],
  decide(attributes, { claimed, used }) {
    if (attributes.metadata.deletionTimestamp === undefined)
      return protect(VolumeAttributesClass, attributes, classFinalizer);
    return claimed || used ? [] : release(VolumeAttributesClass, attributes, classFinalizer);
  },
});

/** Whether an object of another kind names the class. */
function named<Other extends ApiObject>(
  kind: Kind<Other>,
  classesOf: (object: Other) => readonly (string | undefined)[],
): Read<VolumeAttributesClass, boolean> {
  const names = (object: Other) => classesOf(object).filter(name => name !== undefined && name !== '') as string[];
  return watched<VolumeAttributesClass, Other, boolean>(
    kind,
    objects => {
      const byClass = objects.index('attributes-class', names);
      return ({ metadata }) => byClass.get(metadata.name ?? '').size > 0;
    },
    (object, old) => (old === undefined ? names(object) : [...names(old), ...names(object)]),
  );
}

/** Claims that a pod mounts: those it names, and those that are made for it. */
function claimsOf({ metadata, spec }: Pod): string[] {
  return (spec?.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) => {
    if (persistentVolumeClaim) return [keyFrom(persistentVolumeClaim.claimName, metadata.namespace)];
    return ephemeral ? [keyFrom(`${metadata.name}-${name}`, metadata.namespace)] : [];
  });
}

function protect<Type extends ApiObject>(kind: Kind<Type>, object: Type, finalizer: string): readonly Action[] {
  const { finalizers = [] } = object.metadata;
  if (finalizers.includes(finalizer)) return [];
  return [update(kind, { ...object, metadata: { ...object.metadata, finalizers: [...finalizers, finalizer] } })];
}

function release<Type extends ApiObject>(kind: Kind<Type>, object: Type, finalizer: string): readonly Action[] {
  const { finalizers = [] } = object.metadata;
  if (!finalizers.includes(finalizer)) return [];
  const rest = finalizers.filter(each => each !== finalizer);
  return [update(kind, { ...object, metadata: { ...object.metadata, finalizers: rest } })];
}
