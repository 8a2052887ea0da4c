import { int64, noSuchOverload } from './operations.ts';
import { durationText, parseDuration, parseTimestamp, timestampOf, timestampOverflow, timestampText } from './time.ts';
import { CelError, type CelValue, Double, Duration, integerOf, type Result, Timestamp, Uint } from './values.ts';

const integerOverflow = new CelError('integer overflow');
const uintOverflow = new CelError('unsigned integer overflow');

export function toInt(value: CelValue): Result {
  if (typeof value === 'number' || typeof value === 'bigint') return value;
  if (value instanceof Uint) return int64(value.value);
  if (value instanceof Double) return doubleToInt(value.value);
  if (value instanceof Duration) return integerOf(value.nanoseconds);
  if (value instanceof Timestamp) return value.seconds;
  if (typeof value !== 'string') return noSuchOverload;
  const parsed = /^[+-]?\d+$/.test(value) ? BigInt(value.replace(/^\+/, '')) : undefined;
  return parsed === undefined || parsed !== BigInt.asIntN(64, parsed) ? failed('string', 'int') : integerOf(parsed);
}

function doubleToInt(value: number): Result {
  if (!Number.isFinite(value) || value <= -(2 ** 63) || value >= 2 ** 63) return integerOverflow;
  return integerOf(BigInt(Math.trunc(value)));
}

export function toUint(value: CelValue): Result {
  if (value instanceof Uint) return value;
  if (typeof value === 'number' || typeof value === 'bigint') return value < 0 ? uintOverflow : new Uint(BigInt(value));
  if (value instanceof Double) {
    const fits = Number.isFinite(value.value) && value.value >= 0 && value.value < 2 ** 64;
    return fits ? new Uint(BigInt(Math.trunc(value.value))) : uintOverflow;
  }
  if (typeof value !== 'string') return noSuchOverload;
  const parsed = /^\d+$/.test(value) ? BigInt(value) : undefined;
  return parsed === undefined || parsed >= 1n << 64n ? failed('string', 'uint') : new Uint(parsed);
}

export function toDouble(value: CelValue): Result {
  if (value instanceof Double) return value;
  if (typeof value === 'number' || typeof value === 'bigint') return new Double(Number(value));
  if (value instanceof Uint) return new Double(Number(value.value));
  return typeof value === 'string' ? parseDouble(value) : noSuchOverload;
}

function parseDouble(text: string): Result {
  if (/^[+-]?(\d+(_?\d)*\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) && !text.includes('_')) {
    const value = Number(text);
    return Number.isFinite(value) ? new Double(value) : failed('string', 'double');
  }
  if (/^[+-]?0[xX][0-9a-fA-F]*\.?[0-9a-fA-F]*[pP][+-]?\d+$/.test(text)) return hexadecimalDouble(text);
  const special = /^([+-]?)(inf|infinity|nan)$/i.exec(text);
  if (special === null) return failed('string', 'double');
  const [, sign, name = ''] = special;
  if (name.toLowerCase() === 'nan') return sign === '' ? new Double(Number.NaN) : failed('string', 'double');
  return new Double(sign === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY);
}

function hexadecimalDouble(text: string): Result {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^([+-]?)0[xX]([0-9a-fA-F]*)\.?([0-9a-fA-F]*)[pP]([+-]?\d+)$/.exec(text) ?? [];
  if (whole + fraction === '') return failed('string', 'double');
  const value = Number(BigInt(`0x${whole}${fraction}`)) * 2 ** (Number(exponent) - 4 * fraction.length);
  return Number.isFinite(value) ? new Double(sign === '-' ? -value : value) : failed('string', 'double');
}

const truths: ReadonlyMap<string, boolean> = new Map([
  ...['1', 't', 'T', 'true', 'TRUE', 'True'].map(each => [each, true] as const),
  ...['0', 'f', 'F', 'false', 'FALSE', 'False'].map(each => [each, false] as const),
]);

export function toBool(value: CelValue): Result {
  if (typeof value === 'boolean') return value;
  return typeof value === 'string' ? (truths.get(value) ?? failed('string', 'bool')) : noSuchOverload;
}

export function toText(value: CelValue): Result {
  switch (typeof value) {
    case 'string':
      return value;
    case 'boolean':
    case 'number':
    case 'bigint':
      return String(value);
  }
  if (value instanceof Uint) return String(value.value);
  if (value instanceof Double) return doubleText(value.value);
  if (value instanceof Uint8Array) return bytesText(value);
  if (value instanceof Timestamp) return timestampText(value);
  return value instanceof Duration ? durationText(value) : noSuchOverload;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function bytesText(bytes: Uint8Array): Result {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return new CelError('invalid UTF-8 in bytes, cannot convert to string');
    throw error;
  }
}

export function toBytes(value: CelValue): Result {
  if (value instanceof Uint8Array) return value;
  return typeof value === 'string' ? new TextEncoder().encode(value) : noSuchOverload;
}

export function toTimestamp(value: CelValue): Result {
  if (value instanceof Timestamp) return value;
  if (typeof value === 'number') return timestampOf(value, 0);
  if (typeof value === 'bigint') return timestampOverflow;
  if (typeof value !== 'string') return noSuchOverload;
  return parseTimestamp(value) ?? failed('string', 'google.protobuf.Timestamp');
}

export function toDuration(value: CelValue): Result {
  if (value instanceof Duration) return value;
  if (typeof value !== 'string') return noSuchOverload;
  return parseDuration(value) ?? failed('string', 'google.protobuf.Duration');
}

function failed(from: string, to: string): CelError {
  return new CelError(`type conversion error from '${from}' to '${to}'`);
}

/** Go's `%g`: shortest digits, with an exponent below -4 and from 6 on. */
export function doubleText(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const [digits = '', exponentText = '0'] = value.toExponential().split('e');
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 6) {
    return `${digits}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  return value.toFixed(Math.max(0, digits.replace(/^-?\d\.?/, '').length - exponent));
}
