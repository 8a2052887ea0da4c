import type { Log } from '#base/log.ts';
import type { AuditLevel, EncodedEvent } from './event.ts';

/** Where events go. */
export interface AuditSink extends AsyncDisposable {
  /** False: they are not kept, and the request should fail for it (`blocking-strict`). */
  process(events: readonly EncodedEvent[]): Promise<boolean> | boolean;
}

/** Upstream's `apiserver_audit_…`. */
export class AuditMetrics {
  events = 0;
  rejected = 0;
  readonly errors = new Map<string, number>();
  readonly levels = new Map<AuditLevel, number>();

  level(level: AuditLevel): void {
    this.levels.set(level, (this.levels.get(level) ?? 0) + 1);
  }

  failed(plugin: string, count: number): void {
    this.errors.set(plugin, (this.errors.get(plugin) ?? 0) + count);
  }
}

/** What sinks report failures to. */
export interface SinkReport {
  readonly metrics: AuditMetrics;
  readonly log: Log;
}

/** Everything goes to each of them. */
export function toAll(sinks: readonly AuditSink[]): AuditSink {
  if (sinks.length === 1) return sinks[0] as AuditSink;
  return {
    async process(events) {
      const kept = await Promise.all(sinks.map(sink => sink.process(events)));
      return kept.every(Boolean);
    },
    async [Symbol.asyncDispose]() {
      for (const sink of sinks) await sink[Symbol.asyncDispose]();
    },
  };
}

/** `blocking`: the request waits for its events, and goes on when they could not be kept. */
export function ignoringFailures(sink: AuditSink): AuditSink {
  return {
    async process(events) {
      await sink.process(events);
      return true;
    },
    [Symbol.asyncDispose]: () => sink[Symbol.asyncDispose](),
  };
}
