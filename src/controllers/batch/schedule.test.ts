import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { nextTime, parseSchedule } from './schedule.ts';

const next = (schedule: string, after: string, timeZone?: string) => {
  const atMs = nextTime(parseSchedule(schedule), Date.parse(after), timeZone);
  return atMs === undefined ? undefined : new Date(atMs).toISOString().replace(':00.000Z', 'Z');
};

describe('a cron schedule', () => {
  const cases: readonly [schedule: string, after: string, wanted: string | undefined, timeZone?: string][] = [
    ['*/15 * * * *', '2026-01-01T00:07:30Z', '2026-01-01T00:15Z'],
    ['0 * * * *', '2026-01-01T00:00:00Z', '2026-01-01T01:00Z'],
    ['@hourly', '2026-01-01T00:59:59Z', '2026-01-01T01:00Z'],
    ['30 4 1,15 * *', '2026-01-02T00:00:00Z', '2026-01-15T04:30Z'],
    // Day and weekday: either.
    ['0 0 13 * FRI', '2026-01-03T00:00:00Z', '2026-01-09T00:00Z'],
    ['0 0 * * 1-5', '2026-01-03T00:00:00Z', '2026-01-05T00:00Z'],
    ['0 12 29 feb *', '2026-01-01T00:00:00Z', '2028-02-29T12:00Z'],
    ['0 0 30 2 *', '2026-01-01T00:00:00Z', undefined],
    ['5/20 * * * ?', '2026-01-01T00:30:00Z', '2026-01-01T00:45Z'],
    ['0 9 * * *', '2026-01-01T00:00:00Z', '2026-01-01T14:00Z', 'America/New_York'],
    ['0 9 * * *', '2026-07-01T00:00:00Z', '2026-07-01T13:00Z', 'America/New_York'],
    // 02:30 does not exist on the day the clocks go forward.
    ['30 2 * * *', '2026-03-29T00:00:00Z', '2026-03-30T00:30Z', 'Europe/Berlin'],
    ['@every 90m', '2026-01-01T00:00:00Z', '2026-01-01T01:30Z'],
  ];
  for (const [schedule, after, wanted, timeZone] of cases)
    test(`${schedule} after ${after}${timeZone === undefined ? '' : ` in ${timeZone}`}`, () =>
      assert.equal(next(schedule, after, timeZone), wanted));

  for (const bad of [
    '',
    '* * * *',
    '60 * * * *',
    '* * 0 * *',
    '*/0 * * * *',
    '5-1 * * * *',
    'a * * * *',
    '@never',
    '@every x',
  ])
    test(`${JSON.stringify(bad)} is refused`, () => assert.throws(() => parseSchedule(bad)));
});
