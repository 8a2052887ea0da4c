import { createHash, type Hash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { RuntimeError } from '../../runtime.ts';
import { checkDigest, type Descriptor } from './manifest.ts';

/** Bytes by their digest. What is there is whole: it is written elsewhere, checked, synced and renamed into place. */
export class Blobs {
  readonly #directory: string;
  readonly #ingest: string;

  constructor(directory: string) {
    this.#directory = join(directory, 'blobs');
    this.#ingest = join(directory, 'ingest');
  }

  /** What a crash left half-written is dropped. */
  async prepare(): Promise<void> {
    await rm(this.#ingest, { recursive: true, force: true });
    for (const directory of [join(this.#directory, 'sha256'), join(this.#directory, 'sha512'), this.#ingest])
      await mkdir(directory, { recursive: true, mode: 0o700 });
  }

  path(digest: string): string {
    return join(this.#directory, ...checkDigest(digest).split(':'));
  }

  async has({ digest, size }: Pick<Descriptor, 'digest' | 'size'>): Promise<boolean> {
    const found = await stat(this.path(digest)).catch(missing);
    return found?.size === size;
  }

  read(digest: string): Promise<Buffer> {
    return readFile(this.path(digest));
  }

  stream(digest: string) {
    return createReadStream(this.path(digest));
  }

  /** Takes in a stream that must have exactly this digest and size. */
  async write({ digest, size }: Pick<Descriptor, 'digest' | 'size'>, source: AsyncIterable<Buffer>): Promise<void> {
    const target = this.path(digest);
    const temporary = join(this.#ingest, randomUUID());
    const file = await open(temporary, 'wx', 0o600);
    try {
      const hash = hashFor(digest);
      let length = 0;
      for await (const chunk of source) {
        length += chunk.length;
        if (length > size) throw mismatch(digest, `more than the ${size} bytes announced`);
        hash.update(chunk);
        await file.write(chunk);
      }
      if (length !== size) throw mismatch(digest, `${length} bytes in place of ${size}`);
      const actual = `${digest.split(':')[0]}:${hash.digest('hex')}`;
      if (actual !== digest) throw mismatch(digest, `unexpected digest ${actual}`);
      await file.datasync();
      await file.close();
      await rename(temporary, target);
      await syncDirectory(join(target, '..'));
    } catch (error) {
      await file.close().catch(() => undefined);
      await rm(temporary, { force: true });
      throw error;
    }
  }

  async add(bytes: Buffer): Promise<string> {
    const digest = digestOf(bytes);
    if (!(await this.has({ digest, size: bytes.length })))
      await this.write({ digest, size: bytes.length }, [bytes] as unknown as AsyncIterable<Buffer>);
    return digest;
  }

  /** Removes every blob that is not among `kept`. */
  async sweep(kept: ReadonlySet<string>): Promise<void> {
    for (const algorithm of ['sha256', 'sha512'])
      for (const name of await readdir(join(this.#directory, algorithm)))
        if (!kept.has(`${algorithm}:${name}`)) await rm(join(this.#directory, algorithm, name), { force: true });
  }
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export function hashFor(digest: string): Hash {
  return createHash(checkDigest(digest).startsWith('sha512:') ? 'sha512' : 'sha256');
}

/** Makes renames in a directory last. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function mismatch(digest: string, what: string): RuntimeError {
  return new RuntimeError('Internal', `failed to verify ${digest}: ${what}`);
}

function missing(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
  throw error;
}
