import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { RuntimeError } from '../../runtime.ts';
import { digestOf } from './blobs.ts';
import { decompress } from './decompress.ts';
import { asObject, choosePlatform, type Descriptor, parseJson, parseManifest } from './manifest.ts';
import { readTar } from './tar.ts';

/** An image found in an archive. Its layers are files of the spool directory, the lowest first. */
export interface ArchivedImage {
  readonly names: readonly string[];
  readonly config: Buffer;
  readonly manifest?: Buffer;
  readonly layers: readonly string[];
  readonly sizeBytes: number;
}

const filesMax = 10_000;
const documentBytesMax = 8 * 1024 * 1024;

/** Reads an OCI layout or what `docker save` writes. The files may come in any order, so they are spooled first. */
export async function readArchive(
  archive: Readable,
  spool: string,
  signal?: AbortSignal,
): Promise<readonly ArchivedImage[]> {
  const files = await spoolFiles(archive, spool, signal);
  const read = async (name: string) => {
    const path = files.get(clean(name));
    if (path === undefined) throw invalid(`${name} is missing`);
    if ((await stat(path)).size > documentBytesMax) throw invalid(`${name} is too large`);
    return readFile(path);
  };
  const path = (name: string) => {
    const found = files.get(clean(name));
    if (found === undefined) throw invalid(`${name} is missing`);
    return found;
  };
  // `docker save` of newer versions writes both; its own list has the full names.
  if (files.has('manifest.json')) return readDockerArchive(await read('manifest.json'), read, path);
  if (files.has('index.json')) return readLayout(await read('index.json'), read, path);
  throw invalid('neither an OCI layout nor a docker archive');
}

async function spoolFiles(archive: Readable, spool: string, signal?: AbortSignal): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const links = new Map<string, string>();
  const source = decompress(archive);
  signal?.addEventListener('abort', () => source.destroy(signal.reason as Error), { once: true });
  for await (const { entry, content } of readTar(source)) {
    if (files.size > filesMax) throw invalid(`more than ${filesMax} files`);
    // docker save links layers that several images share.
    if (entry.type === 'symlink' || entry.type === 'link') links.set(clean(entry.name), clean(entry.linkName));
    if (entry.type !== 'file') continue;
    const path = join(spool, randomUUID());
    await pipeline(Readable.from(content), createWriteStream(path, { flags: 'wx', mode: 0o600 }));
    files.set(clean(entry.name), path);
  }
  for (const [name, target] of links) {
    const path = files.get(target) ?? files.get(clean(join(name, '..', target)));
    if (path !== undefined && !files.has(name)) files.set(name, path);
  }
  return files;
}

type ReadDocument = (name: string) => Promise<Buffer>;
type FindFile = (name: string) => string;

async function readDockerArchive(list: Buffer, read: ReadDocument, path: FindFile): Promise<ArchivedImage[]> {
  const entries = asArray(parseJson(list, 'manifest.json'));
  return Promise.all(
    entries.map(async value => {
      const { Config, RepoTags, Layers } = asObject(value, 'manifest.json');
      const layers = texts(Layers).map(path);
      const [config = ''] = texts([Config]);
      return {
        names: texts(RepoTags ?? []),
        config: await read(config),
        layers,
        sizeBytes: await sizeOf(layers),
      };
    }),
  );
}

async function readLayout(index: Buffer, read: ReadDocument, path: FindFile): Promise<ArchivedImage[]> {
  const value = asObject(parseJson(index, 'index.json'), 'index.json');
  const images = asArray(value.manifests).map(async entry => {
    const { annotations } = asObject(entry, 'index.json');
    const [descriptor] = listed(Buffer.from(JSON.stringify({ manifests: [entry] })));
    return readLayoutImage(descriptor as Descriptor, namesOf(asObject(annotations ?? {}, 'index.json')), read, path);
  });
  return Promise.all(images);
}

async function readLayoutImage(
  descriptor: Descriptor,
  names: readonly string[],
  read: ReadDocument,
  path: FindFile,
): Promise<ArchivedImage> {
  const blob = async ({ digest }: Descriptor) => {
    const bytes = await read(blobName(digest));
    if (digestOf(bytes) !== digest) throw invalid(`${digest} has other content`);
    return bytes;
  };
  const bytes = await blob(descriptor);
  const parsed = parseManifest(bytes);
  if ('index' in parsed) return readLayoutImage(choosePlatform(parsed.index), names, read, path);
  const { manifest } = parsed;
  const layers = manifest.layers.map(layer => path(blobName(layer.digest)));
  return { names, config: await blob(manifest.config), manifest: bytes, layers, sizeBytes: await sizeOf(layers) };
}

/** containerd's full name, or OCI's, which may be no more than a tag and then names nothing. */
function namesOf(annotations: Record<string, unknown>): string[] {
  const full = annotations['io.containerd.image.name'];
  const short = annotations['org.opencontainers.image.ref.name'];
  if (typeof full === 'string' && full !== '') return [full];
  return typeof short === 'string' && /[:/]/.test(short) ? [short] : [];
}

function listed(index: Buffer): readonly Descriptor[] {
  const parsed = parseManifest(index);
  return 'index' in parsed ? parsed.index : [];
}

function blobName(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}

async function sizeOf(files: readonly string[]): Promise<number> {
  const sizes = await Promise.all(files.map(async file => (await stat(file)).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

function clean(name: string): string {
  return join('/', name).slice(1);
}

function texts(value: unknown): readonly string[] {
  return asArray(value).map(each => {
    if (typeof each === 'string') return each;
    throw invalid('a name is no text');
  });
}

function asArray(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw invalid('a list is missing');
}

function invalid(what: string): RuntimeError {
  return new RuntimeError('InvalidArgument', `invalid image archive: ${what}`);
}
