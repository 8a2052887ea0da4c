/**
 * Protobuf's wire format, written from the end of a buffer to its start: then the length of a nested message is known
 * when its header is due, and nothing is measured twice. Synchronous, so that one buffer serves all.
 */
let buffer: Uint8Array<ArrayBuffer>;
/** The same bytes, for what only a Buffer can do. */
let text: Buffer;
let at = 0;

function allocate(bytes: number): void {
  text = Buffer.allocUnsafeSlow(bytes);
  buffer = new Uint8Array(text.buffer as ArrayBuffer);
  at = bytes;
}
allocate(64 * 1024);

/** Larger buffers are given back after use. */
const keptBytesMax = 4 * 1024 * 1024;

/** Runs the writer and copies out what it wrote. Not reentrant. */
export function written(write: () => void): Uint8Array {
  at = buffer.length;
  write();
  const bytes = buffer.slice(at);
  if (buffer.length > keptBytesMax) allocate(64 * 1024);
  return bytes;
}

/** Where the writer stands; what lies between two positions is the length of what was written. */
export function position(): number {
  return buffer.length - at;
}

function ensure(bytes: number): void {
  if (at >= bytes) return;
  const used = buffer.length - at;
  const before = buffer.subarray(at);
  allocate(Math.max(buffer.length * 2, used + bytes));
  at -= used;
  buffer.set(before, at);
}

export function writeByte(value: number): void {
  if (at < 1) ensure(1);
  buffer[--at] = value;
}

/** An unsigned varint of at most 53 bits. */
export function writeVarint(value: number): void {
  if (value < 128) {
    if (at < 1) ensure(1);
    buffer[--at] = value;
    return;
  }
  ensure(10);
  let size = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size++;
  at -= size;
  let rest = value;
  for (let index = at; ; index++) {
    if (rest < 128) {
      buffer[index] = rest;
      return;
    }
    buffer[index] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
}

/** A signed integer as protobuf's int32 and int64: negative ones take ten bytes. */
export function writeInteger(value: number | bigint): void {
  if (typeof value === 'number' && value >= 0 && Number.isSafeInteger(value)) {
    writeVarint(value);
    return;
  }
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest >= 128n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  ensure(10);
  at -= bytes.length;
  buffer.set(bytes, at);
}

export function writeDouble(value: number): void {
  ensure(8);
  at -= 8;
  text.writeDoubleLE(value, at);
}

/** Length and UTF-8 bytes. */
export function writeString(value: string): void {
  const length = value.length;
  ensure(length * 3 + 10);
  if (length < 48 && writeAscii(value)) {
    writeVarint(length);
    return;
  }
  const size = Buffer.byteLength(value);
  at -= size;
  text.write(value, at, size, 'utf8');
  writeVarint(size);
}

/** Short plain text, without the cost of a call into C++. False when it is not plain: then nothing is written. */
function writeAscii(value: string): boolean {
  const start = at - value.length;
  for (let index = 0; index < value.length; index++) {
    const code = value.charCodeAt(index);
    if (code > 127) return false;
    buffer[start + index] = code;
  }
  at = start;
  return true;
}

/** Length and bytes. */
export function writeBytes(bytes: Uint8Array): void {
  ensure(bytes.length + 10);
  at -= bytes.length;
  buffer.set(bytes, at);
  writeVarint(bytes.length);
}

/** Bytes without a length: parts of a message that were written before. */
export function writeRaw(bytes: Uint8Array): void {
  ensure(bytes.length);
  at -= bytes.length;
  buffer.set(bytes, at);
}

/** Reads one message. Throws an Error on anything that is no protobuf. */
export class Reader {
  readonly bytes: Buffer;
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = start;
    this.end = end;
  }

  get done(): boolean {
    return this.at >= this.end;
  }

  /** At most 53 bits: tags and lengths. */
  varint(): number {
    const { bytes } = this;
    let value = 0;
    let factor = 1;
    for (let index = this.at; index < this.end; index++) {
      const byte = bytes[index] as number;
      if (byte < 128) {
        this.at = index + 1;
        return value + byte * factor;
      }
      value += (byte & 127) * factor;
      factor *= 128;
      if (index - this.at >= 9) break;
    }
    throw new Error('unexpected EOF');
  }

  /** An int32 or int64; bigint where a number would lose digits. */
  integer(): number | bigint {
    const start = this.at;
    const value = this.varint();
    if (Number.isSafeInteger(value)) return value;
    let wide = 0n;
    for (let index = this.at - 1; index >= start; index--)
      wide = (wide << 7n) | BigInt((this.bytes[index] as number) & 127);
    wide = BigInt.asIntN(64, wide);
    const narrow = Number(wide);
    return Number.isSafeInteger(narrow) ? narrow : wide;
  }

  double(): number {
    if (this.end - this.at < 8) throw new Error('unexpected EOF');
    const value = this.bytes.readDoubleLE(this.at);
    this.at += 8;
    return value;
  }

  string(): string {
    const end = this.#lengthEnd();
    const text = this.bytes.toString('utf8', this.at, end);
    this.at = end;
    return text;
  }

  /** A view, not a copy. */
  view(): Buffer {
    const end = this.#lengthEnd();
    const bytes = this.bytes.subarray(this.at, end);
    this.at = end;
    return bytes;
  }

  /** A reader of the nested message that starts here. */
  message(): Reader {
    const end = this.#lengthEnd();
    const reader = new Reader(this.bytes, this.at, end);
    this.at = end;
    return reader;
  }

  skip(wireType: number): void {
    if (wireType === 0) this.varint();
    else if (wireType === 1) this.at += 8;
    else if (wireType === 2) this.at = this.#lengthEnd();
    else if (wireType === 5) this.at += 4;
    else throw new Error(`proto: illegal wireType ${wireType}`);
    if (this.at > this.end) throw new Error('unexpected EOF');
  }

  #lengthEnd(): number {
    const length = this.varint();
    const end = this.at + length;
    if (end > this.end) throw new Error('unexpected EOF');
    return end;
  }
}
