import { mkdir, open, readFile, rename, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import {
  type AuthConfig,
  type Image,
  type ImageFsInfo,
  type ImageSpec,
  isRuntimeError,
  RuntimeError,
} from '../../runtime.ts';
import { readArchive } from './archive.ts';
import { Blobs, digestOf, syncDirectory } from './blobs.ts';
import { readInside, resolveInside } from './inside.ts';
import {
  choosePlatform,
  type Descriptor,
  type ImageConfig,
  type Manifest,
  parseImageConfig,
  parseManifest,
} from './manifest.ts';
import { digestName, parseReference, type Reference, tagName } from './reference.ts';
import { type Endpoint, endpointsFor, type HostConfig, noRegistries, type Registries } from './registries.ts';
import { manifestBytesMax, Repository } from './registry.ts';
import { SharedWork } from './shared.ts';
import { Snapshots, snapshotNames } from './snapshots.ts';

/** What the index file says of an image; its id is the digest of its config. */
interface StoredImage {
  readonly id: string;
  readonly tags: readonly string[];
  readonly digests: readonly string[];
  /** Compressed, as upstream's runtimes say it. */
  readonly sizeBytes: number;
  /** Blobs to keep: manifests and config. Layers are kept unpacked only. */
  readonly blobs: readonly string[];
  readonly diffIds: readonly string[];
  readonly pinned: boolean;
}

export interface ResolvedImage {
  readonly id: string;
  readonly reference: string;
  readonly config: ImageConfig;
  /** The topmost first. */
  readonly snapshots: readonly string[];
}

export interface ImagesOptions {
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly registries?: Registries;
  readonly connectLoopback?: HostConfig['connectLoopback'];
}

const configBytesMax = 8 * 1024 * 1024;
const layerBytesMax = 64 * 1024 * 1024 * 1024;
/** Layers of one image that are fetched at once; upstream's default. */
const downloadsMax = 3;

/** The node's images: pulled or loaded, kept by digest, unpacked once, collected when nothing uses them. */
export class Images implements AsyncDisposable {
  readonly #options: ImagesOptions;
  readonly #blobs: Blobs;
  readonly #snapshots: Snapshots;
  readonly #downloads = new SharedWork();
  readonly #byId = new Map<string, StoredImage>();
  /** Every tag and digest name, to the image's id. */
  readonly #byName = new Map<string, string>();
  readonly #configs = new Map<string, ImageConfig>();
  #snapshotsInUse: () => ReadonlySet<string> = () => new Set();
  #arrivals = 0;
  #saving: Promise<void> = Promise.resolve();

  static async open(options: ImagesOptions): Promise<Images> {
    const images = new Images(options);
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    await images.#blobs.prepare();
    await images.#snapshots.prepare();
    await images.#read();
    return images;
  }

  constructor(options: ImagesOptions) {
    this.#options = options;
    this.#blobs = new Blobs(options.directory);
    this.#snapshots = new Snapshots(options.directory);
  }

  /** Says which snapshots containers stand on, so that they outlive their image. */
  keepSnapshots(inUse: () => ReadonlySet<string>): void {
    this.#snapshotsInUse = inUse;
  }

  snapshotDirectory(name: string): string {
    return this.#snapshots.directory(name);
  }

  resolveInside(root: string, path: string): Promise<string> {
    return resolveInside(root, path);
  }

  readInside(root: string, path: string, bytesMax: number): Promise<string> {
    return readInside(root, path, bytesMax);
  }

  async list(filter?: ImageSpec): Promise<readonly Image[]> {
    if (filter?.image) {
      const one = await this.status(filter);
      return one ? [one] : [];
    }
    return Promise.all([...this.#byId.values()].map(image => this.#describe(image)));
  }

  async status(spec: ImageSpec): Promise<Image | undefined> {
    const image = this.#find(spec.image);
    return image && this.#describe(image);
  }

  async resolve(spec: ImageSpec): Promise<ResolvedImage> {
    const image = this.#find(spec.image);
    if (!image) throw new RuntimeError('NotFound', `image "${spec.image}": not found`);
    const config = await this.#config(image.id);
    const reference = image.digests[0] ?? image.id;
    return { id: image.id, reference, config, snapshots: snapshotNames(image.diffIds).toReversed() };
  }

  async pull(spec: ImageSpec, auth?: AuthConfig, signal?: AbortSignal): Promise<string> {
    const reference = parseReference(spec.image);
    const what = `failed to pull and unpack image "${tagName(reference) ?? spec.image}"`;
    return this.#arriving(async () => {
      let failure: unknown;
      const { registries = noRegistries, connectLoopback } = this.#options;
      for (const endpoint of endpointsFor(registries, reference.host)) {
        try {
          const reached = { ...endpoint, config: { ...endpoint.config, connectLoopback } };
          return await this.#pullFrom(reached, reference, auth, signal);
        } catch (error) {
          signal?.throwIfAborted();
          this.#options.log.debug('cannot pull from an endpoint', { endpoint: endpoint.url.origin, error });
          failure = error;
        }
      }
      const code = isRuntimeError(failure) ? failure.code : 'Unavailable';
      const why = failure instanceof Error ? failure.message : String(failure);
      throw new RuntimeError(code, `${what}: ${why}`, { cause: failure });
    });
  }

  async load(archive: Readable, signal?: AbortSignal): Promise<readonly string[]> {
    return this.#arriving(async () => {
      const spool = join(this.#options.directory, 'ingest', `load-${process.hrtime.bigint()}`);
      await mkdir(spool, { recursive: true, mode: 0o700 });
      try {
        const names: string[] = [];
        for (const found of await readArchive(archive, spool, signal)) {
          const config = parseImageConfig(found.config);
          await this.#snapshots.unpack(config.diffIds, async index => layerAt(found.layers, index), signal);
          const id = await this.#blobs.add(found.config);
          const manifests = found.manifest ? [await this.#blobs.add(found.manifest)] : [];
          const tags = found.names.map(name => tagName(parseReference(name))).filter(name => name !== undefined);
          await this.#add({
            id,
            tags,
            digests: [],
            sizeBytes: found.sizeBytes,
            blobs: [id, ...manifests],
            diffIds: config.diffIds,
            pinned: false,
          });
          names.push(...(tags.length > 0 ? tags : [id]));
        }
        return names;
      } finally {
        await rm(spool, { recursive: true, force: true });
      }
    });
  }

  async remove(spec: ImageSpec): Promise<void> {
    const image = this.#find(spec.image);
    if (!image) return;
    this.#forget(image);
    await this.#save();
    await this.collectGarbage();
  }

  /** Drops blobs and snapshots that no image and no container needs. Waits for the end of what is arriving. */
  async collectGarbage(): Promise<void> {
    if (this.#arrivals > 0) return;
    const images = [...this.#byId.values()];
    const snapshots = new Set([...images.flatMap(image => snapshotNames(image.diffIds)), ...this.#snapshotsInUse()]);
    await this.#blobs.sweep(new Set(images.flatMap(image => image.blobs)));
    await this.#snapshots.sweep(snapshots);
  }

  async fileSystems(containers: string): Promise<ImageFsInfo> {
    const usage = async (mountpoint: string) => {
      const { blocks, bfree, bsize, files, ffree } = await statfs(mountpoint);
      return {
        timestampMs: this.#options.clock.now(),
        mountpoint,
        usedBytes: (blocks - bfree) * bsize,
        inodesUsed: files - ffree,
      };
    };
    return {
      imageFilesystems: [await usage(this.#options.directory)],
      containerFilesystems: [await usage(containers)],
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#snapshots[Symbol.asyncDispose]();
    await this.#saving;
  }

  /** Nothing is collected while something arrives: what it needs is not referenced yet. */
  async #arriving<Value>(work: () => Promise<Value>): Promise<Value> {
    this.#arrivals++;
    try {
      return await work();
    } finally {
      if (--this.#arrivals === 0) await this.#snapshots.rest();
      await this.collectGarbage();
    }
  }

  async #pullFrom(endpoint: Endpoint, reference: Reference, auth?: AuthConfig, signal?: AbortSignal): Promise<string> {
    const repository = new Repository(endpoint, reference.repository, auth);
    const top = await repository.manifest(reference.digest ?? reference.tag ?? 'latest', signal);
    const topDigest = digestOf(top.bytes);
    if (reference.digest !== undefined && reference.digest !== topDigest)
      throw new RuntimeError('Internal', `failed to verify manifest: unexpected digest ${topDigest}`);
    const blobs = [await this.#blobs.add(top.bytes)];
    let parsed = parseManifest(top.bytes);
    if ('index' in parsed) {
      const chosen = choosePlatform(parsed.index);
      const bytes = await this.#manifestByDigest(repository, chosen, signal);
      blobs.push(chosen.digest);
      parsed = parseManifest(bytes);
      if ('index' in parsed) throw new RuntimeError('InvalidArgument', 'invalid manifest: an index within an index');
    }
    const { manifest } = parsed;
    const config = await this.#fetchConfig(repository, manifest, signal);
    if (config.diffIds.length !== manifest.layers.length)
      throw new RuntimeError('InvalidArgument', 'invalid manifest: its layers are not those of its config');
    await this.#fetchLayers(repository, manifest, config, signal);
    const tag = tagName(reference);
    await this.#add({
      id: manifest.config.digest,
      tags: tag === undefined ? [] : [tag],
      digests: [digestName(reference, topDigest)],
      sizeBytes: manifest.layers.reduce((sum, layer) => sum + layer.size, manifest.config.size + top.bytes.length),
      blobs: [...blobs, manifest.config.digest],
      diffIds: config.diffIds,
      pinned: false,
    });
    return manifest.config.digest;
  }

  async #manifestByDigest(repository: Repository, wanted: Descriptor, signal?: AbortSignal): Promise<Buffer> {
    if (wanted.size > manifestBytesMax) throw new RuntimeError('ResourceExhausted', 'manifest too large');
    if (await this.#blobs.has(wanted)) return this.#blobs.read(wanted.digest);
    const { bytes } = await repository.manifest(wanted.digest, signal);
    await this.#blobs.write(wanted, single(bytes));
    return bytes;
  }

  async #fetchConfig(repository: Repository, { config }: Manifest, signal?: AbortSignal): Promise<ImageConfig> {
    if (config.size > configBytesMax) throw new RuntimeError('ResourceExhausted', 'image config too large');
    await this.#fetchBlob(repository, config, signal);
    return parseImageConfig(await this.#blobs.read(config.digest));
  }

  /** Fetches ahead while lower layers are unpacked. Layers whose snapshot is there are not fetched at all. */
  async #fetchLayers(repository: Repository, manifest: Manifest, config: ImageConfig, signal?: AbortSignal) {
    const names = snapshotNames(config.diffIds);
    const present = await Promise.all(names.map(name => this.#snapshots.has(name)));
    const slots = new Slots(downloadsMax);
    const stop = new AbortController();
    const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
    const fetches = manifest.layers.map((layer, index) => {
      if (layer.size > layerBytesMax) throw new RuntimeError('ResourceExhausted', 'layer too large');
      if (present[index]) return undefined;
      const fetching = slots.run(() => this.#fetchBlob(repository, layer, either));
      // Awaited below, in the order of the layers; until then a failure is nobody's.
      fetching.catch(() => undefined);
      return fetching;
    });
    try {
      const file = async (index: number, unpackingStop: AbortSignal) => {
        const layer = layerAt(manifest.layers, index);
        // A snapshot that was there when asked first may have been collected: then it is fetched now.
        const fetching = fetches[index] ?? this.#fetchBlob(repository, layer, either);
        await fetching.catch((error: unknown) => {
          if (!either.aborted || unpackingStop.aborted) throw error;
          // This pull was given up, another one waits for the same snapshot.
          return this.#fetchBlob(repository, layer, unpackingStop);
        });
        return this.#blobs.path(layer.digest);
      };
      await this.#snapshots.unpack(config.diffIds, file, signal);
    } finally {
      stop.abort(new Error('the pull has ended'));
      await Promise.allSettled(fetches);
    }
  }

  async #fetchBlob(repository: Repository, wanted: Descriptor, signal?: AbortSignal): Promise<void> {
    if (await this.#blobs.has(wanted)) return;
    const work = async (stop: AbortSignal) => {
      if (await this.#blobs.has(wanted)) return;
      const response = await repository.blob(wanted.digest, stop);
      try {
        await this.#blobs.write(wanted, response);
      } finally {
        response.destroy();
      }
    };
    await this.#downloads.run(wanted.digest, work, signal);
  }

  /** An id, whole or its beginning, or any of an image's names. */
  #find(text: string): StoredImage | undefined {
    if (text === '') return undefined;
    const bare = text.startsWith('sha256:') ? text.slice('sha256:'.length) : text;
    if (/^[0-9a-f]{64}$/.test(bare)) return this.#byId.get(`sha256:${bare}`);
    const reference = parseReference(text);
    const name = reference.digest === undefined ? tagName(reference) : digestName(reference, reference.digest);
    const id = name === undefined ? undefined : this.#byName.get(name);
    return id === undefined ? undefined : this.#byId.get(id);
  }

  async #describe(image: StoredImage): Promise<Image> {
    const { user } = await this.#config(image.id);
    const [name = ''] = user.split(':');
    return {
      id: image.id,
      repoTags: image.tags,
      repoDigests: image.digests,
      sizeBytes: image.sizeBytes,
      ...(name === '' ? { uid: 0 } : /^\d+$/.test(name) ? { uid: Number(name) } : { username: name }),
      spec: { image: image.id },
      pinned: image.pinned,
    };
  }

  async #config(id: string): Promise<ImageConfig> {
    const known = this.#configs.get(id);
    if (known) return known;
    const config = parseImageConfig(await this.#blobs.read(id));
    this.#configs.set(id, config);
    return config;
  }

  /** A tag moves to the image that has it now; the same image keeps all names it ever came by. */
  async #add(arrived: StoredImage): Promise<void> {
    const before = this.#byId.get(arrived.id);
    const union = (one: readonly string[] = [], other: readonly string[]) => [...new Set([...one, ...other])];
    for (const tag of arrived.tags) {
      const previous = this.#byId.get(this.#byName.get(tag) ?? '');
      if (previous && previous.id !== arrived.id)
        this.#byId.set(previous.id, { ...previous, tags: previous.tags.filter(other => other !== tag) });
    }
    const image: StoredImage = {
      ...arrived,
      tags: union(before?.tags, arrived.tags),
      digests: union(before?.digests, arrived.digests),
      blobs: union(before?.blobs, arrived.blobs),
    };
    this.#byId.set(image.id, image);
    for (const name of [...image.tags, ...image.digests]) this.#byName.set(name, image.id);
    await this.#save();
  }

  #forget(image: StoredImage): void {
    this.#byId.delete(image.id);
    this.#configs.delete(image.id);
    for (const name of [...image.tags, ...image.digests])
      if (this.#byName.get(name) === image.id) this.#byName.delete(name);
  }

  get #indexFile(): string {
    return join(this.#options.directory, 'images.json');
  }

  async #read(): Promise<void> {
    const text = await readFile(this.#indexFile, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '[]';
      throw error;
    });
    for (const image of JSON.parse(text) as readonly StoredImage[]) {
      this.#byId.set(image.id, image);
      for (const name of [...image.tags, ...image.digests]) this.#byName.set(name, image.id);
    }
  }

  /** One writer at a time; each writes what is true when its turn comes. */
  #save(): Promise<void> {
    const save = async () => {
      const temporary = `${this.#indexFile}.new`;
      await writeFile(temporary, JSON.stringify([...this.#byId.values()]), { mode: 0o600 });
      const file = await open(temporary, 'r');
      try {
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, this.#indexFile);
      await syncDirectory(this.#options.directory);
    };
    const saving = this.#saving.then(save);
    this.#saving = saving.catch(() => undefined);
    return saving;
  }
}

class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async run<Value>(work: () => Promise<Value>): Promise<Value> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>(resolve => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}

async function* single(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

function layerAt<Layer>(layers: readonly Layer[], index: number): Layer {
  const layer = layers[index];
  if (layer === undefined)
    throw new RuntimeError('InvalidArgument', 'invalid image: its config names more layers than it has');
  return layer;
}
