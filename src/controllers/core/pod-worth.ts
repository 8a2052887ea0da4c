import type { Pod } from '#api/core/v1/pod.ts';
import { conditionOf } from '../conditions.ts';
import { timeMs } from '../time.ts';
import { isReady, restartsMax } from './pod-state.ts';

const phaseRank: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };
const deletionCostAnnotation = 'controller.kubernetes.io/pod-deletion-cost';

/**
 * Upstream's order in which surplus pods go: not assigned, not running, not ready, cheap to delete, crowded nodes, ready
 * for a short time, restarted often, young. `crowd` says how many related pods share the pod's node.
 */
export function leastValuableFirst(nowMs: number, crowd: (pod: Pod) => number): (a: Pod, b: Pod) => number {
  return (a, b) =>
    assigned(a) - assigned(b) ||
    (phaseRank[a.status?.phase ?? ''] ?? 0) - (phaseRank[b.status?.phase ?? ''] ?? 0) ||
    Number(isReady(a)) - Number(isReady(b)) ||
    deletionCost(a) - deletionCost(b) ||
    crowd(b) - crowd(a) ||
    byAge(readySinceMs(a), readySinceMs(b), a, b, nowMs) ||
    restartsMax(b) - restartsMax(a) ||
    byAge(timeMs(a.metadata.creationTimestamp), timeMs(b.metadata.creationTimestamp), a, b, nowMs);
}

function assigned(pod: Pod): number {
  return (pod.spec?.nodeName ?? '') === '' ? 0 : 1;
}

function deletionCost(pod: Pod): number {
  const text = pod.metadata.annotations?.[deletionCostAnnotation] ?? '';
  return /^-?(0|[1-9]\d*)$/.test(text) ? Number(text) : 0;
}

function readySinceMs(pod: Pod): number {
  return isReady(pod) ? timeMs(conditionOf(pod.status?.conditions, 'Ready')?.lastTransitionTime) : 0;
}

/** The younger first, but ages of the same magnitude are equal and the uid decides: so the choice is spread. */
function byAge(aMs: number, bMs: number, a: Pod, b: Pod, nowMs: number): number {
  if (aMs === bMs) return 0;
  // A time that is not known counts as young.
  if (aMs === 0 || bMs === 0) return aMs === 0 ? -1 : 1;
  const difference = magnitude(nowMs - aMs) - magnitude(nowMs - bMs);
  if (difference !== 0) return difference;
  const [left = '', right = ''] = [a.metadata.uid, b.metadata.uid];
  return left < right ? -1 : left > right ? 1 : 0;
}

function magnitude(ageMs: number): number {
  return ageMs < 1_000 ? 0 : Math.floor(Math.log2(ageMs)) + 1;
}
