import type { Readable } from 'node:stream';
import { limits } from '#base/limits.ts';
import { errors } from '#api/machinery/errors.ts';
import type { RequestBody } from '#client/transport.ts';

/** Reads a whole body, or throws ApiError RequestEntityTooLarge as soon as it is too long. */
export function readBody(stream: Readable, contentType: string, contentLength: number): Promise<RequestBody> {
  if (contentLength > limits.requestBodyBytesMax) return Promise.reject(tooLarge());
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let length = 0;
    let ended = false;
    stream.on('data', (chunk: Uint8Array) => {
      length += chunk.length;
      if (length <= limits.requestBodyBytesMax) chunks.push(chunk);
      else {
        chunks.length = 0;
        reject(tooLarge());
      }
    });
    stream.on('end', () => {
      ended = true;
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
