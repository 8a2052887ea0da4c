import { CelError, Duration, Timestamp } from './values.ts';

const secondsMin = -62_135_596_800;
const secondsMax = 253_402_300_799;
const nanosecondsPerSecond = 1_000_000_000;
const nanosecondsMax = (1n << 63n) - 1n;

export const timestampOverflow = new CelError('timestamp overflow');
export const durationOverflow = new CelError('duration overflow');

export function timestampOf(seconds: number, nanoseconds: number, offsetSeconds = 0): Timestamp | CelError {
  if (seconds < secondsMin || seconds > secondsMax) return timestampOverflow;
  return new Timestamp(seconds, nanoseconds, offsetSeconds);
}

export function durationOf(nanoseconds: bigint): Duration | CelError {
  return nanoseconds > nanosecondsMax || nanoseconds < -nanosecondsMax - 1n
    ? durationOverflow
    : new Duration(nanoseconds);
}

/** RFC 3339 as Go reads it; undefined when it is not. */
export function parseTimestamp(text: string): Timestamp | CelError | undefined {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction = '', zone = 'Z'] = match;
  if (Number(month) < 1 || Number(month) > 12 || Number(day) < 1 || Number(day) > daysIn(Number(year), Number(month))) {
    return undefined;
  }
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  const offset = zone === 'Z' ? 0 : offsetSeconds(zone);
  if (offset === undefined) return undefined;
  const days = daysSinceEpoch(Number(year), Number(month), Number(day));
  const seconds = days * 86_400 + Number(hour) * 3600 + Number(minute) * 60 + Number(second) - offset;
  return timestampOf(seconds, Number(fraction.slice(0, 9).padEnd(9, '0')), offset);
}

function offsetSeconds(zone: string): number | undefined {
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(4, 6));
  if (hours > 24 || minutes > 60) return undefined;
  return (zone[0] === '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
}

export function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}

/** `Date.UTC` reads years below 100 as of the 20th century. */
export function daysSinceEpoch(year: number, month: number, day: number): number {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return Math.floor(date.getTime() / 86_400_000);
}

/** RFC 3339 with as many digits of the second as it has. */
export function timestampText({ seconds, nanoseconds, offsetSeconds }: Timestamp): string {
  const text = new Date((seconds + offsetSeconds) * 1000).toISOString().replace(/\.\d+Z$/, '');
  return `${text}${fractionText(nanoseconds)}${offsetText(offsetSeconds)}`;
}

function offsetText(offsetSeconds: number): string {
  if (offsetSeconds === 0) return 'Z';
  const minutes = Math.abs(offsetSeconds) / 60;
  const two = (value: number) => String(Math.trunc(value)).padStart(2, '0');
  return `${offsetSeconds < 0 ? '-' : '+'}${two(minutes / 60)}:${two(minutes % 60)}`;
}

function fractionText(nanoseconds: number): string {
  return nanoseconds === 0 ? '' : `.${String(nanoseconds).padStart(9, '0').replace(/0+$/, '')}`;
}

const unitNanoseconds: ReadonlyMap<string, bigint> = new Map([
  ['ns', 1n],
  ['us', 1000n],
  ['µs', 1000n],
  ['μs', 1000n],
  ['ms', 1_000_000n],
  ['s', 1_000_000_000n],
  ['m', 60_000_000_000n],
  ['h', 3_600_000_000_000n],
]);

/** `1h2m3.5s` as Go reads it; undefined when it is not a duration or does not fit. */
export function parseDuration(text: string): Duration | undefined {
  const sign = /^[+-]/.exec(text)?.[0] ?? '';
  const rest = text.slice(sign.length);
  if (rest === '0') return new Duration(0n);
  if (rest === '') return undefined;
  const part = /(\d*)(?:\.(\d*))?([a-zµμ]+)/y;
  let total = 0n;
  while (part.lastIndex < rest.length) {
    const match = part.exec(rest);
    if (match === null) return undefined;
    const [, whole = '', fraction = '', unit = ''] = match;
    const scale = unitNanoseconds.get(unit);
    if (scale === undefined || (whole === '' && fraction === '')) return undefined;
    total += BigInt(whole || '0') * scale;
    if (fraction !== '') total += (BigInt(fraction) * scale) / 10n ** BigInt(fraction.length);
    if (total > nanosecondsMax + 1n) return undefined;
  }
  const duration = durationOf(sign === '-' ? -total : total);
  return duration instanceof Duration ? duration : undefined;
}

/** In seconds, as a float of 64 bits shows them. */
export function durationText({ nanoseconds }: Duration): string {
  return `${plainNumber(durationSeconds(nanoseconds))}s`;
}

export function durationSeconds(nanoseconds: bigint): number {
  const whole = nanoseconds / 1_000_000_000n;
  return Number(whole) + Number(nanoseconds % 1_000_000_000n) / nanosecondsPerSecond;
}

/** Shortest digits without exponent. */
export function plainNumber(value: number): string {
  const text = String(value);
  const match = /^(-?)(\d)(?:\.(\d+))?e([+-]\d+)$/.exec(text);
  if (match === null) return text;
  const [, sign = '', first = '', rest = '', exponent = '0'] = match;
  const digits = first + rest;
  const point = Number(exponent) + 1;
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`;
  return `${sign}${digits.padEnd(point, '0')}${digits.length > point ? `.${digits.slice(point)}` : ''}`;
}

export function addDuration(timestamp: Timestamp, nanoseconds: bigint): Timestamp | CelError {
  const total = BigInt(timestamp.seconds) * 1_000_000_000n + BigInt(timestamp.nanoseconds) + nanoseconds;
  const rest = BigInt.asIntN(64, ((total % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n);
  return timestampOf(Number((total - rest) / 1_000_000_000n), Number(rest), timestamp.offsetSeconds);
}

export function subtractTimestamps(left: Timestamp, right: Timestamp): Duration | CelError {
  const seconds = BigInt(left.seconds) - BigInt(right.seconds);
  return durationOf(seconds * 1_000_000_000n + BigInt(left.nanoseconds - right.nanoseconds));
}

/** What a calendar and clock at a place show. */
export interface CivilTime {
  readonly year: number;
  /** From 0. */
  readonly month: number;
  /** From 1. */
  readonly day: number;
  readonly hours: number;
  readonly minutes: number;
  readonly seconds: number;
  /** From 0, Sunday. */
  readonly weekday: number;
  /** From 0. */
  readonly yearday: number;
}

/** At a zone by name (`America/New_York`, empty for UTC) or offset (`+02:00`). */
export function civilTime(timestamp: Timestamp, zone = 'UTC'): CivilTime | CelError {
  const offset = zoneOffsetSeconds(timestamp, zone);
  if (offset instanceof CelError) return offset;
  const date = new Date((timestamp.seconds + offset) * 1000);
  const start = daysSinceEpoch(date.getUTCFullYear(), 1, 1);
  return {
    year: date.getUTCFullYear(),
    month: date.getUTCMonth(),
    day: date.getUTCDate(),
    hours: date.getUTCHours(),
    minutes: date.getUTCMinutes(),
    seconds: date.getUTCSeconds(),
    weekday: date.getUTCDay(),
    yearday: Math.floor(date.getTime() / 86_400_000) - start,
  };
}

function zoneOffsetSeconds(timestamp: Timestamp, zone: string): number | CelError {
  if (zone === '' || zone === 'UTC') return 0;
  const colon = zone.indexOf(':');
  if (colon >= 0) return fixedOffsetSeconds(zone, colon);
  const format = zoneFormat(zone);
  if (format === undefined) return new CelError(`unknown time zone ${zone}`);
  const parts = new Map(format.formatToParts(new Date(timestamp.seconds * 1000)).map(each => [each.type, each.value]));
  const part = (name: Intl.DateTimeFormatPartTypes) => Number(parts.get(name));
  const year = parts.get('era') === 'BC' ? 1 - part('year') : part('year');
  const days = daysSinceEpoch(year, part('month'), part('day'));
  return days * 86_400 + part('hour') * 3600 + part('minute') * 60 + part('second') - timestamp.seconds;
}

function fixedOffsetSeconds(zone: string, colon: number): number | CelError {
  const hours = zone.slice(0, colon);
  const minutes = zone.slice(colon + 1);
  for (const each of [hours, minutes]) {
    if (!/^[+-]?\d+$/.test(each)) return new CelError(`strconv.Atoi: parsing ${JSON.stringify(each)}: invalid syntax`);
  }
  if (Number(minutes) < 0 || Number(minutes) > 59) {
    return new CelError(`timezone offset minutes out of range [0, 59]: ${zone}`);
  }
  const total = Number(hours) * 60 + (zone.startsWith('-') ? -Number(minutes) : Number(minutes));
  return total * 60;
}

const zoneFormatsMax = 64;
const zoneFormats = new Map<string, Intl.DateTimeFormat>();

function zoneFormat(zone: string): Intl.DateTimeFormat | undefined {
  const known = zoneFormats.get(zone);
  if (known !== undefined) return known;
  if (!/^[A-Za-z][A-Za-z0-9_+\-/]*$/.test(zone)) return undefined;
  try {
    const format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      era: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    if (zoneFormats.size >= zoneFormatsMax) zoneFormats.clear();
    zoneFormats.set(zone, format);
    return format;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
