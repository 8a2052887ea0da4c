import { RuntimeError } from '../../runtime.ts';

export type TarType = 'file' | 'directory' | 'symlink' | 'link' | 'characterDevice' | 'blockDevice' | 'fifo' | 'other';

export interface TarEntry {
  readonly name: string;
  readonly type: TarType;
  readonly linkName: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeMs: number;
  readonly major: number;
  readonly minor: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

const blockBytes = 512;
/** Long names and PAX records; no honest archive needs more. */
const metadataBytesMax = 1024 * 1024;

/**
 * Reads ustar, PAX and GNU archives as they stream by. Written here because extended attributes are bytes, which the
 * libraries turn into text, and because everything about an archive is hostile until checked.
 */
export async function* readTar(
  source: AsyncIterable<Buffer>,
): AsyncGenerator<{ readonly entry: TarEntry; readonly content: AsyncIterable<Buffer> }, void> {
  const input = new BlockReader(source);
  let extended = noExtension;
  while (true) {
    const header = await input.exactly(blockBytes);
    // The end is two blocks of zeros, or just the end of the stream.
    if (!header || header.every(byte => byte === 0)) break;
    checkSum(header);
    const type = String.fromCharCode(header[156] ?? 0);
    const size = number(header, 124, 12);
    const isMetadata = type === 'x' || type === 'g' || type === 'L' || type === 'K';
    if (isMetadata) {
      if (size > metadataBytesMax) throw invalid(`a header of ${size} bytes`);
      const bytes = await input.exactly(size);
      if (!bytes) throw invalid('it ends within a header');
      await input.skip(padding(size));
      if (type === 'x') extended = { ...extended, ...parsePax(bytes) };
      if (type === 'L') extended = { ...extended, name: cString(bytes) };
      if (type === 'K') extended = { ...extended, linkName: cString(bytes) };
      continue;
    }
    const entry = entryOf(header, type, extended);
    extended = noExtension;
    const content = input.take(entry.size);
    yield { entry, content };
    for await (const _ of content); // What the reader left unread.
    await input.skip(padding(entry.size));
  }
  // The digest is over all bytes, also those behind the end.
  await input.drain();
}

interface Extension {
  readonly name?: string;
  readonly linkName?: string;
  readonly size?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtimeMs?: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

const noExtension: Extension = { xattrs: new Map() };

const types: Readonly<Record<string, TarType | undefined>> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'characterDevice',
  '4': 'blockDevice',
  '5': 'directory',
  '6': 'fifo',
};

function entryOf(header: Buffer, typeFlag: string, extended: Extension): TarEntry {
  const prefix =
    header.toString('latin1', 257, 262) === 'ustar' && header[262] === 0 ? cString(header.subarray(345, 500)) : '';
  const short = cString(header.subarray(0, 100));
  const name = extended.name ?? (prefix ? `${prefix}/${short}` : short);
  // Old archives mark a directory by its name only.
  const type = typeFlag === '0' && name.endsWith('/') ? 'directory' : (types[typeFlag] ?? 'other');
  const hasContent = type === 'file' || type === 'other';
  return {
    name,
    type,
    linkName: extended.linkName ?? cString(header.subarray(157, 257)),
    mode: number(header, 100, 8) & 0o7777,
    uid: extended.uid ?? number(header, 108, 8),
    gid: extended.gid ?? number(header, 116, 8),
    size: hasContent ? (extended.size ?? number(header, 124, 12)) : 0,
    mtimeMs: extended.mtimeMs ?? number(header, 136, 12) * 1000,
    major: number(header, 329, 8),
    minor: number(header, 337, 8),
    xattrs: extended.xattrs,
  };
}

/** Records of `length key=value\n`; a value may hold any byte. */
function parsePax(bytes: Buffer): Extension {
  const xattrs = new Map<string, Buffer>();
  let extension: Extension = { xattrs };
  for (let offset = 0; offset < bytes.length; ) {
    const space = bytes.indexOf(0x20, offset);
    const length = space < 0 ? Number.NaN : Number(bytes.toString('latin1', offset, space));
    const equals = bytes.indexOf(0x3d, space);
    const end = offset + length;
    if (!(length > 0) || end > bytes.length || equals < 0 || equals >= end) throw invalid('a broken PAX record');
    const key = bytes.toString('utf8', space + 1, equals);
    const value = bytes.subarray(equals + 1, end - 1);
    const text = value.toString('utf8');
    offset = end;
    if (key.startsWith('SCHILY.xattr.')) xattrs.set(key.slice('SCHILY.xattr.'.length), Buffer.from(value));
    else if (key.startsWith('GNU.sparse.')) throw invalid('a sparse file');
    else extension = { ...extension, ...paxField(key, text) };
  }
  return extension;
}

function paxField(key: string, text: string): Partial<Extension> {
  switch (key) {
    case 'path':
      return { name: text };
    case 'linkpath':
      return { linkName: text };
    case 'size':
      return { size: whole(text) };
    case 'uid':
      return { uid: whole(text) };
    case 'gid':
      return { gid: whole(text) };
    case 'mtime':
      return { mtimeMs: Number(text) * 1000 };
    default:
      return {};
  }
}

function whole(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw invalid(`the number ${JSON.stringify(text.slice(0, 30))}`);
  return value;
}

/** Octal text, or with the high bit set a big-endian number. */
function number(header: Buffer, offset: number, length: number): number {
  const field = header.subarray(offset, offset + length);
  if (((field[0] ?? 0) & 0x80) !== 0) {
    const value = field.reduce((sum, byte, index) => sum * 256 + (index === 0 ? byte & 0x7f : byte), 0);
    if (!Number.isSafeInteger(value)) throw invalid('a number too large');
    return value;
  }
  const text = cString(field).trim();
  const value = text === '' ? 0 : Number.parseInt(text, 8);
  if (!Number.isSafeInteger(value) || value < 0) throw invalid('a broken number');
  return value;
}

function checkSum(header: Buffer): void {
  const stated = number(header, 148, 8);
  const sum = header.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 0x20 : byte), 0);
  if (sum !== stated) throw invalid('a wrong header checksum');
}

function cString(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? field.length : end);
}

function padding(size: number): number {
  return (blockBytes - (size % blockBytes)) % blockBytes;
}

class BlockReader {
  readonly #source: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** `undefined` when the stream is already at its end. */
  async exactly(length: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    let missing = length;
    for await (const part of this.take(length, true)) {
      parts.push(part);
      missing -= part.length;
    }
    if (missing === length && length > 0) return undefined;
    if (missing > 0) throw invalid('it ends early');
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  }

  async skip(length: number): Promise<void> {
    for await (const _ of this.take(length, true));
  }

  async drain(): Promise<void> {
    this.#rest = Buffer.alloc(0);
    while (!(await this.#source.next()).done);
  }

  /** The next bytes, once: reading it again goes on where it stopped. */
  take(length: number, mayEnd = false): AsyncIterable<Buffer> {
    let missing = length;
    const next = async (): Promise<IteratorResult<Buffer, undefined>> => {
      if (missing === 0) return { done: true, value: undefined };
      while (this.#rest.length === 0) {
        const { done, value } = await this.#source.next();
        if (done) {
          if (mayEnd) return { done: true, value: undefined };
          throw invalid('it ends early');
        }
        this.#rest = value;
      }
      const part = this.#rest.subarray(0, missing);
      this.#rest = this.#rest.subarray(part.length);
      missing -= part.length;
      return { done: false, value: part };
    };
    return { [Symbol.asyncIterator]: () => ({ next }) };
  }
}

function invalid(what: string): RuntimeError {
  return new RuntimeError('InvalidArgument', `invalid archive: ${what}`);
}
