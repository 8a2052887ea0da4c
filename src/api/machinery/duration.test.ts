import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatAge, formatDuration, formatGoDuration, parseGoDuration } from './duration.ts';

test('ages as people read them', () => {
  const seconds: Record<number, string> = {
    0: '0s',
    119: '119s',
    120: '2m',
    121: '2m1s',
    599: '9m59s',
    600: '10m',
    10_799: '179m',
    10_800: '3h',
    12_000: '3h20m',
    28_800: '8h',
    172_799: '47h',
    172_800: '2d',
    176_400: '2d1h',
    691_200: '8d',
    63_071_999: '729d',
    63_072_000: '2y',
    63_158_400: '2y1d',
    252_288_000: '8y',
  };
  for (const [value, text] of Object.entries(seconds)) assert.equal(formatDuration(Number(value) * 1000), text);
  assert.equal(formatDuration(-1_500), '0s');
  assert.equal(formatDuration(-2_000), '<invalid>');
  assert.equal(formatAge(undefined, 0), '<unknown>');
  assert.equal(formatAge('2026-01-01T00:00:00Z', Date.UTC(2026, 0, 1, 0, 3)), '3m');
});

test('Go durations', () => {
  assert.equal(parseGoDuration('1h15m30.918s'), 4_530_918);
  assert.equal(parseGoDuration('-1.5h'), -5_400_000);
  assert.equal(parseGoDuration('0'), 0);
  assert.equal(parseGoDuration('100us'), 0.1);
  const wrong: Record<string, string> = {
    '': 'time: invalid duration ""',
    '5': 'time: missing unit in duration "5"',
    '5x': 'time: unknown unit "x" in duration "5x"',
    s: 'time: invalid duration "s"',
    '.s': 'time: invalid duration ".s"',
    '9999999999h': 'time: invalid duration "9999999999h"',
  };
  for (const [text, message] of Object.entries(wrong)) assert.throws(() => parseGoDuration(text), { message }, text);
  assert.equal(formatGoDuration(5_400_000), '1h30m0s');
  assert.equal(formatGoDuration(1_500), '1.5s');
  assert.equal(formatGoDuration(-250), '-250ms');
  assert.equal(formatGoDuration(0.1), '100µs');
  assert.equal(formatGoDuration(0), '0s');
  fc.assert(
    fc.property(fc.integer({ min: -(10 ** 12), max: 10 ** 12 }), ms =>
      assert.equal(parseGoDuration(formatGoDuration(ms)), ms),
    ),
  );
});
