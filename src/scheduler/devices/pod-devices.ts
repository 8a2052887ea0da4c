import { claimNameOf, notForPod } from '#api/resource/pod-claims.ts';
import type { ResourceClaim } from '#api/resource/v1/resource-claim.ts';
import type { PodInfo } from '../pod-info.ts';
import type { DeviceState } from './device-state.ts';

/** The claims of a pod, each with devices or without; a sentence while one of them is not there. */
export function podClaimsOf({ pod }: PodInfo, devices: DeviceState): readonly ResourceClaim[] | string {
  const claims: ResourceClaim[] = [];
  for (const each of pod.spec.resourceClaims ?? []) {
    const named = claimNameOf(pod, each);
    if (named === undefined) continue;
    if (named.missing !== undefined) return named.missing;
    const claim = devices.claim(`${pod.metadata.namespace}/${named.name}`);
    if (!claim) return `resourceclaim "${named.name}" not found`;
    if (claim.metadata.deletionTimestamp !== undefined) return `resourceclaim "${named.name}" is being deleted`;
    const other = named.generated ? notForPod(pod, claim) : undefined;
    if (other !== undefined) return other;
    claims.push(claim);
  }
  return claims;
}

export function usesClaims({ pod }: PodInfo): boolean {
  return (pod.spec.resourceClaims ?? []).length > 0;
}
