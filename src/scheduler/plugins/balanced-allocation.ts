import type { Plugin } from '../plugin.ts';

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

function share(used: number, total: number): number {
  return total === 0 ? 1 : Math.min(1, used / total);
}
