import { deepEqual } from '#base/deep-equal.ts';
import { CelList, CelMap, CelObject, type Result } from '#cel/values.ts';
import type { MutatingAdmissionPolicyBinding } from '#api/admissionregistration/v1/mutating-admission-policy-binding.ts';
import type { MutatingAdmissionPolicy } from '#api/admissionregistration/v1/mutating-admission-policy.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { mergeObjects } from '#api/machinery/apply/merge.ts';
import { atomicsIn } from '#api/machinery/apply/atomics.ts';
import { structureOf } from '#api/machinery/apply/structure.ts';
import { misfitMessage, misfitsOf } from '#api/machinery/apply/typed.ts';
import { decodeObject } from '#api/machinery/decode.ts';
import { defaultObject } from '#api/machinery/defaults.ts';
import { ApiError, errors, type StatusCause } from '#api/machinery/errors.ts';
import { setOwn } from '#api/machinery/json.ts';
import { apiVersionOf, type ApiObject, type Draft, type Kind } from '#api/machinery/kind.ts';
import { applyJsonPatch, isFailedTest } from '#api/machinery/patch/json-patch.ts';
import type { Json, JsonObject } from '#api/machinery/schema.ts';
import { Activation, Budget, Decisions, OutOfBudget, paramsWithType } from '../activation.ts';
import type { AdmissionRequest } from '../admission.ts';
import { evaluateConditions } from '../match-conditions.ts';
import { forbidden, isOf } from '../request.ts';
import type { Sources } from '../sources.ts';
import { compiledMutating, type CompiledMutatingPolicy } from './compiled.ts';
import type { Hook } from './hooks.ts';
import { type Matched, matchOf, namespaceOf } from './matching.ts';
import { errorTypeOf, type PolicyMetrics } from './metrics.ts';
import { paramKindOf, paramsOf } from './params.ts';
import { plainValueOf } from './plain-value.ts';
import type { History, PolicyContext } from './plugins.ts';
import { subjectOf } from './validating.ts';

type PolicyHook = Hook<MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding>;

/** One look at an object by all policies that may have to do with it, in their order. */
export async function mutate(
  hooks: readonly PolicyHook[],
  request: AdmissionRequest,
  history: History,
  { sources, authorizer, metrics }: PolicyContext,
): Promise<void> {
  const failures: Failure[] = [];
  const invocations: Invocation[] = [];
  for (const { policy, bindings } of hooks)
    invocations.push(...(await invocationsOf(policy, bindings, request, sources, failures)));
  const mutation = new Mutation(sources, request, new Decisions(authorizer, request), metrics, failures);
  await mutation.run(invocations, history);
  refuse(request, failures);
}

function invokeAgain({ invoked, again }: History): void {
  for (const id of invoked) again.add(id);
  invoked.clear();
}

function idOf({ policy, binding, params }: Invocation): string {
  return JSON.stringify([
    policy.metadata.name,
    binding.metadata.name,
    params?.metadata.namespace,
    params?.metadata.name,
  ]);
}

/** A policy, what puts it into force, and one of its params. */
interface Invocation {
  readonly policy: MutatingAdmissionPolicy;
  readonly binding: MutatingAdmissionPolicyBinding;
  readonly matched: Matched;
  readonly params: ApiObject | undefined;
}

interface Failure {
  readonly policy: MutatingAdmissionPolicy;
  readonly binding: MutatingAdmissionPolicyBinding | undefined;
  readonly message: string;
  readonly reason?: 'Invalid';
}

async function invocationsOf(
  policy: MutatingAdmissionPolicy,
  bindings: readonly MutatingAdmissionPolicyBinding[],
  request: AdmissionRequest,
  sources: Sources,
  failures: Failure[],
): Promise<readonly Invocation[]> {
  const { matchConstraints, paramKind } = policy.spec;
  const misconfigured = (binding: MutatingAdmissionPolicyBinding | undefined, why: string) =>
    failures.push({ policy, binding, message: `failed to configure ${binding ? 'binding' : 'policy'}: ${why}` });
  if (!matchConstraints) {
    misconfigured(undefined, 'policy contained no match constraints, a required field');
    return [];
  }
  const matched = await matchOf(matchConstraints, request, sources);
  if (!matched) return [];
  let kind: Kind | undefined;
  try {
    kind = paramKind && paramKindOf(paramKind, request);
  } catch (error) {
    misconfigured(undefined, (error as Error).message);
    return [];
  }
  const invocations: Invocation[] = [];
  for (const binding of bindings) {
    const { matchResources, paramRef } = binding.spec;
    if (matchResources && !(await matchOf(matchResources, request, sources))) continue;
    try {
      for (const each of await paramsOf(kind, paramRef, request, sources))
        invocations.push({ policy, binding, matched, params: each && kind ? paramsWithType(each, kind) : each });
    } catch (error) {
      misconfigured(binding, (error as Error).message);
    }
  }
  return invocations;
}

/** All policies that change one object. */
class Mutation {
  readonly #sources: Sources;
  readonly #request: AdmissionRequest;
  readonly #decisions: Decisions;
  readonly #metrics: PolicyMetrics | undefined;
  readonly #failures: Failure[];

  constructor(
    sources: Sources,
    request: AdmissionRequest,
    decisions: Decisions,
    metrics: PolicyMetrics | undefined,
    failures: Failure[],
  ) {
    this.#sources = sources;
    this.#request = request;
    this.#decisions = decisions;
    this.#metrics = metrics;
    this.#failures = failures;
  }

  async run(invocations: readonly Invocation[], history: History): Promise<void> {
    if (invocations.length === 0) return;
    const request = this.#request;
    const namespace = await namespaceOf(request, this.#sources);
    if (!namespace && request.namespace !== '' && !isOf(request, Namespace))
      throw errors.notFound(Namespace, request.namespace);
    const isSecond = request.reinvocation?.isSecond === true;
    // Others have changed what the policies left: all of them that want to look again do.
    if (isSecond && !deepEqual(history.output, request.object)) invokeAgain(history);
    for (const invocation of invocations) {
      const id = idOf(invocation);
      if (isSecond && !history.again.has(id)) continue;
      if (await this.#invoke(invocation, namespace)) {
        invokeAgain(history);
        request.reinvocation?.ask();
      }
      if (invocation.policy.spec.reinvocationPolicy === 'IfNeeded') history.invoked.add(id);
    }
    if (request.object && !isSecond) history.output = structuredClone(request.object);
  }

  /** True when the object is another one now. */
  async #invoke({ policy, binding, matched, params }: Invocation, namespace: Namespace | undefined): Promise<boolean> {
    const request = this.#request;
    if (!request.object) return false;
    const compiled = compiledMutating(policy);
    const { equivalent, kind } = matched;
    const seen = async () => ({ ...(await subjectOf(request, matched, namespace, this.#decisions)), params });
    const conditions = await evaluateConditions(compiled.conditions, await seen(), compiled.variables);
    if (conditions.error !== undefined) this.#fail(policy, binding, conditions.error);
    if (!conditions.matches) return false;
    let changed = false;
    for (const mutation of compiled.mutations) {
      const startedMs = this.#sources.clock.monotonic();
      const seconds = () => (this.#sources.clock.monotonic() - startedMs) / 1000;
      const names = [policy.metadata.name ?? '', binding.metadata.name ?? ''] as const;
      try {
        const subject = await seen();
        const object = subject.object as unknown as JsonObject;
        const patched = await patchedBy(mutation, object, kind, new Activation(subject, compiled.variables));
        const decoded = decodedAs(kind, patched, mutation.patchType === 'JSONPatch');
        const next = equivalent ? await equivalent.revert(decoded) : decoded;
        if (replaceObject(request, next)) changed = true;
        this.#metrics?.mutating(...names, 'no_error', seconds());
      } catch (error) {
        if (error instanceof ApiError) throw error;
        const { message } = error as Error;
        this.#metrics?.mutating(...names, errorTypeOf(message), seconds());
        if (!(error instanceof MutationError) && !(error instanceof OutOfBudget)) throw error;
        this.#fail(policy, binding, message);
      }
    }
    return changed;
  }

  #fail(policy: MutatingAdmissionPolicy, binding: MutatingAdmissionPolicyBinding, message: string): void {
    this.#failures.push({ policy, binding, message, reason: 'Invalid' });
  }
}

/** Why a mutation did not happen: the policy's failure policy says what that means. */
class MutationError extends Error {}

async function patchedBy(
  { patchType, expression }: CompiledMutatingPolicy['mutations'][number],
  object: JsonObject,
  kind: Kind,
  activation: Activation,
): Promise<JsonObject> {
  if (!expression.compiled) throw new MutationError(expression.error);
  const outcome = await activation.evaluate(expression, new Budget());
  if (outcome.error !== undefined) throw new MutationError(outcome.error);
  return patchType === 'JSONPatch' ? withPatch(object, outcome.value) : withConfiguration(object, kind, outcome.value);
}

function withPatch(object: JsonObject, value: Result): JsonObject {
  if (!(value instanceof CelList))
    throw new MutationError('type mismatch: JSONPatchType.expression should evaluate to array');
  const operations: Json[] = [];
  for (let index = 0; index < value.size; index++) {
    const item = value.get(index);
    if (!(item instanceof CelObject))
      throw new MutationError('type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch');
    checkTypeNames(item.field('value'));
    operations.push(plain(item));
  }
  try {
    return applyJsonPatch(object, operations) as JsonObject;
  } catch (error) {
    if (isFailedTest(error)) return object;
    throw new MutationError(`JSON Patch: ${causeOf(error as Error)}`);
  }
}

function plain(value: Result): Json {
  try {
    return plainValueOf(value);
  } catch (error) {
    throw new MutationError((error as Error).message);
  }
}

function causeOf(error: Error): string {
  return error.cause instanceof Error ? error.cause.message : error.message;
}

function withConfiguration(object: JsonObject, kind: Kind, value: Result): JsonObject {
  if (!(value instanceof CelObject))
    throw new MutationError('unsupported return type from ApplyConfiguration expression');
  checkTypeNames(value);
  const configuration: JsonObject = {
    ...(plain(value) as JsonObject),
    apiVersion: apiVersionOf(kind),
    kind: kind.kind,
  };
  const misfits = misfitsOf(kind.schema, configuration);
  if (misfits.length > 0)
    throw new MutationError(
      `error applying patch: failed to convert patch object to typed object: ${misfitMessage(misfits)}`,
    );
  const structure = structureOf(kind.schema);
  const atomics = atomicsIn(structure, configuration);
  if (atomics.length > 0)
    throw new MutationError(
      `error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: ${atomics.join(', ')}`,
    );
  return mergeObjects(structure, object, configuration) as JsonObject;
}

/** An object has to be of the type of the place where it stands: `Object.spec.selector`. */
function checkTypeNames(value: Result | undefined): void {
  const problems: string[] = [];
  if (value instanceof CelObject) namesBelow(value, [value.type.name], problems);
  if (problems.length > 0) throw new MutationError(`type mismatch: ${problems.join('\n')}`);
}

function namesBelow(value: Result | undefined, path: readonly string[], problems: string[]): void {
  if (value instanceof CelObject) {
    const expected = path.join('.');
    if (value.type.name !== expected)
      problems.push(
        `unexpected type name ${JSON.stringify(value.type.name)}, expected ${JSON.stringify(expected)}, which matches field name path from root Object type`,
      );
    for (const name of value.names()) namesBelow(value.field(name), [...path, name], problems);
  } else if (value instanceof CelList) {
    for (let index = 0; index < value.size; index++) namesBelow(value.get(index), path, problems);
  } else if (value instanceof CelMap) {
    for (const key of value.keys()) namesBelow(value.find(key), path, problems);
  }
}

/** As it would have come from a client: pruned and defaulted. A subresource may speak another kind. */
function decodedAs(kind: Kind, patched: JsonObject, strict: boolean): ApiObject {
  const copy = structuredClone(patched) as Record<string, Json>;
  if (copy['kind'] !== kind.kind || copy['apiVersion'] !== apiVersionOf(kind)) return copy as unknown as ApiObject;
  const { object, unknown } = decodeObject(kind.schema, copy, { unknown: strict && !kind.custom ? 'report' : 'drop' });
  if (unknown.length > 0) throw errors.internal(`strict decoding error: ${unknown.join(', ')}`);
  const draft = object as unknown as Draft<ApiObject>;
  draft.apiVersion = apiVersionOf(kind);
  draft.kind = kind.kind;
  draft.metadata ??= {};
  defaultObject(kind, object);
  return draft as ApiObject;
}

/** Puts another object in the place of the one that was sent. False when it is the same. */
function replaceObject({ object }: AdmissionRequest, next: ApiObject): boolean {
  const before = object as unknown as Record<string, Json>;
  const after = next as unknown as Record<string, Json>;
  if (deepEqual(before, after)) return false;
  for (const key of Object.keys(before)) delete before[key];
  for (const [key, value] of Object.entries(after)) setOwn(before, key, value);
  return true;
}

/** What could not be done is the end of the request, unless the policy says that it does not matter. */
function refuse(request: AdmissionRequest, failures: readonly Failure[]): void {
  const counted = failures.filter(({ policy }) => policy.spec.failurePolicy !== 'Ignore');
  const [first] = counted;
  if (!first) return;
  const messages = counted.map(({ policy, binding, message }) =>
    binding
      ? `policy '${policy.metadata.name}' with binding '${binding.metadata.name}' denied request: ${message}`
      : `policy ${JSON.stringify(policy.metadata.name)} denied request: ${message}`,
  );
  const causes = messages.map(message => ({ message }) as unknown as StatusCause);
  const { status } = forbidden(request, 'admission request denied by policy', causes);
  throw new ApiError({
    ...status,
    message: messages[0] as string,
    ...(first.reason && { reason: first.reason }),
  });
}
