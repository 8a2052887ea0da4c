import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  CompactedError,
  ExpectationError,
  FutureRevisionError,
  type Storage,
  type StorageEvent,
  type StoredValue,
} from './storage.ts';

/** What every back end promises. Each back end's own test runs it with a way to open an empty store. */
export function storageSuite(name: string, open: () => Promise<Storage>): void {
  describe(`storage: ${name}`, () => {
    test('an empty store stands at revision 1', async () => {
      await using storage = await open();
      assert.equal(await storage.currentRevision(), 1);
      assert.equal(await storage.get('/a'), undefined);
      assert.deepEqual(await storage.range('/'), { entries: [], revision: 1, remaining: 0 });
    });

    test('one revision counts every change', async () => {
      await using storage = await open();
      assert.equal(await storage.put('/a', value('1'), 'absent'), 2);
      assert.equal(await storage.put('/b', value('1'), 'any'), 3);
      assert.equal(await storage.put('/a', value('2'), 2), 4);
      assert.equal(await storage.delete('/b', 3), 5);
      assert.equal(await storage.currentRevision(), 5);
      const entry = await storage.get('/a');
      assert.equal(entry?.createRevision, 2);
      assert.equal(entry?.modRevision, 4);
      assert.equal(text(entry?.value), '2');
    });

    test('nothing is written when the entry is otherwise than expected', async () => {
      await using storage = await open();
      await storage.put('/a', value('1'), 'absent');
      await assert.rejects(storage.put('/a', value('2'), 'absent'), ExpectationError);
      await assert.rejects(storage.put('/b', value('2'), 7), ExpectationError);
      await assert.rejects(storage.delete('/b', 'any'), ExpectationError);
      await assert.rejects(storage.delete('/a', 1), (error: unknown) => {
        assert.ok(error instanceof ExpectationError);
        assert.equal(error.current?.modRevision, 2);
        return true;
      });
      assert.equal(await storage.currentRevision(), 2);
      assert.equal(text((await storage.get('/a'))?.value), '1');
    });

    test('of many writers at once that expect the same, one wins', async () => {
      await using storage = await open();
      const base = await storage.put('/a', value('0'), 'absent');
      const tried = await Promise.allSettled(
        Array.from({ length: 20 }, (_, index) => storage.put('/a', value(`${index}`), base)),
      );
      assert.equal(tried.filter(each => each.status === 'fulfilled').length, 1);
      assert.equal(await storage.currentRevision(), base + 1);
    });

    test('a deleted entry is made anew', async () => {
      await using storage = await open();
      await storage.put('/a', value('1'), 'absent');
      await storage.delete('/a', 'any');
      const revision = await storage.put('/a', value('2'), 'absent');
      assert.equal((await storage.get('/a'))?.createRevision, revision);
    });

    test('ranges are ordered bytewise, and cut by start and limit', async () => {
      await using storage = await open();
      for (const key of ['/p/b', '/p/a-1/x', '/p/a/x', '/p/a', '/q/a', '/pa'])
        await storage.put(key, value(key), 'absent');
      assert.deepEqual(keys(await storage.range('/p/')), ['/p/a', '/p/a-1/x', '/p/a/x', '/p/b']);
      const page = await storage.range('/p/', { limit: 2 });
      assert.deepEqual([keys(page), page.remaining], [['/p/a', '/p/a-1/x'], 2]);
      const next = await storage.range('/p/', { start: '/p/a-1/x\0', limit: 1 });
      assert.deepEqual([keys(next), next.remaining], [['/p/a/x'], 1]);
    });

    test('old revisions can be read until they are compacted', async () => {
      await using storage = await open();
      const first = await storage.put('/a', value('1'), 'absent');
      const second = await storage.put('/b', value('1'), 'absent');
      const third = await storage.put('/a', value('2'), 'any');
      const fourth = await storage.delete('/b', 'any');
      assert.equal(text((await storage.get('/a', { revision: second }))?.value), '1');
      assert.equal(text((await storage.get('/b', { revision: third }))?.value), '1');
      assert.equal(await storage.get('/b', { revision: first }), undefined);
      assert.equal(await storage.get('/b', { revision: fourth }), undefined);
      const old = await storage.range('/', { revision: second });
      assert.deepEqual(
        [old.revision, keys(old), old.entries.map(each => text(each.value))],
        [second, ['/a', '/b'], ['1', '1']],
      );
      await storage.compact(third);
      await assert.rejects(storage.get('/a', { revision: second }), CompactedError);
      await assert.rejects(storage.range('/', { revision: second }), CompactedError);
      assert.deepEqual(keys(await storage.range('/', { revision: third })), ['/a', '/b']);
      assert.deepEqual(keys(await storage.range('/')), ['/a']);
    });

    test('a revision of the future is refused', async () => {
      await using storage = await open();
      await assert.rejects(storage.get('/a', { revision: 9 }), FutureRevisionError);
      await assert.rejects(storage.range('/', { revision: 9 }), FutureRevisionError);
      await assert.rejects(storage.compact(9), FutureRevisionError);
    });

    test('a watch gives every change under its prefix in order, without gap or repetition', async () => {
      await using storage = await open();
      await storage.put('/p/a', value('1'), 'absent');
      await storage.put('/q/a', value('1'), 'absent');
      const abort = new AbortController();
      const seen: StorageEvent[] = [];
      await storage.watch('/p/', 1, collector(seen), abort.signal);
      await Promise.all([
        ...Array.from({ length: 50 }, (_, index) => storage.put(`/p/${index}`, value('x'), 'absent')),
        storage.delete('/p/a', 'any'),
        storage.put('/q/b', value('x'), 'absent'),
      ]);
      await until(() => seen.length === 52);
      const revisions = seen.map(event => event.revision);
      assert.deepEqual(
        revisions,
        [...revisions].sort((a, b) => a - b),
      );
      assert.equal(new Set(revisions).size, 52);
      const deleted = seen.find(event => event.type === 'delete');
      assert.equal(deleted?.key, '/p/a');
      assert.equal(text(deleted?.value), '1');
      assert.equal(deleted?.createRevision, 2);
      abort.abort();
      await storage.put('/p/late', value('x'), 'absent');
      assert.equal(seen.length, 52);
    });

    test('a watch resumes from an old revision and sees what was deleted since', async () => {
      await using storage = await open();
      const first = await storage.put('/a', value('1'), 'absent');
      await storage.put('/a', value('2'), 'any');
      await storage.delete('/a', 'any');
      await storage.put('/a', value('3'), 'absent');
      const abort = new AbortController();
      const seen: StorageEvent[] = [];
      await storage.watch('/', first, collector(seen), abort.signal);
      await until(() => seen.length === 3);
      assert.deepEqual(
        seen.map(event => [event.type, event.revision, text(event.value)]),
        [
          ['put', 3, '2'],
          ['delete', 4, '2'],
          ['put', 5, '3'],
        ],
      );
      abort.abort();
    });

    test('a watch of a compacted revision is refused', async () => {
      await using storage = await open();
      for (let index = 0; index < 5; index++) await storage.put('/a', value(`${index}`), 'any');
      await storage.compact(4);
      const abort = new AbortController();
      await assert.rejects(storage.watch('/', 2, collector([]), abort.signal), CompactedError);
      const seen: StorageEvent[] = [];
      await storage.watch('/', 4, collector(seen), abort.signal);
      await until(() => seen.length === 2);
      abort.abort();
    });

    test('whoever wrote finds the event delivered', async () => {
      await using storage = await open();
      const abort = new AbortController();
      const seen: StorageEvent[] = [];
      await storage.watch('/', 1, collector(seen), abort.signal);
      const object = { any: 'thing' };
      const revision = await storage.put('/a', { ...value('1'), object }, 'absent');
      // Back ends on the other side of a connection deliver soon after.
      await until(() => seen.length === 1);
      assert.equal(seen[0]?.revision, revision);
      abort.abort();
    });

    test('of two who write the same, one wins, and never the object of the other comes back', async () => {
      await using storage = await open();
      const abort = new AbortController();
      const seen: StorageEvent[] = [];
      await storage.watch('/', 1, collector(seen), abort.signal);
      for (let round = 0; round < 20; round++) {
        const base = await storage.put('/a', value(`${round}`), round === 0 ? 'absent' : 'any');
        const objects = [{ of: 'one' }, { of: 'other' }];
        const tried = await Promise.allSettled(
          objects.map(object => storage.put('/a', { ...value(`same ${round}`), object }, base)),
        );
        const won = tried.findIndex(each => each.status === 'fulfilled');
        assert.equal(tried.filter(each => each.status === 'fulfilled').length, 1);
        await until(() => seen.at(-1)?.revision === base + 1);
        assert.ok([objects[won], undefined].includes(seen.at(-1)?.value.object as { of: string }));
      }
      abort.abort();
    });

    test('values are kept byte by byte', async () => {
      await using storage = await open();
      const bytes = Uint8Array.from({ length: 100_000 }, (_, index) => index % 256);
      await storage.put('/a', { bytes }, 'absent');
      const got = await storage.get('/a');
      assert.ok(Buffer.from(bytes).equals(got?.value.bytes as Uint8Array));
    });

    test('keys with every character are kept', async () => {
      await using storage = await open();
      for (const key of ['/x/__proto__', '/x/é', '/x/%', "/x/'", '/x/_', '/x/😀']) {
        await storage.put(key, value(key), 'absent');
        assert.equal(text((await storage.get(key))?.value), key);
      }
      assert.deepEqual(keys(await storage.range('/x/_')), ['/x/_', '/x/__proto__']);
    });
  });
}

export function value(content: string): StoredValue {
  return { bytes: Buffer.from(content) };
}

export function text(stored: StoredValue | undefined): string | undefined {
  return stored && Buffer.from(stored.bytes).toString();
}

export function collector(seen: StorageEvent[]) {
  return { onEvents: (events: readonly StorageEvent[]) => void seen.push(...events), onEnd() {} };
}

/** Waits for a condition by giving the event loop turns. */
export async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 10_000_000 && !condition(); turn++) await new Promise(resolve => setImmediate(resolve));
  assert.ok(condition(), 'the condition never came true');
}

function keys({ entries }: { readonly entries: readonly { readonly key: string }[] }): string[] {
  return entries.map(entry => entry.key);
}
