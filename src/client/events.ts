import type { Clock } from '#base/clock.ts';
import { limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { Channel } from '#base/queue.ts';
import { Event } from '#api/core/v1/event.ts';
import type { ObjectReference } from '#api/core/v1/object-reference.ts';
import { ApiError, isReason } from '#api/machinery/errors.ts';
import { apiVersionOf, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import type { Client } from './client.ts';

/** Writes Kubernetes Events about objects, in the background; what cannot be written is dropped. */
export interface EventRecorder extends AsyncDisposable {
  event(about: ApiObject | ObjectReference, type: EventType, reason: string, message: string): void;
  /** Everything recorded so far has been written or given up. */
  flushed(): Promise<void>;
}

export type EventType = 'Normal' | 'Warning';

export interface EventRecorderOptions {
  readonly client: Client;
  /** `deployment-controller`, `kubelet` */
  readonly component: string;
  /** The node, for what runs on one. */
  readonly host?: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Upstream's components ask their API server 50 times a second at most, after a burst of 100. */
const writesBurst = 100;
const writesPerSecond = 50;
const attemptsMax = 12;
const retryAfterMs = 10_000;

export function openEventRecorder(options: EventRecorderOptions): EventRecorder {
  const { client, component, host = '', clock, log } = options;
  const correlate = correlator();
  const queue = new Channel<Event>(limits.eventQueueMax);
  const stop = new AbortController();
  let unwritten = 0;
  let idle = Promise.withResolvers<void>();
  let sequence = 0;

  let tokens = writesBurst;
  let countedMs = clock.monotonic();
  /** Thousands of pods that are bound at once must not be as many writes again. */
  const turn = async (): Promise<void> => {
    const nowMs = clock.monotonic();
    tokens = Math.min(writesBurst, tokens + ((nowMs - countedMs) * writesPerSecond) / 1000) - 1;
    countedMs = nowMs;
    if (tokens < 0) await clock.sleep((-tokens * 1000) / writesPerSecond, stop.signal).catch(() => undefined);
  };

  const write = async (event: Event): Promise<void> => {
    const verdict = correlate.observe(event, clock.now());
    if (!verdict) return;
    await turn();
    if (stop.signal.aborted) return;
    for (let attempt = 1; ; attempt++) {
      try {
        correlate.written(verdict.key, await send(client, verdict, stop.signal));
        return;
      } catch (error) {
        if (stop.signal.aborted) return;
        if (error instanceof ApiError || attempt >= attemptsMax) {
          log.debug('event dropped', { reason: event.reason, error });
          return;
        }
        await clock.sleep(retryAfterMs, stop.signal).catch(() => undefined);
      }
    }
  };
  const writing = (async () => {
    for await (const event of queue) {
      await write(event);
      unwritten--;
      if (unwritten === 0) idle.resolve();
    }
  })();

  return {
    event(about, type, reason, message) {
      const reference = 'metadata' in about ? referenceTo(about as ApiObject) : (about as ObjectReference);
      const nowMs = clock.now();
      const timestamp = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
      const taken = queue.push({
        apiVersion: 'v1',
        kind: 'Event',
        metadata: {
          name: `${reference.name ?? ''}.${(BigInt(nowMs) * 1_000_000n + BigInt(sequence++ % 1_000_000)).toString(16)}`,
          namespace: reference.namespace ?? 'default',
        },
        involvedObject: reference,
        reason,
        message: message.slice(0, 1024),
        source: { component, ...(host !== '' && { host }) },
        firstTimestamp: timestamp,
        lastTimestamp: timestamp,
        count: 1,
        type,
        reportingComponent: component,
        reportingInstance: host,
      });
      if (!taken) return;
      if (unwritten === 0) idle = Promise.withResolvers<void>();
      unwritten++;
    },
    flushed: () => (unwritten === 0 ? Promise.resolve() : idle.promise),
    async [Symbol.asyncDispose]() {
      stop.abort(new Error('the event recorder was closed'));
      queue.close();
      await writing;
    },
  };
}

/** What an Event, or another object, says to point at an object. */
export function referenceTo(object: ApiObject, kind?: Kind): ObjectReference {
  const { name, namespace, uid, resourceVersion } = object.metadata;
  return {
    kind: object.kind ?? kind?.kind ?? '',
    ...(namespace !== undefined && { namespace }),
    name: name ?? '',
    uid: uid ?? '',
    apiVersion: object.apiVersion ?? (kind ? apiVersionOf(kind) : ''),
    ...(resourceVersion !== undefined && { resourceVersion }),
  };
}

async function send(client: Client, { event, repeats }: Verdict, signal: AbortSignal): Promise<Event> {
  const { name = '', namespace = '' } = event.metadata;
  if (repeats) {
    try {
      const patch = { count: event.count, lastTimestamp: event.lastTimestamp, message: event.message };
      return await client.patch(Event, name, { type: 'strategic', patch }, { namespace, signal });
    } catch (error) {
      // It has run out meanwhile; it begins anew.
      if (!isReason(error, 'NotFound')) throw error;
    }
  }
  return client.create(Event, event, { namespace, signal });
}

interface Verdict {
  readonly key: string;
  readonly event: Event;
  /** An Event that is there already counts on. */
  readonly repeats: boolean;
}

/** Upstream's figures: keys remembered, distinct messages before they are combined, seconds that they belong together. */
const rememberedMax = 4096;
const similarMax = 10;
const similarWithinMs = 600_000;
const burst = 25;
const refillMs = 300_000;

/**
 * client-go's correlator: the same Event again counts on; many that differ in the message only are combined into one; an
 * object that is talked about too much is silenced.
 */
export function correlator() {
  const similar = new Recent<{ readonly messages: Set<string>; lastMs: number }>();
  const written = new Recent<{ readonly count: number; readonly event: Event }>();
  const buckets = new Recent<{ tokens: number; atMs: number }>();

  const aggregated = (event: Event, nowMs: number): { key: string; event: Event } => {
    const group = keyOfParts(event, event.type, event.reason, event.reportingComponent, event.reportingInstance);
    const known = similar.get(group);
    const entry = known && nowMs - known.lastMs <= similarWithinMs ? known : { messages: new Set<string>(), lastMs: 0 };
    entry.lastMs = nowMs;
    entry.messages.add(event.message ?? '');
    similar.set(group, entry);
    if (entry.messages.size < similarMax)
      return { key: keyOfParts(event, event.type, event.reason, event.reportingComponent, event.message), event };
    // Any message leaves, so that the set stays bounded.
    for (const message of entry.messages) {
      entry.messages.delete(message);
      break;
    }
    return { key: group, event: { ...event, message: `(combined from similar events): ${event.message}` } };
  };

  const allowed = (event: Event, nowMs: number): boolean => {
    const key = keyOfParts(event);
    const bucket = buckets.get(key) ?? { tokens: burst, atMs: nowMs };
    bucket.tokens = Math.min(burst, bucket.tokens + (nowMs - bucket.atMs) / refillMs);
    bucket.atMs = nowMs;
    buckets.set(key, bucket);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  };

  return {
    observe(raw: Event, nowMs: number): Verdict | undefined {
      const { key, event } = aggregated(raw, nowMs);
      const before = written.get(key);
      const counted: Event = before
        ? {
            ...event,
            metadata: { name: before.event.metadata.name, namespace: before.event.metadata.namespace },
            firstTimestamp: before.event.firstTimestamp,
            count: before.count + 1,
          }
        : event;
      written.set(key, { count: counted.count ?? 1, event: counted });
      return allowed(counted, nowMs) ? { key, event: counted, repeats: before !== undefined } : undefined;
    },
    written(key: string, event: Event): void {
      const before = written.get(key);
      if (before) written.set(key, { count: before.count, event: { ...event, count: before.count } });
    },
  };
}

function keyOfParts(event: Event, ...more: readonly (string | undefined)[]): string {
  const { source, involvedObject: about } = event;
  return [
    source?.component,
    source?.host,
    about.kind,
    about.namespace,
    about.name,
    about.uid,
    about.apiVersion,
    ...more,
  ].join('\n');
}

/** Remembers what was used last. */
class Recent<Value> {
  readonly #entries = new Map<string, Value>();

  get(key: string): Value | undefined {
    return this.#entries.get(key);
  }

  set(key: string, value: Value): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size <= rememberedMax) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }
}
