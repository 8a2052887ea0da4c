import type { Clock } from '#base/clock.ts';
import type { Random } from '#base/random.ts';
import type { AdmissionPlugin, ServedKinds } from '#admission/admission.ts';
import { errors } from '#api/machinery/errors.ts';
import type { Attributes, Authorizer, Decision } from '#auth/authorization/authorizer.ts';
import type { User } from '#auth/user.ts';
import type { ApiRequest, ApiResponse } from '#client/transport.ts';
import type { AuditRecord } from './audit/audit-record.ts';
import type { WatchCache } from './cache/watch-cache.ts';
import { valueBytes } from './encoding/object.ts';
import { contentTypes, type Media, negotiate, type Offer } from './media-type.ts';
import type { Hooks } from './hooks.ts';
import type { ApiMetrics } from './metrics.ts';
import type { Registry } from './registry.ts';
import type { RequestInfo } from './request-info.ts';
import type { RequestContext } from './subresource.ts';
import { parseBool } from './query.ts';
import { Warnings } from './warnings.ts';
import type { Writer } from './writer.ts';

/** What the verbs stand on, made once. */
export interface Foundation {
  readonly registry: Registry;
  readonly served: ServedKinds;
  readonly cache: WatchCache;
  readonly writer: Writer;
  readonly hooks: Hooks;
  readonly admission: readonly AdmissionPlugin[];
  readonly authorizer: Authorizer;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: ApiMetrics;
  /** For requests that are not long-running; absent: upstream's minute. */
  readonly requestTimeoutMs?: number | undefined;
}

/** What is known of a request's connection. */
export interface Origin {
  readonly address?: string | undefined;
  readonly hasCertificate?: boolean;
}

/** One request on its way through the chain. */
export class Call implements RequestContext {
  readonly request: ApiRequest;
  readonly info: RequestInfo;
  readonly foundation: Foundation;
  readonly warnings = new Warnings();
  readonly annotations = new Map<string, string>();
  /** When it came: by the wall clock, and by the one that never goes back. */
  readonly receivedMs: number;
  readonly startMs: number;
  /** Where the connection comes from; undefined for a request of this process. */
  readonly remoteAddress: string | undefined;
  readonly hasCertificate: boolean;
  /** What the audit log will hold of it. */
  record: AuditRecord | undefined;
  #auditId: string | undefined;
  user: User;
  /** What priority and fairness made of the request: headers of its answer. */
  flow: { readonly schemaUid: string; readonly levelUid: string } | undefined;
  /** Of a watch: called when it has sent the state it begins with, and when it ends. */
  onWatchReady: (() => void) | undefined;
  onWatchEnd: (() => void) | undefined;
  #pretty: boolean | undefined;

  constructor(request: ApiRequest, info: RequestInfo, user: User, foundation: Foundation, origin: Origin = {}) {
    this.receivedMs = foundation.clock.now();
    this.startMs = foundation.clock.monotonic();
    this.remoteAddress = origin.address;
    this.hasCertificate = origin.hasCertificate ?? false;
    this.request = request;
    this.info = info;
    this.user = user;
    this.foundation = foundation;
  }

  /** The client's own, or one of ours. */
  get auditId(): string {
    if (this.#auditId === undefined) {
      const asked = this.request.headers['audit-id'];
      this.#auditId = typeof asked === 'string' && asked !== '' ? asked : this.foundation.random.uuid();
    }
    return this.#auditId;
  }

  warn(message: string): void {
    this.warnings.add(message);
  }

  /** With a level: only where the audit log holds as much of the request. */
  annotate(key: string, value: string, level?: 'Request'): void {
    if (level === undefined || this.record?.holdsRequest) this.annotations.set(key, value);
  }

  async authorize(attributes: Attributes): Promise<Decision> {
    return this.foundation.authorizer.authorize(attributes);
  }

  header(name: string): string {
    const value = this.request.headers[name];
    return typeof value === 'string' ? value : (value?.join(',') ?? '');
  }

  /** The form of the answer. Throws ApiError NotAcceptable. */
  media(offer: Offer): Media {
    const media = negotiate(this.header('accept'), offer);
    return this.#wantsPretty() ? { ...media, pretty: true } : media;
  }

  respond(code: number, object: unknown): ApiResponse {
    const media = this.media({ protobuf: false, transforms: false, stream: false });
    return this.valueResponse(code, object, media);
  }

  valueResponse(code: number, object: unknown, media: Media, bytes?: () => Uint8Array): ApiResponse {
    return {
      kind: 'object',
      code,
      headers: { 'content-type': contentTypes[media.format] },
      object,
      bytes: () => [bytes ? bytes() : valueBytes(object, media)],
    };
  }

  #wantsPretty(): boolean {
    if (this.#pretty === undefined) {
      const asked = this.request.query.get('pretty');
      const agent = asked === null ? this.header('user-agent') : '';
      this.#pretty =
        asked !== null
          ? parseBool(asked)
          : agent.startsWith('curl') || agent.startsWith('Wget') || agent.startsWith('Mozilla/5.0');
    }
    return this.#pretty;
  }
}

/** What authorizers and the audit policy judge a request by. */
export function attributesOf({ user, info }: Call): Attributes {
  return {
    user,
    verb: info.verb,
    resourceRequest: info.isResource,
    path: info.path,
    group: info.group,
    version: info.version,
    resource: info.resource,
    subresource: info.subresource,
    namespace: info.namespace,
    name: info.name,
    ...(info.fieldSelector !== undefined && { fieldSelector: info.fieldSelector }),
    ...(info.labelSelector !== undefined && { labelSelector: info.labelSelector }),
  };
}

/** What the writes share, from the query. */
export interface WriteOptions {
  readonly dryRun: boolean;
  readonly fieldManager: string;
  readonly fieldValidation: 'Ignore' | 'Warn' | 'Strict';
}

/** Throws ApiError Invalid for values that are not known. */
export function writeOptionsOf(call: Call, kindName: string): WriteOptions {
  const { query } = call.request;
  const dryRun = query.getAll('dryRun');
  const validation = query.get('fieldValidation') ?? '';
  const manager = query.get('fieldManager') ?? '';
  const found = [];
  if (dryRun.some(each => each !== 'All'))
    found.push({
      type: 'FieldValueNotSupported' as const,
      field: 'dryRun',
      message: `Unsupported value: ${JSON.stringify(dryRun)}: supported values: "All"`,
    });
  if (validation !== '' && validation !== 'Ignore' && validation !== 'Warn' && validation !== 'Strict')
    found.push({
      type: 'FieldValueNotSupported' as const,
      field: 'fieldValidation',
      message: `Unsupported value: ${JSON.stringify(validation)}: supported values: "", "Ignore", "Strict", "Warn"`,
    });
  if (Buffer.byteLength(manager) > 128)
    found.push({
      type: 'FieldValueTooLong' as const,
      field: 'fieldManager',
      message: 'Too long: may not be more than 128 bytes',
    });
  let position = 0;
  for (const character of manager) {
    if (!/[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(character)) {
      const code = (character.codePointAt(0) as number).toString(16).toUpperCase().padStart(4, '0');
      found.push({
        type: 'FieldValueInvalid' as const,
        field: 'fieldManager',
        message: `Invalid value: ${JSON.stringify(manager)}: invalid character U+${code} (at position ${position})`,
      });
    }
    position += Buffer.byteLength(character);
  }
  if (found.length > 0) throw errors.invalid('meta.k8s.io', kindName, '', found);
  return {
    dryRun: dryRun.includes('All'),
    fieldManager: manager !== '' ? manager : managerOf(call.header('user-agent')),
    fieldValidation: validation === '' ? 'Warn' : (validation as 'Ignore' | 'Warn' | 'Strict'),
  };
}

/** Upstream names a manager that does not name itself after its program. */
function managerOf(userAgent: string): string {
  const slash = userAgent.indexOf('/');
  const name = slash < 0 ? userAgent : userAgent.slice(0, slash);
  const printable = name.replace(/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, '');
  return printable.slice(0, 128) || 'unknown';
}
