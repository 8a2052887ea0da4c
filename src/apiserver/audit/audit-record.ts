import { impersonationConstraintOf } from '#auth/authentication/impersonation.ts';
import { encodeJson } from '#api/machinery/json.ts';
import type { ApiError } from '#api/machinery/errors.ts';
import {
  atLeast,
  auditUserOf,
  encodeEvent,
  type AuditEvent,
  type AuditStage,
  type AuditStatus,
  type ObjectReference,
} from '#auth/audit/event.ts';
import type { Audit } from '#auth/audit/open-audit.ts';
import type { AuditDecision } from '#auth/audit/policy.ts';
import type { User } from '#auth/user.ts';
import type { ApiResponse } from '#client/transport.ts';
import type { Call } from '../call.ts';

/** What is written down of one request, as it becomes known. */
export class AuditRecord {
  readonly #audit: Audit;
  readonly #call: Call;
  readonly #decision: AuditDecision;
  readonly #user: User | undefined;
  readonly #uri: string;
  #objectRef: ObjectReference | undefined;
  #requestJson: string | undefined;
  #responseJson: string | undefined;
  status: AuditStatus | undefined;

  constructor(audit: Audit, call: Call, decision: AuditDecision, isKnown: boolean) {
    this.#audit = audit;
    this.#call = call;
    this.#decision = decision;
    this.#user = isKnown ? call.user : undefined;
    const { path, query } = call.request;
    this.#uri = query.size === 0 ? path : `${path}?${query}`;
    const { info } = call;
    if (info.isResource)
      this.#objectRef = referenceOf({
        resource: info.resource,
        namespace: info.namespace,
        name: info.name,
        apiGroup: info.group,
        apiVersion: info.version,
        subresource: info.subresource,
      });
  }

  /** Whether what the client sent is written down, and with it what says as much. */
  get holdsRequest(): boolean {
    return atLeast(this.#decision.level, 'Request');
  }

  /** What the client sent, once it is decoded. Its bytes are made now: it will be changed. */
  sent(value: unknown): void {
    const { metadata } = (value ?? {}) as { readonly metadata?: unknown };
    if (isObject(metadata) && this.#objectRef) {
      const from = (name: string) => (typeof metadata[name] === 'string' ? metadata[name] : '');
      this.#objectRef = referenceOf({
        ...this.#objectRef,
        namespace: this.#objectRef.namespace ?? from('namespace'),
        name: this.#objectRef.name ?? from('name'),
        uid: from('uid'),
        resourceVersion: from('resourceVersion'),
      });
    }
    if (!atLeast(this.#decision.level, 'Request') || this.#requestJson !== undefined) return;
    this.#requestJson = this.#encoded(value);
  }

  answered(response: ApiResponse): void {
    const object = response.kind === 'object' ? response.object : undefined;
    const code = response.kind === 'upgrade' ? 101 : response.code;
    this.status = isStatus(object) ? statusOf(object, code) : { metadata: {}, code };
    if (object !== undefined && atLeast(this.#decision.level, 'RequestResponse'))
      this.#responseJson = this.#encoded(object);
  }

  failed({ status }: ApiError): void {
    this.status = statusOf(status as unknown as Readonly<Record<string, unknown>>, status.code);
    if (atLeast(this.#decision.level, 'RequestResponse')) this.#responseJson = this.#encoded(status);
  }

  panicked(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.status = {
      metadata: {},
      status: 'Failure',
      message: `APIServer panic'd: ${message}`,
      reason: 'InternalError',
      code: 500,
    };
  }

  /** False: the event is not kept, and the policy is that the request fails for it. */
  async emit(stage: AuditStage): Promise<boolean> {
    if (this.#decision.omitStages.includes(stage)) return true;
    this.#audit.metrics.events++;
    return this.#audit.sink.process([encodeEvent(this.#event(stage))]);
  }

  #event(stage: AuditStage): AuditEvent {
    const call = this.#call;
    const { annotations } = call;
    const agent = call.header('user-agent');
    const impersonated = this.#user && call.user !== this.#user;
    const impersonationConstraint = impersonated ? impersonationConstraintOf(call.user) : undefined;
    const sourceIPs = sourcesOf(call);
    return {
      kind: 'Event',
      apiVersion: 'audit.k8s.io/v1',
      level: this.#decision.level,
      auditID: call.auditId,
      stage,
      requestURI: this.#uri,
      verb: call.info.verb,
      user: this.#user ? auditUserOf(this.#user) : {},
      ...(impersonated && { impersonatedUser: auditUserOf(call.user) }),
      ...(impersonationConstraint !== undefined && { authenticationMetadata: { impersonationConstraint } }),
      ...(sourceIPs.length > 0 && { sourceIPs }),
      ...(agent !== '' && { userAgent: agent.length > agentMax ? `${agent.slice(0, agentMax)}...TRUNCATED` : agent }),
      ...(this.#objectRef && { objectRef: this.#objectRef }),
      ...(this.status && { responseStatus: this.status }),
      ...(this.#requestJson !== undefined && { requestObject: this.#requestJson }),
      ...(this.#responseJson !== undefined && { responseObject: this.#responseJson }),
      requestReceivedTimestamp: microTime(call.receivedMs, 0),
      stageTimestamp: microTime(call.receivedMs, call.foundation.clock.monotonic() - call.startMs),
      ...(annotations.size > 0 && {
        annotations: Object.fromEntries([...annotations].sort(([a], [b]) => (a < b ? -1 : 1))),
      }),
    };
  }

  #encoded(value: unknown): string {
    return encodeJson(this.#decision.omitManagedFields ? withoutManagedFields(value) : value);
  }
}

/** Upstream's limit. */
const agentMax = 1_024;

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isStatus(object: unknown): object is Readonly<Record<string, unknown>> {
  return isObject(object) && object['kind'] === 'Status' && object['apiVersion'] === 'v1';
}

function statusOf(status: Readonly<Record<string, unknown>>, code: number): AuditStatus {
  const { status: outcome, message, reason, details } = status;
  return {
    metadata: {},
    ...(outcome !== undefined && { status: outcome as 'Failure' }),
    ...(message !== undefined && message !== '' && { message: message as string }),
    ...(reason !== undefined && reason !== '' && { reason: reason as never }),
    ...(details !== undefined && { details: details as never }),
    code,
  };
}

function referenceOf(reference: ObjectReference): ObjectReference {
  const { resource, namespace, name, uid, apiGroup, apiVersion, resourceVersion, subresource } = reference;
  const all = { resource, namespace, name, uid, apiGroup, apiVersion, resourceVersion, subresource };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined && value !== ''));
}

/** Of an object, the items of a list, and the objects in a table's rows. Copies what it changes alone. */
function withoutManagedFields(value: unknown): unknown {
  if (!isObject(value)) return value;
  if (Array.isArray(value['items'])) return { ...value, items: value['items'].map(withoutManagedFields) };
  if (value['kind'] === 'Table' && Array.isArray(value['rows']))
    return {
      ...value,
      rows: value['rows'].map((row: unknown) =>
        isObject(row) && row['object'] ? { ...row, object: withoutManagedFields(row['object']) } : row,
      ),
    };
  const { metadata } = value;
  if (!isObject(metadata) || metadata['managedFields'] === undefined) return value;
  return { ...value, metadata: { ...metadata, managedFields: undefined } };
}

/** Who sent it, and whom it was sent on by. A request of this process comes from itself. */
function sourcesOf(call: Call): readonly string[] {
  const peer = call.remoteAddress?.replace(/^::ffff:/, '') ?? '::1';
  const forwarded = call
    .header('x-forwarded-for')
    .split(',')
    .map(each => each.trim())
    .filter(each => addressPattern.test(each));
  const real = call.header('x-real-ip').trim();
  const sources = [...forwarded];
  if (addressPattern.test(real) && !sources.includes(real)) sources.push(real);
  if (sources.at(-1) !== peer) sources.push(peer);
  return sources;
}

const addressPattern = /^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:.]+)$/;

/** With six digits of a second: the wall clock when the request came, the monotonic one since. */
function microTime(receivedMs: number, elapsedMs: number): string {
  const micros = Math.round(elapsedMs * 1000);
  const wholeMs = receivedMs + Math.floor(micros / 1000);
  return `${new Date(wholeMs).toISOString().slice(0, 23)}${String(micros % 1000).padStart(3, '0')}Z`;
}
