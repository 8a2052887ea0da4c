import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatIndexes, parseIndexes } from './job-indexes.ts';

test('indexes are written as upstream writes them', () => {
  assert.equal(formatIndexes(new Set([0, 1])), '0,1');
  assert.equal(formatIndexes(new Set([5, 0, 1, 2, 7, 8])), '0-2,5,7,8');
  assert.equal(formatIndexes(new Set()), '');
  assert.deepEqual([...parseIndexes('1,3-5,9', 5)], [1, 3, 4]);
});

test('what is written is read back', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(60)), indexes => {
      const set = new Set(indexes);
      assert.deepEqual(parseIndexes(formatIndexes(set), 61), new Set(indexes.toSorted((a, b) => a - b)));
    }),
  );
});
