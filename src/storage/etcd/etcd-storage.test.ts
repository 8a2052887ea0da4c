import assert from 'node:assert/strict';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { CompactedError, ExpectationError, type Storage, type StorageEvent } from '../storage.ts';
import { collector, storageSuite, text, until, value } from '../suite.ts';
import { openEtcdStorage } from './etcd-storage.ts';
import { noEtcd, startEtcd, startEtcdCluster, startProxy, type TestEtcd } from './test-etcd.ts';

/** The next one starts while a test runs: every test of the suite wants an empty one. */
let next: Promise<TestEtcd> | undefined = noEtcd ? undefined : startEtcd();
const used: TestEtcd[] = [];

after(async () => {
  if (next) used.push(await next);
  await Promise.all(used.map(etcd => etcd[Symbol.asyncDispose]()));
});

async function openEmpty(): Promise<Storage> {
  const etcd = await (next as Promise<TestEtcd>);
  next = startEtcd();
  used.push(etcd);
  const storage = await openEtcdStorage({ servers: [etcd.url], clock: systemClock, log: silentLog });
  const dispose = storage[Symbol.asyncDispose].bind(storage);
  return Object.assign(storage, {
    async [Symbol.asyncDispose]() {
      await dispose();
      await etcd[Symbol.asyncDispose]();
    },
  });
}

if (!noEtcd) storageSuite('etcd', openEmpty);

const open = (...servers: readonly string[]) => openEtcdStorage({ servers, clock: systemClock, log: silentLog });

describe('storage: etcd, when things break', { skip: noEtcd }, () => {
  test('killed and started again under load it loses nothing, and watches go on without gap or repetition', async () => {
    await using etcd = await startEtcd();
    await using storage = await open(etcd.url);
    const seen: StorageEvent[] = [];
    const abort = new AbortController();
    await storage.watch('/', 1, collector(seen), abort.signal);
    const acknowledged: { key: string; revision: number; content: string | undefined }[] = [];
    let isOver = false;
    const writers = Array.from({ length: 8 }, async (_, lane) => {
      const key = `/k/${lane}`;
      let at: number | 'absent' = 'absent';
      for (let index = 0; !isOver; index++) {
        const isDeletion = index % 7 === 6;
        const content = isDeletion ? undefined : `${lane} ${index}`;
        const revision: number = isDeletion
          ? await storage.delete(key, at as number)
          : await storage.put(key, value(content as string), at);
        at = isDeletion ? 'absent' : revision;
        acknowledged.push({ key, revision, content });
      }
    });
    for (let round = 1; round <= 3; round++) {
      await until(() => acknowledged.length >= round * 150);
      await etcd.kill();
      await etcd.start();
    }
    isOver = true;
    await Promise.all(writers);
    const newest = await storage.currentRevision();
    await until(() => seen.at(-1)?.revision === newest);
    assert.deepEqual(
      seen.map(event => event.revision),
      Array.from({ length: newest - 1 }, (_, index) => index + 2),
    );
    // Every write was acknowledged in the end, each with the revision at which the watch has seen it.
    assert.equal(acknowledged.length, newest - 1);
    for (const { key, revision, content } of acknowledged) {
      const event = seen[revision - 2];
      assert.deepEqual([event?.key, event?.type], [key, content === undefined ? 'delete' : 'put']);
      if (content !== undefined) assert.equal(text(event?.value), content);
    }
    abort.abort();
  });

  test('a write whose answer was lost is found again, and not done twice', async () => {
    await using etcd = await startEtcd();
    await using proxy = await startProxy(etcd.port);
    await using direct = await open(etcd.url);
    await using storage = await open(proxy.url);
    const abort = new AbortController();
    await storage.watch('/', 1, collector([]), abort.signal);
    const base = await storage.put('/old', value('1'), 'absent');
    const others: StorageEvent[] = [];
    await direct.watch('/', 1, collector(others), abort.signal);
    proxy.swallowAnswers();
    const lost = [
      storage.put('/new', value('mine'), 'absent'),
      storage.put('/old', value('2'), base),
      storage.put('/refused', value('x'), 77),
    ];
    // Somebody else goes on with what was written, before the writer hears of it.
    await until(() => others.length === 3);
    for (const { key, revision } of others.slice(1)) await direct.delete(key, revision);
    await proxy.cut();
    await proxy.mend();
    assert.deepEqual(
      (await Promise.all(lost.slice(0, 2))).toSorted(),
      others.slice(1, 3).map(event => event.revision),
    );
    await assert.rejects(lost[2] as Promise<number>, ExpectationError);
    assert.equal(await direct.currentRevision(), base + 4);
    abort.abort();
  });

  test('a deletion whose answer was lost is found again', async () => {
    await using etcd = await startEtcd();
    await using proxy = await startProxy(etcd.port);
    await using direct = await open(etcd.url);
    await using storage = await open(proxy.url);
    const abort = new AbortController();
    await storage.watch('/', 1, collector([]), abort.signal);
    const revision = await storage.put('/a', value('1'), 'absent');
    proxy.swallowAnswers();
    const lost = storage.delete('/a', revision);
    await untilAsync(async () => (await direct.get('/a')) === undefined);
    await direct.put('/a', value('anew'), 'absent');
    await proxy.cut();
    await proxy.mend();
    assert.equal(await lost, revision + 1);
    assert.equal(text((await storage.get('/a'))?.value), 'anew');
    abort.abort();
  });

  test('a watch that was away while its revisions were compacted ends with that', async () => {
    await using etcd = await startEtcd();
    await using proxy = await startProxy(etcd.port);
    await using direct = await open(etcd.url);
    await using storage = await open(proxy.url);
    const abort = new AbortController();
    const seen: StorageEvent[] = [];
    const ended = Promise.withResolvers<Error>();
    await storage.watch('/', 1, { ...collector(seen), onEnd: ended.resolve }, abort.signal);
    await direct.put('/a', value('1'), 'absent');
    await until(() => seen.length === 1);
    await proxy.cut();
    for (let index = 0; index < 5; index++) await direct.put('/a', value(`${index}`), 'any');
    await direct.compact(await direct.currentRevision());
    await proxy.mend();
    const error = await ended.promise;
    assert.ok(error instanceof CompactedError);
    assert.equal(error.compactRevision, 7);
    assert.equal(seen.length, 1);
  });

  test('writes and watches go on when the leader is killed', async () => {
    const members = await startEtcdCluster(3);
    try {
      await using storage = await open(...members.map(({ url }) => url));
      const abort = new AbortController();
      const seen: StorageEvent[] = [];
      await storage.watch('/', 1, collector(seen), abort.signal);
      let at: number | 'absent' = 'absent';
      for (const member of members) {
        if (!(await isLeader(member))) continue;
        for (let index = 0; index < 10; index++) at = await storage.put('/a', value(`${index}`), at);
        await member.kill();
        for (let index = 0; index < 10; index++) at = await storage.put('/a', value(`${index}`), at);
        break;
      }
      assert.equal(await storage.currentRevision(), at);
      await until(() => seen.at(-1)?.revision === at);
      assert.equal(seen.length, 20);
      abort.abort();
    } finally {
      await Promise.all(members.map(member => member[Symbol.asyncDispose]()));
    }
  });

  test('entries with a time to live go by themselves', async () => {
    await using etcd = await startEtcd();
    await using storage = await open(etcd.url);
    const abort = new AbortController();
    const seen: StorageEvent[] = [];
    await storage.watch('/', 1, collector(seen), abort.signal);
    await storage.put('/short', value('1'), 'absent', { ttlMs: 1_000 });
    await storage.put('/kept', value('1'), 'absent');
    await until(() => seen.length === 3);
    assert.deepEqual([seen[2]?.type, seen[2]?.key], ['delete', '/short']);
    assert.deepEqual(
      (await storage.range('/')).entries.map(entry => entry.key),
      ['/kept'],
    );
    abort.abort();
  });

  test('of several servers one compacts in each interval', async () => {
    await using etcd = await startEtcd();
    await using one = await open(etcd.url);
    await using other = await open(etcd.url);
    for (let index = 0; index < 9; index++) await one.put('/a', value(`${index}`), 'any');
    await one.shared?.compactInTurn(3);
    assert.ok(await one.get('/a', { revision: 3 }));
    await assert.rejects(one.get('/a', { revision: 2 }), CompactedError);
    // The other one has not heard of it: it only learns that it was not its turn.
    await other.shared?.compactInTurn(5);
    assert.ok(await one.get('/a', { revision: 3 }));
    await other.shared?.compactInTurn(6);
    await assert.rejects(one.get('/a', { revision: 5 }), CompactedError);
    await one.shared?.compactInTurn(8);
    assert.ok(await one.get('/a', { revision: 6 }));
  });

  test('a snapshot starts another etcd', async () => {
    await using etcd = await startEtcd();
    await using storage = await open(etcd.url);
    await storage.put('/a', value('1'), 'absent');
    const directory = await mkdtemp(join(tmpdir(), 'windlass-snapshot-'));
    try {
      const file = join(directory, 'snapshot.db');
      await storage.snapshot(file);
      await assert.rejects(storage.snapshot(file), /exists|EEXIST/);
      assert.ok((await stat(file)).size > 16_384);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

async function isLeader({ url }: TestEtcd): Promise<boolean> {
  return (await (await fetch(`${url}/metrics`)).text()).includes('\netcd_server_is_leader 1\n');
}

async function untilAsync(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise(resolve => setImmediate(resolve));
}
