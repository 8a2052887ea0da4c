import { decodeHuffman } from './huffman.ts';

/** Headers as they came, pseudo-headers too: names and values in turns. */
export type RawHeaders = readonly string[];

/** The block of headers cannot be read: the connection's compression is broken. */
export class HpackError extends Error {
  override readonly name = 'HpackError';
}

/** Names and values of RFC 7541, appendix A; the index of the first is 1. */
// prettier-ignore
const staticTable: readonly (readonly [name: string, value: string])[] = [
  [':authority', ''],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  [':status', '200'],
  [':status', '204'],
  [':status', '206'],
  [':status', '304'],
  [':status', '400'],
  [':status', '404'],
  [':status', '500'],
  ['accept-charset', ''],
  ['accept-encoding', 'gzip, deflate'],
  ['accept-language', ''],
  ['accept-ranges', ''],
  ['accept', ''],
  ['access-control-allow-origin', ''],
  ['age', ''],
  ['allow', ''],
  ['authorization', ''],
  ['cache-control', ''],
  ['content-disposition', ''],
  ['content-encoding', ''],
  ['content-language', ''],
  ['content-length', ''],
  ['content-location', ''],
  ['content-range', ''],
  ['content-type', ''],
  ['cookie', ''],
  ['date', ''],
  ['etag', ''],
  ['expect', ''],
  ['expires', ''],
  ['from', ''],
  ['host', ''],
  ['if-match', ''],
  ['if-modified-since', ''],
  ['if-none-match', ''],
  ['if-range', ''],
  ['if-unmodified-since', ''],
  ['last-modified', ''],
  ['link', ''],
  ['location', ''],
  ['max-forwards', ''],
  ['proxy-authenticate', ''],
  ['proxy-authorization', ''],
  ['range', ''],
  ['referer', ''],
  ['refresh', ''],
  ['retry-after', ''],
  ['server', ''],
  ['set-cookie', ''],
  ['strict-transport-security', ''],
  ['transfer-encoding', ''],
  ['user-agent', ''],
  ['vary', ''],
  ['via', ''],
  ['www-authenticate', ''],
];

/** What a dynamic table may hold, as long as nobody asks for another size: HTTP/2's default, 32 bytes an entry included. */
const tableBytesMax = 4_096;
const entryOverheadBytes = 32;

/** Reads blocks of headers of one connection, in their order. Strings that repeat come out as the same string. */
export class HpackDecoder {
  readonly #headerBytesMax: number;
  /** Oldest first; what was dropped stays in front until there is much of it. */
  #names: string[] = [];
  #values: string[] = [];
  #first = 0;
  #bytes = 0;
  #bytesMax = tableBytesMax;
  #at = 0;
  #block: Buffer = Buffer.alloc(0);
  #scratch = Buffer.allocUnsafeSlow(256);

  constructor(headerBytesMax: number) {
    this.#headerBytesMax = headerBytesMax;
  }

  /** Undefined: longer than allowed. Throws HpackError when the block makes no sense. */
  decode(block: Buffer): RawHeaders | undefined {
    this.#block = block;
    this.#at = 0;
    const headers: string[] = [];
    let left = this.#headerBytesMax;
    while (this.#at < block.length) {
      const first = block[this.#at] as number;
      if ((first & 0xe0) === 0x20) {
        const size = this.#integer(5);
        if (headers.length > 0 || size > tableBytesMax)
          throw new HpackError('the size of the table cannot change here');
        this.#bytesMax = size;
        this.#evict();
        continue;
      }
      let name: string;
      let value: string;
      if (first & 0x80) {
        const index = this.#integer(7);
        name = this.#nameAt(index);
        value = this.#valueAt(index);
      } else {
        const indexes = (first & 0x40) !== 0;
        const index = this.#integer(indexes ? 6 : 4);
        name = index === 0 ? this.#string() : this.#nameAt(index);
        value = this.#string();
        if (indexes) this.#add(name, value);
      }
      left -= name.length + value.length + entryOverheadBytes;
      // Read on all the same: the table must stay what the other side thinks it is.
      if (left >= 0) headers.push(name, value);
    }
    return left < 0 ? undefined : headers;
  }

  #add(name: string, value: string): void {
    this.#names.push(name);
    this.#values.push(value);
    this.#bytes += name.length + value.length + entryOverheadBytes;
    this.#evict();
  }

  #evict(): void {
    while (this.#bytes > this.#bytesMax) {
      const at = this.#first++;
      this.#bytes -= (this.#names[at] as string).length + (this.#values[at] as string).length + entryOverheadBytes;
    }
    if (this.#first < 128) return;
    this.#names = this.#names.slice(this.#first);
    this.#values = this.#values.slice(this.#first);
    this.#first = 0;
  }

  #nameAt(index: number): string {
    return index <= staticTable.length
      ? (staticTable[index - 1]?.[0] ?? this.#missing(index))
      : (this.#names[this.#position(index)] as string);
  }

  #valueAt(index: number): string {
    return index <= staticTable.length
      ? (staticTable[index - 1]?.[1] ?? this.#missing(index))
      : (this.#values[this.#position(index)] as string);
  }

  #position(index: number): number {
    const position = this.#names.length - (index - staticTable.length);
    return position < this.#first ? this.#missing(index) : position;
  }

  #missing(index: number): never {
    throw new HpackError(`there is no header at index ${index}`);
  }

  #integer(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new HpackError('an integer is too large');
  }

  #byte(): number {
    const byte = this.#block[this.#at++];
    if (byte === undefined) throw new HpackError('the block ends too early');
    return byte;
  }

  #string(): string {
    const huffman = ((this.#block[this.#at] ?? 0) & 0x80) !== 0;
    const length = this.#integer(7);
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#block.length) throw new HpackError('the block ends too early');
    if (!huffman) return this.#block.toString('latin1', start, this.#at);
    // No code is shorter than five bits.
    const room = Math.ceil((length * 8) / 5);
    if (this.#scratch.length < room) this.#scratch = Buffer.allocUnsafeSlow(room * 2);
    const decoded = decodeHuffman(this.#block, start, this.#at, this.#scratch);
    if (decoded < 0) throw new HpackError('a string is malformed');
    return this.#scratch.toString('latin1', 0, decoded);
  }
}

const staticNames = new Map(staticTable.map(([name], index) => [name, index + 1] as const).reverse());
const staticStatuses = new Map(
  staticTable.flatMap(([name, value], index) => (name === ':status' ? [[Number(value), 0x80 | (index + 1)]] : [])) as [
    number,
    number,
  ][],
);

type HeaderValue = string | number | readonly string[];

/**
 * Writes a block of headers that leaves the other side's table alone, so that blocks need no order. Answers with the bytes,
 * which are valid until the next call.
 */
export function encodeHeaders(status: number, headers: Readonly<Record<string, HeaderValue>>): Buffer {
  let at = 0;
  const byte = staticStatuses.get(status);
  if (byte !== undefined) scratch[at++] = byte;
  else at = encodeHeader(at, ':status', String(status));
  for (const name in headers) {
    const value = headers[name] as HeaderValue;
    if (typeof value === 'object') for (const each of value) at = encodeHeader(at, name, each);
    else at = encodeHeader(at, name, typeof value === 'string' ? value : String(value));
  }
  return scratch.subarray(0, at);
}

/** Grows with what has to be written. */
let scratch = Buffer.allocUnsafeSlow(4_096);

function encodeHeader(from: number, name: string, value: string): number {
  let at = from;
  // Three bytes a character is the most UTF-8 takes for what one UTF-16 unit holds.
  const room = at + (name.length + value.length) * 3 + 16;
  if (room > scratch.length) {
    const larger = Buffer.allocUnsafeSlow(room * 2);
    scratch.copy(larger, 0, 0, at);
    scratch = larger;
  }
  const index = staticNames.get(name);
  if (index === undefined) {
    scratch[at++] = 0;
    at = encodeString(at, name);
  } else if (index < 15) scratch[at++] = index;
  else {
    scratch[at++] = 15;
    scratch[at++] = index - 15;
  }
  return encodeString(at, forbidden.test(value) ? value.replace(/[\0\r\n]/g, ' ') : value);
}

/** What would end a header on a connection of version 1.1. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const forbidden = /[\0\r\n]/;

function encodeString(from: number, text: string): number {
  // Short ASCII is the rule: the length is written first and corrected when it was not.
  if (text.length < 0x7f) {
    const written = scratch.write(text, from + 1);
    if (written < 0x7f) {
      scratch[from] = written;
      return from + 1 + written;
    }
  }
  let at = from;
  let left = Buffer.byteLength(text) - 0x7f;
  scratch[at++] = 0x7f;
  for (; left >= 0x80; left >>= 7) scratch[at++] = (left & 0x7f) | 0x80;
  scratch[at++] = left;
  return at + scratch.write(text, at);
}
