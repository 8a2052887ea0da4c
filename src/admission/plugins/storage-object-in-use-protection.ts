import type { Kind } from '#api/machinery/kind.ts';
import { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { VolumeAttributesClass } from '#api/storage/v1/volume-attributes-class.ts';
import type { AdmissionPlugin } from '../admission.ts';
import { concerns } from '../request.ts';

const finalizers: readonly (readonly [Kind, string])[] = [
  [PersistentVolumeClaim, 'kubernetes.io/pvc-protection'],
  [PersistentVolume, 'kubernetes.io/pv-protection'],
  [VolumeAttributesClass, 'kubernetes.io/vac-protection'],
];

/** Storage that is in use is removed when nobody uses it any more. */
export const storageObjectInUseProtection: AdmissionPlugin = {
  name: 'StorageObjectInUseProtection',
  handles: request => finalizers.some(([kind]) => concerns(request, kind, 'CREATE')),
  admit(request) {
    const entry = finalizers.find(([kind]) => concerns(request, kind, 'CREATE'));
    if (!entry || !request.object) return;
    const { metadata } = request.object;
    if (!metadata.finalizers?.includes(entry[1])) metadata.finalizers = [...(metadata.finalizers ?? []), entry[1]];
  },
};
