import type { Clock } from '#base/clock.ts';
import { type Outgoing, postWithRetries } from '../outgoing.ts';
import type { AuditSink, SinkReport } from './sink.ts';

/** Sends events as an EventList, again and again where the fault may pass. */
export function webhookSink(
  outgoing: Outgoing,
  { metrics, log }: SinkReport,
  options: { readonly clock: Clock; readonly signal: AbortSignal; readonly firstPauseMs: number },
): AuditSink {
  const { clock, signal, firstPauseMs } = options;
  return {
    async process(events) {
      const body = `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[${events
        .map(({ json }) => json)
        .join(',')}]}`;
      try {
        await postWithRetries(outgoing, body, clock, signal, firstPauseMs);
        return true;
      } catch (error) {
        metrics.failed('webhook', events.length);
        log.error('cannot send audit events', { error, events: events.length });
        return false;
      }
    },
    async [Symbol.asyncDispose]() {
      outgoing[Symbol.dispose]();
    },
  };
}
