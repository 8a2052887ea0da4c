import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocket, type ClientOptions } from 'ws';
import { limits } from '#base/limits.ts';
import type { Connection } from './client.ts';
import { failureOf } from './wire.ts';

/** The part of TLS that a client decides. */
export interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

/** How a WebSocket reaches its server. */
export interface WebSocketOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly tls?: TlsOptions;
  readonly createConnection?: () => Duplex;
  readonly handshakeTimeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens a WebSocket for exec, attach or port-forward. Each chunk of the stream, read or written, is one binary message. A
 * refused upgrade is an `ApiError`.
 */
export function openWebSocket(
  url: string,
  subprotocols: readonly string[],
  options: WebSocketOptions = {},
): Promise<Connection> {
  const { headers, tls, createConnection, handshakeTimeoutMs = limits.requestTimeoutMs, signal } = options;
  if (signal?.aborted) return Promise.reject(signal.reason as Error);
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, [...subprotocols], {
      ...tls,
      ...(headers && { headers: { ...headers } }),
      ...(createConnection && { createConnection: createConnection as unknown as ClientOptions['createConnection'] }),
      handshakeTimeout: handshakeTimeoutMs,
      perMessageDeflate: false,
      maxPayload: limits.webSocketMessageBytesMax,
    });
    const aborted = () => socket.terminate();
    signal?.addEventListener('abort', aborted, { once: true });
    socket.once('close', () => signal?.removeEventListener('abort', aborted));
    socket.once('error', error => reject(signal?.aborted ? (signal.reason as Error) : error));
    socket.once('unexpected-response', (_request, response) => {
      failureIn(response).then(reject, reject);
    });
    // Made at once, so that no early message is lost.
    const stream = createWebSocketStream(socket, { readableObjectMode: true });
    stream.on('error', reject);
    socket.once('open', () => {
      stream.off('error', reject);
      resolve({ subprotocol: socket.protocol, stream });
    });
  });
}

async function failureIn(response: IncomingMessage): Promise<Error> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > limits.requestBodyBytesMax) break;
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    // Not a Status: the text itself is the message.
  }
  return failureOf(body, response.statusCode ?? 500, text);
}
