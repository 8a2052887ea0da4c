import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createGzip } from 'node:zlib';
import { limits } from '#base/limits.ts';
import type { WatchSink } from '#client/transport.ts';

/** A body that is longer than this is put together and written piece by piece. */
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

/** Writes many small chunks in pieces at the client's pace; the event loop gets its turns between them. */
export async function writeChunks(stream: Writable, chunks: readonly Uint8Array[], compress: boolean): Promise<void> {
  if (compress) {
    const zip = createGzip({ level: constants.Z_BEST_SPEED });
    await pipeline(Readable.from(pieces(chunks)), zip, stream);
    return;
  }
  for (const piece of pieces(chunks)) {
    if (stream.destroyed) return;
    if (!stream.write(piece)) await drained(stream);
  }
  stream.end();
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

export function drained(stream: Writable): Promise<void> {
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

export async function writeStream(stream: Writable, source: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of source) {
    if (stream.destroyed) return;
    if (!stream.write(chunk)) await drained(stream);
  }
  stream.end();
}

/** A watch's end on a connection: what comes in one turn goes out together, and who does not read is cut off. */
export function watchSink(stream: Writable): WatchSink<Uint8Array> {
  let corked = false;
  const uncork = () => {
    corked = false;
    stream.uncork();
  };
  return {
    push(bytes) {
      if (stream.destroyed || stream.writableEnded) return false;
      if (!corked) {
        corked = true;
        stream.cork();
        setImmediate(uncork);
      }
      stream.write(bytes);
      return stream.writableLength <= limits.watchBufferBytesMax;
    },
    end() {
      if (!stream.writableEnded) stream.end();
    },
    room: () => drained(stream),
  };
}
