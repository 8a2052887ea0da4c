import type { ObjectMeta } from '../../meta/v1/object-meta.ts';

const shortModes: readonly (readonly [mode: string, short: string])[] = [
  ['ReadWriteOnce', 'RWO'],
  ['ReadOnlyMany', 'ROX'],
  ['ReadWriteMany', 'RWX'],
  ['ReadWriteOncePod', 'RWOP'],
];

/** `RWO,ROX` */
export function shortAccessModes(modes: readonly string[] | undefined): string {
  return shortModes
    .filter(([mode]) => modes?.includes(mode))
    .map(([, short]) => short)
    .join(',');
}

/** An old annotation goes before the field. */
export function storageClassOf({ annotations }: ObjectMeta, storageClassName: string | undefined): string {
  return annotations?.['volume.beta.kubernetes.io/storage-class'] ?? storageClassName ?? '';
}
