import { atLeast, encodeEvent, type EncodedEvent } from './event.ts';
import type { AuditSink, SinkReport } from './sink.ts';

export interface TruncateOptions {
  readonly eventBytesMax: number;
  readonly batchBytesMax: number;
}

/** Events that are too large lose what was sent and answered; those that are still too large are not kept. */
export function truncating(
  sink: AuditSink,
  { eventBytesMax, batchBytesMax }: TruncateOptions,
  { metrics, log }: SinkReport,
): AuditSink {
  return {
    async process(events) {
      let kept = true;
      let batch: EncodedEvent[] = [];
      let batchBytes = 0;
      const flush = async () => {
        if (batch.length > 0) kept = (await sink.process(batch)) && kept;
        batch = [];
        batchBytes = 0;
      };
      for (const event of events) {
        const shorter = shortened(event, eventBytesMax);
        const bytes = Buffer.byteLength(shorter.json);
        if (bytes > eventBytesMax) {
          metrics.failed('truncate', 1);
          log.error('an audit event is too large even after truncating', { auditID: event.event.auditID, bytes });
          continue;
        }
        if (batchBytes + bytes > batchBytesMax) await flush();
        batch.push(shorter);
        batchBytes += bytes;
      }
      await flush();
      return kept;
    },
    [Symbol.asyncDispose]: () => sink[Symbol.asyncDispose](),
  };
}

function shortened(encoded: EncodedEvent, bytesMax: number): EncodedEvent {
  if (Buffer.byteLength(encoded.json) <= bytesMax || !atLeast(encoded.event.level, 'Request')) return encoded;
  const { requestObject, responseObject, annotations, ...rest } = encoded.event;
  void [requestObject, responseObject];
  return encodeEvent({ ...rest, annotations: { ...annotations, 'audit.k8s.io/truncated': 'true' } });
}
