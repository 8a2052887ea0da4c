import { canBeReserved, isReservedFor } from '#api/resource/pod-claims.ts';
import type { ResourceClaim } from '#api/resource/v1/resource-claim.ts';
import { Allocator, type Allocated } from '../devices/allocator.ts';
import type { DeviceState } from '../devices/device-state.ts';
import { extendedClaimFor } from '../devices/extended-resources.ts';
import { podClaimsOf, usesClaims } from '../devices/pod-devices.ts';
import type { NodeInfo } from '../node-info.ts';
import type { ClusterPlugin, DeviceReservation, Prepared, Rejection } from '../plugin.ts';
import type { PodInfo } from '../pod-info.ts';
import { matchesTerm } from './node-affinity.ts';

/** Devices for the claims of a pod, found on the node that it goes to. KEP-4381. */
export const dynamicResources: ClusterPlugin = {
  name: 'DynamicResources',
  weight: 2,
  prepare(pod, { devices }) {
    const wanted = wantedBy(pod, devices);
    if (wanted === undefined) return undefined;
    if ('plugin' in wanted) return { everywhere: { ...wanted, everywhere: true } };
    const found = new Map<string, Allocated>();
    const allocatorOf = allocators(pod, wanted, devices);
    const allocationOn = (node: NodeInfo): Allocated => {
      const known = found.get(node.name);
      if (known) return known;
      const allocated = allocatorOf(node).allocate(node);
      found.set(node.name, allocated);
      return allocated;
    };
    const prepared: Prepared = {
      filter(node) {
        if (wanted.allocated.some(claim => !isAvailableOn(claim, node))) return elsewhere;
        const { why } = allocationOn(node);
        return why === undefined ? undefined : rejection(why);
      },
      explain: node => ({ details: detailsOn(node, wanted, allocationOn), remedies: [] }),
    };
    if (!wanted.open.some(claim => claim.spec.devices?.requests?.some(each => (each.firstAvailable ?? []).length > 0)))
      return prepared;
    return {
      ...prepared,
      score: node => {
        const allocated = allocationOn(node);
        return allocated.results === undefined ? undefined : allocated.rank;
      },
      normalize: (raw, _min, max) => (max === 0 ? 0 : Math.floor((100 * raw) / max)),
    };
  },
  hint(event, pod, { devices }) {
    if (event.type !== 'devices changed') return event.type === 'nodes changed';
    const { claim, before } = event;
    // Slices and classes; who does not wait for devices was not refused here.
    if (claim === undefined) return true;
    // Given back: others may have them now.
    if (before?.status?.allocation !== undefined && claim.status?.allocation === undefined) return true;
    const claims = podClaimsOf(pod, devices);
    return typeof claims !== 'string' && claims.some(each => each.metadata.uid === claim.metadata.uid);
  },
  allocate(pod, node, { devices }): DeviceReservation | undefined {
    const wanted = wantedBy(pod, devices);
    if (wanted === undefined || 'plugin' in wanted) return undefined;
    const { results } = allocators(pod, wanted, devices)(node).allocate(node);
    if (!results) return undefined;
    const open = [...wanted.open, ...(extendedOn(pod, node, devices) ?? [])];
    return {
      claims: [
        ...wanted.allocated.map(claim => ({ claim, allocation: undefined })),
        ...open.map((claim, index) => ({ claim, allocation: results[index] })),
      ],
    };
  },
};

/** A claim that keeps a pod from all nodes and that nobody uses: giving its devices back may help. */
export function claimToDeallocate(
  pod: PodInfo,
  nodes: readonly NodeInfo[],
  devices: DeviceState,
): ResourceClaim | undefined {
  const wanted = usesClaims(pod) ? wantedBy(pod, devices) : undefined;
  if (wanted === undefined || 'plugin' in wanted) return undefined;
  const { uid } = pod.pod.metadata;
  return wanted.allocated.find(
    claim =>
      nodes.some(node => !isAvailableOn(claim, node)) &&
      (claim.status?.reservedFor ?? []).every(each => each.uid === uid),
  );
}

/** Why a pod need not even be looked at: upstream's PreEnqueue. */
export function claimMissing(pod: PodInfo, devices: DeviceState): string | undefined {
  if (!usesClaims(pod)) return undefined;
  const claims = podClaimsOf(pod, devices);
  return typeof claims === 'string' ? claims : undefined;
}

const elsewhere = rejection('resourceclaim not available on the node');

interface Wanted {
  /** They have their devices. */
  readonly allocated: readonly ResourceClaim[];
  readonly open: readonly ResourceClaim[];
}

function wantedBy(pod: PodInfo, devices: DeviceState): Wanted | Rejection | undefined {
  if (!usesClaims(pod)) return extendedNames(pod, devices).length > 0 ? { allocated: [], open: [] } : undefined;
  const claims = podClaimsOf(pod, devices);
  if (typeof claims === 'string') return rejection(claims);
  const allocated: ResourceClaim[] = [];
  const open: ResourceClaim[] = [];
  for (const claim of claims) {
    if (claim.status?.allocation !== undefined) {
      if (!canBeReserved(claim) && !isReservedFor(claim, pod.pod.metadata.uid))
        return rejection('resourceclaim in use');
      allocated.push(claim);
      continue;
    }
    if (devices.isPromised(claim))
      return rejection(
        `resource claim ${claim.metadata.namespace}/${claim.metadata.name} is in the process of being allocated`,
      );
    for (const request of claim.spec.devices?.requests ?? []) {
      const missing = request.exactly && !devices.classes.has(request.exactly.deviceClassName);
      if (missing)
        return rejection(`request ${request.name}: device class ${request.exactly?.deviceClassName} does not exist`);
      for (const part of request.firstAvailable ?? [])
        if (!devices.classes.has(part.deviceClassName))
          return rejection(`request ${request.name}/${part.name}: device class ${part.deviceClassName} does not exist`);
    }
    open.push(claim);
  }
  return { allocated, open };
}

/** What is asked for differs by node only where extended resources are served by devices on some of them. */
function allocators(pod: PodInfo, { open }: Wanted, devices: DeviceState): (node: NodeInfo) => Allocator {
  const plain = new Allocator(open, devices);
  if (extendedNames(pod, devices).length === 0) return () => plain;
  const byResources = new Map<string, Allocator>();
  return node => {
    const extended = extendedOn(pod, node, devices);
    if (!extended) return plain;
    const key = JSON.stringify(extended[0]?.spec);
    const known = byResources.get(key) ?? new Allocator([...open, ...extended], devices);
    byResources.set(key, known);
    return known;
  };
}

function extendedNames({ requests }: PodInfo, devices: DeviceState): readonly string[] {
  const names: string[] = [];
  for (const [name, amount] of requests.scalar)
    if (amount > 0 && devices.classOfResource(name) !== undefined) names.push(name);
  return names;
}

function extendedOn(pod: PodInfo, node: NodeInfo, devices: DeviceState): readonly ResourceClaim[] | undefined {
  const names = extendedNames(pod, devices).filter(name => (node.allocatable.scalar.get(name) ?? 0) === 0);
  return names.length === 0 ? undefined : [extendedClaimFor(pod.pod, names, devices)];
}

function isAvailableOn({ status }: ResourceClaim, { node }: NodeInfo): boolean {
  const terms = status?.allocation?.nodeSelector?.nodeSelectorTerms;
  return terms === undefined || terms.some(term => matchesTerm(term, node));
}

function detailsOn(node: NodeInfo, { allocated, open }: Wanted, allocationOn: (node: NodeInfo) => Allocated) {
  const away = allocated.filter(claim => !isAvailableOn(claim, node));
  if (away.length > 0)
    return away.map(({ metadata }) => `claim ${metadata.name} has its devices already, and not on this node`);
  const { why } = allocationOn(node);
  const names = open.map(({ metadata }) => metadata.name).join(', ');
  return why === undefined ? [] : [`no devices that are free here serve ${names || 'the extended resources'}: ${why}`];
}

function rejection(reason: string): Rejection {
  return { plugin: 'DynamicResources', reasons: [reason], unresolvable: true };
}
