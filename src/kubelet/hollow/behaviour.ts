import type { Pod } from '#api/core/v1/pod.ts';

/** How pods that match a rule live on a hollow node. A rule without conditions matches every pod; the first match counts. */
export interface HollowRule {
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** The kind of the controlling owner: `Job`. */
  readonly ownerKind?: string;
  /** From being bound to the node until the containers run. */
  readonly startMs?: number;
  /** From running until ready. */
  readonly readyMs?: number;
  /** From running until the containers end; absent: they run for ever. Pods that always restart never end. */
  readonly runMs?: number;
  readonly exitCode?: number;
  /** From the request to stop until gone; never longer than the grace period. */
  readonly stopMs?: number;
}

/** Everything starts at once and runs for ever, but the pods of Jobs end well after a second. */
export const defaultBehaviour: readonly HollowRule[] = [{ ownerKind: 'Job', runMs: 1000 }, {}];

export function ruleFor(rules: readonly HollowRule[], pod: Pod): HollowRule {
  return rules.find(rule => matches(rule, pod)) ?? {};
}

function matches({ namespace, labels, ownerKind }: HollowRule, { metadata }: Pod): boolean {
  if (namespace !== undefined && namespace !== metadata.namespace) return false;
  if (ownerKind !== undefined && metadata.ownerReferences?.find(each => each.controller)?.kind !== ownerKind)
    return false;
  return Object.entries(labels ?? {}).every(([key, value]) => metadata.labels?.[key] === value);
}
