import type { Plugin } from '../plugin.ts';
import type { Resources } from '../pod-info.ts';

/** Prefers nodes on which cpu and memory are used in equal measure. */
export const balancedAllocation: Plugin = {
  name: 'NodeResourcesBalancedAllocation',
  weight: 1,
  // Upstream skips pods that ask for nothing: placing them balances nothing.
  scores: pod => pod.requests.milliCPU > 0 || pod.requests.memoryBytes > 0,
  score(pod, { allocatable, requested }) {
    const cpu = share(requested.milliCPU + pod.requests.milliCPU, allocatable.milliCPU);
    const memory = share(requested.memoryBytes + pod.requests.memoryBytes, allocatable.memoryBytes);
    // With two resources the standard deviation is half of the distance.
    return Math.floor((1 - Math.abs(cpu - memory) / 2) * 100);
  },
};

/** Over other resources than cpu and memory. */
export function balancedAllocationWith(resources: readonly string[]): Plugin {
  const of = (name: string, { milliCPU, memoryBytes, ephemeralBytes, scalar }: Resources) =>
    name === 'cpu'
      ? milliCPU
      : name === 'memory'
        ? memoryBytes
        : name === 'ephemeral-storage'
          ? ephemeralBytes
          : (scalar.get(name) ?? 0);
  return {
    ...balancedAllocation,
    scores: pod => resources.some(name => of(name, pod.requests) > 0),
    score(pod, { allocatable, requested }) {
      const shares = resources
        .filter(name => of(name, allocatable) > 0)
        .map(name => share(of(name, requested) + of(name, pod.requests), of(name, allocatable)));
      if (shares.length < 2) return 100;
      const mean = shares.reduce((sum, each) => sum + each, 0) / shares.length;
      const variance = shares.reduce((sum, each) => sum + (each - mean) ** 2, 0) / shares.length;
      return Math.floor((1 - Math.sqrt(variance)) * 100);
    },
  };
}

function share(used: number, total: number): number {
  return total === 0 ? 1 : Math.min(1, used / total);
}
