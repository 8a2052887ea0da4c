import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from './random.ts';
import { SortedMap } from './sorted-map.ts';

test('behaves as a plain map that is sorted when asked', () => {
  const random = seededRandom(7);
  const sorted = new SortedMap<number>();
  const plain = new Map<string, number>();
  for (let step = 0; step < 20_000; step++) {
    const key = `${'abc'[Math.floor(random.next() * 3)]}/${Math.floor(random.next() * 3000)}`;
    if (random.next() < 0.6) {
      sorted.set(key, step);
      plain.set(key, step);
    } else {
      assert.equal(sorted.delete(key), plain.delete(key));
    }
  }
  const wanted = [...plain].sort(([a], [b]) => (a < b ? -1 : 1));
  assert.deepEqual(
    [...sorted.values()],
    wanted.map(([, value]) => value),
  );
  for (const prefix of ['', 'a', 'a/', 'b/1', 'c/29', 'd', 'b/1/']) {
    const inside = wanted.filter(([key]) => key.startsWith(prefix));
    assert.deepEqual(
      [...sorted.prefixed(prefix)],
      inside.map(([, value]) => value),
    );
    assert.equal(sorted.count(prefix), inside.length, prefix);
    const start = inside[Math.floor(inside.length / 2)]?.[0] ?? `${prefix}0`;
    const rest = inside.filter(([key]) => key >= start).map(([, value]) => value);
    assert.deepEqual(sorted.collect(prefix, start, 5), rest.slice(0, 5));
    assert.equal(sorted.count(prefix, start), rest.length);
  }
});

test('an empty one has nothing', () => {
  const sorted = new SortedMap<number>();
  assert.deepEqual([...sorted.values()], []);
  assert.equal(sorted.count('a'), 0);
  assert.equal(sorted.delete('a'), false);
});
