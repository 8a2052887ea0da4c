import {
  aCondition,
  aConfiguration,
  type AdmissionExpression,
  aMessage,
  anAnnotation,
  ExpressionCompiler,
  type ExpressionScope,
  patchOperations,
} from '#api/admissionregistration/expressions.ts';
import type { MutatingAdmissionPolicy } from '#api/admissionregistration/v1/mutating-admission-policy.ts';
import type { ValidatingAdmissionPolicy } from '#api/admissionregistration/v1/validating-admission-policy.ts';
import type { MatchCondition } from '#api/admissionregistration/v1/match-condition.ts';
import type { Variables } from '../activation.ts';
import type { CompiledCondition } from '../match-conditions.ts';

interface Compiled {
  readonly variables: Variables;
  readonly conditions: readonly CompiledCondition[];
}

export interface CompiledValidatingPolicy extends Compiled {
  readonly validations: readonly CompiledValidation[];
  readonly annotations: readonly { readonly key: string; readonly value: AdmissionExpression }[];
}

export interface CompiledValidation {
  readonly expression: AdmissionExpression;
  readonly message: string;
  readonly messageExpression: AdmissionExpression | undefined;
  readonly reason: string | undefined;
}

export interface CompiledMutatingPolicy extends Compiled {
  readonly mutations: readonly { readonly patchType: string; readonly expression: AdmissionExpression }[];
}

const validating = new WeakMap<ValidatingAdmissionPolicy, CompiledValidatingPolicy>();
const mutating = new WeakMap<MutatingAdmissionPolicy, CompiledMutatingPolicy>();

/** Compiled when it is first asked, and once: a policy that changes is another object. */
export function compiledValidating(policy: ValidatingAdmissionPolicy): CompiledValidatingPolicy {
  const known = validating.get(policy);
  if (known) return known;
  const { paramKind, validations = [], auditAnnotations = [] } = policy.spec;
  const scope: ExpressionScope = { params: paramKind !== undefined, authorizer: true };
  const compiler = new ExpressionCompiler();
  const variables = declare(compiler, policy.spec.variables, scope);
  const compiled: CompiledValidatingPolicy = {
    variables,
    conditions: conditionsOf(compiler, policy.spec.matchConditions, scope),
    validations: validations.map(({ expression, message = '', messageExpression = '', reason }) => ({
      expression: compiler.compile(expression, aCondition, scope),
      message,
      messageExpression:
        messageExpression === ''
          ? undefined
          : compiler.compile(messageExpression, aMessage, { ...scope, authorizer: false }),
      reason,
    })),
    annotations: auditAnnotations.map(({ key, valueExpression }) => ({
      key,
      value: compiler.compile(valueExpression, anAnnotation, scope),
    })),
  };
  validating.set(policy, compiled);
  return compiled;
}

export function compiledMutating(policy: MutatingAdmissionPolicy): CompiledMutatingPolicy {
  const known = mutating.get(policy);
  if (known) return known;
  const scope: ExpressionScope = { params: policy.spec.paramKind !== undefined, authorizer: true };
  const compiler = new ExpressionCompiler();
  const variables = declare(compiler, policy.spec.variables, scope);
  const compiled: CompiledMutatingPolicy = {
    variables,
    conditions: conditionsOf(compiler, policy.spec.matchConditions, scope),
    mutations: (policy.spec.mutations ?? []).map(({ patchType, applyConfiguration, jsonPatch }) => ({
      patchType,
      expression: compiler.compile(
        (patchType === 'JSONPatch' ? jsonPatch?.expression : applyConfiguration?.expression) ?? '',
        patchType === 'JSONPatch' ? patchOperations : aConfiguration,
        { ...scope, patches: true },
      ),
    })),
  };
  mutating.set(policy, compiled);
  return compiled;
}

function declare(
  compiler: ExpressionCompiler,
  variables: readonly { readonly name: string; readonly expression: string }[] = [],
  scope: ExpressionScope,
): Variables {
  return new Map(variables.map(({ name, expression }) => [name, compiler.declare(name, expression, scope)]));
}

function conditionsOf(
  compiler: ExpressionCompiler,
  conditions: readonly MatchCondition[] = [],
  scope: ExpressionScope,
): readonly CompiledCondition[] {
  return conditions.map(({ name, expression }) => ({
    name,
    expression: compiler.compile(expression, aCondition, scope),
  }));
}
