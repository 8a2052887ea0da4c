import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Log } from '#base/log.ts';
import type { ApiRequest, ApiResponse, RequestBody } from '#client/transport.ts';
import { emptyBody, readBody } from './body.ts';
import type { HandleRequest } from './listen.ts';
import { peerOf, type Peer } from './peer.ts';
import { withRepeatedHeaders } from './repeated-headers.ts';
import { splitTarget } from './target.ts';
import { totalLength, wantsGzip, watchSink, writableSink, writeChunks, writeStream } from './write.ts';

/** HTTP/1.1, and with it everything that takes a connection over: exec, attach, port-forward. */
export function http1Server(handle: HandleRequest, log: Log): Server {
  const server = createServer({
    maxHeaderSize: 64 * 1024,
    // Whoever takes longer for head or body is not worth a connection (slowloris).
    headersTimeout: 30_000,
    requestTimeout: 120_000,
    keepAliveTimeout: 180_000,
    // Only these take over a connection; `Upgrade: h2c` and the like are answered as plain requests.
    shouldUpgradeCallback: (request: IncomingMessage) =>
      /^(websocket|spdy\/3\.1)$/i.test(String(request.headers.upgrade ?? '')),
  } as Parameters<typeof createServer>[0] & object);
  server.on('request', (message, answer) => {
    serve(message, answer, handle).catch((error: unknown) => {
      log.error('cannot answer a request', { path: message.url, error });
      answer.destroy();
    });
  });
  server.on('upgrade', (message, socket, head) => {
    socket.on('error', () => socket.destroy());
    upgrade(message, socket, head, handle).catch((error: unknown) => {
      log.error('cannot take over a connection', { path: message.url, error });
      socket.destroy();
    });
  });
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n');
  });
  return server;
}

async function serve(message: IncomingMessage, answer: ServerResponse, handle: HandleRequest): Promise<void> {
  const peer = peerOf(message.socket as TLSSocket);
  const response = await handle(new Http1Request(message, answer, peer), peer);
  if (answer.destroyed) return;
  const headers = response.headers as Record<string, string | string[] | number>;
  const headOnly = message.method === 'HEAD';
  switch (response.kind) {
    case 'bytes':
    case 'object': {
      const chunks = response.kind === 'bytes' ? response.bytes : response.bytes();
      const length = totalLength(chunks);
      const compress = wantsGzip(message.headers['accept-encoding'], length);
      if (compress) {
        headers['content-encoding'] = 'gzip';
        headers['vary'] = 'Accept-Encoding';
      } else headers['content-length'] = length;
      // A body that nobody read would be taken for the next request.
      if (!message.complete && response.code >= 400) headers['connection'] = 'close';
      answer.writeHead(response.code, headers);
      if (headOnly || length === 0) answer.end();
      else if (chunks.length === 1 && !compress) answer.end(chunks[0]);
      else await writeChunks(writableSink(answer), chunks, compress);
      return;
    }
    case 'watch':
      answer.writeHead(response.code, headers);
      answer.flushHeaders();
      response.watch.toBytes(watchSink(writableSink(answer)));
      return;
    case 'stream':
      answer.writeHead(response.code, headers);
      answer.flushHeaders();
      await writeStream(writableSink(answer), response.stream);
      return;
    case 'upgrade':
      answer.writeHead(400, { 'content-type': 'text/plain' }).end('Upgrade request required');
  }
}

async function upgrade(message: IncomingMessage, socket: Duplex, head: Buffer, handle: HandleRequest): Promise<void> {
  const peer = peerOf(socket as TLSSocket);
  const response = await handle(new Http1Request(message, socket, peer), peer);
  if (response.kind === 'upgrade') {
    await response.take(socket, head);
    return;
  }
  if (response.kind === 'watch' || response.kind === 'stream') {
    const { isForWebSocket, sendOverWebSocket } = await import('./web-socket.ts');
    if (isForWebSocket(message, response)) return sendOverWebSocket(message, socket, head, response);
  }
  await refuse(socket, response);
}

/** An upgrade that is answered like any other request ends the connection. */
async function refuse(socket: Duplex, response: ApiResponse): Promise<void> {
  const chunks = response.kind === 'bytes' ? response.bytes : response.kind === 'object' ? response.bytes() : undefined;
  const headers: Record<string, string | readonly string[]> = { ...response.headers, connection: 'close' };
  if (chunks) headers['content-length'] = String(totalLength(chunks));
  const lines = Object.entries(headers).flatMap(([name, value]) => [value].flat().map(each => `${name}: ${each}`));
  socket.write(`HTTP/1.1 ${response.code} ${STATUS_CODES[response.code] ?? ''}\r\n${lines.join('\r\n')}\r\n\r\n`);
  if (chunks) await writeChunks(writableSink(socket), chunks, false);
  else if (response.kind === 'stream') await writeStream(writableSink(socket), response.stream);
  else if (response.kind === 'watch') response.watch.toBytes(watchSink(writableSink(socket)));
}

class Http1Request implements ApiRequest {
  readonly method: ApiRequest['method'];
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: ApiRequest['headers'];
  readonly #message: IncomingMessage;
  readonly #connection: ServerResponse | Duplex;
  #body: Promise<RequestBody> | undefined;
  #abort: AbortController | undefined;

  constructor(message: IncomingMessage, connection: ServerResponse | Duplex, peer: Peer) {
    this.#message = message;
    this.#connection = connection;
    this.method = (message.method ?? 'GET') as ApiRequest['method'];
    this.headers = withRepeatedHeaders(message.headers, message.rawHeaders, peer);
    const { path, query } = splitTarget(message.url ?? '/');
    this.path = path;
    this.query = query;
  }

  body(): Promise<RequestBody> {
    this.#body ??= this.#read();
    return this.#body;
  }

  get signal(): AbortSignal {
    if (!this.#abort) {
      const abort = new AbortController();
      this.#abort = abort;
      if (this.#connection.destroyed) abort.abort(new Error('the client went away'));
      else this.#connection.once('close', () => abort.abort(new Error('the client went away')));
    }
    return this.#abort.signal;
  }

  #read(): Promise<RequestBody> {
    const { headers } = this.#message;
    const none = headers['content-length'] === undefined && headers['transfer-encoding'] === undefined;
    if (none || headers['content-length'] === '0') return Promise.resolve(emptyBody);
    return readBody(this.#message, headers['content-type'] ?? '', Number(headers['content-length'] ?? 0));
  }
}
