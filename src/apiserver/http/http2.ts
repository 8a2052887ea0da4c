import {
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Log } from '#base/log.ts';
import type { ApiRequest, ApiResponse, RequestBody } from '#client/transport.ts';
import { emptyBody, readBody } from './body.ts';
import { peerOf } from './peer.ts';
import { withRepeatedHeaders } from './repeated-headers.ts';
import { splitTarget } from './target.ts';
import { totalLength, wantsGzip, watchSink, writeChunks, writeStream } from './write.ts';
import type { HandleRequest } from './listen.ts';

const { HTTP2_HEADER_CONTENT_LENGTH, HTTP2_HEADER_METHOD, HTTP2_HEADER_PATH, HTTP2_HEADER_STATUS } = constants;

/** HTTP/2 over the core stream API, which costs half of what the compatibility layer does. */
export function http2Server(handle: HandleRequest, log: Log): Http2Server {
  const server = createServer({
    settings: { maxConcurrentStreams: 1_000, initialWindowSize: 1024 * 1024, maxHeaderListSize: 64 * 1024 },
    maxSessionMemory: 256,
    // A client may cancel watches in bursts, but not open and reset streams for ever (rapid reset).
    streamResetBurst: 5_000,
    streamResetRate: 500,
    maxSessionRejectedStreams: 100,
    maxSessionInvalidFrames: 100,
  } as Parameters<typeof createServer>[0] & object);
  server.on('session', session => session.setLocalWindowSize?.(16 * 1024 * 1024));
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _flags, raw: string[]) => {
    stream.on('error', () => {
      // The client has gone; whoever writes finds the stream destroyed.
    });
    serve(stream, headers, raw, handle).catch((error: unknown) => {
      log.error('cannot answer a request', { path: headers[HTTP2_HEADER_PATH], error });
      stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    });
  });
  server.on('sessionError', () => {
    // A broken connection is its client's business.
  });
  return server;
}

async function serve(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  raw: readonly string[],
  handle: HandleRequest,
): Promise<void> {
  const method = headers[HTTP2_HEADER_METHOD] as ApiRequest['method'];
  const peer = peerOf(stream.session?.socket as TLSSocket);
  const request = new Http2Request(stream, headers, method);
  request.headers = withRepeatedHeaders(request.headers, raw, peer);
  const response = await handle(request, peer);
  if (stream.destroyed) return;
  await respond(stream, response, method === 'HEAD', headers['accept-encoding']);
}

async function respond(
  stream: ServerHttp2Stream,
  response: ApiResponse,
  headOnly: boolean,
  acceptEncoding: unknown,
): Promise<void> {
  const headers = response.headers as Record<string, string | string[] | number>;
  headers[HTTP2_HEADER_STATUS] = response.code;
  switch (response.kind) {
    case 'bytes':
    case 'object': {
      const chunks = response.kind === 'bytes' ? response.bytes : response.bytes();
      const length = totalLength(chunks);
      const compress = wantsGzip(acceptEncoding, length);
      if (compress) {
        headers['content-encoding'] = 'gzip';
        headers['vary'] = 'Accept-Encoding';
      } else headers[HTTP2_HEADER_CONTENT_LENGTH] = length;
      if (headOnly || length === 0) {
        stream.respond(headers, { endStream: true });
        return;
      }
      stream.respond(headers);
      if (chunks.length === 1 && !compress) stream.end(chunks[0]);
      else await writeChunks(stream, chunks, compress);
      return;
    }
    case 'watch':
      stream.respond(headers);
      response.watch.toBytes(watchSink(stream));
      return;
    case 'stream':
      stream.respond(headers);
      await writeStream(stream, response.stream);
      return;
    case 'upgrade':
      stream.respond({ [HTTP2_HEADER_STATUS]: 400 }, { endStream: true });
  }
}

class Http2Request implements ApiRequest {
  readonly method: ApiRequest['method'];
  readonly path: string;
  readonly query: URLSearchParams;
  headers: ApiRequest['headers'];
  readonly #stream: ServerHttp2Stream;
  #body: Promise<RequestBody> | undefined;
  #abort: AbortController | undefined;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, method: ApiRequest['method']) {
    this.#stream = stream;
    this.method = method;
    this.headers = headers as ApiRequest['headers'];
    const { path, query } = splitTarget(headers[HTTP2_HEADER_PATH] as string);
    this.path = path;
    this.query = query;
    // Reading begins at once: data that arrives before somebody listens would hold the stream's window.
    if (!stream.endAfterHeaders)
      this.#body = readBody(stream, headers['content-type'] ?? '', Number(headers['content-length'] ?? 0), false);
    this.#body?.catch(() => {
      // Whoever asks for the body gets the error.
    });
  }

  body(): Promise<RequestBody> {
    if (this.#body) return this.#body;
    return Promise.resolve(emptyBody);
  }

  /** Made when somebody asks: most requests are answered before anybody would. */
  get signal(): AbortSignal {
    if (!this.#abort) {
      const abort = new AbortController();
      this.#abort = abort;
      if (this.#stream.destroyed) abort.abort(new Error('the client went away'));
      else this.#stream.once('close', () => abort.abort(new Error('the client went away')));
    }
    return this.#abort.signal;
  }
}
