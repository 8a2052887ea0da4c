/** A cron schedule: five fields, or a name such as `@hourly`, or `@every 90m`. */
export type Schedule =
  | {
      readonly kind: 'fields';
      readonly minutes: ReadonlySet<number>;
      readonly hours: ReadonlySet<number>;
      readonly days: ReadonlySet<number>;
      readonly months: ReadonlySet<number>;
      readonly weekdays: ReadonlySet<number>;
      /** Cron's rule: when both are restricted, either of them is enough. */
      readonly dayOrWeekday: boolean;
    }
  | { readonly kind: 'every'; readonly intervalMs: number };

const named: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};
const monthNames = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const weekdayNames = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const minuteMs = 60_000;
const dayMs = 86_400_000;
/** A schedule that does not come within five years (30 February) never comes. */
const daysAheadMax = 366 * 5;

/** Throws an Error that says what is wrong with it. */
export function parseSchedule(text: string): Schedule {
  const trimmed = text.trim();
  const every = /^@every (.+)$/.exec(trimmed);
  if (every) return { kind: 'every', intervalMs: durationMs(every[1] as string) };
  if (trimmed.startsWith('@') && !Object.hasOwn(named, trimmed)) throw new Error(`unrecognized descriptor: ${trimmed}`);
  const fields = (named[trimmed] ?? trimmed).split(/\s+/);
  if (fields.length !== 5) throw new Error(`expected exactly 5 fields, found ${fields.length}: [${fields.join(' ')}]`);
  const [minute = '', hour = '', day = '', month = '', weekday = ''] = fields;
  const isAny = (field: string) => field.startsWith('*') || field.startsWith('?');
  return {
    kind: 'fields',
    minutes: valuesOf(minute, 0, 59),
    hours: valuesOf(hour, 0, 23),
    days: valuesOf(day, 1, 31),
    months: valuesOf(month, 1, 12, monthNames, 1),
    weekdays: valuesOf(weekday, 0, 6, weekdayNames, 0),
    dayOrWeekday: !isAny(day) && !isAny(weekday),
  };
}

/** The first time after a moment, in a time zone of IANA's names; undefined when there is none. */
export function nextTime(schedule: Schedule, afterMs: number, timeZone: string | undefined): number | undefined {
  if (schedule.kind === 'every') return Math.floor(afterMs / 1000) * 1000 + schedule.intervalMs;
  const zone = zoneOf(timeZone);
  const local = afterMs + zone.offsetMs(afterMs);
  let dayStart = Math.floor(local / dayMs) * dayMs;
  for (let days = 0; days <= daysAheadMax; days++, dayStart += dayMs) {
    if (!isOnDay(schedule, new Date(dayStart))) continue;
    for (const hour of sorted(schedule.hours))
      for (const minute of sorted(schedule.minutes)) {
        const wantedLocal = dayStart + hour * 3_600_000 + minute * minuteMs;
        const atMs = zone.toUtc(wantedLocal);
        // A time that the clocks jump over does not come that day.
        if (atMs !== undefined && atMs > afterMs) return atMs;
      }
  }
  return undefined;
}

export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name });
    return true;
  } catch {
    // RangeError is how Intl says no.
    return false;
  }
}

function isOnDay(schedule: Extract<Schedule, { kind: 'fields' }>, date: Date): boolean {
  if (!schedule.months.has(date.getUTCMonth() + 1)) return false;
  const day = schedule.days.has(date.getUTCDate());
  const weekday = schedule.weekdays.has(date.getUTCDay());
  return schedule.dayOrWeekday ? day || weekday : day && weekday;
}

function sorted(values: ReadonlySet<number>): number[] {
  return [...values].toSorted((a, b) => a - b);
}

function valuesOf(field: string, min: number, max: number, names: readonly string[] = [], base = 0): Set<number> {
  const values = new Set<number>();
  for (const part of field.split(',')) {
    const [range = '', stepText, ...more] = part.split('/');
    if (more.length > 0) throw new Error(`too many slashes: ${part}`);
    const step = stepText === undefined ? 1 : numberOf(stepText, [], 0);
    if (step === 0) throw new Error(`step of range should be a positive number: ${part}`);
    const [from, to] = rangeOf(range, stepText !== undefined, min, max, names, base);
    if (from < min) throw new Error(`beginning of range (${from}) below minimum (${min}): ${part}`);
    if (to > max) throw new Error(`end of range (${to}) above maximum (${max}): ${part}`);
    if (from > to) throw new Error(`beginning of range (${from}) beyond end of range (${to}): ${part}`);
    for (let value = from; value <= to; value += step) values.add(value);
  }
  return values;
}

function rangeOf(
  range: string,
  stepped: boolean,
  min: number,
  max: number,
  names: readonly string[],
  base: number,
): [from: number, to: number] {
  if (range === '*' || range === '?') return [min, max];
  const [low = '', high, ...more] = range.split('-');
  if (more.length > 0) throw new Error(`too many hyphens: ${range}`);
  const from = numberOf(low, names, base);
  // `5/15` is `5-59/15`.
  return [from, high === undefined ? (stepped ? max : from) : numberOf(high, names, base)];
}

function numberOf(text: string, names: readonly string[], base: number): number {
  const at = names.indexOf(text.toLowerCase());
  if (at >= 0) return at + base;
  if (!/^\d+$/.test(text)) throw new Error(`failed to parse int from ${text}`);
  return Number(text);
}

function durationMs(text: string): number {
  const units: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };
  let totalMs = 0;
  const rest = text.replace(/(\d+(?:\.\d+)?)(ms|h|m|s)/g, (_, number: string, unit: string) => {
    totalMs += Number(number) * (units[unit] ?? 0);
    return '';
  });
  if (rest !== '' || text === '') throw new Error(`failed to parse duration @every ${text}`);
  return Math.max(1_000, Math.floor(totalMs / 1_000) * 1_000);
}

interface Zone {
  offsetMs(atMs: number): number;
  /** The moment at which the zone's clocks show a local time. */
  toUtc(localMs: number): number | undefined;
}

const zones = new Map<string, Zone>();

function zoneOf(timeZone: string | undefined): Zone {
  const name = timeZone === undefined || timeZone === '' ? 'UTC' : timeZone;
  let zone = zones.get(name);
  if (!zone) zones.set(name, (zone = name === 'UTC' ? utc : zoneNamed(name)));
  return zone;
}

const utc: Zone = { offsetMs: () => 0, toUtc: localMs => localMs };

function zoneNamed(timeZone: string): Zone {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  const offsetMs = (atMs: number) => {
    const parts = Object.fromEntries(format.formatToParts(atMs).map(({ type, value }) => [type, Number(value)]));
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
    return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(atMs / 1000) * 1000;
  };
  return {
    offsetMs,
    toUtc(localMs) {
      for (const guessMs of [localMs - offsetMs(localMs - offsetMs(localMs)), localMs - offsetMs(localMs)])
        if (guessMs + offsetMs(guessMs) === localMs) return guessMs;
      return undefined;
    },
  };
}
