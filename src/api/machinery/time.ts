/*
 * Times as the API writes them. They stay text in memory: RFC 3339 in UTC, in seconds (Time) or microseconds (MicroTime).
 */

type Refuse = (message: string) => never;

/** The time in its canonical form; undefined for Go's zero time. `refuse` gets Go's sentence when it is no time. */
export function canonicalTime(text: string, refuse: Refuse): string | undefined {
  if (canonicalTimes.has(text)) return text;
  const parts = rfc3339.exec(text);
  if (!parts || !isDate(parts)) return refuse(unparsable(text, '2006-01-02T15:04:05Z07:00'));
  if (text.length === 20 && text.charCodeAt(10) === 84 && text.charCodeAt(19) === 90) {
    if (isZero(text)) return undefined;
    if (canonicalTimes.size === canonicalTimesMax) canonicalTimes.clear();
    canonicalTimes.add(text);
    return text;
  }
  const canonical = `${inUtc(parts) ?? refuse(outOfRange('Time'))}Z`;
  return isZero(canonical) ? undefined : canonical;
}

/** An object that is written again holds the times of its owners, most of them of the same few seconds. */
const canonicalTimes = new Set<string>();
const canonicalTimesMax = 512;

/** With exactly six digits of a second, as upstream demands. */
export function canonicalMicroTime(text: string, refuse: Refuse): string | undefined {
  const parts = rfc3339.exec(text);
  if (!parts || !isDate(parts) || parts[7]?.length !== 7)
    return refuse(unparsable(text, '2006-01-02T15:04:05.000000Z07:00'));
  if (text.length === 27 && text.charCodeAt(26) === 90 && text.charCodeAt(19) === 46)
    return isZero(text) ? undefined : text;
  const canonical = `${inUtc(parts) ?? refuse(outOfRange('MicroTime'))}${parts[7].replace(',', '.')}Z`;
  return isZero(canonical) ? undefined : canonical;
}

/** `2026-01-01T00:00:00Z` of milliseconds since the epoch. */
export function formatTime(nowMs: number): string {
  const second = Math.floor(nowMs / 1000);
  // Every write asks for the time, thousands of times in one second.
  if (second !== lastSecond) {
    lastSecond = second;
    lastText = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
  }
  return lastText;
}

let lastSecond = Number.NaN;
let lastText = '';

/** `2026-01-01T00:00:00.000000Z` of milliseconds since the epoch; fractions of a millisecond count. */
export function formatMicroTime(nowMs: number): string {
  const wholeMs = Math.floor(nowMs);
  const micros = Math.floor((nowMs - wholeMs) * 1000);
  return `${new Date(wholeMs).toISOString().slice(0, 23)}${String(micros).padStart(3, '0')}Z`;
}

/** Seconds since the epoch and nanoseconds, as protobuf has them. The text is canonical. */
export function secondsOf(text: string): { readonly seconds: number; readonly nanos: number } {
  const seconds = Math.floor(Date.parse(`${text.slice(0, 19)}Z`) / 1000);
  const nanos = text.length > 20 ? Number(text.slice(20, -1).padEnd(9, '0')) : 0;
  return { seconds, nanos };
}

/** Milliseconds since the epoch of a Time or MicroTime; NaN when it is neither. */
export function timeMs(text: string): number {
  return Date.parse(text);
}

const rfc3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)([.,]\d+)?(Z|[+-]\d\d:\d\d)$/;

function isDate([, year, month, day, hour, minute, second, , zone]: RegExpExecArray): boolean {
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return false;
  if (zone !== 'Z' && (Number(zone?.slice(1, 3)) > 24 || Number(zone?.slice(4)) > 59)) return false;
  const monthNumber = Number(month);
  return monthNumber >= 1 && monthNumber <= 12 && Number(day) >= 1 && Number(day) <= daysOf(Number(year), monthNumber);
}

function daysOf(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** Up to the seconds, moved to UTC; undefined when that is another year than one of four digits. */
function inUtc(parts: RegExpExecArray): string | undefined {
  const local = parts.slice(1, 7);
  const text = `${local.slice(0, 3).join('-')}T${local.slice(3).join(':')}`;
  const zone = parts[8] as string;
  if (zone === 'Z') return text;
  const offsetMinutes = (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4))) * (zone.startsWith('-') ? -1 : 1);
  const moved = new Date(Date.parse(`${text}Z`) - offsetMinutes * 60_000).toISOString();
  return moved.length === 24 ? moved.slice(0, 19) : undefined;
}

function outOfRange(type: string): string {
  return `${type}.UnmarshalJSON: year outside of range [0,9999]`;
}

function isZero(text: string): boolean {
  return text.startsWith('0001-01-01T00:00:00') && /^0001-01-01T00:00:00(\.0+)?Z$/.test(text);
}

/** Go's sentence: which part of the layout could not be read. */
function unparsable(text: string, layout: string): string {
  const pieces = layout.match(/2006|01|02|15|04|05|\.000000|Z07:00|[-T:]/g) ?? [];
  let rest = text;
  for (const piece of pieces) {
    const match = (patterns[piece] ?? new RegExp(`^${piece}`)).exec(rest);
    if (!match)
      return `parsing time ${JSON.stringify(text)} as ${JSON.stringify(layout)}: cannot parse ${JSON.stringify(rest)} as ${JSON.stringify(piece)}`;
    rest = rest.slice(match[0].length);
    if (piece === '05' && !layout.includes('.000000')) rest = rest.replace(/^[.,]\d+/, '');
  }
  if (rest !== '') return `parsing time ${JSON.stringify(text)}: extra text: ${JSON.stringify(rest)}`;
  const part = /-(0[1-9]|1[0-2])-/.test(text) ? 'day' : 'month';
  return `parsing time ${JSON.stringify(text)}: ${part} out of range`;
}

const patterns: Readonly<Record<string, RegExp>> = {
  '2006': /^\d{4}/,
  '01': /^\d\d/,
  '02': /^\d\d/,
  '15': /^\d\d/,
  '04': /^\d\d/,
  '05': /^\d\d/,
  '.000000': /^\.\d{6}(?!\d)/,
  'Z07:00': /^(Z|[+-]\d\d:\d\d)/,
};
