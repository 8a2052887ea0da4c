import { createInflate, type Inflate } from 'node:zlib';
import { limits } from '../limits.ts';
import { headerDictionary } from './dictionary.ts';

export type SpdyHeaders = Readonly<Record<string, string>>;

/** Header blocks of one direction of a session; they share one compression context, so their order counts. */
export class HeaderReader {
  readonly #inflate: Inflate = createInflate({ dictionary: headerDictionary });

  async read(block: Uint8Array): Promise<SpdyHeaders> {
    return decodeHeaders(await this.#decompress(block));
  }

  close(): void {
    this.#inflate.on('error', () => {});
    this.#inflate.destroy();
  }

  #decompress(block: Uint8Array): Promise<Buffer> {
    const inflate = this.#inflate;
    return new Promise((resolve, reject) => {
      const parts: Buffer[] = [];
      let length = 0;
      const take = (part: Buffer) => {
        length += part.length;
        if (length <= limits.spdyHeaderBytesMax) parts.push(part);
      };
      const done = (error?: Error | null) => {
        inflate.off('data', take);
        inflate.off('error', done);
        if (error)
          reject(new Error('cannot read SPDY headers: they are not compressed as they should be', { cause: error }));
        else if (length > limits.spdyHeaderBytesMax) reject(new Error('cannot read SPDY headers: they are too long'));
        else resolve(Buffer.concat(parts));
      };
      inflate.on('data', take);
      inflate.once('error', done);
      // What comes out of the block comes before this callback.
      inflate.write(block, done);
    });
  }
}

/**
 * Writes header blocks as stored (uncompressed) blocks of the zlib format: every reader takes them, they need no
 * asynchronous compressor, and the few headers of a stream are not worth compressing.
 */
export class HeaderWriter {
  #started = false;

  write(headers: SpdyHeaders): Buffer {
    const plain = encodeHeaders(headers);
    const lengths = Buffer.alloc(5);
    lengths.writeUInt16LE(plain.length, 1);
    lengths.writeUInt16LE(~plain.length & 0xffff, 3);
    const block = this.#started ? [lengths, plain, flush] : [zlibHeader, lengths, plain, flush];
    this.#started = true;
    return Buffer.concat(block);
  }
}

/** 32 KiB window, no preset dictionary, lowest level. */
const zlibHeader = Buffer.from([0x78, 0x01]);

/** An empty block, as zlib's sync flush: without it Go's reader looks for the next block where the frame ends, and fails. */
const flush = Buffer.from([0x00, 0x00, 0x00, 0xff, 0xff]);

function encodeHeaders(headers: SpdyHeaders): Buffer {
  const parts: Buffer[] = [uint32(Object.keys(headers).length)];
  for (const [name, value] of Object.entries(headers)) {
    const lower = Buffer.from(name.toLowerCase());
    const bytes = Buffer.from(value);
    parts.push(uint32(lower.length), lower, uint32(bytes.length), bytes);
  }
  return Buffer.concat(parts);
}

/** Values of a repeated header are separated by NUL; the first one counts here. */
function decodeHeaders(block: Buffer): SpdyHeaders {
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  let at = 4;
  const text = () => {
    const length = block.readUInt32BE(at);
    const start = at + 4;
    at = start + length;
    if (at > block.length) throw new Error('cannot read SPDY headers: a length is wrong');
    return block.toString('utf8', start, at);
  };
  for (let left = block.readUInt32BE(0); left > 0; left--) {
    const name = text();
    headers[name.toLowerCase()] = text().split('\0')[0] ?? '';
  }
  return headers;
}

function uint32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(value);
  return buffer;
}
