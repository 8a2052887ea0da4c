import type { NodeInfo } from '../node-info.ts';
import type { Plugin } from '../plugin.ts';
import type { PodInfo } from '../pod-info.ts';

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
  score(pod, node) {
    const cpu = free(node.allocatable.milliCPU, node.assumedMilliCPU + pod.assumedMilliCPU);
    const memory = free(node.allocatable.memoryBytes, node.assumedMemoryBytes + pod.assumedMemoryBytes);
    const known = Number(node.allocatable.milliCPU > 0) + Number(node.allocatable.memoryBytes > 0);
    return known === 0 ? 0 : Math.floor((cpu + memory) / known);
  },
};

interface Insufficiency {
  readonly reason: string;
  /** The node is too small even when empty. */
  readonly unresolvable: boolean;
}

function insufficient({ requests }: PodInfo, node: NodeInfo): readonly Insufficiency[] {
  const lacking: Insufficiency[] = [];
  const { allocatable, requested } = node;
  if (node.pods.size + 1 > node.podsMax) lacking.push({ reason: 'Too many pods', unresolvable: false });
  const check = (name: string, wanted: number, total: number, used: number) => {
    if (wanted > 0 && wanted > total - used)
      lacking.push({ reason: `Insufficient ${name}`, unresolvable: wanted > total });
  };
  check('cpu', requests.milliCPU, allocatable.milliCPU, requested.milliCPU);
  check('memory', requests.memoryBytes, allocatable.memoryBytes, requested.memoryBytes);
  check('ephemeral-storage', requests.ephemeralBytes, allocatable.ephemeralBytes, requested.ephemeralBytes);
  for (const [name, wanted] of requests.scalar)
    check(name, wanted, allocatable.scalar.get(name) ?? 0, requested.scalar.get(name) ?? 0);
  return lacking;
}

/** The free share of a resource, 0 to 100. */
function free(total: number, used: number): number {
  return total === 0 || used > total ? 0 : Math.floor(((total - used) * 100) / total);
}
