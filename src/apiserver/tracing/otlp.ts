/*
 * Spans as OTLP has them (opentelemetry.proto.collector.trace.v1). Encoders write from the end to the start, so the fields
 * of a message stand in falling order.
 */
import {
  position,
  writeByte,
  writeDouble,
  writeInteger,
  writeRaw,
  writeString,
  writeVarint,
  written,
} from '#api/machinery/wire.ts';
import type { Attributes, AttributeValue, FinishedSpan } from '#base/trace.ts';

const kinds = { internal: 1, server: 2, client: 3 } as const;

/** An ExportTraceServiceRequest. */
export function encodeExport(resource: Attributes, spans: readonly FinishedSpan[]): Buffer {
  const message = written(() => {
    nested(1, () => {
      nested(2, () => {
        for (const span of [...spans].reverse()) nested(2, () => writeSpan(span));
        nested(1, () => string(1, 'windlass'));
      });
      nested(1, () => writeAttributes(1, resource));
    });
  });
  return Buffer.from(message.buffer, message.byteOffset, message.byteLength);
}

function writeSpan({ context, parentId, name, kind, startMs, endMs, attributes, link, failure }: FinishedSpan): void {
  if (failure !== undefined)
    nested(15, () => {
      integer(3, 2);
      string(2, failure);
    });
  if (link)
    nested(13, () => {
      if (link.state !== '') string(3, link.state);
      hex(2, link.spanId);
      hex(1, link.traceId);
    });
  writeAttributes(9, attributes);
  nanoseconds(8, endMs);
  nanoseconds(7, startMs);
  integer(6, kinds[kind]);
  string(5, name);
  if (parentId !== undefined) hex(4, parentId);
  if (context.state !== '') string(3, context.state);
  hex(2, context.spanId);
  hex(1, context.traceId);
}

function writeAttributes(field: number, attributes: Attributes): void {
  for (const [key, value] of Object.entries(attributes).reverse())
    nested(field, () => {
      nested(2, () => writeValue(value));
      string(1, key);
    });
}

function writeValue(value: AttributeValue): void {
  if (typeof value === 'string') string(1, value);
  else if (typeof value === 'boolean') {
    writeByte(value ? 1 : 0);
    writeVarint(2 << 3);
  } else if (Number.isSafeInteger(value)) integer(3, value);
  else {
    writeDouble(value);
    writeVarint((4 << 3) | 1);
  }
}

function nested(field: number, write: () => void): void {
  const end = position();
  write();
  writeVarint(position() - end);
  writeVarint((field << 3) | 2);
}

function string(field: number, value: string): void {
  writeString(value);
  writeVarint((field << 3) | 2);
}

function integer(field: number, value: number): void {
  writeInteger(value);
  writeVarint(field << 3);
}

function hex(field: number, value: string): void {
  const bytes = Buffer.from(value, 'hex');
  writeRaw(bytes);
  writeVarint(bytes.length);
  writeVarint((field << 3) | 2);
}

/** fixed64, of milliseconds with fractions. */
function nanoseconds(field: number, timeMs: number): void {
  const whole = Math.floor(timeMs);
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64LE(BigInt(whole) * 1_000_000n + BigInt(Math.round((timeMs - whole) * 1e6)));
  writeRaw(bytes);
  writeVarint((field << 3) | 1);
}
