import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open as openFile, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, describe, test } from 'node:test';
import type { Storage } from '../storage.ts';
import { collector, storageSuite, text, until, value } from '../suite.ts';
import { openSqliteStorage } from './sqlite-storage.ts';

const directories: string[] = [];

async function freshDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'windlass-store-'));
  directories.push(directory);
  return directory;
}

after(() => Promise.all(directories.map(directory => rm(directory, { recursive: true, force: true }))));

storageSuite('sqlite', async () => openSqliteStorage({ directory: await freshDirectory() }));

describe('storage: sqlite on disk', () => {
  test('opened again it stands where it stood', async () => {
    const directory = await freshDirectory();
    let revision = 0;
    {
      await using storage = await openSqliteStorage({ directory });
      await storage.put('/a', value('1'), 'absent');
      await storage.put('/b', value('2'), 'absent');
      revision = await storage.delete('/a', 'any');
    }
    await using storage = await openSqliteStorage({ directory });
    assert.equal(await storage.currentRevision(), revision);
    assert.equal(await storage.get('/a'), undefined);
    assert.equal(text((await storage.get('/b'))?.value), '2');
    assert.equal(text((await storage.get('/a', { revision: revision - 1 }))?.value), '1');
    assert.equal(await storage.put('/c', value('3'), 'absent'), revision + 1);
  });

  test('the revision does not go back when the newest change is compacted away', async () => {
    const directory = await freshDirectory();
    {
      await using storage = await openSqliteStorage({ directory });
      await storage.put('/a', value('1'), 'absent');
      await storage.compact(await storage.delete('/a', 'any'));
    }
    await using storage = await openSqliteStorage({ directory });
    assert.equal(await storage.currentRevision(), 3);
  });

  test('compaction drops more than one part of its work at a time', async () => {
    await using storage = await openSqliteStorage({ directory: await freshDirectory() });
    await Promise.all(
      Array.from({ length: 2_000 }, (_, index) => storage.put(`/k/${index % 7}`, value(`${index}`), 'any')),
    );
    await storage.compact(await storage.currentRevision());
    assert.equal((await storage.range('/k/')).entries.length, 7);
  });

  test('a snapshot taken under writes opens as a store', async () => {
    const directory = await freshDirectory();
    const copy = await freshDirectory();
    await using storage = await openSqliteStorage({ directory });
    for (let index = 0; index < 200; index++) await storage.put(`/k/${index}`, value('x'.repeat(2000)), 'absent');
    const writes = Array.from({ length: 200 }, (_, index) => storage.put(`/m/${index}`, value('y'), 'absent'));
    await storage.snapshot(join(copy, 'store.db'));
    await Promise.all(writes);
    await using restored = await openSqliteStorage({ directory: copy });
    assert.equal((await restored.range('/k/')).entries.length, 200);
  });

  test('a second process is told that the store is taken', async () => {
    const directory = await freshDirectory();
    await using _storage = await openSqliteStorage({ directory });
    await assert.rejects(openSqliteStorage({ directory }), /another process has it open/);
  });

  test('a corrupt file is refused with what to do about it', async () => {
    const directory = await freshDirectory();
    {
      await using storage = await openSqliteStorage({ directory });
      for (let index = 0; index < 500; index++) await storage.put(`/k/${index}`, value('x'.repeat(1000)), 'absent');
    }
    const file = join(directory, 'store.db');
    const handle = await openFile(file, 'r+');
    await handle.write(Buffer.alloc(16_384, 0xaa), 0, 16_384, 8_192);
    await handle.close();
    await assert.rejects(openSqliteStorage({ directory }), /cannot open the store .*put a backup/);
    await writeFile(file, 'this is no database, and long enough to be taken for one'.repeat(100));
    await assert.rejects(openSqliteStorage({ directory }), /cannot open the store .*put a backup/);
  });

  test('a torn end of the log loses nothing that was acknowledged before it', async () => {
    const directory = await freshDirectory();
    const writer = await startWriter(directory);
    await writer.acknowledged(50);
    await writer.kill();
    const log = join(directory, 'store.db-wal');
    const { size } = await stat(log);
    await writeFile(log, Buffer.concat([await readFile(log), Buffer.alloc(1_000, 0x5a)]));
    assert.ok(size > 0);
    await using storage = await openSqliteStorage({ directory });
    await assertHolds(storage, writer.seen);
  });

  test('killed at any moment it keeps what it acknowledged, and its revision does not go back', async () => {
    const directory = await freshDirectory();
    let revision = 0;
    const seen = new Map<string, string>();
    for (let round = 0; round < 5; round++) {
      const writer = await startWriter(directory, round);
      await writer.acknowledged(40 + round * 37);
      await writer.kill();
      for (const [key, content] of writer.seen) seen.set(key, content);
      await using storage = await openSqliteStorage({ directory });
      assert.ok((await storage.currentRevision()) >= Math.max(revision, writer.revision));
      revision = await storage.currentRevision();
      await assertHolds(storage, seen);
      const replayed: unknown[] = [];
      const abort = new AbortController();
      await storage.watch('/', 1, collector(replayed as never), abort.signal);
      await until(() => replayed.length === revision - 1);
      abort.abort();
    }
  });

  test('a full disk refuses writes with a clear error and takes deletions', {
    skip: process.getuid?.() !== 0,
  }, async () => {
    const directory = await freshDirectory();
    const mount = spawn('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', directory]);
    const [code] = (await once(mount, 'exit')) as [number];
    assert.equal(code, 0);
    try {
      await using storage = await openSqliteStorage({ directory });
      const written: string[] = [];
      let refused: Error | undefined;
      for (let index = 0; index < 2_000 && !refused; index++) {
        try {
          await storage.put(`/k/${index}`, value('x'.repeat(50_000)), 'absent');
          written.push(`/k/${index}`);
        } catch (error) {
          refused = error as Error;
        }
      }
      assert.match(refused?.message ?? '', /the disk under .* is full/);
      for (const key of written.slice(0, 20)) await storage.delete(key, 'any');
      assert.equal((await storage.range('/k/')).entries.length, written.length - 20);
    } finally {
      await once(spawn('umount', [directory]), 'exit');
    }
  });
});

async function assertHolds(storage: Storage, seen: ReadonlyMap<string, string>): Promise<void> {
  const { entries } = await storage.range('/');
  const there = new Map(entries.map(entry => [entry.key, text(entry.value)]));
  // What was committed and not yet told when the process died may be there too: a later round of the same key.
  for (const [key, content] of seen) assert.ok(Number(there.get(key)) >= Number(content), key);
}

/** A process that writes as fast as it can and says what was acknowledged. */
async function startWriter(directory: string, round = 0) {
  const script = `
    import { openSqliteStorage } from ${JSON.stringify(new URL('./sqlite-storage.ts', import.meta.url).href)};
    const storage = await openSqliteStorage({ directory: ${JSON.stringify(directory)} });
    for (let index = 0; ; index++)
      await Promise.all([0, 1, 2, 3].map(async lane => {
        const key = '/' + ${round} + '/' + lane + '/' + (index % 50);
        const revision = await storage.put(key, { bytes: Buffer.from(String(index)) }, 'any');
        process.stdout.write(key + ' ' + index + ' ' + revision + '\\n');
      }));
  `;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const seen = new Map<string, string>();
  let revision = 0;
  let count = 0;
  createInterface({ input: child.stdout }).on('line', line => {
    const [key = '', content = '', at = ''] = line.split(' ');
    if (at === '') return;
    seen.set(key, content);
    revision = Math.max(revision, Number(at));
    count++;
  });
  return {
    seen,
    get revision() {
      return revision;
    },
    async acknowledged(wanted: number) {
      await until(() => count >= wanted || child.exitCode !== null);
      assert.equal(child.exitCode, null, 'the writer ended by itself');
    },
    async kill() {
      child.kill('SIGKILL');
      await once(child, 'close');
    },
  };
}
