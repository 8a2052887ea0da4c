import assert from 'node:assert/strict';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { Readable } from 'node:stream';
import { type Header, pack } from 'tar-stream';
import { isRuntimeError } from '../../runtime.ts';
import { decompress } from './decompress.ts';
import { readTar } from './tar.ts';
import { unpackLayer } from './unpack.ts';

const skip = process.getuid?.() === 0 ? false : 'unpacking layers needs root';

type Entry = [Partial<Header> & { name: string }, string?];

async function layer(...entries: readonly Entry[]): Promise<Buffer> {
  const tar = pack();
  for (const [header, content] of entries) tar.entry(header, content ?? '');
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function* inPieces(bytes: Buffer, size = 700): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < bytes.length; offset += size) yield bytes.subarray(offset, offset + size);
}

describe('unpacking a layer', { skip }, () => {
  const inRoot = async (run: (root: string, outside: string) => Promise<void>) => {
    const directory = await mkdtemp(join(tmpdir(), 'windlass-unpack-'));
    const [root, outside] = [join(directory, 'root'), join(directory, 'outside')];
    mkdirSync(root);
    mkdirSync(outside);
    writeFileSync(join(outside, 'victim'), 'untouched');
    try {
      await run(root, outside);
      assert.deepEqual(readdirSync(outside), ['victim']);
      assert.equal(readFileSync(join(outside, 'victim'), 'utf8'), 'untouched');
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  };
  const apply = async (root: string, ...entries: readonly Entry[]) =>
    unpackLayer(inPieces(await layer(...entries)), root);

  it('keeps content, modes, owners, times, links and special files', () =>
    inRoot(async root => {
      const mtime = new Date('2020-02-02T02:02:02Z');
      await apply(
        root,
        [{ name: './', type: 'directory', mode: 0o755, mtime }],
        [{ name: 'dir', type: 'directory', mode: 0o750, uid: 5, gid: 6, mtime }],
        [{ name: 'dir/file', mode: 0o4755, uid: 1000, gid: 2000, mtime }, 'content'],
        [{ name: 'dir/hard', type: 'link', linkname: 'dir/file' }],
        [{ name: 'soft', type: 'symlink', linkname: '/dir/file', uid: 7, gid: 8 }],
        [{ name: 'null', type: 'character-device', devmajor: 1, devminor: 3, mode: 0o666 }],
        [{ name: 'deep/er/than/its/parents' }, 'x'],
        [{ name: `${'long/'.repeat(60)}name` }, 'y'],
      );
      const file = lstatSync(join(root, 'dir/file'));
      assert.deepEqual(
        [file.mode & 0o7777, file.uid, file.gid, file.mtimeMs, file.nlink],
        [0o4755, 1000, 2000, mtime.getTime(), 2],
      );
      const directory = lstatSync(join(root, 'dir'));
      assert.deepEqual([directory.mode & 0o777, directory.uid, directory.mtimeMs], [0o750, 5, mtime.getTime()]);
      assert.equal(readlinkSync(join(root, 'soft')), '/dir/file');
      assert.equal(lstatSync(join(root, 'soft')).uid, 7);
      const device = lstatSync(join(root, 'null'));
      assert.deepEqual([device.isCharacterDevice(), device.rdev], [true, (1 << 8) | 3]);
      assert.equal(readFileSync(join(root, 'long/'.repeat(60), 'name'), 'utf8'), 'y');
    }));

  it('never writes outside, whatever the names and links say', async () => {
    const refused: Record<string, (outside: string) => Entry[]> = {
      'a name that climbs': () => [[{ name: '../outside/new' }, 'x']],
      'a name that climbs later': () => [[{ name: 'a/../../outside/new' }, 'x']],
      'a hard link outside': () => [[{ name: 'link', type: 'link', linkname: '../outside/victim' }]],
      'an absolute hard link': outside => [[{ name: 'link', type: 'link', linkname: `${outside}/victim` }]],
      'a hard link through a link': outside => [
        [{ name: 'out', type: 'symlink', linkname: outside }],
        [{ name: 'link', type: 'link', linkname: 'out/victim' }],
      ],
    };
    for (const [what, entries] of Object.entries(refused))
      await inRoot(async (root, outside) => {
        await assert.rejects(apply(root, ...entries(outside)), error => isRuntimeError(error, 'InvalidArgument'), what);
      });
  });

  it('takes links as the container will see them', () =>
    inRoot(async (root, outside) => {
      await apply(
        root,
        [{ name: 'out', type: 'symlink', linkname: outside }],
        [{ name: 'out/new' }, 'inside'],
        [{ name: 'up', type: 'symlink', linkname: '../../../../..' }],
        [{ name: 'up/also' }, 'inside'],
        [{ name: 'victim-link', type: 'symlink', linkname: `${outside}/victim` }],
        [{ name: 'victim-link' }, 'replaces the link'],
      );
      assert.equal(readFileSync(join(root, outside, 'new'), 'utf8'), 'inside');
      assert.equal(readFileSync(join(root, 'also'), 'utf8'), 'inside');
      assert.equal(readFileSync(join(root, 'victim-link'), 'utf8'), 'replaces the link');
    }));

  it('whites out what is below, not what the layer itself brings', () =>
    inRoot(async (root, outside) => {
      mkdirSync(join(root, 'old/inner'), { recursive: true });
      writeFileSync(join(root, 'old/inner/file'), '');
      mkdirSync(join(root, 'opaque/dir'), { recursive: true });
      writeFileSync(join(root, 'opaque/file'), '');
      symlinkSync(outside, join(root, 'link'));
      await apply(
        root,
        [{ name: '.wh.old' }],
        [{ name: 'opaque/fresh' }, 'kept'],
        [{ name: 'opaque/.wh..wh..opq' }],
        [{ name: 'opaque/later' }, 'kept'],
        [{ name: '.wh.link' }],
        [{ name: '.wh.not-there' }],
      );
      assert.deepEqual(readdirSync(join(root, 'opaque')).toSorted(), ['fresh', 'later']);
      assert.equal(existsSync(join(root, 'old')), false);
      assert.deepEqual(readdirSync(root), ['opaque']);
      for (const name of ['.wh..', '.wh...', '.wh.'])
        await assert.rejects(apply(root, [{ name: `opaque/${name}` }]), error =>
          isRuntimeError(error, 'InvalidArgument'),
        );
    }));

  it('refuses overlayfs’ own whiteouts and marks', () =>
    inRoot(async root => {
      const whiteout: Entry = [{ name: 'hidden', type: 'character-device', devmajor: 0, devminor: 0 }];
      await assert.rejects(apply(root, whiteout), error => isRuntimeError(error, 'InvalidArgument'));
      const pax = { 'SCHILY.xattr.trusted.overlay.opaque': 'y', 'SCHILY.xattr.user.kept': 'yes' };
      await apply(root, [{ name: 'marked', type: 'directory', pax }]);
      const { execFileSync } = await import('node:child_process');
      const list = execFileSync('python3', [
        '-c',
        `import os;print(os.listxattr(${JSON.stringify(join(root, 'marked'))}))`,
      ]);
      assert.equal(list.toString().trim(), "['user.kept']");
    }));

  it('refuses what ends early or is broken', () =>
    inRoot(async root => {
      const whole = await layer([{ name: 'file' }, 'x'.repeat(5000)]);
      await assert.rejects(unpackLayer(inPieces(whole.subarray(0, 2000)), root), /ends early/);
      const broken = Buffer.from(whole);
      broken[0] = 0x41;
      await assert.rejects(unpackLayer(inPieces(broken), root), /checksum/);
    }));
});

describe('reading archives', () => {
  it('keeps extended attributes as bytes', async () => {
    // A file capability: bytes that are not UTF-8.
    const value = Buffer.from('0100000280200000000000000000000000000000', 'hex');
    const body = Buffer.concat([Buffer.from(' SCHILY.xattr.security.capability='), value, Buffer.from('\n')]);
    const record = Buffer.concat([Buffer.from(String(body.length + 2)), body]);
    const tar = pack();
    tar.entry({ name: 'PaxHeader/x', size: record.length }, record);
    tar.entry({ name: 'ping' }, 'binary');
    tar.finalize();
    const chunks: Buffer[] = [];
    for await (const chunk of tar) chunks.push(chunk as Buffer);
    const bytes = Buffer.concat(chunks);
    // The first entry becomes the second one's header.
    bytes[156] = 'x'.charCodeAt(0);
    bytes.fill(' ', 148, 156);
    const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    const names: string[] = [];
    for await (const { entry } of readTar(inPieces(bytes))) {
      names.push(entry.name);
      assert.deepEqual(entry.xattrs.get('security.capability'), value);
    }
    assert.deepEqual(names, ['ping']);
  });

  it('undoes gzip, zstd and nothing', async () => {
    const plain = Buffer.from('windlass '.repeat(100_000));
    for (const packed of [plain, gzipSync(plain), zstdCompressSync(plain), Buffer.from('ab')]) {
      const chunks: Buffer[] = [];
      for await (const chunk of decompress(Readable.from(inPieces(packed, 1000)))) chunks.push(chunk as Buffer);
      const wanted = packed.length === 2 ? packed : plain;
      assert.ok(Buffer.concat(chunks).equals(wanted));
    }
    const torn = gzipSync(plain).subarray(0, 500);
    await assert.rejects(async () => {
      for await (const _ of decompress(Readable.from(inPieces(torn))));
    });
  });
});
