import {
  CelList,
  CelMap,
  CelObject,
  CelError,
  Double,
  Duration,
  Optional,
  type Result,
  Timestamp,
  Uint,
} from '#cel/values.ts';
import type { Json } from '#api/machinery/schema.ts';

/** What an expression made, as JSON. Throws an Error for what has no such form. */
export function plainValueOf(value: Result): Json {
  switch (typeof value) {
    case 'boolean':
    case 'string':
    case 'number':
    case 'bigint':
      return value as Json;
  }
  if (value === null) return null;
  if (value instanceof CelList) {
    const items: Json[] = [];
    for (let index = 0; index < value.size; index++) items.push(plainValueOf(value.get(index)));
    return items;
  }
  if (value instanceof CelMap) {
    const entries = value.keys().map((key): [string, Json] => {
      if (typeof key !== 'string') throw new Error(`map key ${JSON.stringify(String(key))} is not a string`);
      return [key, plainValueOf(value.find(key) ?? null)];
    });
    return Object.fromEntries(entries);
  }
  if (value instanceof CelObject) {
    const entries = value.names().map((name): [string, Json] => [name, plainValueOf(value.field(name) ?? null)]);
    return Object.fromEntries(entries);
  }
  if (value instanceof Double) return value.value;
  if (value instanceof Uint)
    return value.value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value.value) : (value.value as never);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof Timestamp) return timeText(value);
  if (value instanceof Duration) return `${Number(value.nanoseconds) / 1e9}s`;
  if (value instanceof Optional) return value.value === undefined ? null : plainValueOf(value.value);
  if (value instanceof CelError) throw new Error(value.message);
  throw new Error('a value of the language has no form in JSON');
}

function timeText({ seconds, nanoseconds }: Timestamp): string {
  const whole = new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, '');
  const fraction = nanoseconds === 0 ? '' : `.${String(nanoseconds).padStart(9, '0').replace(/0+$/, '')}`;
  return `${whole}${fraction}Z`;
}
