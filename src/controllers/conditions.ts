/** A condition of any kind's status. */
export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
  readonly lastTransitionTime?: string | undefined;
}

export function conditionOf<C extends Condition>(conditions: readonly C[] | undefined, type: string): C | undefined {
  return conditions?.find(condition => condition.type === type);
}

/** Replaces the condition of that type, or appends it. A status that stays keeps its transition time. */
export function withCondition<C extends Condition>(conditions: readonly C[] | undefined, condition: C): C[] {
  const old = conditionOf(conditions, condition.type);
  const wanted =
    old && old.status === condition.status && old.lastTransitionTime !== undefined
      ? { ...condition, lastTransitionTime: old.lastTransitionTime }
      : condition;
  const rest = conditions ?? [];
  return old ? rest.map(each => (each.type === condition.type ? wanted : each)) : [...rest, wanted];
}

export function withoutCondition<C extends Condition>(conditions: readonly C[] | undefined, type: string): C[] {
  return (conditions ?? []).filter(condition => condition.type !== type);
}
