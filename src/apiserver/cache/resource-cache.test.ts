import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '#base/limits.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { isReason } from '#api/machinery/errors.ts';
import type { Kind } from '#api/machinery/kind.ts';
import { CachedObject, encodeStored } from './entry.ts';
import { CacheEvent, ResourceCache } from './resource-cache.ts';

const kind = ConfigMap as unknown as Kind;

function changed(cache: ResourceCache, revision: number, data: string): void {
  const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', namespace: 'b' }, data: { data } };
  const entry = new CachedObject(kind, 'b/a', encodeStored(kind, object), revision, 1, object);
  cache.apply(new CacheEvent(revision, entry, cache.get('b/a'), false));
}

/** The changes that can still be watched from. */
function remembered(cache: ResourceCache, newest: number): readonly CacheEvent[] {
  let oldest = newest;
  const isThere = (revision: number) => {
    try {
      cache.since(revision);
      return true;
    } catch (error) {
      assert.ok(isReason(error, 'Expired'));
      return false;
    }
  };
  while (oldest > 0 && isThere(oldest - 1)) oldest--;
  return cache.since(oldest);
}

test('the history of large objects is shorter, and never longer than its bytes', () => {
  const cache = new ResourceCache(kind, 0);
  for (let revision = 1; revision <= 1_000; revision++) changed(cache, revision, `${revision}`.padEnd(100_000, 'x'));
  const events = remembered(cache, 1_000);
  const bytes = events.reduce((sum, event) => sum + event.entry.item.length, 0);
  assert.ok(bytes <= limits.watchHistoryBytesMax * 1.25, `${bytes} bytes`);
  assert.ok(bytes > limits.watchHistoryBytesMax / 2, `${bytes} bytes`);
  assert.equal(events.at(-1)?.revision, 1_000);
  for (const [index, event] of events.entries()) assert.equal(event.revision, 1_000 - events.length + 1 + index);
});

test('a hundred changes are remembered, however large they are', () => {
  const cache = new ResourceCache(kind, 0);
  for (let revision = 1; revision <= 150; revision++) changed(cache, revision, `${revision}`.padEnd(1_000_000, 'x'));
  assert.equal(remembered(cache, 150).length, 100);
});

test('small objects are remembered by their number', () => {
  const cache = new ResourceCache(kind, 0);
  const count = limits.watchHistoryEventsMax * 1.25;
  for (let revision = 1; revision <= count; revision++) changed(cache, revision, `${revision}`);
  assert.equal(remembered(cache, count).length, limits.watchHistoryEventsMax);
  cache.forget(count - 10);
  assert.equal(remembered(cache, count).length, 10);
});
