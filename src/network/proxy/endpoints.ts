import type { Endpoint, EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { parseIp } from '#base/ip.ts';

/** Where a service's port leads: an address and a port, and what is known of it. */
export interface Target {
  readonly ip: string;
  readonly port: number;
  /** On this machine. */
  readonly local: boolean;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly zoneHints: readonly string[];
  readonly nodeHints: readonly string[];
}

export interface NodeInfo {
  readonly name: string;
  /** Other nodes of the same machine, whose pods meet the same rules. */
  readonly beside?: readonly string[];
  /** Its label topology.kubernetes.io/zone; empty: none. */
  readonly zone: string;
}

/** All targets of a port of a service for a family, each address once. */
export function targetsOf(
  slices: Iterable<EndpointSlice>,
  portName: string,
  protocol: string,
  family: 4 | 6,
  node: NodeInfo,
): Target[] {
  const targets = new Map<string, Target>();
  for (const slice of slices) {
    if (slice.addressType !== `IPv${family}`) continue;
    const port = slice.ports?.find(
      candidate => (candidate.name ?? '') === portName && (candidate.protocol ?? 'TCP') === protocol,
    )?.port;
    if (!port) continue;
    for (const endpoint of slice.endpoints ?? []) {
      // The addresses of one endpoint are the same pod: the first stands for it, as upstream decided.
      const ip = endpoint.addresses[0];
      if (ip === undefined || parseIp(ip)?.family !== family) continue;
      const target = targetOf(endpoint, ip, port, node);
      const known = targets.get(ip);
      // While an endpoint moves from one slice to another it is in both: the better news counts.
      if (!known || (!known.ready && target.ready)) targets.set(ip, target);
    }
  }
  return [...targets.values()];
}

function targetOf(endpoint: Endpoint, ip: string, port: number, node: NodeInfo): Target {
  const { conditions, hints } = endpoint;
  const ready = conditions?.ready ?? true;
  return {
    ip,
    port,
    local: isHere(endpoint, node),
    ready,
    serving: conditions?.serving ?? ready,
    terminating: conditions?.terminating ?? false,
    zoneHints: hints?.forZones?.map(zone => zone.name) ?? [],
    nodeHints: hints?.forNodes?.map(({ name }) => name) ?? [],
  };
}

/** Whether an endpoint is on this machine. */
export function isHere({ nodeName }: Endpoint, { name, beside = [] }: NodeInfo): boolean {
  return nodeName === name || (nodeName !== undefined && beside.includes(nodeName));
}

/** The targets for traffic with the policy Cluster: the ready ones that topology prefers, else the serving and terminating (KEP-1669). */
export function clusterTargets(targets: readonly Target[], node: NodeInfo): readonly Target[] {
  const ready = targets.filter(target => target.ready);
  if (ready.length === 0) return targets.filter(target => target.serving && target.terminating);
  return preferred(ready, node);
}

/** The targets for traffic with the policy Local. */
export function localTargets(targets: readonly Target[]): readonly Target[] {
  const local = targets.filter(target => target.local);
  const ready = local.filter(target => target.ready);
  return ready.length > 0 ? ready : local.filter(target => target.serving && target.terminating);
}

/** Hints count only when every ready endpoint has them and one is for us (KEP-2433, KEP-3015). */
function preferred(ready: readonly Target[], { name, zone }: NodeInfo): readonly Target[] {
  if (ready.every(target => target.nodeHints.length > 0)) {
    const sameNode = ready.filter(target => target.nodeHints.includes(name));
    if (sameNode.length > 0) return sameNode;
  }
  if (zone !== '' && ready.every(target => target.zoneHints.length > 0)) {
    const sameZone = ready.filter(target => target.zoneHints.includes(zone));
    if (sameZone.length > 0) return sameZone;
  }
  return ready;
}
