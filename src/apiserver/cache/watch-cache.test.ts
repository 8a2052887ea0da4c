import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventLoopTurn } from '#base/clock.ts';
import { openMemoryStorage } from '#storage/memory/memory-storage.ts';
import { CompactedError, type Storage, type Watcher } from '#storage/storage.ts';
import { openTestServer } from '../test-server.ts';

/** A store whose watch can be broken, and which then answers no reading of everything until it is told to. */
function breakable() {
  const storage = openMemoryStorage();
  const answers = Promise.withResolvers<void>();
  const watching: { watcher: Watcher; stop: AbortController }[] = [];
  let isBroken = false;
  const seen: Storage = {
    currentRevision: () => storage.currentRevision(),
    get: (key, options) => storage.get(key, options),
    put: (...args) => storage.put(...args),
    delete: (...args) => storage.delete(...args),
    compact: revision => storage.compact(revision),
    snapshot: file => storage.snapshot(file),
    async range(prefix, options) {
      if (isBroken) await answers.promise;
      return storage.range(prefix, options);
    },
    watch(prefix, after, watcher, signal) {
      const stop = new AbortController();
      watching.push({ watcher, stop });
      return storage.watch(prefix, after, watcher, AbortSignal.any([signal, stop.signal]));
    },
    [Symbol.asyncDispose]: () => storage[Symbol.asyncDispose](),
  };
  return {
    storage: seen,
    answer: () => answers.resolve(),
    lose() {
      isBroken = true;
      for (const { watcher, stop } of watching.splice(0)) {
        stop.abort(new Error('the connection was lost'));
        watcher.onEnd(new CompactedError(1, 2));
      }
    },
  };
}

test('A watch that begins while the store is read anew gets every change or an end, and none is left out', async () => {
  const { storage, answer, lose } = breakable();
  await using server = await openTestServer({ storage });
  const path = '/api/v1/namespaces/default/configmaps';
  const metadata = { name: 'a', namespace: 'default' };
  await server.call('POST', '/api/v1/namespaces', { metadata: { name: 'default' } });
  const { body } = await server.call('POST', path, { metadata });
  lose();
  // Another server writes twice, which this one learns of in one step.
  const key = '/registry/configmaps/default/a';
  const entry = await storage.get(key);
  const first = await storage.put(key, { bytes: entry?.value.bytes ?? Buffer.from('') }, 'any');
  await storage.put(key, { bytes: entry?.value.bytes ?? Buffer.from('') }, first);
  const watch = await server.watch(`/api/v1/configmaps?watch=1&resourceVersion=${body.metadata.resourceVersion}`);
  answer();
  await ended(watch);
  assert.deepEqual(watch.events, []);
  const again = await server.watch(`/api/v1/configmaps?watch=1&resourceVersion=${body.metadata.resourceVersion}`);
  await ended(again);
  assert.equal(again.events[0]?.object?.code, 410);
});

async function ended(watch: { readonly ended: boolean }): Promise<void> {
  for (let turns = 0; !watch.ended && turns < 1000; turns++) await eventLoopTurn();
  assert.ok(watch.ended, 'the watch goes on');
}
