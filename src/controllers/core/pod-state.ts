import type { Pod } from '#api/core/v1/pod.ts';
import { conditionOf } from '../conditions.ts';
import { timeMs } from '../time.ts';

/** Neither finished nor going away. */
export function isActive(pod: Pod): boolean {
  return !isTerminal(pod) && pod.metadata.deletionTimestamp === undefined;
}

export function isTerminal(pod: Pod): boolean {
  const phase = pod.status?.phase;
  return phase === 'Succeeded' || phase === 'Failed';
}

/** Going away, and not finished yet. */
export function isTerminating(pod: Pod): boolean {
  return !isTerminal(pod) && pod.metadata.deletionTimestamp !== undefined;
}

export function isReady(pod: Pod): boolean {
  return conditionOf(pod.status?.conditions, 'Ready')?.status === 'True';
}

/** When the pod has been ready for long enough: now or before means it is available. Infinity while it is not ready. */
export function availableAtMs(pod: Pod, minReadySeconds: number): number {
  const ready = conditionOf(pod.status?.conditions, 'Ready');
  if (ready?.status !== 'True') return Number.POSITIVE_INFINITY;
  if (minReadySeconds === 0) return 0;
  const sinceMs = timeMs(ready.lastTransitionTime);
  return sinceMs === 0 ? Number.POSITIVE_INFINITY : sinceMs + minReadySeconds * 1000;
}

export function isAvailable(pod: Pod, minReadySeconds: number, nowMs: number): boolean {
  return availableAtMs(pod, minReadySeconds) <= nowMs;
}

export function restartsMax(pod: Pod): number {
  let max = 0;
  for (const { restartCount } of pod.status?.containerStatuses ?? []) max = Math.max(max, restartCount);
  return max;
}
