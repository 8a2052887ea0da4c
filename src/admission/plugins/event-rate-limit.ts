import type { Clock } from '#base/clock.ts';
import { errors } from '#api/machinery/errors.ts';
import { Event } from '#api/core/v1/event.ts';
import { Event as GroupEvent } from '#api/events/v1/event.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts';
import { concerns } from '../request.ts';

export const eventLimitTypes = ['Server', 'Namespace', 'User', 'SourceAndObject'] as const;

export interface EventLimit {
  readonly type: (typeof eventLimitTypes)[number];
  readonly qps: number;
  readonly burst: number;
  /** So many keys are remembered; those that were used least recently begin anew. */
  readonly cacheSize?: number;
}

const cacheSizeDefault = 4096;

/** So many Events a second are written: of all, of a namespace, of a user, of one source about one object. */
export function eventRateLimit({ clock }: { readonly clock: Clock }, limits: readonly EventLimit[]): AdmissionPlugin {
  const buckets = limits.map(limit => new Buckets(limit, clock));
  return {
    name: 'EventRateLimit',
    handles: request =>
      concerns(request, Event, 'CREATE', 'UPDATE') || concerns(request, GroupEvent, 'CREATE', 'UPDATE'),
    validate(request) {
      let refused: { readonly type: string; readonly key: string } | undefined;
      // Each of them counts the event, whatever the others say.
      for (const each of buckets) {
        const key = keyOf(each.type, request);
        if (!each.take(key)) refused = { type: each.type, key };
      }
      if (refused) {
        const { type, key } = refused;
        throw errors.tooManyRequests(`Too many requests: limit reached on type ${type} for key ${key}`, 0);
      }
    },
  };
}

class Buckets {
  readonly type: EventLimit['type'];
  readonly #limit: EventLimit;
  readonly #clock: Clock;
  /** The one that was used last is the last. */
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();

  constructor(limit: EventLimit, clock: Clock) {
    this.type = limit.type;
    this.#limit = limit;
    this.#clock = clock;
  }

  take(key: string): boolean {
    const { qps, burst, cacheSize = cacheSizeDefault } = this.#limit;
    const nowMs = this.#clock.monotonic();
    const bucket = this.#buckets.get(key) ?? { tokens: burst, atMs: nowMs };
    bucket.tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.atMs) * qps) / 1000);
    bucket.atMs = nowMs;
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    const oldest = this.#buckets.keys().next();
    if (this.#buckets.size > cacheSize && !oldest.done) this.#buckets.delete(oldest.value);
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }
}

function keyOf(type: EventLimit['type'], request: AdmissionRequest): string {
  switch (type) {
    case 'Server':
      return '';
    case 'Namespace':
      return request.namespace;
    case 'User':
      return request.user.name;
    case 'SourceAndObject': {
      const { source, involvedObject, regarding, deprecatedSource } = (request.object ?? {}) as unknown as Partial<
        Pick<Event, 'source' | 'involvedObject'> & Pick<GroupEvent, 'regarding' | 'deprecatedSource'>
      >;
      const from = source ?? deprecatedSource;
      const about = involvedObject ?? regarding;
      return [
        from?.component,
        from?.host,
        about?.kind,
        about?.namespace,
        about?.name,
        about?.uid,
        about?.apiVersion,
      ].join('');
    }
  }
}
