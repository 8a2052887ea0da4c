import { traced } from '#base/trace.ts';
import { deepEqual } from '#base/deep-equal.ts';
import { encodeJson, setOwn } from '#api/machinery/json.ts';
import { ApiError, errors } from '#api/machinery/errors.ts';
import { decodeObject } from '#api/machinery/decode.ts';
import { defaultObject } from '#api/machinery/defaults.ts';
import { apiVersionOf, type ApiObject, type Draft, type Kind } from '#api/machinery/kind.ts';
import { isQualifiedName } from '#api/machinery/names.ts';
import { applyJsonPatch } from '#api/machinery/patch/json-patch.ts';
import type { Json } from '#api/machinery/schema.ts';
import {
  MutatingWebhookConfiguration,
  type MutatingWebhook,
} from '#api/admissionregistration/v1/mutating-webhook-configuration.ts';
import { ValidatingWebhookConfiguration } from '#api/admissionregistration/v1/validating-webhook-configuration.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts';
import type { Sources } from '../sources.ts';
import { CallError, type WebhookCaller } from './call.ts';
import { postUrlOf, targetOf } from './endpoint.ts';
import { invocationOf, isOfKind, targetKindOf, type Invocation, type InvocationParts } from './invocation.ts';
import { isExempt, type Webhook } from './matching.ts';
import type { WebhookType } from './metrics.ts';
import { registeredWebhooks, type Registered } from './registered.ts';
import { deniedBy, failedCalling, reviewOf, verdictOf, type Verdict } from './review.ts';

const timeoutSecondsDefault = 10;

/** What webhooks use beside what they are given by name. */
export type WebhookOptions = Omit<InvocationParts, 'sources'>;

/** Servers of others change objects, one after the other; those that ask for it look again when somebody else has changed something. */
export function mutatingWebhooks(
  sources: Sources,
  caller: WebhookCaller,
  options: WebhookOptions = {},
): AdmissionPlugin {
  const all = registeredWebhooks<MutatingWebhook>(sources.informers.of(MutatingWebhookConfiguration));
  const parts = { sources, caller, ...options };
  const histories = new WeakMap<AdmissionRequest, History>();
  return {
    name: 'MutatingAdmissionWebhook',
    handles: request => isConcerned(all(), request),
    async admit(request) {
      const history = histories.get(request) ?? { called: new Set(), again: new Set(), output: undefined };
      histories.set(request, history);
      const isSecond = request.reinvocation?.isSecond === true;
      // Built-in plugins have changed what the webhooks left: all of them that want to look again do.
      if (isSecond && !deepEqual(history.output, request.object)) callAgain(history);
      for (const registered of all()) {
        const { webhook, configuration, index } = registered;
        const id = `${configuration}/${webhook.name}/${index}`;
        const invocation = await invocationOf(webhook, 'admit', request, parts);
        if (!invocation || (isSecond && !history.again.has(id))) continue;
        if (await mutateBy(registered, invocation, request, parts, isSecond ? 1 : 0)) {
          callAgain(history);
          request.reinvocation?.ask();
        }
        if (webhook.reinvocationPolicy === 'IfNeeded') history.called.add(id);
      }
      if (request.object && !isSecond) history.output = structuredClone(request.object);
    },
  };
}

/** Servers of others judge objects, all at once; the first refusal in order counts. */
export function validatingWebhooks(
  sources: Sources,
  caller: WebhookCaller,
  options: WebhookOptions = {},
): AdmissionPlugin {
  const all = registeredWebhooks<Webhook>(sources.informers.of(ValidatingWebhookConfiguration));
  const parts = { sources, caller, ...options };
  return {
    name: 'ValidatingAdmissionWebhook',
    handles: request => isConcerned(all(), request),
    async validate(request) {
      const invocations: { readonly webhook: Webhook; readonly invocation: Invocation }[] = [];
      for (const { webhook } of all()) {
        const invocation = await invocationOf(webhook, 'validating', request, parts);
        if (invocation) invocations.push({ webhook, invocation });
      }
      const outcomes = await Promise.allSettled(
        invocations.map(async ({ webhook, invocation }, index) => {
          const failedOpen = `failed-open.validating.webhook.admission.k8s.io/round_0_index_${index}`;
          await asked(webhook, 'validating', request, parts, failedOpen, () =>
            ask(webhook, 'validating', invocation, request, parts),
          );
        }),
      );
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    },
  };
}

interface Parts extends InvocationParts {
  readonly caller: WebhookCaller;
}

/** Who of the webhooks that want it has looked at an object, and who is to look again. */
interface History {
  readonly called: Set<string>;
  readonly again: Set<string>;
  output: unknown;
}

function callAgain({ called, again }: History): void {
  for (const id of called) again.add(id);
  called.clear();
}

function isConcerned(all: readonly Registered[], request: AdmissionRequest): boolean {
  if (all.length === 0 || isExempt(request)) return false;
  return all.some(({ webhook }) => targetKindOf(webhook, request) !== undefined);
}

/** True when the webhook has changed the object. */
async function mutateBy(
  { webhook, configuration, index }: Registered,
  invocation: Invocation,
  request: AdmissionRequest,
  parts: Parts,
  round: number,
): Promise<boolean> {
  const place = `round_${round}_index_${index}`;
  let mutated = false;
  const about = { configuration, webhook: webhook.name };
  try {
    await asked(
      webhook,
      'admit',
      request,
      parts,
      `failed-open.mutating.webhook.admission.k8s.io/${place}`,
      async () => {
        const patch = operationsOf((await ask(webhook, 'admit', invocation, request, parts)).patch);
        if (patch.length === 0) return;
        mutated = await patchObject(webhook.name, invocation, request, patch);
        request.annotate(
          `patch.webhook.admission.k8s.io/${place}`,
          encodeJson({ ...about, patch, patchType: 'JSONPatch' }),
          'Request',
        );
      },
    );
  } finally {
    request.annotate(`mutation.webhook.admission.k8s.io/${place}`, encodeJson({ ...about, mutated }));
  }
  return mutated;
}

/** Does what may fail as the webhook's policy says, and tells the metrics. */
async function asked(
  { name, failurePolicy }: Webhook,
  type: WebhookType,
  request: AdmissionRequest,
  { sources: { clock }, metrics }: Parts,
  failedOpen: string,
  work: () => Promise<void | Verdict>,
): Promise<void> {
  const startMs = clock.monotonic();
  const { operation } = request;
  const measured = (refused: boolean, code: number) =>
    metrics?.called({ name, type, operation, seconds: (clock.monotonic() - startMs) / 1000, refused, code });
  try {
    await work();
    measured(false, 200);
  } catch (error) {
    if (error instanceof Refusal) {
      metrics?.refused(name, type, operation, 'no_error', error.denial.code);
      measured(true, error.denial.code);
      throw error.denial;
    }
    if (!(error instanceof CallError)) {
      metrics?.refused(name, type, operation, 'apiserver_internal_error', 0);
      measured(true, 0);
      throw error;
    }
    const opens = failurePolicy === 'Ignore';
    if (!opens && !request.signal.aborted) metrics?.refused(name, type, operation, 'calling_webhook_error', error.code);
    measured(!opens, error.code);
    if (!opens) throw failedCalling(name, error);
    // Nobody waits for the answer any longer.
    if (request.signal.aborted) throw errors.timeout('request did not complete within requested timeout');
    metrics?.failedOpen(name, type);
    request.annotate(failedOpen, name);
  }
}

/** The webhook has said no. */
class Refusal extends Error {
  readonly denial: ApiError;

  constructor(denial: ApiError) {
    super(denial.message);
    this.denial = denial;
  }
}

/** Throws Refusal, or CallError when the webhook gives no answer that can be used. */
async function ask(
  webhook: Webhook,
  type: WebhookType,
  invocation: Invocation,
  request: AdmissionRequest,
  { sources, caller }: Parts,
): Promise<Verdict> {
  const { name, sideEffects, clientConfig, timeoutSeconds = timeoutSecondsDefault } = webhook;
  if (request.dryRun && sideEffects !== 'None' && sideEffects !== 'NoneOnDryRun')
    throw errors.badRequest(`admission webhook ${JSON.stringify(name)} does not support dry run`);
  const version = (webhook.admissionReviewVersions ?? []).find(each => each === 'v1' || each === 'v1beta1');
  if (version === undefined) {
    const why = 'webhook does not accept known AdmissionReview versions (v1, v1beta1)';
    throw new CallError(`could not create admission objects: ${why}`, 400);
  }
  const uid = sources.random.uuid();
  const body = encodeJson(reviewOf(request, invocation, uid, `admission.k8s.io/${version}`));
  const timeoutMs = timeoutSeconds * 1000;
  let answer: string;
  try {
    const target = await targetOf(clientConfig, sources);
    answer = await traced(
      `Call ${type === 'admit' ? 'mutating' : 'validating'} webhook`,
      () => caller.post(target, body, { timeoutMs, signal: request.signal }),
      () => ({ webhook: name, uid }),
      'client',
    );
  } catch (cause) {
    if (cause instanceof CallError) throw cause;
    // There is nobody to call: said as if the call itself had failed, as upstream does.
    const post = `Post ${JSON.stringify(postUrlOf(clientConfig, timeoutMs))}`;
    throw new CallError(`failed to call webhook: ${post}: ${(cause as Error).message}`, 503, { cause });
  }
  let verdict: Verdict;
  try {
    verdict = verdictOf(answer, uid, { version, mutating: type === 'admit' });
  } catch (cause) {
    throw new CallError(`received invalid webhook response: ${(cause as Error).message}`, 503, { cause });
  }
  for (const [key, value] of Object.entries(verdict.auditAnnotations))
    if (isQualifiedName(`${name}/${key}`).length === 0) request.annotate(`${name}/${key}`, value);
  for (const warning of verdict.warnings) request.warn(warning);
  if (!verdict.allowed) throw new Refusal(deniedBy(name, verdict.status));
  return verdict;
}

/** Throws CallError for what is no JSON patch. */
function operationsOf(patch: Verdict['patch']): readonly unknown[] {
  if (!patch) return [];
  let operations: unknown;
  try {
    operations = JSON.parse(Buffer.from(patch.base64, 'base64').toString());
    if (operations !== null && !Array.isArray(operations)) throw new Error('it is no list of operations');
  } catch (cause) {
    const why = `received undecodable patch in webhook response: ${(cause as Error).message}`;
    throw new CallError(why, 503, { cause });
  }
  const list = operations ?? [];
  if (patch.type !== 'JSONPatch' && list.length > 0)
    throw new CallError(`unsupported patch type ${JSON.stringify(patch.type)}`, 500);
  return list;
}

/** Puts the patched object in the place of the one that was sent. True when that makes a difference. */
async function patchObject(
  name: string,
  { kind, object: before, equivalent }: Invocation,
  request: AdmissionRequest,
  patch: readonly unknown[],
): Promise<boolean> {
  const { object } = request;
  if (!object || !before) {
    const what = `admission webhook ${JSON.stringify(name)} attempted to modify the object`;
    throw errors.internal(`${what}, which is not supported for this operation`);
  }
  let patched: Record<string, Json>;
  try {
    // A copy: decoding works in place, and the patch shares what it does not change.
    patched = structuredClone(applyJsonPatch(before as unknown as Json, patch as Json)) as Record<string, Json>;
  } catch (error) {
    throw error instanceof ApiError ? errors.internal(error.message) : errors.internal((error as Error).message);
  }
  const isKnown = isOfKind(before, kind);
  if (isKnown) patched = decoded(patched, kind);
  if (deepEqual(patched, before)) return false;
  const next = isKnown && equivalent ? await equivalent.revert(patched as unknown as ApiObject) : patched;
  const target = object as unknown as Record<string, Json>;
  for (const key of Object.keys(target)) delete target[key];
  for (const [key, value] of Object.entries(structuredClone(next))) setOwn(target, key, value as Json);
  return true;
}

function decoded(patched: Record<string, Json>, kind: Kind): Record<string, Json> {
  const { object } = decodeObject(kind.schema, patched, { unknown: 'drop' });
  const draft = object as unknown as Draft<ApiObject>;
  draft.apiVersion = apiVersionOf(kind);
  draft.kind = kind.kind;
  draft.metadata ??= {};
  defaultObject(kind, object);
  return object as Record<string, Json>;
}
