import { Duplex } from 'node:stream';
import { limits } from '../limits.ts';
import { HeaderReader, HeaderWriter, type SpdyHeaders } from './headers.ts';

const controlBit = 0x8000;
const version = 3;
const frameType = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
};
const flagFin = 0x01;
const headerLength = 8;
const statusCancel = 5;
const dataFrameBytesMax = 32 * 1024;

export interface SpdySessionOptions {
  /** The side that accepted the connection. Its streams have even numbers. */
  readonly server: boolean;
  /** A stream that the other side has opened. It is accepted already. */
  onStream?(stream: SpdyStream): void;
  /** The connection has ended, with an error or without. */
  onClose?(error?: Error): void;
}

/**
 * SPDY/3.1 over any connection, as Kubernetes' clients speak it: streams both ways, no priorities, and no flow control
 * but that of the connection (spdystream neither sends nor heeds window updates).
 */
export class SpdySession {
  readonly #connection: Duplex;
  readonly #options: SpdySessionOptions;
  readonly #streams = new Map<number, SpdyStream>();
  readonly #reader = new HeaderReader();
  readonly #writer = new HeaderWriter();
  #nextId: number;
  #received: Buffer = Buffer.alloc(0);
  #closed = false;

  constructor(connection: Duplex, options: SpdySessionOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#nextId = options.server ? 2 : 1;
    void this.#receive().then(
      () => this.#end(),
      (error: unknown) => this.#end(error instanceof Error ? error : new Error(String(error))),
    );
  }

  /** Opens a stream with these headers. */
  open(headers: SpdyHeaders): SpdyStream {
    const id = this.#nextId;
    this.#nextId += 2;
    const stream = this.#register(id, headers);
    const ids = Buffer.alloc(10);
    ids.writeUInt32BE(id, 0);
    this.#control(frameType.synStream, 0, [ids, this.#writer.write(headers)]);
    return stream;
  }

  /** Says good-bye and ends the connection once everything is written. */
  close(): void {
    if (this.#closed) return;
    this.#control(frameType.goAway, 0, [Buffer.alloc(8)]);
    this.#connection.end();
  }

  /** For streams: sends data; the callback comes when the connection wants more. */
  send(id: number, data: Uint8Array, fin: boolean, written: (error?: Error | null) => void): void {
    if (this.#closed) return written(new Error('cannot write to a SPDY stream: its session has ended'));
    const head = Buffer.alloc(headerLength);
    head.writeUInt32BE(id, 0);
    head.writeUInt32BE(data.length, 4);
    head.writeUInt8(fin ? flagFin : 0, 4);
    this.#connection.write(data.length > 0 ? Buffer.concat([head, data]) : head, written);
  }

  /** For streams: the other side need not send any more. */
  reset(id: number): void {
    this.#streams.delete(id);
    if (this.#closed) return;
    const body = Buffer.alloc(8);
    body.writeUInt32BE(id, 0);
    body.writeUInt32BE(statusCancel, 4);
    this.#control(frameType.rstStream, 0, [body]);
  }

  /** For streams: both directions are done. */
  forget(id: number): void {
    this.#streams.delete(id);
  }

  async #receive(): Promise<void> {
    for await (const chunk of this.#connection as AsyncIterable<Buffer>) {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      await this.#frames();
    }
  }

  async #frames(): Promise<void> {
    while (this.#received.length >= headerLength) {
      const length = this.#received.readUIntBE(5, 3);
      if (length > limits.spdyFrameBytesMax)
        throw new Error(`cannot read a SPDY frame of ${length} bytes: it is too long`);
      if (this.#received.length < headerLength + length) return;
      const head = this.#received.subarray(0, headerLength);
      const body = this.#received.subarray(headerLength, headerLength + length);
      this.#received = this.#received.subarray(headerLength + length);
      const first = head.readUInt16BE(0);
      const flags = head.readUInt8(4);
      if ((first & controlBit) === 0) await this.#data(head.readUInt32BE(0), flags, body);
      else if ((first & 0x7fff) !== version) throw new Error(`cannot speak SPDY version ${first & 0x7fff}`);
      else await this.#controlFrame(head.readUInt16BE(2), flags, body);
    }
  }

  async #data(id: number, flags: number, body: Buffer): Promise<void> {
    const stream = this.#streams.get(id);
    // A stream that was reset meanwhile.
    if (!stream) return;
    await stream.accept(body, (flags & flagFin) !== 0);
  }

  async #controlFrame(type: number, flags: number, body: Buffer): Promise<void> {
    switch (type) {
      case frameType.synStream: {
        const id = body.readUInt32BE(0);
        const headers = await this.#reader.read(body.subarray(10));
        if (this.#streams.size >= limits.spdyStreamsMax) return this.reset(id);
        const stream = this.#register(id, headers);
        const reply = Buffer.alloc(4);
        reply.writeUInt32BE(id);
        this.#control(frameType.synReply, 0, [reply, this.#writer.write({})]);
        if ((flags & flagFin) !== 0) await stream.accept(Buffer.alloc(0), true);
        this.#options.onStream?.(stream);
        return;
      }
      case frameType.synReply:
      case frameType.headers:
        // Read to keep the compression context in step; nothing here depends on them.
        await this.#reader.read(body.subarray(4));
        return;
      case frameType.rstStream: {
        const id = body.readUInt32BE(0);
        const stream = this.#streams.get(id);
        this.#streams.delete(id);
        stream?.destroy();
        return;
      }
      case frameType.ping:
        // Answered only when the other side began: its numbers are odd for a client.
        if ((body.readUInt32BE(0) % 2 === 1) === this.#options.server) this.#control(frameType.ping, 0, [body]);
        return;
      case frameType.goAway:
      case frameType.settings:
      case frameType.windowUpdate:
        return;
      default:
        // Unknown frames are to be ignored (section 2.2.1).
        return;
    }
  }

  #register(id: number, headers: SpdyHeaders): SpdyStream {
    const stream = new SpdyStream(this, id, headers);
    this.#streams.set(id, stream);
    return stream;
  }

  #control(type: number, flags: number, parts: readonly Buffer[]): void {
    if (this.#closed || this.#connection.writableEnded) return;
    const body = Buffer.concat(parts);
    const head = Buffer.alloc(headerLength);
    head.writeUInt16BE(controlBit | version, 0);
    head.writeUInt16BE(type, 2);
    head.writeUInt32BE(body.length, 4);
    head.writeUInt8(flags, 4);
    this.#connection.write(Buffer.concat([head, body]));
  }

  #end(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reader.close();
    for (const stream of this.#streams.values()) stream.destroy();
    this.#streams.clear();
    this.#connection.destroy();
    this.#options.onClose?.(error);
  }
}

/** One stream of a session. Ending the writable side half-closes it; destroying it resets it. */
export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: SpdyHeaders;
  readonly #session: SpdySession;
  #drained: (() => void) | undefined;
  #finReceived = false;

  constructor(session: SpdySession, id: number, headers: SpdyHeaders) {
    super({ allowHalfOpen: true, emitClose: true });
    this.#session = session;
    this.id = id;
    this.headers = headers;
    // A stream that the other side has reset is no error by itself; who reads or writes it hears of it there.
    this.on('error', () => {});
  }

  /** For the session: what has come. Resolves when the reader wants more, which holds the whole connection back. */
  async accept(data: Buffer, fin: boolean): Promise<void> {
    if (this.destroyed) return;
    const wantsMore = data.length === 0 || this.push(data);
    if (fin) {
      this.#finReceived = true;
      this.push(null);
      this.#forgetWhenDone();
      return;
    }
    if (wantsMore) return;
    await new Promise<void>(resolve => {
      this.#drained = resolve;
    });
  }

  override _read(): void {
    this.#drained?.();
    this.#drained = undefined;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (chunk.length <= dataFrameBytesMax) return this.#session.send(this.id, chunk, false, done);
    this.#session.send(this.id, chunk.subarray(0, dataFrameBytesMax), false, error =>
      error ? done(error) : this._write(chunk.subarray(dataFrameBytesMax), _encoding, done),
    );
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#session.send(this.id, Buffer.alloc(0), true, error => {
      this.#forgetWhenDone();
      done(error);
    });
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#drained?.();
    this.#drained = undefined;
    if (!this.#finReceived || !this.writableFinished) this.#session.reset(this.id);
    done(error);
  }

  #forgetWhenDone(): void {
    if (this.#finReceived && this.writableEnded) this.#session.forget(this.id);
  }
}
