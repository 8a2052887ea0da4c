import {
  chmodSync,
  closeSync,
  constants,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  type Stats,
  statfsSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { makeSpecialFile, setExtendedAttribute } from '#base/kernel/inode.ts';
import { RuntimeError } from '../../runtime.ts';
import { readTar, type TarEntry } from './tar.ts';

const entriesMax = 2_000_000;
const unpackedBytesMax = 64 * 1024 * 1024 * 1024;
/** Unpacking stops before the disk is full, bomb or not. */
const freeBytesMin = 256 * 1024 * 1024;
const spaceCheckBytes = 128 * 1024 * 1024;
const linksFollowedMax = 255;
const idMax = 0xffff_fffe;

const whiteout = '.wh.';
const opaque = '.wh..wh..opq';

/**
 * Applies a layer to `root`, which shows what is below it (the lower layers through an overlay, or nothing). Names are
 * looked up as the container will see them: links lead from `root`, never out of it. Synchronous in the files; meant
 * for a worker thread.
 */
export async function unpackLayer(source: AsyncIterable<Buffer>, root: string): Promise<void> {
  const unpacker = new Unpacker(root);
  for await (const { entry, content } of readTar(source)) await unpacker.add(entry, content);
  unpacker.finish();
}

class Unpacker {
  readonly #root: string;
  /** Paths that this layer made, by their real names: whiteouts do not remove them. */
  readonly #made = new Set<string>();
  /** Times of directories are set last: every file made in one changes it. */
  readonly #directoryTimes = new Map<string, number>();
  #parents = new Map<string, string>();
  #entries = 0;
  #bytes = 0;
  #checkedBytes = 0;

  constructor(root: string) {
    this.#root = root;
  }

  async add(entry: TarEntry, content: AsyncIterable<Buffer>): Promise<void> {
    if (++this.#entries > entriesMax)
      throw new RuntimeError('ResourceExhausted', `layer with more than ${entriesMax} files`);
    const parts = partsOf(entry.name);
    const name = parts.pop();
    if (name === undefined) {
      if (entry.type === 'directory') this.#setAttributes(this.#root, entry);
      return;
    }
    const parent = this.#resolveDirectory(parts);
    if (name.startsWith(whiteout)) return this.#whiteOut(parent, name);
    const path = join(parent, name);
    if (path.includes('\0')) throw refuse(entry, 'a zero byte in the name');
    this.#makeRoom(path, entry);
    await this.#make(path, entry, content);
    this.#remember(path);
  }

  finish(): void {
    for (const [path, mtimeMs] of this.#directoryTimes) if (this.#isDirectory(path)) setTime(path, mtimeMs);
  }

  #isDirectory(path: string): boolean {
    return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  }

  /** Walks down, following links within the root and making what is missing. */
  #resolveDirectory(parts: readonly string[]): string {
    const key = parts.join('/');
    const known = this.#parents.get(key);
    if (known !== undefined) return known;
    const rest = [...parts];
    let at: string[] = [];
    let links = 0;
    while (rest.length > 0) {
      const part = rest.shift() as string;
      if (part === '..') {
        at.pop();
        continue;
      }
      const path = join(this.#root, ...at, part);
      const found = lstatSync(path, { throwIfNoEntry: false });
      if (found?.isSymbolicLink()) {
        if (++links > linksFollowedMax)
          throw new RuntimeError('InvalidArgument', `invalid layer: too many links in ${key}`);
        const target = readlinkSync(path);
        if (target.startsWith('/')) at = [];
        rest.unshift(...target.split('/').filter(piece => piece !== '' && piece !== '.'));
        continue;
      }
      if (!found) mkdirSync(path, { mode: 0o755 });
      else if (!found.isDirectory())
        throw new RuntimeError('InvalidArgument', `invalid layer: ${key} leads through a file`);
      at.push(part);
    }
    const resolved = join(this.#root, ...at);
    this.#parents.set(key, resolved);
    return resolved;
  }

  #whiteOut(parent: string, name: string): void {
    if (name === opaque) {
      for (const child of readdirSync(parent)) this.#removeLower(join(parent, child));
      return;
    }
    // aufs' own bookkeeping.
    if (name.startsWith('.wh..wh.')) return;
    const target = name.slice(whiteout.length);
    if (target === '' || target === '.' || target === '..')
      throw new RuntimeError('InvalidArgument', `invalid layer: whiteout ${JSON.stringify(name)}`);
    this.#removeLower(join(parent, target));
  }

  /** Removes what lower layers brought; a directory that this layer also filled keeps what is new. */
  #removeLower(path: string): void {
    if (!this.#made.has(path)) {
      rmSync(path, { recursive: true, force: true });
      this.#forgetParents();
    } else if (this.#isDirectory(path)) for (const child of readdirSync(path)) this.#removeLower(join(path, child));
  }

  /** A new entry replaces an old one of the same name, except a directory a directory. */
  #makeRoom(path: string, entry: TarEntry): void {
    const found: Stats | undefined = lstatSync(path, { throwIfNoEntry: false });
    if (!found || (found.isDirectory() && entry.type === 'directory')) return;
    rmSync(path, { recursive: true, force: true });
    this.#forgetParents();
  }

  async #make(path: string, entry: TarEntry, content: AsyncIterable<Buffer>): Promise<void> {
    switch (entry.type) {
      case 'directory':
        if (!this.#isDirectory(path)) mkdirSync(path, { mode: 0o700 });
        this.#directoryTimes.set(path, entry.mtimeMs);
        break;
      case 'file':
        await this.#writeFile(path, content);
        break;
      case 'symlink':
        symlinkSync(entry.linkName, path);
        this.#forgetParents();
        break;
      case 'link':
        linkSync(this.#resolveLinkTarget(entry), path);
        return;
      case 'characterDevice':
      case 'blockDevice':
        // To overlayfs the device 0:0 is a whiteout: it would hide a file of a lower layer unseen.
        if (entry.major === 0 && entry.minor === 0) throw refuse(entry, 'the device 0:0');
        makeSpecialFile(path, entry.type, 0o600, entry.major, entry.minor);
        break;
      case 'fifo':
        makeSpecialFile(path, 'fifo', 0o600);
        break;
      case 'other':
        throw refuse(entry, 'an unknown type');
    }
    this.#setAttributes(path, entry);
  }

  #resolveLinkTarget(entry: TarEntry): string {
    const parts = partsOf(entry.linkName);
    const name = parts.pop();
    if (name === undefined) throw refuse(entry, 'a link to the root');
    const target = join(this.#resolveDirectory(parts), name);
    const found = lstatSync(target, { throwIfNoEntry: false });
    if (!found || found.isDirectory())
      throw refuse(entry, `a link to ${JSON.stringify(entry.linkName)}, which is no file`);
    return target;
  }

  async #writeFile(path: string, content: AsyncIterable<Buffer>): Promise<void> {
    const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
    const file = openSync(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o600);
    try {
      for await (const chunk of content) {
        this.#count(chunk.length);
        for (let offset = 0; offset < chunk.length; ) offset += writeSync(file, chunk, offset);
      }
    } finally {
      closeSync(file);
    }
  }

  #count(length: number): void {
    this.#bytes += length;
    if (this.#bytes > unpackedBytesMax)
      throw new RuntimeError('ResourceExhausted', `layer with more than ${unpackedBytesMax} bytes`);
    if (this.#bytes - this.#checkedBytes < spaceCheckBytes) return;
    this.#checkedBytes = this.#bytes;
    const { bavail, bsize } = statfsSync(this.#root);
    if (bavail * bsize < freeBytesMin)
      throw new RuntimeError('ResourceExhausted', 'cannot unpack the layer: no space left on device');
  }

  /** Ownership first: changing it clears set-user-id bits and file capabilities. */
  #setAttributes(path: string, entry: TarEntry): void {
    if (entry.uid > idMax || entry.gid > idMax) throw refuse(entry, 'an owner out of range');
    lchownSync(path, entry.uid, entry.gid);
    if (entry.type !== 'symlink') chmodSync(path, entry.mode);
    for (const [name, value] of entry.xattrs) if (mayHave(name)) setExtendedAttribute(path, name, value);
    if (entry.type !== 'directory') setTime(path, entry.mtimeMs);
  }

  #remember(path: string): void {
    for (let at = path; at.length > this.#root.length && !this.#made.has(at); at = dirname(at)) this.#made.add(at);
  }

  #forgetParents(): void {
    this.#parents = new Map();
  }
}

/** overlayfs keeps its own marks in `trusted.overlay.` and `user.overlay.`: a layer that could set them could lie to it. */
function mayHave(xattr: string): boolean {
  return xattr === 'security.capability' || (xattr.startsWith('user.') && !xattr.startsWith('user.overlay.'));
}

/** The parts of a name; one that climbs is refused, not mended. */
function partsOf(name: string): string[] {
  const parts = name.split('/').filter(part => part !== '' && part !== '.');
  if (parts.includes('..'))
    throw new RuntimeError('InvalidArgument', `invalid layer: ${JSON.stringify(name)} leads out of it`);
  return parts;
}

function setTime(path: string, mtimeMs: number): void {
  const seconds = Number.isFinite(mtimeMs) ? mtimeMs / 1000 : 0;
  lutimesSync(path, seconds, seconds);
}

function refuse(entry: TarEntry, what: string): RuntimeError {
  return new RuntimeError('InvalidArgument', `invalid layer: ${JSON.stringify(entry.name)} is ${what}`);
}
