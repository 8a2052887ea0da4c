import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isTimeZone, nextCron, parseCron } from './cron.ts';

const next = (spec: string, after: string, zone?: string) => {
  const found = nextCron(parseCron(spec), Date.parse(after), zone);
  return found === undefined ? undefined : new Date(found).toISOString();
};

test('the next time, as robfig/cron finds it', () => {
  const cases: [spec: string, after: string, next: string | undefined, zone?: string][] = [
    ['0/15 * * * *', '2012-07-09T14:45:00Z', '2012-07-09T15:00:00.000Z'],
    ['0/15 * * * *', '2012-07-09T14:59:59Z', '2012-07-09T15:00:00.000Z'],
    ['20-35/15 * * * *', '2012-07-09T23:46:00Z', '2012-07-10T00:20:00.000Z'],
    ['0 0 9 apr-oct *', '2012-07-09T23:46:00Z', '2012-08-09T00:00:00.000Z'],
    ['0 0 */5 aug,oct mon', '2012-07-09T23:46:00Z', '2012-08-01T00:00:00.000Z'],
    ['0 0 * feb mon', '2012-07-09T23:46:00Z', '2013-02-04T00:00:00.000Z'],
    ['0 0 29 feb ?', '2012-07-09T23:46:00Z', '2016-02-29T00:00:00.000Z'],
    ['0 0 30 feb ?', '2012-07-09T23:46:00Z', undefined],
    ['0 0 31 apr ?', '2012-07-09T23:46:00Z', undefined],
    ['@hourly', '2012-07-09T15:45:00Z', '2012-07-09T16:00:00.000Z'],
    ['@weekly', '2012-07-09T15:45:00Z', '2012-07-15T00:00:00.000Z'],
    ['@yearly', '2012-07-09T15:45:00Z', '2013-01-01T00:00:00.000Z'],
    ['@every 90s', '2012-07-09T15:45:00.500Z', '2012-07-09T15:46:30.000Z'],
    ['0 9 * * *', '2026-01-01T00:00:00Z', '2026-01-01T14:00:00.000Z', 'America/New_York'],
    ['TZ=Asia/Tokyo 0 9 * * *', '2026-01-01T01:00:00Z', '2026-01-02T00:00:00.000Z'],
    ['0 0 * * *', '2026-01-01T00:00:00Z', '2026-01-01T18:30:00.000Z', 'Asia/Kolkata'],
    // Clocks go from 2:00 to 3:00 on 8 March 2026: what is due in between falls out.
    ['30 2 * * *', '2026-03-08T06:00:00Z', '2026-03-09T06:30:00.000Z', 'America/New_York'],
    // Clocks go back from 2:00 to 1:00 on 1 November 2026: both times 1:30 are due.
    ['30 1 * * *', '2026-11-01T05:30:00Z', '2026-11-01T06:30:00.000Z', 'America/New_York'],
  ];
  for (const [spec, after, expected, zone] of cases)
    assert.equal(next(spec, after, zone), expected, `${spec} ${after}`);
});

test('errors are upstream words', () => {
  const cases: Record<string, string> = {
    '': 'empty spec string',
    '* * * *': 'expected exactly 5 fields, found 4: [* * * *]',
    '60 * * * *': 'end of range (60) above maximum (59): 60',
    '5-3 * * * *': 'beginning of range (5) beyond end of range (3): 5-3',
    '* * 0 * *': 'beginning of range (0) below minimum (1): 0',
    '*/0 * * * *': 'step of range should be a positive number: */0',
    'x * * * *': 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax',
    '1-2-3 * * * *': 'too many hyphens: 1-2-3',
    '1/2/3 * * * *': 'too many slashes: 1/2/3',
    '@nope': 'unrecognized descriptor: @nope',
    '@every x': 'failed to parse duration @every x: time: invalid duration "x"',
    'TZ=Nowhere/Land * * * * *': 'provided bad location Nowhere/Land: unknown time zone Nowhere/Land',
  };
  for (const [spec, message] of Object.entries(cases)) assert.throws(() => parseCron(spec), { message }, spec);
});

test('the next time is later, and due', () => {
  const field = (max: number, min = 0) =>
    fc.oneof(fc.constant('*'), fc.integer({ min, max }).map(String), fc.constant(`*/${min + 3}`));
  const spec = fc.tuple(field(59), field(23), field(28, 1), field(12, 1), field(6)).map(parts => parts.join(' '));
  fc.assert(
    fc.property(
      spec,
      fc.date({ min: new Date('2020-01-01'), max: new Date('2030-01-01'), noInvalidDate: true }),
      (text, after) => {
        const schedule = parseCron(text);
        const found = nextCron(schedule, after.getTime());
        assert.ok(found !== undefined && found > after.getTime());
        assert.equal(found % 60_000, 0);
        assert.ok(schedule.type === 'fields' && schedule.minute.values.has(new Date(found).getUTCMinutes()));
      },
    ),
  );
});

test('time zones', () => {
  assert.ok(isTimeZone('Europe/Berlin'));
  assert.ok(!isTimeZone('Mars/Olympus'));
  assert.ok(!isTimeZone(''));
});
