import { AsyncLocalStorage } from 'node:async_hooks';

/*
 * What belongs together over many programs (W3C trace context). A span that is under way is found by the code below it
 * without being handed down; where nobody has begun one, all of this is one look at an empty place.
 */

export type AttributeValue = string | number | boolean;
export type Attributes = Readonly<Record<string, AttributeValue>>;

/** Which span, of which trace, and whether it is recorded. */
export interface SpanContext {
  /** 32 and 16 hexadecimal digits. */
  readonly traceId: string;
  readonly spanId: string;
  readonly sampled: boolean;
  /** `tracestate`, handed on as it is. */
  readonly state: string;
}

export interface FinishedSpan {
  readonly context: SpanContext;
  readonly parentId: string | undefined;
  readonly name: string;
  readonly kind: 'internal' | 'server' | 'client';
  /** Milliseconds since the epoch, with fractions. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Attributes;
  /** A trace that this one was begun for, without being part of it. */
  readonly link: SpanContext | undefined;
  readonly failure: string | undefined;
}

/** Takes spans when they end. */
export interface SpanRecorder {
  readonly now: () => number;
  readonly newSpanId: () => string;
  record(span: FinishedSpan): void;
}

/** A span under way. Without a recorder it is only handed on. */
export interface Span {
  readonly context: SpanContext;
  readonly recorder: SpanRecorder | undefined;
}

const current = new AsyncLocalStorage<Span>();

/** Runs something below a span. */
export function below<Value>(span: Span, run: () => Value): Value {
  return current.run(span, run);
}

/** Runs something as a span of its own, if somebody traces. Attributes are asked for only then. */
export function traced<Value>(
  name: string,
  run: () => Promise<Value>,
  attributes?: () => Attributes,
  kind: FinishedSpan['kind'] = 'internal',
): Promise<Value> {
  const parent = current.getStore();
  return parent?.recorder ? recorded(parent, parent.recorder, name, run, attributes?.() ?? {}, kind) : run();
}

/** Whether somebody records what is done here. */
export function isTracing(): boolean {
  return current.getStore()?.recorder !== undefined;
}

/** The same for what mostly has nothing to wait for: what is done at once is no span. */
export function tracedIfWaiting<Value>(
  name: string,
  run: () => Promise<Value> | undefined,
): Promise<Value> | undefined {
  const parent = current.getStore();
  if (!parent?.recorder) return run();
  const span = begin(parent, parent.recorder);
  const pending = current.run(span, run);
  return pending && finished(span, parent, parent.recorder, name, pending, {}, 'internal');
}

interface Begun extends Span {
  readonly startMs: number;
}

function begin(parent: Span, recorder: SpanRecorder): Begun {
  return { context: { ...parent.context, spanId: recorder.newSpanId() }, recorder, startMs: recorder.now() };
}

function recorded<Value>(
  parent: Span,
  recorder: SpanRecorder,
  name: string,
  run: () => Promise<Value>,
  attributes: Attributes,
  kind: FinishedSpan['kind'],
): Promise<Value> {
  const span = begin(parent, recorder);
  return finished(span, parent, recorder, name, current.run(span, run), attributes, kind);
}

async function finished<Value>(
  { context, startMs }: Begun,
  parent: Span,
  recorder: SpanRecorder,
  name: string,
  pending: Promise<Value>,
  attributes: Attributes,
  kind: FinishedSpan['kind'],
): Promise<Value> {
  let failure: string | undefined;
  try {
    return await pending;
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
    throw error;
  } finally {
    const { spanId: parentId } = parent.context;
    const endMs = recorder.now();
    recorder.record({ context, parentId, name, kind, startMs, endMs, attributes, link: undefined, failure });
  }
}

/** The headers that tell another program of the span under way. */
export function traceHeaders(): Readonly<Record<string, string>> {
  const span = current.getStore();
  if (!span) return noHeaders;
  const { traceId, spanId, sampled, state } = span.context;
  return {
    traceparent: `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`,
    ...(state !== '' && { tracestate: state }),
  };
}

const noHeaders = {};
const pattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Undefined for what is no trace context. */
export function parseTraceparent(traceparent: string, state: string): SpanContext | undefined {
  const [, version = 'ff', traceId = '', spanId = '', flags = '00', more] = pattern.exec(traceparent) ?? [];
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1, state: state.slice(0, 512) };
}
