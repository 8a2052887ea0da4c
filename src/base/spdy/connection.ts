import { Duplex } from 'node:stream';
import { limits } from '../limits.ts';
import { FrameReader, FrameWriter, type Frame, type Headers } from './frames.ts';

export interface SpdyOptions {
  /** Streams that the other side has opened. It sees no answer before this returns. */
  readonly onStream: (stream: SpdyStream) => void;
  /** The side that accepted the connection has even stream numbers. */
  readonly isServer: boolean;
}

/** Data is sent in pieces of this size. */
const chunkBytesMax = 64 * 1024;

/**
 * SPDY/3.1 over a connection that is already there. Flow control is the connection's own: the peers that speak SPDY
 * today (Kubernetes' clients) neither send nor heed window updates, and a window that nobody opens would stop a stream
 * for ever. So a stream that is not read stops the reading of all, as it does with them.
 */
export class SpdyConnection {
  readonly #socket: Duplex;
  readonly #options: SpdyOptions;
  readonly #reader = new FrameReader();
  readonly #writer = new FrameWriter();
  readonly #streams = new Map<number, SpdyStream>();
  readonly #full = new Set<SpdyStream>();
  readonly #closed = Promise.withResolvers<void>();
  #nextId: number;
  #lastPeerId = 0;
  #isClosed = false;

  constructor(socket: Duplex, options: SpdyOptions, head: Uint8Array = new Uint8Array()) {
    this.#socket = socket;
    this.#options = options;
    this.#nextId = options.isServer ? 2 : 1;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', () => this.#end());
    socket.on('close', () => this.#end());
    socket.on('end', () => this.close());
    if (head.length > 0) this.#read(Buffer.from(head));
  }

  /** Resolves when the connection is over. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  open(headers: Headers): SpdyStream {
    const id = this.#nextId;
    this.#nextId += 2;
    const stream = this.#add(id, headers);
    this.#send({ type: 'synStream', streamId: id, headers, fin: false });
    return stream;
  }

  /** What was written is still sent; streams that are open are cut. */
  close(): void {
    if (this.#isClosed) return;
    this.#send({ type: 'goAway', lastStreamId: this.#lastPeerId, status: 0 });
    this.#socket.end();
    this.#end();
  }

  #add(id: number, headers: Headers): SpdyStream {
    const stream = new SpdyStream(headers, {
      write: (data, fin, done) => this.#sendData(id, data, fin, done),
      resume: () => this.#resume(stream),
      reset: status => {
        if (this.#streams.has(id)) this.#send({ type: 'rstStream', streamId: id, status });
      },
    });
    stream.on('close', () => {
      this.#streams.delete(id);
      this.#resume(stream);
    });
    this.#streams.set(id, stream);
    return stream;
  }

  #read(chunk: Buffer): void {
    try {
      for (const frame of this.#reader.decode(chunk)) this.#handle(frame);
    } catch (error) {
      // Not SPDY any more: there is nobody to talk to.
      this.#end();
      this.#socket.destroy(error instanceof Error ? error : undefined);
    }
  }

  #handle(frame: Frame): void {
    switch (frame.type) {
      case 'synStream':
        return this.#accept(frame.streamId, frame.headers, frame.fin);
      case 'data': {
        const stream = this.#streams.get(frame.streamId);
        if (!stream) return this.#send({ type: 'rstStream', streamId: frame.streamId, status: invalidStream });
        if (frame.data.length > 0 && !stream.receive(Buffer.from(frame.data))) {
          this.#full.add(stream);
          this.#socket.pause();
        }
        if (frame.fin) stream.receiveEnd();
        return;
      }
      case 'synReply':
      case 'headers':
        if (frame.fin) this.#streams.get(frame.streamId)?.receiveEnd();
        return;
      case 'rstStream':
        this.#streams.get(frame.streamId)?.wasReset(frame.status);
        return;
      case 'ping':
        // Our own come back with our parity.
        if (frame.id % 2 === (this.#options.isServer ? 1 : 0)) this.#send(frame);
        return;
      case 'goAway':
      case 'settings':
      case 'windowUpdate':
        return;
    }
  }

  #accept(streamId: number, headers: Headers, fin: boolean): void {
    if (streamId <= this.#lastPeerId || this.#streams.size >= limits.spdyStreamsMax)
      return this.#send({ type: 'rstStream', streamId, status: refusedStream });
    this.#lastPeerId = streamId;
    const stream = this.#add(streamId, headers);
    this.#options.onStream(stream);
    this.#send({ type: 'synReply', streamId, headers: new Map(), fin: false });
    if (fin) stream.receiveEnd();
  }

  #resume(stream: SpdyStream): void {
    if (this.#full.delete(stream) && this.#full.size === 0) this.#socket.resume();
  }

  #sendData(streamId: number, content: Buffer, fin: boolean, done: (error?: Error | null) => void): void {
    if (this.#isClosed) return done(new Error('cannot write to a stream: the connection is closed'));
    for (let at = 0; at < content.length; at += chunkBytesMax) {
      const piece = content.subarray(at, at + chunkBytesMax);
      const isLast = at + chunkBytesMax >= content.length;
      this.#socket.write(
        this.#writer.encode({ type: 'data', streamId, data: piece, fin: fin && isLast }),
        isLast ? done : undefined,
      );
    }
    if (content.length === 0)
      this.#socket.write(this.#writer.encode({ type: 'data', streamId, data: content, fin }), done);
  }

  #send(frame: Frame): void {
    if (!this.#isClosed && this.#socket.writable) this.#socket.write(this.#writer.encode(frame));
  }

  #end(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const stream of this.#streams.values()) stream.wasReset(cancelled);
    this.#streams.clear();
    this.#closed.resolve();
  }
}

const invalidStream = 2;
const refusedStream = 3;
const cancelled = 5;

interface StreamSide {
  write(data: Buffer, fin: boolean, done: (error?: Error | null) => void): void;
  resume(): void;
  reset(status: number): void;
}

/** One stream of a connection; either direction ends by itself. */
export class SpdyStream extends Duplex {
  readonly headers: Headers;
  readonly #side: StreamSide;
  #hasEnded = false;

  constructor(headers: Headers, side: StreamSide) {
    super({ allowHalfOpen: true });
    this.headers = headers;
    this.#side = side;
    // A reset is no news to those who only write.
    this.on('error', () => undefined);
  }

  /** False: no more for now. */
  receive(data: Buffer): boolean {
    return this.#hasEnded || this.destroyed || this.push(data);
  }

  receiveEnd(): void {
    if (this.#hasEnded || this.destroyed) return;
    this.#hasEnded = true;
    this.push(null);
  }

  wasReset(_status: number): void {
    this.#hasEnded = true;
    this.destroy();
  }

  override _read(): void {
    this.#side.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#side.write(chunk, false, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#side.write(Buffer.alloc(0), true, done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!(this.writableFinished && this.readableEnded)) this.#side.reset(cancelled);
    done(error);
  }
}
