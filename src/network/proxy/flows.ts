import type { FlowSelection, LedFlow } from '../conntrack.ts';
import type { ServiceRules, UdpFrontend } from './decide.ts';

/**
 * The flows of UDP that must be forgotten when a service's rules change: those led to an endpoint that is gone, and,
 * when a service gets its first endpoints, those that were led nowhere before.
 */
export function staleFlows(old: ServiceRules | undefined, now: ServiceRules | undefined): readonly FlowSelection[] {
  const flows: FlowSelection[] = [];
  const current = new Map(now?.udp.map(frontend => [placeOf(frontend), frontend]));
  for (const frontend of old?.udp ?? []) {
    const kept = new Set(current.get(placeOf(frontend))?.targets);
    for (const target of frontend.targets) if (!kept.has(target)) flows.push({ ...selectionOf(frontend), target });
  }
  const before = new Map(old?.udp.map(frontend => [placeOf(frontend), frontend]));
  for (const [place, frontend] of current) {
    const had = before.get(place)?.targets.length ?? 0;
    if (old && had === 0 && frontend.targets.length > 0) flows.push(selectionOf(frontend));
  }
  return flows;
}

/** Of the flows that are there when the proxy starts, those to endpoints that went while it was away. */
export function strayFlows(flows: readonly LedFlow[], frontends: Iterable<UdpFrontend>): readonly FlowSelection[] {
  const targets = new Map<string, ReadonlySet<string>>();
  for (const frontend of frontends) targets.set(placeOf(frontend), new Set(frontend.targets));
  const strays = new Map<string, FlowSelection>();
  for (const { address, port, target } of flows) {
    const wanted = targets.get(`${address} ${port}`) ?? targets.get(`* ${port}`);
    if (!wanted || wanted.has(target)) continue;
    strays.set(`${address} ${port} ${target}`, { protocol: 'udp', address, port, target });
  }
  return [...strays.values()];
}

function placeOf({ address, port }: UdpFrontend): string {
  return `${address ?? '*'} ${port}`;
}

function selectionOf({ address, port }: UdpFrontend): FlowSelection {
  return { protocol: 'udp', port, ...(address !== undefined && { address }) };
}
