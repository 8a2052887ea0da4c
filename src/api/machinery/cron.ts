import { parseGoDuration } from './duration.ts';

/** When a CronJob runs: every minute that matches all fields, or one fixed interval after another. */
export type CronSchedule =
  | {
      readonly type: 'fields';
      readonly minute: CronField;
      readonly hour: CronField;
      readonly dayOfMonth: CronField;
      readonly month: CronField;
      readonly dayOfWeek: CronField;
      /** From `TZ=` or `CRON_TZ=` before the fields. */
      readonly timeZone: string | undefined;
    }
  | { readonly type: 'every'; readonly everyMs: number };

export interface CronField {
  readonly values: ReadonlySet<number>;
  /** `*`: then the two fields for days must both match; otherwise either of them. */
  readonly any: boolean;
}

/** Parses the five standard fields or `@hourly` and the like. Throws an Error in upstream's words. */
export function parseCron(text: string): CronSchedule {
  if (text === '') throw new Error('empty spec string');
  const zone = /^(?:CRON_)?TZ=(\S*)(?:\s+(.*))?$/s.exec(text);
  const timeZone = zone ? zone[1] : undefined;
  if (timeZone !== undefined && !isTimeZone(timeZone))
    throw new Error(`provided bad location ${timeZone}: unknown time zone ${timeZone}`);
  const fields = (zone ? (zone[2] ?? '') : text).trim();
  if (fields.startsWith('@')) return parseDescriptor(fields, timeZone);
  const parts = fields.split(/\s+/).filter(part => part !== '');
  if (parts.length !== 5) throw new Error(`expected exactly 5 fields, found ${parts.length}: [${parts.join(' ')}]`);
  const [minute, hour, dayOfMonth, month, dayOfWeek] = parts as [string, string, string, string, string];
  return {
    type: 'fields',
    minute: parseField(minute, bounds.minute),
    hour: parseField(hour, bounds.hour),
    dayOfMonth: parseField(dayOfMonth, bounds.dayOfMonth),
    month: parseField(month, bounds.month),
    dayOfWeek: parseField(dayOfWeek, bounds.dayOfWeek),
    timeZone,
  };
}

/**
 * The first time after `afterMs` at which the schedule is due, in milliseconds since the epoch; undefined when there is
 * none in five years. The schedule's own time zone counts more than the one given; without any it is UTC.
 */
export function nextCron(schedule: CronSchedule, afterMs: number, timeZone = 'UTC'): number | undefined {
  if (schedule.type === 'every') return Math.floor(afterMs / 1000) * 1000 + schedule.everyMs;
  const zone = schedule.timeZone ?? timeZone;
  // A schedule has no seconds: the next candidate is the next full minute.
  let atMs = (Math.floor(afterMs / minuteMs) + 1) * minuteMs;
  const lastYear = localTime(atMs, zone).year + 5;
  for (;;) {
    const local = localTime(atMs, zone);
    if (local.year > lastYear) return undefined;
    if (!schedule.month.values.has(local.month)) atMs = later(atMs, startOf(local.year, local.month + 1, 1, zone));
    else if (!dayMatches(schedule, local)) atMs = later(atMs, startOf(local.year, local.month, local.day + 1, zone));
    else if (!schedule.hour.values.has(local.hour)) atMs += (60 - local.minute) * minuteMs;
    else if (!schedule.minute.values.has(local.minute)) atMs += minuteMs;
    else return atMs;
  }
}

/** A name from the IANA database, as spec.timeZone takes it. */
export function isTimeZone(name: string): boolean {
  if (name === '' || /^[+-]/.test(name)) return false;
  try {
    formatterOf(name);
    return true;
  } catch {
    // Intl knows no such zone.
    return false;
  }
}

const minuteMs = 60_000;

interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
}

const bounds = {
  minute: { min: 0, max: 59 },
  hour: { min: 0, max: 23 },
  dayOfMonth: { min: 1, max: 31 },
  month: {
    min: 1,
    max: 12,
    names: ['', 'jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'],
  },
  dayOfWeek: { min: 0, max: 6, names: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] },
} as const satisfies Record<string, Bounds>;

const descriptors: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};

function parseDescriptor(text: string, timeZone: string | undefined): CronSchedule {
  const fields = Object.hasOwn(descriptors, text) ? descriptors[text] : undefined;
  if (fields !== undefined)
    return { ...parseCron(fields), ...(timeZone !== undefined && { timeZone }) } as CronSchedule;
  const every = /^@every (.*)$/s.exec(text);
  if (!every) throw new Error(`unrecognized descriptor: ${text}`);
  try {
    const everyMs = parseGoDuration(every[1] as string);
    return { type: 'every', everyMs: Math.max(1, Math.floor(everyMs / 1000)) * 1000 };
  } catch (error) {
    throw new Error(`failed to parse duration ${text}: ${(error as Error).message}`, { cause: error });
  }
}

function parseField(text: string, limits: Bounds): CronField {
  const values = new Set<number>();
  let any = false;
  for (const range of text.split(',')) {
    if (range === '') continue;
    const { start, end, step, isAny } = parseRange(range, limits);
    for (let value = start; value <= end; value += step) values.add(value);
    any ||= isAny;
  }
  return { values, any };
}

interface Range {
  readonly start: number;
  readonly end: number;
  readonly step: number;
  readonly isAny: boolean;
}

function parseRange(text: string, limits: Bounds): Range {
  const [span = '', stepText, ...moreSteps] = text.split('/');
  const [low = '', high, ...moreHyphens] = span.split('-');
  const isStar = low === '*' || low === '?';
  if (!isStar && moreHyphens.length > 0) throw new Error(`too many hyphens: ${text}`);
  const start = isStar ? limits.min : parseValue(low, limits.names);
  const named = isStar ? limits.max : high === undefined ? start : parseValue(high, limits.names);
  if (moreSteps.length > 0) throw new Error(`too many slashes: ${text}`);
  const step = stepText === undefined ? 1 : parseNumber(stepText);
  const end = stepText !== undefined && high === undefined ? limits.max : named;
  if (start < limits.min) throw new Error(`beginning of range (${start}) below minimum (${limits.min}): ${text}`);
  if (end > limits.max) throw new Error(`end of range (${end}) above maximum (${limits.max}): ${text}`);
  if (start > end) throw new Error(`beginning of range (${start}) beyond end of range (${end}): ${text}`);
  if (step === 0) throw new Error(`step of range should be a positive number: ${text}`);
  return { start, end, step, isAny: isStar && step === 1 };
}

function parseValue(text: string, names: readonly string[] | undefined): number {
  const named = text === '' ? -1 : (names?.indexOf(text.toLowerCase()) ?? -1);
  return named >= 0 ? named : parseNumber(text);
}

function parseNumber(text: string): number {
  if (!/^[-+]?[0-9]+$/.test(text))
    throw new Error(`failed to parse int from ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  const value = Number(text);
  if (!Number.isSafeInteger(value))
    throw new Error(
      `failed to parse int from ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}: value out of range`,
    );
  if (value < 0) throw new Error(`negative number (${value}) not allowed: ${text}`);
  return value;
}

interface LocalTime {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  /** 0 is Sunday. */
  readonly weekday: number;
}

function dayMatches(schedule: CronSchedule & { type: 'fields' }, { day, weekday }: LocalTime): boolean {
  const { dayOfMonth, dayOfWeek } = schedule;
  const [byMonth, byWeek] = [dayOfMonth.values.has(day), dayOfWeek.values.has(weekday)];
  return dayOfMonth.any || dayOfWeek.any ? byMonth && byWeek : byMonth || byWeek;
}

function localTime(ms: number, zone: string): LocalTime {
  const local = new Date(ms + offsetMs(ms, zone));
  return {
    year: local.getUTCFullYear(),
    month: local.getUTCMonth() + 1,
    day: local.getUTCDate(),
    hour: local.getUTCHours(),
    minute: local.getUTCMinutes(),
    weekday: local.getUTCDay(),
  };
}

/** Midnight of a day; days and months beyond the end roll over. Where a clock change leaves midnight out, what follows it. */
function startOf(year: number, month: number, day: number, zone: string): number {
  const local = Date.UTC(year, month - 1, day);
  const guess = local - offsetMs(local, zone);
  return local - offsetMs(guess, zone);
}

/** Time never stands still, not even where clocks are set back. */
function later(nowMs: number, nextMs: number): number {
  return Math.max(nextMs, nowMs + minuteMs);
}

function offsetMs(ms: number, zone: string): number {
  if (zone === 'UTC') return 0;
  const text = formatterOf(zone).format(ms);
  const [, month, day, year, hour, minute, second] = /^(\d+)\/(\d+)\/(-?\d+), (\d+):(\d+):(\d+)$/.exec(
    text,
  ) as unknown as string[];
  const local = Date.UTC(
    Number(year),
    Number(month) - 1,
    Number(day),
    Number(hour) % 24,
    Number(minute),
    Number(second),
  );
  return local - Math.floor(ms / 1000) * 1000;
}

/** Formatters are slow to make; there are some 600 zones. */
const formatters = new Map<string, Intl.DateTimeFormat>();

function formatterOf(zone: string): Intl.DateTimeFormat {
  const known = formatters.get(zone);
  if (known) return known;
  const formatter = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  formatters.set(zone, formatter);
  return formatter;
}
