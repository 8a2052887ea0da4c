import { DeviceClass } from '#api/resource/v1/device-class.ts';
import { ResourceClaim } from '#api/resource/v1/resource-claim.ts';
import { ResourceSlice } from '#api/resource/v1/resource-slice.ts';
import type { Informers } from '#client/informers.ts';
import type { ClusterEvent } from '../plugin.ts';
import type { DeviceState } from './device-state.ts';

/** Keeps the scheduler's picture of devices up to date, and tells what may let a pod fit. */
export function followDevices(
  informers: Informers,
  devices: DeviceState,
  changed: (event: ClusterEvent & { readonly type: 'devices changed' }) => void,
): {
  readonly synced: Promise<unknown>;
  readonly end: () => void;
  onClaim(listener: (claim: ResourceClaim) => void): () => void;
} {
  const claims = informers.of(ResourceClaim);
  const slices = informers.of(ResourceSlice);
  const classes = informers.of(DeviceClass);
  const listeners = new Set<(claim: ResourceClaim) => void>();
  const seeClaim = (claim: ResourceClaim, before?: ResourceClaim) => {
    devices.setClaim(claim);
    for (const listener of listeners) listener(claim);
    changed({ type: 'devices changed', claim, ...(before && { before }) });
  };
  const ends = [
    claims.subscribe({
      added: claim => seeClaim(claim),
      updated: (claim, old) => seeClaim(claim, old),
      deleted(claim) {
        devices.removeClaim(claim);
        // What it had is free.
        const { allocation: _, ...status } = claim.status ?? {};
        changed({ type: 'devices changed', claim: { ...claim, status }, before: claim });
      },
    }),
    slices.subscribe({
      added: seeSlice,
      updated: seeSlice,
      deleted: slice => devices.removeSlice(slice),
    }),
    classes.subscribe({
      added: seeClass,
      updated: seeClass,
      deleted: deviceClass => devices.removeClass(deviceClass),
    }),
  ];
  return {
    synced: Promise.all([claims.synced, slices.synced, classes.synced]),
    end() {
      for (const end of ends) end();
    },
    onClaim(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };

  function seeSlice(slice: ResourceSlice): void {
    devices.setSlice(slice);
    changed({ type: 'devices changed' });
  }

  function seeClass(deviceClass: DeviceClass): void {
    devices.setClass(deviceClass);
    changed({ type: 'devices changed' });
  }
}
