import type { Clock } from '#base/clock.ts';
import type { EncodedEvent } from './event.ts';
import type { AuditSink, SinkReport } from './sink.ts';

export interface BatchOptions {
  /** More events than this are dropped, and counted. */
  readonly bufferMax: number;
  readonly batchMax: number;
  readonly waitMs: number;
  /** Batches a second, and how many at once after a pause; absent: as fast as they come. */
  readonly throttle?: { readonly perSecond: number; readonly burst: number };
}

/** `batch`: requests do not wait; events are sent on when there are enough of them, or it is time. */
export function buffered(
  sink: AuditSink,
  options: BatchOptions,
  { metrics, log }: SinkReport,
  clock: Clock,
): AuditSink {
  const { bufferMax, batchMax, waitMs, throttle } = options;
  let buffer: EncodedEvent[] = [];
  let cancel: (() => void) | undefined;
  let sending: Promise<void> | undefined;
  let closed = false;
  let tokens = throttle?.burst ?? Number.POSITIVE_INFINITY;
  let filledMs = clock.monotonic();

  const waitForToken = async () => {
    if (!throttle) return;
    const nowMs = clock.monotonic();
    tokens = Math.min(throttle.burst, tokens + ((nowMs - filledMs) * throttle.perSecond) / 1000);
    filledMs = nowMs;
    tokens--;
    // What is left at the end goes out without waiting.
    if (tokens < 0 && !closed) await clock.sleep((-tokens * 1000) / throttle.perSecond);
  };

  const sendAll = async () => {
    while (buffer.length > 0) {
      const batch = buffer.slice(0, batchMax);
      buffer = buffer.slice(batchMax);
      await waitForToken();
      await sink.process(batch);
      if (!closed && buffer.length < batchMax) break;
    }
  };

  const send = () => {
    cancel?.();
    cancel = undefined;
    sending ??= sendAll().finally(() => {
      sending = undefined;
      schedule();
    });
  };

  const schedule = () => {
    if (buffer.length === 0 || sending) return;
    if (buffer.length >= batchMax || closed) send();
    else cancel ??= clock.after(waitMs, send);
  };

  return {
    process(events) {
      const room = bufferMax - buffer.length;
      const taken = events.slice(0, Math.max(0, room));
      buffer.push(...taken);
      if (taken.length < events.length) {
        metrics.failed('buffered', events.length - taken.length);
        log.warn('audit events are dropped: the buffer is full', { events: events.length - taken.length });
      }
      schedule();
      return true;
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      cancel?.();
      while (sending || buffer.length > 0) {
        send();
        await sending;
      }
      await sink[Symbol.asyncDispose]();
    },
  };
}
