import type { NodeInfo } from '../node-info.ts';
import type { Plugin, Remedy } from '../plugin.ts';
import { strategyScore, type ScoringStrategy } from './scoring-strategy.ts';
import { amountText, type PodInfo, type Resources } from '../pod-info.ts';

/** The arguments of upstream's NodeResourcesFitArgs. */
export interface FitArguments {
  readonly ignoredResources: readonly string[];
  readonly ignoredResourceGroups: readonly string[];
  readonly scoring: ScoringStrategy;
}

/** With other arguments than the usual ones. */
export function nodeResourcesFitWith({ ignoredResources, ignoredResourceGroups, scoring }: FitArguments): Plugin {
  const groups = ignoredResourceGroups.map(each => `${each}/`);
  const ignored = (name: string) => ignoredResources.includes(name) || groups.some(each => name.startsWith(each));
  const counted = (pod: PodInfo): PodInfo => {
    if (![...pod.requests.scalar.keys()].some(ignored)) return pod;
    const scalar = new Map([...pod.requests.scalar].filter(([name]) => !ignored(name)));
    return { ...pod, requests: { ...pod.requests, scalar } };
  };
  return {
    ...nodeResourcesFit,
    filter: (pod, node) => nodeResourcesFit.filter?.(counted(pod), node),
    score: (pod, node) => strategyScore(scoring, pod, node),
  };
}

/** Enough of everything must be free; the emptier node is better (LeastAllocated over cpu and memory). */
export const nodeResourcesFit: Plugin = {
  name: 'NodeResourcesFit',
  weight: 1,
  filter(pod, node) {
    const lacking = insufficient(pod, node);
    if (lacking.length === 0) return undefined;
    return {
      plugin: 'NodeResourcesFit',
      reasons: lacking.map(each => each.reason),
      unresolvable: lacking.some(each => each.unresolvable),
    };
  },
  explain(pod, node) {
    const lacking = insufficient(pod, node);
    return {
      details: lacking.map(({ name, wanted, total, used }) =>
        name === 'pods'
          ? `pods: ${used} of ${total} are there`
          : `${name}: asks for ${amountText(name, wanted)}, ${amountText(name, Math.max(0, total - used))} of ${amountText(name, total)} are free`,
      ),
      remedies: lacking.flatMap(each => remedyFor(each, node)),
    };
  },
  score(pod, node) {
    const cpu = free(node.allocatable.milliCPU, node.assumedMilliCPU + pod.assumedMilliCPU);
    const memory = free(node.allocatable.memoryBytes, node.assumedMemoryBytes + pod.assumedMemoryBytes);
    const known = Number(node.allocatable.milliCPU > 0) + Number(node.allocatable.memoryBytes > 0);
    return known === 0 ? 0 : Math.floor((cpu + memory) / known);
  },
};

function remedyFor({ name, wanted, total, used }: Insufficiency, node: NodeInfo): Remedy | readonly Remedy[] {
  // No change of the pod makes place for one more; and who holds too much already refuses even the smallest request.
  if (name === 'pods') return [];
  const less = wanted - Math.max(0, total - used);
  const all = less >= wanted;
  const missing = all && total === 0;
  return {
    change: missing
      ? `it did not ask for ${name}, which ${node.name} does not have`
      : all
        ? `it asked for no ${name} at all`
        : `it asked for ${amountText(name, less)} less ${name}`,
    share: less / wanted,
    apply: trial => ({
      ...trial,
      pod: { ...trial.pod, requests: lessOf(trial.pod.requests, name, less) },
    }),
  };
}

function lessOf(requests: Resources, name: string, amount: number): Resources {
  switch (name) {
    case 'cpu':
      return { ...requests, milliCPU: requests.milliCPU - amount };
    case 'memory':
      return { ...requests, memoryBytes: requests.memoryBytes - amount };
    case 'ephemeral-storage':
      return { ...requests, ephemeralBytes: requests.ephemeralBytes - amount };
    default:
      return { ...requests, scalar: new Map(requests.scalar).set(name, (requests.scalar.get(name) ?? 0) - amount) };
  }
}

interface Insufficiency {
  /** Of the resource; `pods` for the number of pods. */
  readonly name: string;
  readonly wanted: number;
  readonly total: number;
  readonly used: number;
  readonly reason: string;
  /** The node is too small even when empty. */
  readonly unresolvable: boolean;
}

function insufficient({ requests }: PodInfo, node: NodeInfo): readonly Insufficiency[] {
  const lacking: Insufficiency[] = [];
  const { allocatable, requested } = node;
  if (node.pods.size + 1 > node.podsMax)
    lacking.push({
      name: 'pods',
      wanted: 1,
      total: node.podsMax,
      used: node.pods.size,
      reason: 'Too many pods',
      unresolvable: false,
    });
  const check = (name: string, wanted: number, total: number, used: number) => {
    if (wanted > 0 && wanted > total - used)
      lacking.push({ name, wanted, total, used, reason: `Insufficient ${name}`, unresolvable: wanted > total });
  };
  check('cpu', requests.milliCPU, allocatable.milliCPU, requested.milliCPU);
  check('memory', requests.memoryBytes, allocatable.memoryBytes, requested.memoryBytes);
  check('ephemeral-storage', requests.ephemeralBytes, allocatable.ephemeralBytes, requested.ephemeralBytes);
  for (const [name, wanted] of requests.scalar) {
    const total = allocatable.scalar.get(name) ?? 0;
    // DynamicResources looks for devices then.
    if (total === 0 && wanted > 0 && node.servedByDevices(name)) continue;
    check(name, wanted, total, requested.scalar.get(name) ?? 0);
  }
  return lacking;
}

/** The free share of a resource, 0 to 100. */
function free(total: number, used: number): number {
  return total === 0 || used > total ? 0 : Math.floor(((total - used) * 100) / total);
}
