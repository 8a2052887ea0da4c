import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { openTestServer, type TestServer } from '#apiserver/test-server.ts';
import { openSqliteStorage } from '#storage/sqlite/sqlite-storage.ts';
import { freePort } from '../../tools/ports.ts';
import { noDisks, openSmallDisk, type SmallDisk } from './small-disk.ts';

/*
 * What a disk does when it is full, read-only or broken, on real file systems: a write that cannot be made durable is refused
 * in words that say what to do, what was acknowledged stays, reads go on, and writes are taken again when they can be.
 */

const configMaps = '/api/v1/namespaces/default/configmaps';
const content = 'x'.repeat(40_000);

class Client {
  readonly acknowledged = new Map<string, string>();
  readonly #server: TestServer;
  #count = 0;

  constructor(server: TestServer) {
    this.#server = server;
  }

  /** The Status of a refusal; undefined: it was done. */
  async write(bytes = content): Promise<{ code: number; message: string } | undefined> {
    const name = `written-${this.#count++}`;
    const { code, body } = await this.#server.call('POST', configMaps, { metadata: { name }, data: { bytes } });
    if (code !== 201) return { code, message: body.message };
    this.acknowledged.set(name, body.metadata.resourceVersion);
    return undefined;
  }

  /** The first refusal of writes one after the other, some of them together. */
  async writeUntilRefused(): Promise<{ code: number; message: string }> {
    for (let round = 0; round < 500; round++) {
      const refused = (await Promise.all([this.write(), this.write(), this.write()])).find(each => each !== undefined);
      if (refused) return refused;
    }
    throw new Error('nothing was refused');
  }

  async assertHolds(): Promise<void> {
    const { code, body } = await this.#server.call('GET', configMaps);
    assert.equal(code, 200);
    const found = new Map(
      body.items.map(({ metadata }: { metadata: { name: string; resourceVersion: string } }) => [
        metadata.name,
        metadata.resourceVersion,
      ]),
    );
    for (const [name, revision] of this.acknowledged) assert.equal(found.get(name), revision, name);
  }

  async forget(name: string): Promise<number> {
    const { code } = await this.#server.call('DELETE', `${configMaps}/${name}`);
    if (code === 200) this.acknowledged.delete(name);
    return code;
  }
}

async function onDisk(disk: SmallDisk, work: (client: Client) => Promise<void>): Promise<void> {
  const directory = join(disk.path, 'store');
  let client: Client;
  {
    await using storage = await openSqliteStorage({ directory });
    await using server = await openTestServer({ storage });
    client = new Client(server);
    await work(client);
    await client.assertHolds();
  }
}

describe('the store on a disk', { skip: noDisks }, () => {
  test('that is full: writes are refused with what to do, deletions are taken, and space is enough to go on', async () => {
    using disk = openSmallDisk({ megabytes: 24 });
    await onDisk(disk, async client => {
      assert.equal(await client.write(), undefined);
      disk.fill();
      const { code, message } = await client.writeUntilRefused();
      assert.equal(code, 503);
      assert.match(
        message,
        /the disk under .* is full; free space there, or delete objects, and writes are taken again/,
      );
      await client.assertHolds();
      const [first = ''] = client.acknowledged.keys();
      assert.equal(await client.forget(first), 200);
      assert.equal((await client.write())?.code, 503);
      disk.empty();
      assert.equal(await client.write(), undefined);
    });
    // What was acknowledged before, between and behind is what the next process finds.
    await using storage = await openSqliteStorage({ directory: join(disk.path, 'store') });
    assert.ok((await storage.range('/')).entries.length > 0);
  });

  test('that fails (EIO): nothing that was refused is there later, nothing that was acknowledged is lost', async () => {
    using disk = openSmallDisk({ megabytes: 32 });
    const kept: [string, string][] = [];
    await onDisk(disk, async client => {
      for (let round = 0; round < 5; round++) assert.equal(await client.write(), undefined);
      disk.fail();
      const { code, message } = await client.writeUntilRefused();
      assert.equal(code, 503);
      assert.match(message, /the disk under .* fails \(.*\); look into the kernel's log/);
      await client.assertHolds();
      assert.equal((await client.write())?.code, 503);
      disk.mend();
      // The same blocks are written again: nothing has to be started again.
      for (let tries = 0; tries < 20 && (await client.write()) !== undefined; tries++);
      assert.equal(await client.write(), undefined);
      kept.push(...client.acknowledged);
    });
    await using storage = await openSqliteStorage({ directory: join(disk.path, 'store') });
    const keys = new Map((await storage.range('/')).entries.map(({ key, modRevision }) => [key, modRevision]));
    for (const [name, revision] of kept) {
      const found = keys.get(`/registry/configmaps/default/${name}`);
      assert.equal(String(found), revision, name);
    }
  });

  test('that becomes read-only: writes are refused with what to do, and reads go on', async () => {
    using disk = openSmallDisk({ megabytes: 24 });
    await onDisk(disk, async client => {
      assert.equal(await client.write(), undefined);
      disk.makeReadOnly();
      const { code, message } = await client.writeUntilRefused();
      assert.equal(code, 503);
      assert.match(message, /(is read-only; mount it writable|fails \(.*\); look into the kernel's log)/);
      await client.assertHolds();
    });
  });
});

describe('windlass up on a disk', { skip: noDisks }, () => {
  const root = join(import.meta.dirname, '..', '..');
  const up = async (dataDir: string): Promise<string> => {
    const args = ['up', '--detach', '--runtime', 'hollow', '--hollow-nodes', '0', '--port', String(await freePort())];
    const started = await promisify(execFile)(process.execPath, [
      join(root, 'bin', 'windlass.js'),
      ...args,
      '--data-dir',
      dataDir,
    ]).then(
      ({ stdout }) => assert.fail(`it started: ${stdout}`),
      (error: { stderr: string }) => error.stderr,
    );
    return started;
  };

  test('that is full says so in one sentence, with what to do', async () => {
    using disk = openSmallDisk({ megabytes: 8 });
    disk.fill();
    const said = await up(join(disk.path, 'cluster'));
    assert.equal(said.trim().split('\n').length, 1, said);
    assert.match(said, /the disk is full; choose another with --data-dir/);
  });

  test('that was filled while the cluster stood still says so, and starts when there is space', async () => {
    using disk = openSmallDisk({ megabytes: 48 });
    const dataDir = join(disk.path, 'cluster');
    const windlass = (...args: readonly string[]) =>
      promisify(execFile)(process.execPath, [join(root, 'bin', 'windlass.js'), ...args, '--data-dir', dataDir]);
    const start = ['up', '--detach', '--runtime', 'hollow', '--hollow-nodes', '0', '--port', String(await freePort())];
    try {
      await windlass(...start);
      await windlass('down');
      disk.fill();
      const said = await up(dataDir);
      assert.equal(said.trim().split('\n').length, 1, said);
      assert.match(
        said,
        /the disk is full; free space there and try again|the disk under .* is full; free space there/,
      );
      disk.empty();
      await windlass(...start);
    } finally {
      disk.empty();
      await windlass('down');
    }
  });

  test('that is read-only says so in one sentence, with what to do', async () => {
    using disk = openSmallDisk({ megabytes: 8 });
    disk.makeReadOnly();
    const said = await up(join(disk.path, 'cluster'));
    assert.equal(said.trim().split('\n').length, 1, said);
    assert.match(said, /is read-only; /);
  });
});
