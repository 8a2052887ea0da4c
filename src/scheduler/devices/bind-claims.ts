import type { Clock } from '#base/clock.ts';
import { isReason } from '#api/machinery/errors.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { consumerOf, deleteProtectionFinalizer, isReservedFor, reservedForMax } from '#api/resource/pod-claims.ts';
import { ResourceClaim, type AllocationResult } from '#api/resource/v1/resource-claim.ts';
import type { Client } from '#client/client.ts';
import type { DeviceReservation } from '../plugin.ts';
import type { DeviceState } from './device-state.ts';
import { isExtendedClaim, mappingsOf } from './extended-resources.ts';

export interface ClaimBinder {
  readonly client: Client;
  readonly clock: Clock;
  readonly devices: DeviceState;
  /** How long devices may take to get ready for their node (upstream's bindingTimeout). */
  readonly timeoutMs: number;
  /** Tells of each change of a claim; the result ends it. */
  onClaim(changed: (claim: ResourceClaim) => void): () => void;
  readonly signal: AbortSignal;
}

/** Promises devices to claims, so that no other pod gets them. The result takes the promise back. */
export function promiseDevices(devices: DeviceState, { claims }: DeviceReservation): () => void {
  const ends = claims.flatMap(({ claim, allocation }) => (allocation ? devices.promise(claim, allocation) : []));
  return () => {
    for (const end of ends) end();
  };
}

/** Writes allocations and who uses them, and waits for devices that have to get ready. Throws when they cannot be had. */
export async function bindClaims(
  binder: ClaimBinder,
  pod: Pod,
  reservation: DeviceReservation,
): Promise<readonly ResourceClaim[]> {
  const written: ResourceClaim[] = [];
  try {
    for (const { claim, allocation } of reservation.claims) {
      const current = isExtendedClaim(claim) && allocation ? await createExtended(binder, pod, claim) : claim;
      const bound = await bindClaim(binder, pod, current, allocation);
      written.push(bound);
      binder.devices.setClaim(bound);
    }
    for (const claim of written) await untilReady(binder, claim);
    return written;
  } catch (error) {
    await unbindClaims(binder, pod, written, error instanceof DevicesNotReady);
    throw error;
  }
}

/** The pod does not go to its node after all. */
export async function unbindClaims(
  { client, devices }: Pick<ClaimBinder, 'client' | 'devices'>,
  pod: Pod,
  claims: readonly ResourceClaim[],
  deallocate = false,
): Promise<void> {
  for (const claim of claims) {
    const { name = '', namespace = '', uid } = claim.metadata;
    try {
      if (isExtendedClaim(claim)) {
        await client.delete(ResourceClaim, name, { namespace });
        continue;
      }
      const change = {
        metadata: { uid },
        status: {
          reservedFor: [{ $patch: 'delete', uid: pod.metadata.uid }],
          ...(deallocate && { allocation: null, devices: null }),
        },
      };
      const patch = { type: 'strategic', patch: change } as const;
      devices.setClaim(await client.patch(ResourceClaim, name, patch, { namespace, subresource: 'status' }));
    } catch (error) {
      // Gone, or another one by now: nothing is left to give back.
      if (!isReason(error, 'NotFound') && !isReason(error, 'Conflict')) throw error;
    }
  }
}

/** Takes the devices of a claim back that nobody uses. */
export async function deallocateClaim(
  { client, devices }: Pick<ClaimBinder, 'client' | 'devices'>,
  claim: ResourceClaim,
): Promise<void> {
  const { name: _, namespace = '' } = claim.metadata;
  const { allocation: _allocation, reservedFor: _reservedFor, ...status } = claim.status ?? {};
  const updated = { ...claim, status };
  devices.setClaim(await client.update(ResourceClaim, updated, { namespace, subresource: 'status' }));
}

class DevicesNotReady extends Error {}

const conflictsMax = 5;

async function bindClaim(
  { client, clock, signal }: ClaimBinder,
  pod: Pod,
  claim: ResourceClaim,
  allocation: AllocationResult | undefined,
): Promise<ResourceClaim> {
  const { name = '', namespace = '', uid } = claim.metadata;
  let current = claim;
  for (let attempt = 0; ; attempt++) {
    if (current.metadata.uid !== uid || current.metadata.deletionTimestamp !== undefined)
      throw new Error(`claim ${name} got deleted in the meantime`);
    if (allocation && current.status?.allocation !== undefined)
      throw new Error(`claim ${name} got allocated elsewhere in the meantime`);
    if (!allocation && current.status?.allocation === undefined)
      throw new Error(`claim ${name} got deallocated elsewhere in the meantime`);
    if (!allocation && isReservedFor(current, pod.metadata.uid)) return current;
    const users = current.status?.reservedFor ?? [];
    if (users.length >= reservedForMax) throw new Error(`claim ${name} is used by too many pods`);
    try {
      const { finalizers = [] } = current.metadata;
      if (allocation && !finalizers.includes(deleteProtectionFinalizer)) {
        const metadata = { ...current.metadata, finalizers: [...finalizers, deleteProtectionFinalizer] };
        current = await client.update(ResourceClaim, { ...current, metadata }, { namespace, signal });
      }
      const allocationTimestamp = new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
      const status = {
        ...current.status,
        ...(allocation && { allocation: { ...allocation, allocationTimestamp } }),
        reservedFor: [...users, consumerOf(pod)],
      };
      return await client.update(ResourceClaim, { ...current, status }, { namespace, subresource: 'status', signal });
    } catch (error) {
      if (!isReason(error, 'Conflict') || attempt >= conflictsMax) throw error;
      current = await client.get(ResourceClaim, name, { namespace, signal });
    }
  }
}

/** The claim for extended resources has no user who could have made it. */
async function createExtended({ client, signal }: ClaimBinder, pod: Pod, claim: ResourceClaim): Promise<ResourceClaim> {
  const { name = '', namespace = '', uid } = pod.metadata;
  const created = await client.create(ResourceClaim, claim, { signal });
  const extendedResourceClaimStatus = {
    resourceClaimName: created.metadata.name,
    requestMappings: mappingsOf(pod, created),
  };
  const patch = { type: 'strategic', patch: { metadata: { uid }, status: { extendedResourceClaimStatus } } } as const;
  await client.patch(Pod, name, patch, { namespace, subresource: 'status', signal });
  return created;
}

/** KEP-5007: devices that are not attached yet say in the claim's status when they are. */
function untilReady(binder: ClaimBinder, claim: ResourceClaim): Promise<void> | undefined {
  if (readiness(claim) === 'ready') return undefined;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const see = (changed: ResourceClaim) => {
    if (changed.metadata.uid !== claim.metadata.uid) return;
    const state = readiness(changed);
    if (state === 'ready') resolve();
    else if (state !== 'waiting') reject(new DevicesNotReady(state));
  };
  const end = binder.onClaim(see);
  const { name, namespace } = claim.metadata;
  const current = binder.devices.claim(`${namespace}/${name}`);
  if (current) see(current);
  const cancel = binder.clock.after(binder.timeoutMs, () =>
    reject(new DevicesNotReady(`claim ${name}: device binding timeout`)),
  );
  const abort = () =>
    reject(binder.signal.reason instanceof Error ? binder.signal.reason : new Error('the scheduler ends'));
  binder.signal.addEventListener('abort', abort, { once: true });
  return promise.finally(() => {
    end();
    cancel();
    binder.signal.removeEventListener('abort', abort);
  });
}

/** `ready`, `waiting`, or what went wrong. */
function readiness({ metadata, status }: ResourceClaim): string {
  if (status?.allocation === undefined) return `claim ${metadata.name} got deallocated in the meantime`;
  let waits = false;
  for (const result of status.allocation.devices?.results ?? []) {
    const { bindingConditions = [], bindingFailureConditions = [], driver, pool, device, shareID } = result;
    if (bindingConditions.length === 0) continue;
    const told = status.devices?.find(
      each => each.driver === driver && each.pool === pool && each.device === device && each.shareID === shareID,
    );
    const holds = (type: string) => (told?.conditions ?? []).some(each => each.type === type && each.status === 'True');
    const failed = bindingFailureConditions.find(holds);
    if (failed !== undefined) return `claim ${metadata.name} binding failed: device ${device} has condition ${failed}`;
    if (!bindingConditions.every(holds)) waits = true;
  }
  return waits ? 'waiting' : 'ready';
}
