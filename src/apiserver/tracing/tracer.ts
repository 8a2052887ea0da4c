import type { Clock } from '#base/clock.ts';
import type { Random } from '#base/random.ts';
import {
  below,
  parseTraceparent,
  type AttributeValue,
  type FinishedSpan,
  type Span,
  type SpanContext,
  type SpanRecorder,
} from '#base/trace.ts';
import { wellKnownGroups } from '#auth/user.ts';
import type { ApiResponse } from '#client/transport.ts';
import type { Call } from '../call.ts';
import { isLongRunning } from '../in-flight.ts';

export interface TracerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly samplesPerMillion: number;
  readonly record: (span: FinishedSpan) => void;
}

/** Begins a span for every request that is sampled. */
export class Tracer {
  readonly #random: Random;
  readonly #recorder: SpanRecorder;
  /** Traces whose number is below are recorded, so that every program that asks the same of a trace answers the same. */
  readonly #bound: bigint;

  constructor({ clock, random, samplesPerMillion, record }: TracerOptions) {
    this.#random = random;
    this.#bound = (BigInt(samplesPerMillion) << 63n) / 1_000_000n;
    // The wall clock when it began, the monotonic one since: spans have fractions of milliseconds.
    const offsetMs = clock.now() - clock.monotonic();
    this.#recorder = {
      now: () => offsetMs + clock.monotonic(),
      newSpanId: () => this.#hex(8),
      record,
    };
  }

  /** The request behind authentication, which has taken the time since `call` was made. */
  async trace(call: Call, next: () => Promise<ApiResponse>): Promise<ApiResponse> {
    const remote = remoteOf(call);
    // Whoever is not trusted must not decide what is recorded; their trace is only referred to.
    const parent = remote && isTrusted(call) ? remote : undefined;
    const context = this.#contextOf(parent, remote);
    if (!context.sampled) return below({ context, recorder: undefined }, next);
    const nowMs = this.#recorder.now();
    const startMs = nowMs - (call.foundation.clock.monotonic() - call.startMs);
    const span: Span = { context, recorder: this.#recorder };
    this.#recorder.record({
      context: { ...context, spanId: this.#hex(8) },
      parentId: context.spanId,
      name: 'Authentication',
      kind: 'internal',
      startMs,
      endMs: nowMs,
      attributes: {},
      link: undefined,
      failure: undefined,
    });
    const end = (code: number) =>
      this.#recorder.record({
        context,
        parentId: parent?.spanId,
        name: nameOf(call),
        kind: 'server',
        startMs,
        endMs: this.#recorder.now(),
        attributes: attributesOf(call, code),
        link: parent ? undefined : remote,
        failure: code >= 500 ? `HTTP ${code}` : undefined,
      });
    let code = 500;
    let lasts = false;
    try {
      const response = await below(span, next);
      ({ code } = response);
      lasts = isLongRunning(call) && (response.kind === 'watch' || response.kind === 'stream');
      if (lasts) call.request.signal.addEventListener('abort', () => end(code), { once: true });
      return response;
    } catch (error) {
      const { status } = error as { readonly status?: { readonly code?: number } };
      code = status?.code ?? 500;
      throw error;
    } finally {
      if (!lasts) end(code);
    }
  }

  #contextOf(parent: SpanContext | undefined, remote: SpanContext | undefined): SpanContext {
    const spanId = this.#hex(8);
    if (parent) return { ...parent, spanId };
    const traceId = this.#hex(16);
    const sampled = BigInt(`0x${traceId.slice(16)}`) >> 1n < this.#bound;
    return { traceId, spanId, sampled, state: remote?.state ?? '' };
  }

  #hex(bytes: number): string {
    return Buffer.from(this.#random.bytes(bytes)).toString('hex');
  }
}

/** Without tracing a trace that passes is handed on: webhooks and node agents may be part of it. */
export function passTrace(call: Call, next: () => Promise<ApiResponse>): Promise<ApiResponse> {
  if (call.request.headers['traceparent'] === undefined) return next();
  const context = remoteOf(call);
  return context ? below({ context, recorder: undefined }, next) : next();
}

function remoteOf(call: Call): SpanContext | undefined {
  const traceparent = call.header('traceparent');
  return traceparent === '' ? undefined : parseTraceparent(traceparent, call.header('tracestate'));
}

function isTrusted({ user }: Call): boolean {
  return user.groups.includes(wellKnownGroups.masters) || user.groups.includes(wellKnownGroups.monitoring);
}

/** `POST /api/v1/namespaces/{:namespace}/configmaps`: few names for many requests. */
function nameOf({ request, info }: Call): string {
  if (!info.isResource) return request.method;
  const { prefix, group, version, namespace, resource, name, subresource } = info;
  const parts = [
    prefix,
    ...(group === '' ? [] : [group]),
    version,
    ...(namespace === '' ? [] : ['namespaces', '{:namespace}']),
    resource,
    ...(name === '' ? [] : ['{:name}']),
    ...(subresource === '' ? [] : [subresource]),
  ];
  return `${request.method} /${parts.join('/')}`;
}

function attributesOf(call: Call, code: number): Readonly<Record<string, AttributeValue>> {
  const { request, remoteAddress } = call;
  const { path, query, method } = request;
  const agent = call.header('user-agent');
  return {
    'http.request.method': method,
    'http.target': query.size === 0 ? path : `${path}?${query}`,
    'url.path': path,
    'http.response.status_code': code,
    'audit-id': call.auditId,
    ...(agent !== '' && { 'user_agent.original': agent }),
    ...(remoteAddress !== undefined && { 'client.address': remoteAddress }),
  };
}
