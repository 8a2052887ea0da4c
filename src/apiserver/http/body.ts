import type { Readable } from 'node:stream';
import { limits } from '#base/limits.ts';
import { errors } from '#api/machinery/errors.ts';
import type { RequestBody } from '#client/transport.ts';

/**
 * Of a body that is too long this much is read and thrown away: a client that is still writing when the
 * connection closes would never see the answer.
 */
const swallowedBytesMax = 16 * 1024 * 1024;

/** Reads a whole body over HTTP/1.1, or throws ApiError RequestEntityTooLarge when it is too long and has been swallowed. */
export function readBody(stream: Readable, contentType: string, contentLength: number): Promise<RequestBody> {
  const lengthMax = limits.requestBodyBytesMax;
  if (contentLength > swallowedBytesMax) return Promise.reject(tooLarge());
  return new Promise((resolve, reject) => {
    let chunks: Uint8Array[] = [];
    let length = 0;
    let ended = false;
    stream.on('data', (chunk: Uint8Array) => {
      length += chunk.length;
      if (length <= lengthMax) chunks.push(chunk);
      else chunks = [];
      if (length > swallowedBytesMax) reject(tooLarge());
    });
    stream.on('end', () => {
      ended = true;
      if (length > lengthMax) return reject(tooLarge());
      const bytes = chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks);
      resolve({ kind: 'bytes', bytes, contentType });
    });
    stream.on('error', reject);
    stream.on('close', () => {
      if (!ended) reject(errors.badRequest('the connection was closed before the body was complete'));
    });
  });
}

function tooLarge() {
  return errors.tooLarge(`Request entity too large: limit is ${limits.requestBodyBytesMax}`);
}

export const emptyBody: RequestBody = { kind: 'bytes', bytes: new Uint8Array(), contentType: '' };
