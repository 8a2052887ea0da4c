import { errors } from '#api/machinery/errors.ts';
import { apiVersionOf, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { alwaysDeny } from '#auth/authorization/always-allow.ts';
import type { Authorizer } from '#auth/authorization/authorizer.ts';
import type { AdmissionRequest, Equivalent } from '../admission.ts';
import type { CompiledCondition } from '../match-conditions.ts';
import { forbidden } from '../request.ts';
import { find, type Sources } from '../sources.ts';
import { needsNamespace, rulesMatch, selectorsMatch, type Webhook } from './matching.ts';
import type { WebhookMetrics, WebhookType } from './metrics.ts';

/** As what a webhook is asked about a request: in the version that its rules name. */
export interface Invocation {
  readonly kind: Kind;
  /** The objects as that kind has them. */
  readonly object: ApiObject | undefined;
  readonly old: ApiObject | undefined;
  /** Absent: the request's own kind. */
  readonly equivalent: Equivalent | undefined;
}

export interface InvocationParts {
  readonly sources: Sources;
  /** For match conditions; absent where nobody is asked. */
  readonly authorizer?: Authorizer | undefined;
  readonly metrics?: WebhookMetrics | undefined;
}

/** Whether the rules of a webhook name a request, in its own version or in another one. Cheap: asked of every request. */
export function targetKindOf(
  { rules, matchPolicy }: Webhook,
  request: AdmissionRequest,
): { readonly equivalent: Equivalent | undefined } | undefined {
  if (rulesMatch(rules, request)) return { equivalent: undefined };
  if (matchPolicy === 'Exact') return undefined;
  const equivalents = request.served?.equivalents(request.kind) ?? [];
  if (equivalents.length === 0) return undefined;
  // Earlier rules come first, whatever version they name.
  for (const rule of rules ?? [])
    for (const equivalent of equivalents)
      if (rulesMatch([rule], { ...request, kind: equivalent.kind })) return { equivalent };
  return undefined;
}

/** Undefined: the webhook is not asked. Throws ApiError when nobody can say whether it is. */
export async function invocationOf(
  webhook: Webhook,
  type: WebhookType,
  request: AdmissionRequest,
  parts: InvocationParts,
): Promise<Invocation | undefined> {
  const target = targetKindOf(webhook, request);
  if (!target) return undefined;
  const { sources } = parts;
  const namespace = needsNamespace(webhook, request)
    ? await find(sources, sources.informers.of(Namespace), request.namespace)
    : undefined;
  if (needsNamespace(webhook, request) && !namespace) throw errors.notFound(Namespace, request.namespace);
  if (!selectorsMatch(webhook, request, namespace?.metadata.labels)) return undefined;
  const invocation = await versioned(target.equivalent, request);
  return (await conditionsHold(webhook, type, request, invocation, parts)) ? invocation : undefined;
}

async function versioned(equivalent: Equivalent | undefined, request: AdmissionRequest): Promise<Invocation> {
  const { kind, object, old } = request;
  if (!equivalent) return { kind, object: object as ApiObject | undefined, old, equivalent };
  // A subresource may speak a kind of its own, which has no other versions.
  const converted = async (each: ApiObject | undefined) =>
    each && isOfKind(each, kind) ? equivalent.convert(each) : each;
  return {
    kind: equivalent.kind,
    object: await converted(object as ApiObject | undefined),
    old: await converted(old),
    equivalent,
  };
}

export function isOfKind(object: ApiObject, kind: Kind): boolean {
  return object.kind === kind.kind && object.apiVersion === apiVersionOf(kind);
}

/** By the list in the configuration's object, which is never changed. */
const compiled = new WeakMap<object, readonly CompiledCondition[]>();

async function conditionsHold(
  { name, matchConditions, failurePolicy }: Webhook,
  type: WebhookType,
  request: AdmissionRequest,
  { kind, object, old }: Invocation,
  { authorizer, metrics }: InvocationParts,
): Promise<boolean> {
  if (!matchConditions || matchConditions.length === 0) return true;
  // The language takes its time to load: only where somebody has conditions.
  const [{ compileConditions, evaluateConditions }, { Decisions }] = await Promise.all([
    import('../match-conditions.ts'),
    import('../activation.ts'),
  ]);
  let conditions = compiled.get(matchConditions);
  if (!conditions) compiled.set(matchConditions, (conditions = compileConditions(matchConditions)));
  const decisions = new Decisions(authorizer ?? alwaysDeny, request);
  const subject = { request, kind, object, old, namespace: undefined, params: undefined, decisions };
  const { matches, error } = await evaluateConditions(conditions, subject);
  if (error !== undefined) {
    metrics?.conditionFailed(name, type, request.operation);
    if (failurePolicy === 'Ignore') return false;
    throw forbidden(request, error);
  }
  if (!matches) metrics?.excluded(name, type, request.operation);
  return matches;
}
