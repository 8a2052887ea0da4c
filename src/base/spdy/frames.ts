import { limits } from '../limits.ts';
import zlib from 'node:zlib';
import { headerDictionary } from './dictionary.ts';

/** The frames of SPDY/3.1 that streams need. Flow control windows are read over: see `connection.ts`. */
export type Frame =
  | { readonly type: 'synStream'; readonly streamId: number; readonly headers: Headers; readonly fin: boolean }
  | { readonly type: 'synReply'; readonly streamId: number; readonly headers: Headers; readonly fin: boolean }
  | { readonly type: 'headers'; readonly streamId: number; readonly headers: Headers; readonly fin: boolean }
  | { readonly type: 'rstStream'; readonly streamId: number; readonly status: number }
  | { readonly type: 'ping'; readonly id: number }
  | { readonly type: 'goAway'; readonly lastStreamId: number; readonly status: number }
  | { readonly type: 'windowUpdate'; readonly streamId: number; readonly delta: number }
  | { readonly type: 'settings' }
  | { readonly type: 'data'; readonly streamId: number; readonly data: Buffer; readonly fin: boolean };

/** Lower-case names; several values of a name are one text with commas. */
export type Headers = ReadonlyMap<string, string>;

const types = { synStream: 1, synReply: 2, rstStream: 3, settings: 4, ping: 6, goAway: 7, headers: 8, windowUpdate: 9 };
const version = 3;
const finFlag = 1;
/** Larger control frames are refused: they only hold headers. */
const controlBytesMax = 64 * 1024;
const headersMax = 100;
const frameBytesMax = 0xff_ffff;

/** Turns frames into bytes. Headers are compressed in one context for the whole connection, so the order counts. */
export class FrameWriter {
  readonly #deflate = new HeaderDeflate();

  encode(frame: Frame): Buffer {
    switch (frame.type) {
      case 'data':
        return data(frame.streamId, frame.data, frame.fin);
      case 'synStream':
        return control(
          types.synStream,
          frame.fin,
          Buffer.concat([u32(frame.streamId), u32(0), Buffer.alloc(2), this.#pack(frame.headers)]),
        );
      case 'synReply':
        return control(types.synReply, frame.fin, Buffer.concat([u32(frame.streamId), this.#pack(frame.headers)]));
      case 'headers':
        return control(types.headers, frame.fin, Buffer.concat([u32(frame.streamId), this.#pack(frame.headers)]));
      case 'rstStream':
        return control(types.rstStream, false, Buffer.concat([u32(frame.streamId), u32(frame.status)]));
      case 'ping':
        return control(types.ping, false, u32(frame.id));
      case 'goAway':
        return control(types.goAway, false, Buffer.concat([u32(frame.lastStreamId), u32(frame.status)]));
      case 'windowUpdate':
        return control(types.windowUpdate, false, Buffer.concat([u32(frame.streamId), u32(frame.delta)]));
      case 'settings':
        return control(types.settings, false, u32(0));
    }
  }

  #pack(headers: Headers): Buffer {
    const parts = [u32(headers.size)];
    for (const [name, value] of headers) {
      const [key, text] = [Buffer.from(name.toLowerCase()), Buffer.from(value)];
      parts.push(u32(key.length), key, u32(text.length), text);
    }
    return this.#deflate.process(Buffer.concat(parts));
  }
}

/** Turns bytes into frames, however they are cut. */
export class FrameReader {
  readonly #inflate = new HeaderInflate();
  #rest: Buffer = Buffer.alloc(0);

  /** Throws when the bytes are no SPDY. */
  *decode(chunk: Buffer): Generator<Frame, void> {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 8) {
      const length = this.#rest.readUIntBE(5, 3);
      const isControl = (this.#rest[0] as number) >= 128;
      if (isControl && length > controlBytesMax)
        throw new Error(`cannot read a SPDY frame: ${length} bytes of headers are too many`);
      if (this.#rest.length < 8 + length) return;
      const head = this.#rest.subarray(0, 8);
      const body = this.#rest.subarray(8, 8 + length);
      this.#rest = this.#rest.subarray(8 + length);
      const fin = ((head[4] as number) & finFlag) !== 0;
      if (!isControl) yield { type: 'data', streamId: head.readUInt32BE(0), data: body, fin };
      else {
        const frame = this.#control(head.readUInt16BE(0) & 0x7fff, head.readUInt16BE(2), body, fin);
        if (frame) yield frame;
      }
    }
  }

  #control(spoken: number, type: number, body: Buffer, fin: boolean): Frame | undefined {
    if (spoken !== version) throw new Error(`cannot read a SPDY frame: version ${spoken} is not ${version}`);
    const at = (offset: number) => {
      if (body.length < offset + 4) throw new Error('cannot read a SPDY frame: it is too short');
      return body.readUInt32BE(offset);
    };
    const streamId = () => at(0) & 0x7fff_ffff;
    switch (type) {
      case types.synStream:
        return { type: 'synStream', streamId: streamId(), headers: this.#unpack(body.subarray(10)), fin };
      case types.synReply:
        return { type: 'synReply', streamId: streamId(), headers: this.#unpack(body.subarray(4)), fin };
      case types.headers:
        return { type: 'headers', streamId: streamId(), headers: this.#unpack(body.subarray(4)), fin };
      case types.rstStream:
        return { type: 'rstStream', streamId: streamId(), status: at(4) };
      case types.ping:
        return { type: 'ping', id: at(0) };
      case types.goAway:
        return { type: 'goAway', lastStreamId: streamId(), status: at(4) };
      case types.windowUpdate:
        return { type: 'windowUpdate', streamId: streamId(), delta: at(4) & 0x7fff_ffff };
      case types.settings:
        return { type: 'settings' };
      default:
        // As the protocol demands: unknown control frames are read over.
        return undefined;
    }
  }

  #unpack(block: Buffer): Headers {
    const plain = this.#inflate.process(block);
    const headers = new Map<string, string>();
    let at = 0;
    const number = () => {
      if (at + 4 > plain.length) throw new Error('cannot read SPDY headers: the block is too short');
      at += 4;
      return plain.readUInt32BE(at - 4);
    };
    const text = () => {
      const length = number();
      if (at + length > plain.length) throw new Error('cannot read SPDY headers: the block is too short');
      at += length;
      return plain.toString('utf8', at - length, at);
    };
    const count = number();
    if (count > headersMax) throw new Error(`cannot read SPDY headers: ${count} are too many`);
    for (let left = count; left > 0; left--) headers.set(text().toLowerCase(), text().replaceAll('\0', ','));
    return headers;
  }
}

function control(type: number, fin: boolean, body: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(0x8000 | version, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt32BE(((fin ? finFlag : 0) << 24) | body.length, 4);
  return Buffer.concat([head, body]);
}

function data(streamId: number, content: Buffer, fin: boolean): Buffer {
  if (content.length > frameBytesMax)
    throw new Error(`cannot write a SPDY frame: ${content.length} bytes are too many`);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(streamId, 0);
  head.writeUInt32BE(((fin ? finFlag : 0) << 24) | content.length, 4);
  return content.length === 0 ? head : Buffer.concat([head, content]);
}

function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(value >>> 0, 0);
  return buffer;
}

/*
 * The headers of a connection are one zlib stream, cut after each block by a sync flush. So a block can be handled by
 * itself, with what came before it as the dictionary: no context of zlib's has to be kept, and everything is synchronous.
 */

const zlibWindowBytes = 32 * 1024;
const flush = { finishFlush: zlib.constants.Z_SYNC_FLUSH };

class HeaderDeflate {
  #isFirst = true;

  /** Later blocks do without what came before: a few bytes more, and no state. */
  process(plain: Buffer): Buffer {
    if (!this.#isFirst) return zlib.deflateRawSync(plain, flush);
    this.#isFirst = false;
    return zlib.deflateSync(plain, { ...flush, dictionary: headerDictionary });
  }
}

class HeaderInflate {
  #window = headerDictionary;
  #isFirst = true;

  process(block: Buffer): Buffer {
    let raw = block;
    if (this.#isFirst) {
      this.#isFirst = false;
      // Two bytes of header, and the checksum of the dictionary if it is used.
      const usesDictionary = ((block[1] ?? 0) & 0x20) !== 0;
      if (!usesDictionary) this.#window = Buffer.alloc(0);
      raw = block.subarray(usesDictionary ? 6 : 2);
    }
    const dictionary = this.#window.length > 0 ? { dictionary: this.#window } : {};
    const plain = zlib.inflateRawSync(raw, { ...flush, ...dictionary, maxOutputLength: limits.spdyHeaderBytesMax });
    this.#window = Buffer.concat([this.#window, plain]).subarray(-zlibWindowBytes);
    return plain;
  }
}
