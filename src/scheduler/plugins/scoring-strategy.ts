import type { NodeInfo } from '../node-info.ts';
import type { PodInfo } from '../pod-info.ts';

export interface WeightedResource {
  readonly name: string;
  readonly weight: number;
}

/** How NodeResourcesFit likes nodes to be used. */
export type ScoringStrategy =
  | { readonly type: 'LeastAllocated' | 'MostAllocated'; readonly resources: readonly WeightedResource[] }
  | {
      readonly type: 'RequestedToCapacityRatio';
      readonly resources: readonly WeightedResource[];
      /** Utilization 0 to 100 → score 0 to 10, by rising utilization; in between it is interpolated. */
      readonly shape: readonly { readonly utilization: number; readonly score: number }[];
    };

/** 0 to 100. */
export function strategyScore(strategy: ScoringStrategy, pod: PodInfo, node: NodeInfo): number {
  let sum = 0;
  let weights = 0;
  for (const { name, weight } of strategy.resources) {
    const amounts = amountsOf(name, pod, node);
    if (amounts === undefined || amounts.total === 0) continue;
    const score = scoreOf(strategy, Math.floor(amounts.used), amounts.total);
    // Upstream leaves resources out of a ratio that score nothing.
    if (strategy.type === 'RequestedToCapacityRatio' && score <= 0) continue;
    sum += score * weight;
    weights += weight;
  }
  if (weights === 0) return 0;
  return strategy.type === 'RequestedToCapacityRatio' ? Math.round(sum / weights) : Math.floor(sum / weights);
}

/** With the pod there. cpu and memory are counted with what is assumed of containers that ask for nothing. */
function amountsOf(
  name: string,
  pod: PodInfo,
  { allocatable, requested, assumedMilliCPU, assumedMemoryBytes }: NodeInfo,
): { readonly total: number; readonly used: number } | undefined {
  switch (name) {
    case 'cpu':
      return { total: allocatable.milliCPU, used: assumedMilliCPU + pod.assumedMilliCPU };
    case 'memory':
      return { total: allocatable.memoryBytes, used: assumedMemoryBytes + pod.assumedMemoryBytes };
    case 'ephemeral-storage':
      return { total: allocatable.ephemeralBytes, used: requested.ephemeralBytes + pod.requests.ephemeralBytes };
    default: {
      const wanted = pod.requests.scalar.get(name) ?? 0;
      if (wanted === 0) return undefined;
      return { total: allocatable.scalar.get(name) ?? 0, used: (requested.scalar.get(name) ?? 0) + wanted };
    }
  }
}

function scoreOf(strategy: ScoringStrategy, used: number, total: number): number {
  switch (strategy.type) {
    case 'LeastAllocated':
      return used > total ? 0 : Math.floor(((total - used) * 100) / total);
    case 'MostAllocated':
      return Math.floor((Math.min(used, total) * 100) / total);
    case 'RequestedToCapacityRatio':
      return interpolated(strategy.shape, used > total ? 100 : Math.floor((used * 100) / total));
  }
}

function interpolated(shape: readonly { readonly utilization: number; readonly score: number }[], at: number): number {
  for (const [index, point] of shape.entries()) {
    if (at > point.utilization) continue;
    const before = shape[index - 1];
    if (!before) return point.score * 10;
    const rise = (point.score - before.score) * 10 * (at - before.utilization);
    return before.score * 10 + Math.trunc(rise / (point.utilization - before.utilization));
  }
  return (shape.at(-1)?.score ?? 0) * 10;
}
