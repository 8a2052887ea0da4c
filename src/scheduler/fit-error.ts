import type { Rejection } from './plugin.ts';

/** "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable." as upstream's FitError says it. */
export function fitErrorMessage(rejections: ReadonlyMap<string, Rejection>, preemption: string): string {
  if (rejections.size === 0) return 'no nodes available to schedule pods';
  const everywhere = rejections.values().find(each => each.everywhere);
  if (everywhere)
    return `0/${rejections.size} nodes are available: ${everywhere.reasons.join(', ')}. ${preemption}`.trim();
  const reasons = [...rejections.values()].flatMap(each => each.reasons);
  return `0/${rejections.size} nodes are available: ${histogram(reasons)}. ${preemption}`.trim();
}

/** `1 A, 2 B`, sorted as text. */
export function histogram(reasons: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts]
    .map(([reason, count]) => `${count} ${reason}`)
    .toSorted()
    .join(', ');
}
