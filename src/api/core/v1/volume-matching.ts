import { compareQuantities, parseQuantity } from '../../machinery/quantity.ts';
import { compileLabelSelector } from '../../machinery/selector.ts';
import type { PersistentVolumeClaim } from './persistent-volume-claim.ts';
import type { PersistentVolume } from './persistent-volume.ts';

/** The storage class that a claim asks for; empty for none. */
export function claimClassOf({ spec, metadata }: PersistentVolumeClaim): string {
  return metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? spec?.storageClassName ?? '';
}

/** Whether a volume is kept for this claim by its claimRef. */
export function isVolumeFor({ metadata }: PersistentVolumeClaim, { spec }: PersistentVolume): boolean {
  const { claimRef } = spec ?? {};
  return (
    claimRef?.name === metadata.name &&
    claimRef?.namespace === metadata.namespace &&
    ((claimRef?.uid ?? '') === '' || claimRef?.uid === metadata.uid)
  );
}

/** Why a volume is not what a claim asks for, in upstream's words; `undefined` when it is. */
export function volumeMismatch({ spec }: PersistentVolumeClaim, volume: PersistentVolume): string | undefined {
  const modes = volume.spec?.accessModes ?? [];
  const wanted = parseQuantity(spec?.resources?.requests?.storage ?? '0');
  const capacity = parseQuantity(volume.spec?.capacity?.storage ?? '0');
  if (wanted && capacity && compareQuantities(capacity, wanted) < 0) return 'requested PV is too small';
  if ((spec?.volumeMode ?? 'Filesystem') !== (volume.spec?.volumeMode ?? 'Filesystem'))
    return 'incompatible volumeMode';
  if (!(spec?.accessModes ?? []).every(mode => modes.includes(mode))) return 'incompatible accessMode';
  if (spec?.selector && !compileLabelSelector(spec.selector)(volume.metadata.labels)) return 'label selector';
  if ((spec?.volumeAttributesClassName ?? '') !== (volume.spec?.volumeAttributesClassName ?? ''))
    return "volumeAttributesClassName doesn't match";
  return undefined;
}

/** By capacity, then by name, so that the choice among equals is always the same. */
export function isSmallerVolume(a: PersistentVolume, b: PersistentVolume): boolean {
  const [left, right] = [a, b].map(({ spec }) => parseQuantity(spec?.capacity?.storage ?? '0'));
  if (!left || !right) return false;
  const order = compareQuantities(left, right);
  return order < 0 || (order === 0 && (a.metadata.name ?? '') < (b.metadata.name ?? ''));
}
