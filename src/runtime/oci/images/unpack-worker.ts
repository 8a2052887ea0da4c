import { createHash } from 'node:crypto';
import { closeSync, createReadStream, fsyncSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Transform } from 'node:stream';
import { parentPort } from 'node:worker_threads';
import { syncFileSystem } from '#base/kernel/inode.ts';
import { mountOverlay, unmount } from '#base/kernel/mount.ts';
import { RuntimeError } from '../../runtime.ts';
import { decompress } from './decompress.ts';
import { unpackLayer } from './unpack.ts';

// The thread that unpacks layers: thousands of small synchronous calls that would hold up the agent's own.

export interface UnpackRequest {
  readonly blob: string;
  readonly diffId: string;
  /** The directories below, the topmost first. */
  readonly lower: readonly string[];
  /** Where the layer's files end up; its parent must exist. */
  readonly snapshot: string;
}

export type UnpackReply = { readonly done: true } | { readonly message: string; readonly code: string };

parentPort?.on('message', (request: UnpackRequest) => {
  unpack(request).then(
    () => parentPort?.postMessage({ done: true } satisfies UnpackReply),
    (error: unknown) =>
      parentPort?.postMessage({
        message: error instanceof Error ? error.message : String(error),
        code: error instanceof RuntimeError ? error.code : 'Internal',
      } satisfies UnpackReply),
  );
});

async function unpack({ blob, diffId, lower, snapshot }: UnpackRequest): Promise<void> {
  const temporary = `${snapshot}.new`;
  const [files, work, merged] = ['fs', 'work', 'merged'].map(name => join(temporary, name)) as [string, string, string];
  await unmount(merged);
  rmSync(temporary, { recursive: true, force: true });
  for (const directory of [temporary, files, work, merged])
    mkdirSync(directory, { mode: directory === temporary ? 0o700 : 0o755 });
  try {
    if (lower.length > 0) await mountOverlay({ target: merged, lower, upper: { directory: files, work } });
    try {
      await unpackVerified(blob, diffId, lower.length > 0 ? merged : files);
    } finally {
      await unmount(merged);
    }
    rmSync(work, { recursive: true, force: true });
    rmSync(merged, { recursive: true, force: true });
    syncFileSystem(temporary);
    renameSync(temporary, snapshot);
    syncDirectory(dirname(snapshot));
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw error;
  }
}

/** Makes the rename last. */
function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

async function unpackVerified(blob: string, diffId: string, root: string): Promise<void> {
  const hash = createHash(diffId.startsWith('sha512:') ? 'sha512' : 'sha256');
  const watch = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  const source = decompress(createReadStream(blob, { highWaterMark: 256 * 1024 }));
  source.on('error', error => watch.destroy(error));
  await unpackLayer(source.pipe(watch), root);
  const actual = `${diffId.split(':')[0]}:${hash.digest('hex')}`;
  if (actual !== diffId)
    throw new RuntimeError('Internal', `failed to verify layer: diff id ${actual} in place of ${diffId}`);
}
