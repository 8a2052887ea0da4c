import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalMicroTime, canonicalTime } from './time.ts';

const refuse = (message: string): never => {
  throw new Error(message);
};

test('times are moved to UTC, from any zone that Go takes', () => {
  assert.equal(canonicalTime('2026-01-01T00:30:00+01:00', refuse), '2025-12-31T23:30:00Z');
  assert.equal(canonicalTime('2026-01-01T00:00:00-24:59', refuse), '2026-01-02T00:59:00Z');
  assert.equal(canonicalTime('2026-01-01T00:00:00+24:00', refuse), '2025-12-31T00:00:00Z');
});

test('a year that has no four digits in UTC is refused', () => {
  assert.throws(() => canonicalTime('9999-12-31T23:59:59-01:00', refuse), /year outside of range \[0,9999\]/);
  assert.throws(() => canonicalMicroTime('0000-01-01T00:00:00.000000+01:00', refuse), /year outside of range/);
});

test('a comma before the fraction becomes a point', () => {
  assert.equal(canonicalMicroTime('2026-01-01T00:00:00,123456Z', refuse), '2026-01-01T00:00:00.123456Z');
});
