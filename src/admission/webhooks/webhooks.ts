import { encodeJson, setOwn } from '#api/machinery/json.ts';
import { ApiError, errors } from '#api/machinery/errors.ts';
import { decodeObject } from '#api/machinery/decode.ts';
import { defaultObject } from '#api/machinery/defaults.ts';
import { apiVersionOf, type ApiObject, type Draft } from '#api/machinery/kind.ts';
import { applyJsonPatch } from '#api/machinery/patch/json-patch.ts';
import type { Json } from '#api/machinery/schema.ts';
import { MutatingWebhookConfiguration } from '#api/admissionregistration/v1/mutating-webhook-configuration.ts';
import { ValidatingWebhookConfiguration } from '#api/admissionregistration/v1/validating-webhook-configuration.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts';
import { find, type Sources } from '../sources.ts';
import type { WebhookCaller } from './call.ts';
import { targetOf } from './endpoint.ts';
import { isExempt, needsNamespace, rulesMatch, selectorsMatch, type Webhook } from './matching.ts';
import { deniedBy, failedCalling, reviewOf, verdictOf, type Verdict } from './review.ts';

const timeoutSecondsDefault = 10;

/** Servers of others change objects, one after the other; those that ask for it look again when a later one has changed something. */
export function mutatingWebhooks(sources: Sources, caller: WebhookCaller): AdmissionPlugin {
  const configurations = sources.informers.of(MutatingWebhookConfiguration);
  const all = () =>
    [...configurations.objects.values()]
      .sort((left, right) => compare(left.metadata.name ?? '', right.metadata.name ?? ''))
      .flatMap(({ webhooks }) => webhooks ?? []);
  return {
    name: 'MutatingAdmissionWebhook',
    handles: request =>
      configurations.objects.size > 0 && !isExempt(request) && all().some(each => rulesMatch(each.rules, request)),
    async admit(request) {
      const concerned = all().filter(each => rulesMatch(each.rules, request));
      /** Webhooks that want to look again, as soon as somebody after them has changed the object. */
      const again = new Set<Webhook>();
      const seen: (typeof concerned)[number][] = [];
      for (const [index, webhook] of concerned.entries()) {
        if (!(await isMeant(webhook, request, sources))) continue;
        const changed = await mutateBy(webhook, request, sources, caller, `round_0_index_${index}`);
        if (changed) for (const each of seen) if (each.reinvocationPolicy === 'IfNeeded') again.add(each);
        seen.push(webhook);
      }
      for (const webhook of again)
        await mutateBy(webhook, request, sources, caller, `round_1_index_${concerned.indexOf(webhook as never)}`);
    },
  };
}

/** Servers of others judge objects, all at once; the first refusal in order counts. */
export function validatingWebhooks(sources: Sources, caller: WebhookCaller): AdmissionPlugin {
  const configurations = sources.informers.of(ValidatingWebhookConfiguration);
  const all = () =>
    [...configurations.objects.values()]
      .sort((left, right) => compare(left.metadata.name ?? '', right.metadata.name ?? ''))
      .flatMap(({ webhooks }) => webhooks ?? []);
  return {
    name: 'ValidatingAdmissionWebhook',
    handles: request =>
      configurations.objects.size > 0 && !isExempt(request) && all().some(each => rulesMatch(each.rules, request)),
    async validate(request) {
      const concerned = all().filter(each => rulesMatch(each.rules, request));
      const outcomes = await Promise.allSettled(
        concerned.map(async (webhook, index) => {
          if (!(await isMeant(webhook, request, sources))) return;
          const verdict = await askFor(
            webhook,
            request,
            sources,
            caller,
            `failed-open.validating.webhook.admission.k8s.io/round_0_index_${index}`,
          );
          if (verdict && !verdict.allowed) throw deniedBy(webhook.name, verdict.status);
        }),
      );
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    },
  };
}

async function isMeant(webhook: Webhook, request: AdmissionRequest, sources: Sources): Promise<boolean> {
  const namespace = needsNamespace(webhook, request)
    ? await find(sources, sources.informers.of(Namespace), request.namespace)
    : undefined;
  return selectorsMatch(webhook, request, namespace?.metadata.labels);
}

/** True when the webhook has changed the object. */
async function mutateBy(
  webhook: Webhook,
  request: AdmissionRequest,
  sources: Sources,
  caller: WebhookCaller,
  call: string,
): Promise<boolean> {
  const verdict = await askFor(
    webhook,
    request,
    sources,
    caller,
    `failed-open.mutating.webhook.admission.k8s.io/${call}`,
  );
  if (!verdict) return false;
  if (!verdict.allowed) throw deniedBy(webhook.name, verdict.status);
  if (verdict.patch === undefined) return false;
  try {
    return patchObject(request, verdict.patch);
  } catch (error) {
    if (webhook.failurePolicy === 'Ignore') return false;
    throw error instanceof ApiError ? error : failedCalling(webhook.name, error as Error);
  }
}

/** Undefined: the call failed, and the webhook's policy is to go on without it. */
async function askFor(
  webhook: Webhook,
  request: AdmissionRequest,
  sources: Sources,
  caller: WebhookCaller,
  failedOpen: string,
): Promise<Verdict | undefined> {
  if (request.dryRun && webhook.sideEffects !== 'None' && webhook.sideEffects !== 'NoneOnDryRun')
    throw errors.badRequest(`admission webhook ${JSON.stringify(webhook.name)} does not support dry run`);
  const uid = sources.random.uuid();
  try {
    const target = await targetOf(webhook.clientConfig, sources);
    const answer = await caller.post(target, encodeJson(reviewOf(request, uid) as Json), {
      timeoutMs: (webhook.timeoutSeconds ?? timeoutSecondsDefault) * 1000,
      signal: request.signal,
    });
    const verdict = verdictOf(answer, uid);
    for (const warning of verdict.warnings) request.warn(warning);
    for (const [key, value] of Object.entries(verdict.auditAnnotations))
      request.annotate(`${webhook.name}/${key}`, value);
    return verdict;
  } catch (error) {
    if (request.signal.aborted || webhook.failurePolicy !== 'Ignore') throw failedCalling(webhook.name, error as Error);
    request.annotate(failedOpen, webhook.name);
    return undefined;
  }
}

/** Puts the patched object in the place of the one that was sent. */
function patchObject({ object, kind }: AdmissionRequest, patch: unknown): boolean {
  if (!object) throw new Error('cannot patch the object: the request has none');
  const before = object as unknown as Record<string, Json>;
  // A copy: decoding works in place, and the patch shares what it does not change.
  const patched = structuredClone(applyJsonPatch(before, patch as Json)) as Record<string, Json>;
  const isOwnKind = patched['kind'] === kind.kind && patched['apiVersion'] === apiVersionOf(kind);
  const next = isOwnKind ? decoded(patched, kind) : patched;
  if (encodeJson(next as Json) === encodeJson(before as Json)) return false;
  for (const key of Object.keys(before)) delete before[key];
  for (const [key, value] of Object.entries(next)) setOwn(before, key, value);
  return true;
}

function decoded(patched: Record<string, Json>, kind: AdmissionRequest['kind']): Record<string, Json> {
  const { object } = decodeObject(kind.schema, patched, { unknown: 'drop' });
  const draft = object as unknown as Draft<ApiObject>;
  draft.apiVersion = apiVersionOf(kind);
  draft.kind = kind.kind;
  draft.metadata ??= {};
  defaultObject(kind, object);
  return object as Record<string, Json>;
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
