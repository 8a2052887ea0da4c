import { Readable, type Writable } from 'node:stream';
import { constants, createGzip } from 'node:zlib';
import { limits } from '#base/limits.ts';
import type { WatchSink } from '#client/transport.ts';

/** Where the body of an answer goes. */
export interface BodySink {
  /** Nobody reads any more. */
  readonly destroyed: boolean;
  readonly ended: boolean;
  /** What was written and has not left yet. */
  readonly unsentBytes: number;
  /** False: there is enough unsent; wait for `drained`. */
  write(bytes: Uint8Array): boolean;
  end(bytes?: Uint8Array): void;
  /** Resolves when there is room again, or nobody reads any more. */
  drained(): Promise<void>;
  /** What is written in this turn of the event loop goes out together. */
  batch(): void;
}

/** A body that is compressed is handed over in pieces of this length. */
const pieceBytes = 128 * 1024;

export function totalLength(chunks: readonly Uint8Array[]): number {
  let length = 0;
  for (const chunk of chunks) length += chunk.length;
  return length;
}

/** Gzip is worth it, and the client takes it. */
export function wantsGzip(acceptEncoding: unknown, length: number): boolean {
  return length > limits.gzipBytesMin && typeof acceptEncoding === 'string' && /(^|[,\s])gzip\b/.test(acceptEncoding);
}

/** Writes many small chunks at the client's pace; the event loop gets its turns between them. */
export async function writeChunks(sink: BodySink, chunks: readonly Uint8Array[], compress: boolean): Promise<void> {
  if (compress) {
    const zip = createGzip({ level: constants.Z_BEST_SPEED });
    Readable.from(pieces(chunks)).pipe(zip);
    return writeStream(sink, zip);
  }
  sink.batch();
  for (const chunk of chunks) {
    if (sink.destroyed) return;
    if (sink.write(chunk)) continue;
    await sink.drained();
    sink.batch();
  }
  sink.end();
}

function* pieces(chunks: readonly Uint8Array[]): Generator<Uint8Array> {
  let start = 0;
  while (start < chunks.length) {
    let end = start;
    let length = 0;
    while (end < chunks.length && (end === start || length + (chunks[end] as Uint8Array).length <= pieceBytes))
      length += (chunks[end++] as Uint8Array).length;
    yield end === start + 1 ? (chunks[start] as Uint8Array) : Buffer.concat(chunks.slice(start, end), length);
    start = end;
  }
}

export async function writeStream(sink: BodySink, source: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of source) {
    if (sink.destroyed) return;
    if (!sink.write(chunk)) await sink.drained();
  }
  sink.end();
}

/** A watch's end on a connection: what comes in one turn goes out together, and who does not read is cut off. */
export function watchSink(sink: BodySink): WatchSink<Uint8Array> {
  return {
    push(bytes) {
      if (sink.destroyed || sink.ended) return false;
      sink.batch();
      sink.write(bytes);
      return sink.unsentBytes <= limits.watchBufferBytesMax;
    },
    end() {
      if (!sink.ended) sink.end();
    },
    room: () => sink.drained(),
  };
}

/** A stream of Node's as the place where a body goes. */
export function writableSink(stream: Writable): BodySink {
  let corked = false;
  const uncork = () => {
    corked = false;
    stream.uncork();
  };
  return {
    get destroyed() {
      return stream.destroyed;
    },
    get ended() {
      return stream.writableEnded;
    },
    get unsentBytes() {
      return stream.writableLength;
    },
    write: bytes => stream.write(bytes),
    end: bytes => void stream.end(bytes),
    drained: () => drained(stream),
    batch() {
      if (corked) return;
      corked = true;
      stream.cork();
      setImmediate(uncork);
    },
  };
}

function drained(stream: Writable): Promise<void> {
  if (!stream.writableNeedDrain || stream.destroyed) return Promise.resolve();
  return new Promise(resolve => {
    const done = () => {
      stream.off('drain', done);
      stream.off('close', done);
      resolve();
    };
    stream.on('drain', done);
    stream.on('close', done);
  });
}
