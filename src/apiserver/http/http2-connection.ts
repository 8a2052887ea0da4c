import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { encodeHeaders, HpackDecoder, HpackError, type RawHeaders } from './hpack.ts';
import { Http2Stream } from './http2-stream.ts';

/*
 * The server's side of HTTP/2 (RFC 9113), written for many small answers on few connections: a request is an object and a
 * map entry, an answer is copied into the connection's next write, and everything of one turn of the event loop goes out in
 * one write. Node's own session costs three times what answering a GET does.
 */

export interface Http2Options {
  readonly clock: Clock;
  /** A request whose headers are complete, and its body as far as it came together with them. */
  onStream(stream: Http2Stream): void;
}

export const errorCodes = {
  noError: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refusedStream: 7,
  cancel: 8,
  compression: 9,
  enhanceYourCalm: 11,
} as const;

const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  resetStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

const flags = { endStream: 1, acknowledged: 1, endHeaders: 4, padded: 8, priority: 32 } as const;
const settingIds = {
  headerTableSize: 1,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const;

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const frameHeadBytes = 9;
/** What the other side may send in one frame: the protocol's default, which we do not raise. */
const frameBytesMax = 16_384;
const windowDefault = 65_535;
const windowMax = 2 ** 31 - 1;

/** Requests at once on one connection. */
const streamsMax = 1_000;
const headerBytesMax = 64 * 1024;
/** Frames that one block of headers may come in. */
const headerFramesMax = 64;
/** What one body, and all bodies of a connection, may be ahead of being read. */
const streamWindow = 1024 * 1024;
const connectionWindow = 16 * 1024 * 1024;
/** Of a request that is answered before its end so much is still read, and so long. */
const swallowedBytesMax = 16 * 1024 * 1024;
const swallowingMsMax = 5_000;
/** Bodies that nobody has taken yet; more is not asked for. */
const heldBytesMax = 64 * 1024 * 1024;
/** What the socket may hold unsent before streams wait. */
const unsentBytesMax = 512 * 1024;
/** What is said without being asked for (answers to pings and settings) to a client that does not read. */
const unsentControlBytesMax = 4 * 1024 * 1024;
/** A client may cancel watches in bursts, but not open and reset streams for ever (rapid reset, CVE-2023-44487). */
const resetsBurst = 5_000;
const resetsPerSecond = 500;
/** The first frames are a few bytes. */
const greetingMsMax = 10_000;
/** What one stream sends before another one gets its turn. */
const shareBytes = 64 * 1024;
const outputBytesMin = 16 * 1024;
const outputBytesMax = 64 * 1024;

/** One connection from its first byte to its end. */
export class Http2Connection {
  readonly socket: Duplex;
  readonly #options: Http2Options;
  readonly #decoder = new HpackDecoder(headerBytesMax);
  readonly #streams = new Map<number, Http2Stream>();
  /** Streams with something to send that wait for the socket or for the connection's window. */
  #waiting: Http2Stream[] = [];
  /** Requests that came in the piece of input that is being read. */
  #fresh: Http2Stream[] = [];
  #lastStreamId = 0;
  #greeted = 0;
  #hasSettings = false;
  readonly #cancelGreeting: () => void;
  /** A frame of which only the beginning is there. */
  #partial: Buffer | undefined;
  #partialBytes = 0;
  #block: { readonly id: number; readonly pieces: Buffer[]; bytes: number; readonly endStream: boolean } | undefined;
  #sendWindow = windowDefault;
  #streamSendWindow = windowDefault;
  #sentFrameBytesMax = frameBytesMax;
  /** Bytes of bodies that the other side has not been given back in its window yet. */
  #unacknowledged = 0;
  #receiveWindow = windowDefault;
  #heldBytes = 0;
  #output: Buffer | undefined;
  #outputBytes = 0;
  #outputSize = outputBytesMin;
  #flushes = false;
  #blocked = false;
  #announcesNoTable = false;
  #resets = resetsBurst;
  #resetsAtMs: number;
  #leaving = false;
  #ended = false;

  constructor(socket: Duplex, options: Http2Options) {
    this.socket = socket;
    this.#options = options;
    this.#resetsAtMs = options.clock.monotonic();
    this.#cancelGreeting = options.clock.after(greetingMsMax, () => {
      if (!this.#hasSettings) socket.destroy();
    });
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('drain', () => this.#drained());
    socket.on('close', () => this.#close());
    this.#sendSettings();
  }

  /** The other side's answer to a request: everything before the body. */
  respond(stream: Http2Stream, status: number, headers: Parameters<typeof encodeHeaders>[1], endStream: boolean): void {
    if (stream.destroyed) return;
    let block = encodeHeaders(status, headers);
    if (this.#announcesNoTable) {
      this.#announcesNoTable = false;
      block = Buffer.concat([noTable, block]);
    }
    const first = Math.min(block.length, this.#sentFrameBytesMax);
    const isWhole = first === block.length;
    this.#frame(
      frameTypes.headers,
      (endStream ? flags.endStream : 0) | (isWhole ? flags.endHeaders : 0),
      stream.id,
      first,
    );
    this.#copy(block, 0, first);
    for (let at = first; at < block.length; ) {
      const length = Math.min(block.length - at, this.#sentFrameBytesMax);
      const isLast = at + length === block.length;
      this.#frame(frameTypes.continuation, isLast ? flags.endHeaders : 0, stream.id, length);
      this.#copy(block, at, at + length);
      at += length;
    }
    if (endStream) this.#finished(stream);
  }

  /** The stream has something to send: it goes out at the end of this turn, with whatever else there is. */
  wake(stream: Http2Stream): void {
    if (stream.waits) return;
    stream.waits = true;
    this.#waiting.push(stream);
    this.#schedule();
  }

  /** Sends what windows and socket allow of what a stream has queued, up to its share. */
  #pump(stream: Http2Stream): void {
    for (let share = shareBytes; ; ) {
      const unsent = stream.unsentBytes;
      if (unsent === 0) {
        if (!stream.ended) return;
        this.#frame(frameTypes.data, flags.endStream, stream.id, 0);
        return this.#finished(stream);
      }
      if (stream.sendWindow <= 0) return;
      if (this.#blocked || this.#sendWindow <= 0 || share <= 0) {
        stream.waits = true;
        this.#waiting.push(stream);
        return;
      }
      const length = Math.min(unsent, this.#sentFrameBytesMax, this.#sendWindow, stream.sendWindow);
      const isLast = stream.ended && length === unsent;
      this.#frame(frameTypes.data, isLast ? flags.endStream : 0, stream.id, length);
      for (let left = length; left > 0; ) {
        const { next, offset } = stream;
        const part = Math.min(left, next.length - offset);
        this.#copy(next, offset, offset + part);
        stream.sent(part);
        left -= part;
      }
      this.#sendWindow -= length;
      share -= length;
      if (isLast) return this.#finished(stream);
    }
  }

  /** Takes no new requests: what is under way is answered, then the connection ends. Clients open another one. */
  leave(): void {
    if (this.#leaving || this.#ended) return;
    this.#leaving = true;
    this.#goAway(errorCodes.noError);
  }

  /** Ends a stream at once; the other side is told why. */
  reset(stream: Http2Stream, code: number): void {
    if (!this.#streams.has(stream.id)) return;
    this.#sendReset(stream.id, code);
    this.#forget(stream);
  }

  /** The bytes of a body have been taken: there is room for others. */
  released(bytes: number): void {
    this.#heldBytes -= bytes;
    this.#giveBack();
  }

  #sendSettings(): void {
    const settings = [
      [settingIds.maxConcurrentStreams, streamsMax],
      [settingIds.initialWindowSize, streamWindow],
      [settingIds.maxHeaderListSize, headerBytesMax],
    ] as const;
    this.#frame(frameTypes.settings, 0, 0, settings.length * 6);
    const body = Buffer.alloc(settings.length * 6);
    for (const [index, [id, value]] of settings.entries()) {
      body.writeUInt16BE(id, index * 6);
      body.writeUInt32BE(value, index * 6 + 2);
    }
    this.#copy(body, 0, body.length);
    this.#sendWindowUpdate(0, connectionWindow - windowDefault);
    this.#receiveWindow = connectionWindow;
  }

  #receive(chunk: Buffer): void {
    if (this.#ended) return;
    let at = this.#greeted < preface.length ? this.#readPreface(chunk) : 0;
    if (at < 0) return this.#fail(errorCodes.protocol);
    if (this.#partial) at = this.#complete(chunk, at);
    while (!this.#ended && at < chunk.length) {
      if (chunk.length - at < frameHeadBytes) {
        this.#keep(chunk, at, frameHeadBytes);
        break;
      }
      const length = chunk.readUIntBE(at, 3);
      if (length > frameBytesMax) return this.#fail(errorCodes.frameSize);
      if (chunk.length - at < frameHeadBytes + length) {
        this.#keep(chunk, at, frameHeadBytes + length);
        break;
      }
      this.#take(chunk, at, length);
      at += frameHeadBytes + length;
    }
    // Bodies have mostly come along by now.
    for (let stream = this.#fresh.shift(); stream; stream = this.#fresh.shift())
      if (!stream.destroyed) this.#options.onStream(stream);
    this.#giveBack();
  }

  /** How far the preface goes into the piece; -1 when it is none. */
  #readPreface(chunk: Buffer): number {
    const length = Math.min(chunk.length, preface.length - this.#greeted);
    if (preface.compare(chunk, 0, length, this.#greeted, this.#greeted + length) !== 0) return -1;
    this.#greeted += length;
    return length;
  }

  #keep(chunk: Buffer, at: number, bytes: number): void {
    this.#partial = Buffer.allocUnsafe(bytes);
    this.#partialBytes = chunk.copy(this.#partial, 0, at);
  }

  /** Puts the rest of a frame to its beginning. Answers with how far it goes into the piece. */
  #complete(chunk: Buffer, from: number): number {
    let at = from;
    for (;;) {
      const partial = this.#partial as Buffer;
      const copied = chunk.copy(partial, this.#partialBytes, at);
      at += copied;
      this.#partialBytes += copied;
      if (this.#partialBytes < partial.length) return at;
      const length = partial.readUIntBE(0, 3);
      if (length > frameBytesMax) {
        this.#fail(errorCodes.frameSize);
        return chunk.length;
      }
      if (partial.length === frameHeadBytes + length) {
        this.#partial = undefined;
        this.#take(partial, 0, length);
        return at;
      }
      // The head is complete: now it is known how long the frame is.
      this.#partial = Buffer.allocUnsafe(frameHeadBytes + length);
      partial.copy(this.#partial);
    }
  }

  #take(chunk: Buffer, at: number, length: number): void {
    const type = chunk[at + 3] as number;
    const flagged = chunk[at + 4] as number;
    const id = chunk.readUInt32BE(at + 5) & windowMax;
    const payload = chunk.subarray(at + frameHeadBytes, at + frameHeadBytes + length);
    if (this.#block && (type !== frameTypes.continuation || id !== this.#block.id))
      return this.#fail(errorCodes.protocol);
    if (!this.#hasSettings && type !== frameTypes.settings) return this.#fail(errorCodes.protocol);
    switch (type) {
      case frameTypes.data:
        return this.#takeData(id, flagged, payload);
      case frameTypes.headers:
        return this.#takeHeaders(id, flagged, payload);
      case frameTypes.continuation:
        return this.#takeContinuation(flagged, payload);
      case frameTypes.priority:
        if (id === 0) return this.#fail(errorCodes.protocol);
        return length === 5 ? undefined : this.#fail(errorCodes.frameSize);
      case frameTypes.resetStream:
        return this.#takeReset(id, payload);
      case frameTypes.settings:
        return this.#takeSettings(id, flagged, payload);
      case frameTypes.pushPromise:
        return this.#fail(errorCodes.protocol);
      case frameTypes.ping:
        return this.#takePing(id, flagged, payload);
      case frameTypes.goAway:
        return id === 0 ? undefined : this.#fail(errorCodes.protocol);
      case frameTypes.windowUpdate:
        return this.#takeWindowUpdate(id, payload);
      // What is not known is to be ignored.
    }
  }

  #takeData(id: number, flagged: number, payload: Buffer): void {
    if (id === 0 || id > this.#lastStreamId) return this.#fail(errorCodes.protocol);
    this.#receiveWindow -= payload.length;
    if (this.#receiveWindow < 0) return this.#fail(errorCodes.flowControl);
    this.#unacknowledged += payload.length;
    const body = unpadded(payload, flagged);
    if (!body) return this.#fail(errorCodes.protocol);
    const stream = this.#streams.get(id);
    // It was reset, and the other side did not know yet.
    if (!stream) return;
    if (stream.remoteClosed) return this.reset(stream, errorCodes.streamClosed);
    stream.receiveWindow -= payload.length;
    if (stream.receiveWindow < 0) return this.reset(stream, errorCodes.flowControl);
    this.#heldBytes += stream.takeBody(body);
    if (flagged & flags.endStream) return this.#endBody(stream);
    if (stream.receiveWindow > streamWindow / 2) return;
    if (stream.bodyBytes > swallowedBytesMax)
      return stream.destroyed ? this.reset(stream, errorCodes.noError) : undefined;
    this.#sendWindowUpdate(id, streamWindow - stream.receiveWindow);
    stream.receiveWindow = streamWindow;
  }

  #endBody(stream: Http2Stream): void {
    if (stream.destroyed) this.#forget(stream);
    else if (!stream.endBody()) this.reset(stream, errorCodes.protocol);
  }

  /** Lets the other side send on, once it is worth a frame, and as long as what was sent is not too much to keep. */
  #giveBack(): void {
    if (this.#unacknowledged < connectionWindow / 4 || this.#heldBytes > heldBytesMax || this.#ended) return;
    this.#sendWindowUpdate(0, this.#unacknowledged);
    this.#receiveWindow += this.#unacknowledged;
    this.#unacknowledged = 0;
  }

  #takeHeaders(id: number, flagged: number, payload: Buffer): void {
    if (id % 2 === 0) return this.#fail(errorCodes.protocol);
    let block = unpadded(payload, flagged);
    if (block && flagged & flags.priority) block = block.length < 5 ? undefined : block.subarray(5);
    if (!block) return this.#fail(errorCodes.protocol);
    const endStream = (flagged & flags.endStream) !== 0;
    if (flagged & flags.endHeaders) return this.#readBlock(id, block, endStream);
    this.#block = { id, pieces: [Buffer.from(block)], bytes: block.length, endStream };
  }

  #takeContinuation(flagged: number, payload: Buffer): void {
    const open = this.#block;
    if (!open) return this.#fail(errorCodes.protocol);
    open.pieces.push(Buffer.from(payload));
    open.bytes += payload.length;
    if (open.bytes > headerBytesMax || open.pieces.length > headerFramesMax)
      return this.#fail(errorCodes.enhanceYourCalm);
    if ((flagged & flags.endHeaders) === 0) return;
    this.#block = undefined;
    this.#readBlock(open.id, Buffer.concat(open.pieces, open.bytes), open.endStream);
  }

  #readBlock(id: number, block: Buffer, endStream: boolean): void {
    let headers: RawHeaders | undefined;
    try {
      headers = this.#decoder.decode(block);
    } catch (error) {
      if (error instanceof HpackError) return this.#fail(errorCodes.compression);
      throw error;
    }
    if (id <= this.#lastStreamId) return this.#takeTrailers(id, endStream);
    this.#lastStreamId = id;
    if (!headers) return this.#refuse(id, errorCodes.enhanceYourCalm);
    if (this.#leaving || this.#streams.size >= streamsMax) return this.#refuse(id, errorCodes.refusedStream);
    const stream = Http2Stream.open(this, id, headers, { send: this.#streamSendWindow, receive: streamWindow });
    if (!stream) return this.#refuse(id, errorCodes.protocol);
    this.#streams.set(id, stream);
    this.#fresh.push(stream);
    if (endStream) this.#endBody(stream);
  }

  #takeTrailers(id: number, endStream: boolean): void {
    const stream = this.#streams.get(id);
    if (!stream) return;
    if (stream.remoteClosed || !endStream) return this.reset(stream, errorCodes.protocol);
    this.#endBody(stream);
  }

  /** A stream that never begins counts like one that is reset. */
  #refuse(id: number, code: number): void {
    this.#sendReset(id, code);
    this.#countReset();
  }

  #takeReset(id: number, payload: Buffer): void {
    if (payload.length !== 4) return this.#fail(errorCodes.frameSize);
    if (id === 0 || id > this.#lastStreamId) return this.#fail(errorCodes.protocol);
    const stream = this.#streams.get(id);
    if (!stream) return;
    this.#forget(stream);
    this.#countReset();
  }

  #countReset(): void {
    const nowMs = this.#options.clock.monotonic();
    this.#resets = Math.min(resetsBurst, this.#resets + ((nowMs - this.#resetsAtMs) / 1000) * resetsPerSecond) - 1;
    this.#resetsAtMs = nowMs;
    if (this.#resets < 0) this.#fail(errorCodes.enhanceYourCalm);
  }

  #takeSettings(id: number, flagged: number, payload: Buffer): void {
    if (id !== 0) return this.#fail(errorCodes.protocol);
    if (flagged & flags.acknowledged) return payload.length === 0 ? undefined : this.#fail(errorCodes.frameSize);
    if (payload.length % 6 !== 0) return this.#fail(errorCodes.frameSize);
    if (!this.#hasSettings) this.#cancelGreeting();
    this.#hasSettings = true;
    for (let at = 0; at < payload.length; at += 6) {
      const problem = this.#takeSetting(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
      if (problem !== undefined) return this.#fail(problem);
    }
    this.#frame(frameTypes.settings, flags.acknowledged, 0, 0);
    this.#controlSent();
    for (const stream of this.#streams.values()) if (stream.unsentBytes > 0) this.wake(stream);
  }

  /** The error that it is, if it is one. */
  #takeSetting(id: number, value: number): number | undefined {
    switch (id) {
      case settingIds.headerTableSize:
        // A smaller table has to be acknowledged in the next block, even by who uses none.
        this.#announcesNoTable = true;
        return undefined;
      case settingIds.initialWindowSize: {
        if (value > windowMax) return errorCodes.flowControl;
        const change = value - this.#streamSendWindow;
        this.#streamSendWindow = value;
        for (const stream of this.#streams.values()) {
          stream.sendWindow += change;
          if (stream.sendWindow > windowMax) return errorCodes.flowControl;
        }
        return undefined;
      }
      case settingIds.maxFrameSize:
        if (value < frameBytesMax || value >= 2 ** 24) return errorCodes.protocol;
        this.#sentFrameBytesMax = Math.min(value, 4 * frameBytesMax);
        return undefined;
      default:
        return undefined;
    }
  }

  #takePing(id: number, flagged: number, payload: Buffer): void {
    if (id !== 0) return this.#fail(errorCodes.protocol);
    if (payload.length !== 8) return this.#fail(errorCodes.frameSize);
    if (flagged & flags.acknowledged) return;
    this.#frame(frameTypes.ping, flags.acknowledged, 0, 8);
    this.#copy(payload, 0, 8);
    this.#controlSent();
  }

  #takeWindowUpdate(id: number, payload: Buffer): void {
    if (payload.length !== 4) return this.#fail(errorCodes.frameSize);
    const increment = payload.readUInt32BE(0) & windowMax;
    if (id === 0) {
      this.#sendWindow += increment;
      if (increment === 0) return this.#fail(errorCodes.protocol);
      if (this.#sendWindow > windowMax) return this.#fail(errorCodes.flowControl);
      return this.#waiting.length > 0 ? this.#schedule() : undefined;
    }
    if (id > this.#lastStreamId) return this.#fail(errorCodes.protocol);
    const stream = this.#streams.get(id);
    if (!stream) return;
    stream.sendWindow += increment;
    if (increment === 0) return this.reset(stream, errorCodes.protocol);
    if (stream.sendWindow > windowMax) return this.reset(stream, errorCodes.flowControl);
    if (stream.unsentBytes > 0) this.wake(stream);
  }

  #drained(): void {
    this.#blocked = false;
    if (this.#ended) return;
    this.#schedule();
  }

  /** Each gets its share in turn. */
  #pumpWaiting(): void {
    while (!this.#blocked) {
      const turn = this.#waiting;
      this.#waiting = [];
      for (const stream of turn) {
        stream.waits = false;
        if (!stream.destroyed) this.#pump(stream);
      }
      if (this.#waiting.length === 0 || this.#sendWindow <= 0) return;
    }
  }

  /**
   * Our side of the stream is done. A body that is still coming is swallowed for a while: some clients do not look at an
   * answer when their request is cut off.
   */
  #finished(stream: Http2Stream): void {
    if (stream.remoteClosed) return this.#forget(stream);
    this.#heldBytes -= stream.heldBytes;
    stream.close();
    stream.stopSwallowing = this.#options.clock.after(swallowingMsMax, () => this.reset(stream, errorCodes.noError));
  }

  #forget(stream: Http2Stream): void {
    this.#streams.delete(stream.id);
    this.#heldBytes -= stream.heldBytes;
    stream.stopSwallowing?.();
    stream.close();
    if (this.#leaving && this.#streams.size === 0 && !this.#ended) this.#end();
  }

  #sendReset(id: number, code: number): void {
    this.#frame(frameTypes.resetStream, 0, id, 4);
    this.#writeUInt32(code);
    this.#controlSent();
  }

  #sendWindowUpdate(id: number, increment: number): void {
    this.#frame(frameTypes.windowUpdate, 0, id, 4);
    this.#writeUInt32(increment);
  }

  /** Whoever makes us answer without reading the answers is let go. */
  #controlSent(): void {
    if (this.socket.writableLength + this.#outputBytes > unsentControlBytesMax) this.#fail(errorCodes.enhanceYourCalm);
  }

  /** The connection cannot go on. */
  #fail(code: number): void {
    if (this.#ended) return;
    this.#goAway(code);
    this.#end();
  }

  #goAway(code: number): void {
    this.#frame(frameTypes.goAway, 0, 0, 8);
    this.#writeUInt32(this.#lastStreamId);
    this.#writeUInt32(code);
  }

  #end(): void {
    this.#flush();
    this.#ended = true;
    this.socket.end(() => this.socket.destroy());
    this.#close();
  }

  #close(): void {
    this.#ended = true;
    this.#cancelGreeting();
    this.#fresh = [];
    this.#output = undefined;
    this.#outputBytes = 0;
    for (const stream of this.#streams.values()) this.#forget(stream);
  }

  #frame(type: number, flagged: number, id: number, length: number): void {
    const output = this.#room(frameHeadBytes);
    const at = this.#outputBytes;
    output[at] = length >>> 16;
    output[at + 1] = length >>> 8;
    output[at + 2] = length;
    output[at + 3] = type;
    output[at + 4] = flagged;
    output.writeUInt32BE(id, at + 5);
    this.#outputBytes = at + frameHeadBytes;
  }

  #writeUInt32(value: number): void {
    this.#outputBytes = this.#room(4).writeUInt32BE(value, this.#outputBytes);
  }

  #copy(source: Uint8Array, from: number, to: number): void {
    const output = this.#room(to - from);
    output.set(from === 0 && to === source.length ? source : source.subarray(from, to), this.#outputBytes);
    this.#outputBytes += to - from;
  }

  /** The output with room for so many bytes; what is there goes to the socket when there is not. */
  #room(bytes: number): Buffer {
    if (this.#output && this.#outputBytes + bytes <= this.#output.length) return this.#output;
    if (this.#outputBytes > 0) {
      // More than fitted came in one turn: it still goes out together, and the next turn may be as busy.
      this.#outputSize = outputBytesMax;
      if (this.socket.writableCorked === 0) this.socket.cork();
      this.#flush();
    }
    this.#output = takeBuffer(Math.max(this.#outputSize, bytes));
    this.#schedule();
    return this.#output;
  }

  /** Everything of one turn of the event loop goes out in one write. */
  #schedule(): void {
    if (this.#flushes) return;
    this.#flushes = true;
    setImmediate(() => {
      this.#flushes = false;
      if (this.#ended) return;
      this.#pumpWaiting();
      // A connection that has become quiet needs no large buffers.
      if (this.#outputBytes < outputBytesMin && this.socket.writableCorked === 0) this.#outputSize = outputBytesMin;
      this.#flush();
      this.socket.uncork();
    });
  }

  #flush(): void {
    const output = this.#output;
    const bytes = this.#outputBytes;
    this.#output = undefined;
    this.#outputBytes = 0;
    if (!output || bytes === 0 || this.#ended || this.socket.destroyed) return;
    this.socket.write(output.subarray(0, bytes), () => giveBuffer(output));
    if (this.socket.writableLength > unsentBytesMax) this.#blocked = true;
  }
}

/** Buffers that have been written, by their size: a new one for each write would be garbage faster than it is collected. */
const spareBuffers = new Map<number, Buffer[]>();
const spareBuffersMax = 16;

function takeBuffer(bytes: number): Buffer {
  return spareBuffers.get(bytes)?.pop() ?? Buffer.allocUnsafeSlow(bytes);
}

function giveBuffer(buffer: Buffer): void {
  if (buffer.length > outputBytesMax) return;
  const spare = spareBuffers.get(buffer.length);
  if (!spare) spareBuffers.set(buffer.length, [buffer]);
  else if (spare.length < spareBuffersMax) spare.push(buffer);
}

/** A change of the size of the table to nothing, as the first byte of a block. */
const noTable = Buffer.from([0x20]);

/** Undefined when the padding is longer than the frame. */
function unpadded(payload: Buffer, flagged: number): Buffer | undefined {
  if ((flagged & flags.padded) === 0) return payload;
  const padding = payload[0] ?? payload.length;
  return padding >= payload.length ? undefined : payload.subarray(1, payload.length - padding);
}
