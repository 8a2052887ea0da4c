import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import { CSIDriver } from '#api/storage/v1/csi-driver.ts';
import { CSINode } from '#api/storage/v1/csi-node.ts';
import { CSIStorageCapacity } from '#api/storage/v1/csi-storage-capacity.ts';
import { StorageClass } from '#api/storage/v1/storage-class.ts';
import { keyOf } from '#client/informer.ts';
import type { Informers } from '#client/informers.ts';
import type { StorageState } from './storage-state.ts';

/** Keeps the scheduler's picture of storage up to date, and tells what changed: the key of a claim, or anything else. */
export function followStorage(
  informers: Informers,
  storage: StorageState,
  changed: (claimKey: string | undefined) => void,
): { readonly synced: Promise<unknown>; readonly end: () => void } {
  const claims = informers.of(PersistentVolumeClaim);
  const volumes = informers.of(PersistentVolume);
  const classes = informers.of(StorageClass);
  const csiNodes = informers.of(CSINode);
  const drivers = informers.of(CSIDriver);
  const capacities = informers.of(CSIStorageCapacity);
  const ofClass = volumes.index('spec.storageClassName', ({ spec }) => [spec?.storageClassName ?? '']);
  storage.objects = {
    claim: key => claims.objects.get(key),
    volume: name => volumes.get(name),
    volumesOfClass: name => ofClass.get(name).values(),
    storageClass: name => classes.get(name),
    csiNode: name => csiNodes.get(name),
    csiDriver: name => drivers.get(name),
    capacities: () => capacities.objects.values(),
  };
  const claimChanged = (claim: PersistentVolumeClaim) => changed(keyOf(claim));
  const otherChanged = () => changed(undefined);
  const other = { added: otherChanged, updated: otherChanged };
  const ends = [
    claims.subscribe({ added: claimChanged, updated: claimChanged }),
    volumes.subscribe(other),
    classes.subscribe(other),
    csiNodes.subscribe({ ...other, deleted: otherChanged }),
    drivers.subscribe(other),
    capacities.subscribe(other),
  ];
  return {
    synced: Promise.all([claims, volumes, classes, csiNodes, drivers, capacities].map(each => each.synced)),
    end() {
      for (const end of ends) end();
    },
  };
}
