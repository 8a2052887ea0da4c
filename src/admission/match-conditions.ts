import { runtimeCostBudgetMatchConditions } from '#cel/limits.ts';
import {
  aCondition,
  type AdmissionExpression,
  compileAlone,
  type ExpressionScope,
} from '#api/admissionregistration/expressions.ts';
import type { MatchCondition } from '#api/admissionregistration/v1/match-condition.ts';
import { Activation, Budget, OutOfBudget, type Subject, type Variables } from './activation.ts';

/** A condition that all have to hold before somebody is asked about a request. */
export interface CompiledCondition {
  readonly name: string;
  readonly expression: AdmissionExpression;
}

/** What came of all conditions together: a failure counts as the failure policy says, unless one of them is false. */
export type ConditionsOutcome =
  | { readonly matches: boolean; readonly failedName?: string; readonly error: undefined }
  | { readonly matches: false; readonly failedName?: undefined; readonly error: string };

/** Conditions of a webhook: they know no params and no variables. */
export function compileConditions(conditions: readonly MatchCondition[] | undefined): readonly CompiledCondition[] {
  return (conditions ?? []).map(({ name, expression }) => ({
    name,
    expression: compileAlone(expression, aCondition, webhookScope),
  }));
}

const webhookScope: ExpressionScope = { params: false, authorizer: true };

const noVariables: Variables = new Map();

/** Asks every condition; the first that is false decides, whatever others came to. */
export async function evaluateConditions(
  conditions: readonly CompiledCondition[],
  subject: Subject,
  variables: Variables = noVariables,
): Promise<ConditionsOutcome> {
  if (conditions.length === 0) return { matches: true, error: undefined };
  // Conditions are asked before anybody knows the namespace.
  const activation = new Activation({ ...subject, namespace: undefined }, variables);
  const budget = new Budget(runtimeCostBudgetMatchConditions);
  const failures: string[] = [];
  const said: { readonly name: string; readonly value: unknown }[] = [];
  try {
    for (const { name, expression } of conditions) {
      const outcome = await activation.evaluate(expression, budget);
      if (outcome.error !== undefined) failures.push(outcome.error);
      else said.push({ name, value: outcome.value });
    }
  } catch (error) {
    if (error instanceof OutOfBudget) return { matches: false, error: error.message };
    throw error;
  }
  const failed = said.find(({ value }) => value === false);
  if (failed) return { matches: false, failedName: failed.name, error: undefined };
  if (failures.length === 0) return { matches: true, error: undefined };
  return { matches: false, error: failures.length === 1 ? (failures[0] as string) : `[${failures.join(', ')}]` };
}
