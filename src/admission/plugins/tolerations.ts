import { deepEqual } from '#base/deep-equal.ts';
import type { Pod } from '#api/core/v1/pod.ts';

export type Toleration = NonNullable<NonNullable<Pod['spec']>['tolerations']>[number];

/** Both lists together without those that another one covers; of equal ones the first stays. */
export function mergedTolerations(first: readonly Toleration[], second: readonly Toleration[]): Toleration[] {
  const all = [...first, ...second];
  const merged: Toleration[] = [];
  for (const [index, each] of all.entries()) {
    if (merged.some(other => covers(other, each))) continue;
    if (all.slice(index + 1).some(other => !deepEqual(other, each) && covers(other, each))) continue;
    merged.push(each);
  }
  return merged;
}

/** Whether whatever one tolerates the wider one does, too. */
export function covers(wider: Toleration, one: Toleration): boolean {
  if (deepEqual(wider, one)) return true;
  const exists = wider.operator === 'Exists';
  if ((one.key ?? '') !== (wider.key ?? '') && ((wider.key ?? '') !== '' || !exists)) return false;
  if ((one.effect ?? '') !== (wider.effect ?? '') && (wider.effect ?? '') !== '') return false;
  if (wider.effect === 'NoExecute' && wider.tolerationSeconds !== undefined) {
    if (one.tolerationSeconds === undefined || one.tolerationSeconds > wider.tolerationSeconds) return false;
  }
  if (exists) return true;
  return (one.operator ?? '') === (wider.operator ?? '') && (one.value ?? '') === (wider.value ?? '');
}
