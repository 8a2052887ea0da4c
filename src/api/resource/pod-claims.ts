import type { PodResourceClaim } from '../core/v1/pod-spec.ts';
import type { Pod } from '../core/v1/pod.ts';
import type { DeviceToleration } from './v1/device-toleration.ts';
import type { ResourceClaim } from './v1/resource-claim.ts';
import type { DeviceTaint } from './v1/resource-slice.ts';

/*
 * How pods and claims belong together: what the scheduler, the claim controller and the kubelet have to agree on.
 */

/** A claim with devices is not removed before they are given back. */
export const deleteProtectionFinalizer = 'resource.kubernetes.io/delete-protection';
/** On a claim that was made from a template: the name of the entry in the pod's `spec.resourceClaims`. */
export const podClaimAnnotation = 'resource.kubernetes.io/pod-claim-name';
/** On a claim that the scheduler made for extended resources that devices serve. KEP-5004. */
export const extendedResourceAnnotation = 'resource.kubernetes.io/extended-resource-claim';
/** How many may use one claim at a time. */
export const reservedForMax = 256;

/** Which claim is meant: `undefined` when none is needed, and a sentence while it is not there yet. */
export type NamedClaim =
  | { readonly name: string; readonly generated: boolean; readonly missing: undefined }
  | { readonly missing: string };

export function claimNameOf({ metadata, status }: Pod, claim: PodResourceClaim): NamedClaim | undefined {
  if (claim.resourceClaimName !== undefined)
    return { name: claim.resourceClaimName, generated: false, missing: undefined };
  const made = status?.resourceClaimStatuses?.find(each => each.name === claim.name);
  if (made === undefined)
    return { missing: `pod "${metadata.namespace}/${metadata.name}": ResourceClaim not created yet` };
  // An entry without name says that no claim is needed.
  if ((made.resourceClaimName ?? '') === '') return undefined;
  return { name: made.resourceClaimName ?? '', generated: true, missing: undefined };
}

/** Why a generated claim is not this pod's, if it is not. */
export function notForPod({ metadata }: Pod, claim: ResourceClaim): string | undefined {
  const owner = claim.metadata.ownerReferences?.find(reference => reference.controller === true);
  if (owner !== undefined && owner.uid === metadata.uid) return undefined;
  return `ResourceClaim ${claim.metadata.namespace}/${claim.metadata.name} was not created for pod ${metadata.namespace}/${metadata.name} (pod is not owner)`;
}

export function isReservedFor({ status }: ResourceClaim, podUid: string | undefined): boolean {
  return (status?.reservedFor ?? []).some(each => each.uid === podUid);
}

export function canBeReserved({ status }: ResourceClaim): boolean {
  return (status?.reservedFor ?? []).length < reservedForMax;
}

/** How a claim says who uses it. */
export function consumerOf({ metadata }: Pod): { resource: 'pods'; name: string; uid: string } {
  return { resource: 'pods', name: metadata.name ?? '', uid: metadata.uid ?? '' };
}

/** Upstream's rule: an empty key with Exists tolerates all, an empty effect all effects. */
export function toleratesDeviceTaint(
  { key = '', operator = 'Equal', value = '', effect = '' }: DeviceToleration,
  taint: DeviceTaint,
): boolean {
  if (effect !== '' && effect !== taint.effect) return false;
  if (key !== '' && key !== taint.key) return false;
  if (operator === 'Exists') return true;
  return key !== '' && value === (taint.value ?? '');
}
