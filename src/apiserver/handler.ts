import { ApiError, errors } from '#api/machinery/errors.ts';
import { encodeProtobuf } from '#api/machinery/protobuf.ts';
import type { Credentials } from '#auth/authentication/authenticator.ts';
import { anonymous, type User } from '#auth/user.ts';
import type { Log } from '#base/log.ts';
import type { ApiRequest, ApiResponse } from '#client/transport.ts';
import type { BrowserHeaders } from './browser-headers.ts';
import { Call, type Foundation, type Origin } from './call.ts';
import { type AuditHook, chainOf, runChain, type Step } from './chain.ts';
import type { Dispatcher } from './dispatch.ts';
import { statusKind } from './encoding/meta-kinds.ts';
import { valueBytes } from './encoding/object.ts';
import { isLongRunning } from './in-flight.ts';
import { parseRequestInfo } from './request-info.ts';
import type { Shutdown } from './shutdown.ts';
import { passTrace, type Tracer } from './tracing/tracer.ts';

export interface HandlerParts {
  readonly foundation: Foundation;
  readonly dispatcher: Dispatcher;
  readonly authenticate: (credentials: Credentials) => Promise<User> | User;
  readonly audit?: AuditHook;
  /** Decides who waits and who is refused; without it everybody goes on. */
  readonly flowControl?: Step;
  /** Counts what is under way and refuses what comes too late. */
  readonly shutdown?: Shutdown | undefined;
  /** What browsers are told; without it nothing. */
  readonly browsers?: BrowserHeaders | undefined;
  /** Records what a request does; without it a trace that passes is only handed on. */
  readonly tracer?: Tracer | undefined;
  readonly log: Log;
}

/** What the TLS handshake proved. */
export type ClientCertificates = Pick<Credentials, 'clientCertificate' | 'proxyCertificate'>;

/** The whole way of a request, whatever carried it here; never throws. */
export class Handler {
  readonly #parts: HandlerParts;
  readonly #steps: readonly Step[];

  constructor(parts: HandlerParts) {
    this.#parts = parts;
    const { tracer, audit, flowControl } = parts;
    const trace: Step = tracer ? (call, next) => tracer.trace(call, next) : passTrace;
    this.#steps = chainOf(trace, audit, flowControl);
  }

  /** A request from outside: its credentials say who makes it. */
  async handle(request: ApiRequest, certificates?: ClientCertificates, address?: string): Promise<ApiResponse> {
    const { authenticate, shutdown, foundation } = this.#parts;
    const { metrics } = foundation;
    const refusal = shutdown?.refusal(request);
    if (refusal) return refusal;
    return this.#answer(
      request,
      async call => {
        try {
          const user = await authenticate({
            headers: request.headers,
            path: request.path,
            notes: call,
            ...certificates,
          });
          metrics.authenticated('success', user.name);
          return user;
        } catch (error) {
          metrics.authenticated(error instanceof ApiError ? 'failure' : 'error');
          throw error;
        }
      },
      { address, hasCertificate: certificates?.clientCertificate !== undefined },
    );
  }

  /** A request from inside this process, by somebody who need not prove who they are. */
  async handleAs(user: User, request: ApiRequest): Promise<ApiResponse> {
    return this.#answer(request, () => user);
  }

  /** Answers with an error before anything else is looked at. */
  refuse(request: ApiRequest, error: ApiError, address?: string): Promise<ApiResponse> {
    return this.#answer(
      request,
      () => {
        throw error;
      },
      { address, hasCertificate: true },
    );
  }

  async #answer(
    request: ApiRequest,
    whoIs: (call: Call) => Promise<User> | User,
    origin?: Origin,
  ): Promise<ApiResponse> {
    const { foundation, dispatcher } = this.#parts;
    const info = parseRequestInfo(request.method, request.path, request.query);
    const call = new Call(request, info, anonymous, foundation, origin);
    const { browsers, shutdown } = this.#parts;
    const lasts = isLongRunning(call);
    let response: ApiResponse;
    let isKnown = false;
    let isDispatched = false;
    const preflight = browsers?.preflight(request);
    if (preflight) {
      addHeaders(call, preflight);
      browsers?.add(request, preflight.headers as Record<string, string>);
      return preflight;
    }
    if (!lasts) shutdown?.began();
    try {
      const user = whoIs(call);
      call.user = user instanceof Promise ? await user : user;
      isKnown = true;
      response = await runChain(this.#steps, call, each => {
        isDispatched = true;
        return dispatcher.dispatch(each);
      });
    } catch (error) {
      if (!isKnown) await this.#parts.audit?.unauthenticated(call);
      response = this.#failure(call, error);
      // What the filters refuse may have markup of the client's in it.
      if (isKnown && !isDispatched) (response.headers as Record<string, string>)['x-content-type-options'] = 'nosniff';
    } finally {
      if (!lasts) shutdown?.done();
    }
    addHeaders(call, response);
    browsers?.add(request, response.headers as Record<string, string>);
    foundation.metrics.request(info, response.code, (foundation.clock.monotonic() - call.startMs) / 1000);
    if (lasts && response.kind !== 'object') this.#countLongRunning(call);
    return response;
  }

  #countLongRunning({ info, request: { signal }, foundation }: Call): void {
    if (signal.aborted) return;
    foundation.metrics.longRunning(info, 1);
    signal.addEventListener('abort', () => foundation.metrics.longRunning(info, -1), { once: true });
  }

  #failure(call: Call, error: unknown): ApiResponse {
    if (!(error instanceof ApiError)) {
      const { request } = call;
      this.#parts.log.error('a request failed', { method: request.method, path: request.path, error });
    }
    const { status } = error instanceof ApiError ? error : errors.internal(messageOf(error));
    const headers: Record<string, string> = { 'content-type': 'application/json' };
    const retry = status.details?.retryAfterSeconds ?? 0;
    if (retry > 0) headers['retry-after'] = String(retry);
    return { kind: 'object', code: status.code, headers, object: status, ...this.#statusBytes(call, status, headers) };
  }

  /** In the form the client asked for, or as JSON when that is the very thing that failed. */
  #statusBytes(call: Call, status: ApiError['status'], headers: Record<string, string>) {
    try {
      const media = call.media({ protobuf: true, transforms: true, stream: false });
      if (media.format === 'protobuf') {
        headers['content-type'] = 'application/vnd.kubernetes.protobuf';
        return { bytes: () => [encodeProtobuf(statusKind, status)] };
      }
      if (media.format === 'yaml') headers['content-type'] = 'application/yaml';
      return { bytes: () => [valueBytes(status, media)] };
    } catch {
      return { bytes: () => [Buffer.from(`${JSON.stringify(status)}\n`)] };
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function addHeaders(call: Call, response: ApiResponse): void {
  const headers = response.headers as Record<string, string | readonly string[]>;
  headers['audit-id'] = call.auditId;
  headers['cache-control'] ??= 'no-cache, private';
  if (call.flow) {
    headers['x-kubernetes-pf-flowschema-uid'] = call.flow.schemaUid;
    headers['x-kubernetes-pf-prioritylevel-uid'] = call.flow.levelUid;
  }
  const warnings = call.warnings.headers;
  if (warnings) headers['warning'] = warnings;
}
