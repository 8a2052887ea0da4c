import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import { openMemoryStorage } from '#storage/memory/memory-storage.ts';
import { openSqliteStorage } from '#storage/sqlite/sqlite-storage.ts';
import { CompactedError, FutureRevisionError, type Storage, type StorageEvent } from '#storage/storage.ts';
import { collector, text, until, value } from '#storage/suite.ts';

/*
 * The faults that etcd's robustness tests have found in etcd over the years, as scenarios of our own stores. Which of them
 * apply, and what holds the others, stands in README.md.
 */

/** A fresh directory that goes with the test. */
function freshDirectory(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'windlass-etcd-scenario-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** All that a store remembers, from its first change on. */
async function historyOf(storage: Storage, after = 1): Promise<readonly StorageEvent[]> {
  const events: StorageEvent[] = [];
  const abort = new AbortController();
  const newest = await storage.currentRevision();
  await storage.watch('/', after, collector(events as never), abort.signal);
  await until(() => newest === after || events.at(-1)?.revision === newest);
  abort.abort();
  return events;
}

interface Acknowledged {
  readonly key: string;
  /** Undefined: deleted. */
  readonly content: string | undefined;
  readonly revision: number;
}

/** A process that does something to a store for ever, and says what was acknowledged: a line of JSON each. */
function startWriter(directory: string, body: string) {
  const script = `
    import { openSqliteStorage } from ${JSON.stringify(import.meta.resolve('#storage/sqlite/sqlite-storage.ts'))};
    const storage = await openSqliteStorage({ directory: ${JSON.stringify(directory)} });
    const says = (key, content, revision) => process.stdout.write(JSON.stringify({ key, content, revision }) + '\\n');
    const put = async (key, content, expected = 'any') =>
      says(key, content, await storage.put(key, { bytes: Buffer.from(content) }, expected));
    const remove = async key => says(key, undefined, await storage.delete(key, 'any'));
    ${body}
  `;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const seen: Acknowledged[] = [];
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', line => {
    lines.push(line);
    if (line.startsWith('{')) seen.push(JSON.parse(line) as Acknowledged);
  });
  return {
    seen,
    /** Kills it as soon as the condition holds. */
    async killWhen(
      condition: (seen: readonly Acknowledged[], lines: readonly string[]) => boolean,
    ): Promise<readonly Acknowledged[]> {
      await until(() => condition(seen, lines) || child.exitCode !== null);
      assert.equal(child.exitCode, null, 'the writer ended by itself');
      child.kill('SIGKILL');
      await once(child, 'close');
      return seen;
    },
  };
}

/** What was acknowledged is there at its revision, nothing has a revision twice, and none is left out. */
async function assertKept(directory: string, seen: readonly Acknowledged[], after = 1): Promise<number> {
  await using storage = await openSqliteStorage({ directory });
  const events = await historyOf(storage, after);
  assert.deepEqual(
    events.map(({ revision }) => revision),
    events.map((_, index) => after + 1 + index),
    'revisions',
  );
  const byRevision = new Map(events.map(event => [event.revision, event]));
  for (const { key, content, revision } of seen) {
    if (revision <= after) continue;
    const event = byRevision.get(revision);
    assert.equal(event?.key, key, `revision ${revision}`);
    assert.equal(event?.type, content === undefined ? 'delete' : 'put');
    if (content !== undefined) assert.equal(text(event?.value), content);
  }
  const newest = await storage.currentRevision();
  assert.ok(
    seen.every(({ revision }) => revision <= newest),
    'the revision went back',
  );
  return newest;
}

const highLoad = `for (let turn = 0; ; turn++)
  await Promise.all(Array.from({ length: 64 }, (_, lane) => put('/' + lane, turn + '.' + lane)));`;

describe('crashes of the store', () => {
  test('Issue13766: the revision is consistent after a crash under high load', async () => {
    using directory = freshDirectory();
    for (const wanted of [200, 900, 1_700]) {
      const seen = await startWriter(directory.path, highLoad).killWhen(each => each.length >= wanted);
      await assertKept(directory.path, seen);
    }
  });

  test('Issue14370: a single node that is killed on the acknowledgement has not lost the write', async () => {
    using directory = freshDirectory();
    const all: Acknowledged[] = [];
    for (let round = 0; round < 4; round++) {
      const body = `for (let turn = 0; ; turn++) { await put('/${round}/' + turn, 'x'); if (turn % 3 === 2) await remove('/${round}/' + turn); }`;
      all.push(...(await startWriter(directory.path, body).killWhen(each => each.length > round)));
      await assertKept(directory.path, all);
    }
  });

  test('Issue14685: killed while a copy is made, the store is whole, and writes go on', async () => {
    using directory = freshDirectory();
    const body = `for (let index = 0; index < 400; index++) await put('/k/' + index, 'x'.repeat(20_000));
      const copies = async () => { for (let copy = 0; ; copy++) { process.stdout.write('copying\\n'); await storage.snapshot(${JSON.stringify(directory.path)} + '/copy-' + copy); } };
      void copies();
      for (let turn = 0; ; turn++) await put('/' + turn % 5, String(turn));`;
    const seen = await startWriter(directory.path, body).killWhen(
      (_, lines) => lines.filter(line => line === 'copying').length >= 2,
    );
    const newest = await assertKept(directory.path, seen);
    await using storage = await openSqliteStorage({ directory: directory.path });
    assert.equal(await storage.put('/new', value('1'), 'absent'), newest + 1);
  });

  test('Issue17780: the revision does not decrease when a compaction is cut short', async () => {
    using directory = freshDirectory();
    // Every key has two revisions, and the newest are tombstones: compaction drops them all.
    const body = `for (let round = 0; ; round++) {
        for (let index = 0; index < 700; index += 50)
          await Promise.all(Array.from({ length: 50 }, async (_, lane) => { const key = '/' + round + '/' + (index + lane); await put(key, 'x'); await remove(key); }));
        process.stdout.write('compacting\\n');
        await storage.compact(await storage.currentRevision());
      }`;
    let before = 1;
    for (const compactions of [1, 2]) {
      const writer = startWriter(directory.path, body);
      const seen = await writer.killWhen(
        (_, lines) => lines.filter(line => line === 'compacting').length >= compactions,
      );
      await using storage = await openSqliteStorage({ directory: directory.path });
      const newest = await storage.currentRevision();
      assert.ok(newest >= before && seen.every(({ revision }) => revision <= newest), `${newest} after ${before}`);
      // What was compacted away stays away, and what is left can be read on from there.
      const history = await historyOf(storage, 1).catch((error: unknown) => {
        if (error instanceof CompactedError) return undefined;
        throw error;
      });
      if (history) assert.equal(history.at(-1)?.revision, newest);
      before = await storage.put('/marker', value('x'), 'any');
      assert.equal(before, newest + 1);
    }
  });
});

for (const back of ['memory', 'sqlite'] as const)
  describe(`watches: ${back}`, () => {
    const withStore = async (work: (storage: Storage) => Promise<void>) => {
      using directory = freshDirectory();
      await using storage =
        back === 'memory' ? openMemoryStorage() : await openSqliteStorage({ directory: directory.path });
      await work(storage);
    };

    test('Issue17529: of many watchers that are slow to catch up none loses an event', () =>
      withStore(async storage => {
        const watchers: StorageEvent[][] = [];
        const abort = new AbortController();
        for (let turn = 0; turn < 40; turn++) {
          const writes = Array.from({ length: 20 }, (_, lane) => storage.put(`/${lane}`, value(`${turn}`), 'any'));
          const events: StorageEvent[] = [];
          watchers.push(events);
          await Promise.all([...writes, storage.watch('/', 1, collector(events as never), abort.signal)]);
        }
        const newest = await storage.currentRevision();
        await until(() => watchers.every(events => events.at(-1)?.revision === newest));
        for (const events of watchers)
          assert.deepEqual(
            events.map(({ revision }) => revision),
            Array.from({ length: newest - 1 }, (_, index) => index + 2),
          );
        abort.abort();
      }));

    test('Issue18089: compaction at a deletion takes nothing from a watch that is under way', () =>
      withStore(async storage => {
        for (let round = 0; round < 20; round++) {
          const after = await storage.put('/a', value('x'), 'any');
          const abort = new AbortController();
          const events: StorageEvent[] = [];
          const opening = storage.watch('/', after, collector(events as never), abort.signal).then(
            () => 'open',
            (error: unknown) => (error instanceof CompactedError ? 'compacted' : assert.fail(String(error))),
          );
          const deleted = await storage.delete('/a', 'any');
          const compacting = storage.compact(deleted);
          if ((await opening) === 'open') {
            await until(() => events.length > 0);
            assert.deepEqual(
              events.map(({ type, revision }) => ({ type, revision })),
              [{ type: 'delete', revision: deleted }],
            );
          }
          await compacting;
          abort.abort();
        }
      }));

    test('Issue19179: a watch from the revision that was compacted has the deletion at it, or is refused', () =>
      withStore(async storage => {
        await storage.put('/a', value('x'), 'absent');
        const deleted = await storage.delete('/a', 'any');
        await storage.compact(deleted);
        await assert.rejects(historyOf(storage, deleted - 1), CompactedError);
        const written = await storage.put('/b', value('x'), 'absent');
        assert.deepEqual(
          (await historyOf(storage, deleted)).map(({ revision }) => revision),
          [written],
        );
      }));

    test('Issue20221: a watch of a revision that is not yet there tells nothing older', () =>
      withStore(async storage => {
        const events: StorageEvent[] = [];
        const abort = new AbortController();
        await storage.put('/a', value('0'), 'absent');
        const future = (await storage.currentRevision()) + 5;
        await storage.watch('/', future, collector(events as never), abort.signal);
        for (let turn = 0; turn < 9; turn++) await storage.put('/a', value(`${turn}`), 'any');
        await until(() => events.at(-1)?.revision === future + 4);
        assert.deepEqual(
          events.map(({ revision }) => revision),
          [1, 2, 3, 4].map(each => future + each),
        );
        abort.abort();
      }));

    test('Issue18667: to read a compacted revision is an error, and changes nothing beside it', () =>
      withStore(async storage => {
        const first = await storage.put('/a', value('1'), 'absent');
        const second = await storage.put('/a', value('2'), first);
        await storage.compact(second);
        const [read, written, ahead] = await Promise.allSettled([
          storage.get('/a', { revision: first }),
          storage.put('/a', value('3'), second),
          storage.range('/', { revision: second + 100 }),
        ]);
        assert.ok(read.status === 'rejected' && read.reason instanceof CompactedError);
        assert.ok(ahead.status === 'rejected' && ahead.reason instanceof FutureRevisionError);
        assert.deepEqual(written, { status: 'fulfilled', value: second + 1 });
        assert.equal(text((await storage.get('/a'))?.value), '3');
      }));

    test('Issue17247: a change is told once', () =>
      withStore(async storage => {
        const events: StorageEvent[] = [];
        const abort = new AbortController();
        await storage.watch('/', 1, collector(events as never), abort.signal);
        const base = await storage.put('/a', value('0'), 'absent');
        await Promise.allSettled(Array.from({ length: 10 }, (_, index) => storage.put('/a', value(`${index}`), base)));
        await until(() => events.length >= 2);
        assert.equal(await storage.currentRevision(), base + 1);
        assert.equal(events.length, 2);
        abort.abort();
      }));
  });
