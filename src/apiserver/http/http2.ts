import type { TLSSocket } from 'node:tls';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { ApiRequest, ApiResponse, RequestBody } from '#client/transport.ts';
import { errorCodes, Http2Connection } from './http2-connection.ts';
import type { Http2Stream } from './http2-stream.ts';
import type { HandleRequest } from './listen.ts';
import { peerOf } from './peer.ts';
import { withRepeatedHeaders } from './repeated-headers.ts';
import { splitTarget } from './target.ts';
import { totalLength, wantsGzip, watchSink, writeChunks, writeStream } from './write.ts';

/**
 * Answers the requests of a connection on which HTTP/2 was agreed. `leaves` may say at a request that the client should open
 * another connection: behind a load balancer that leads to another server.
 */
export function serveHttp2(
  socket: TLSSocket,
  handle: HandleRequest,
  log: Log,
  clock: Clock,
  leaves: () => boolean = () => false,
): void {
  const date = dateOf(clock);
  // oxlint-disable-next-line no-new -- the connection lives as long as its socket, which holds it.
  new Http2Connection(socket, {
    clock,
    onStream(stream) {
      if (leaves()) stream.connection.leave();
      serve(stream, socket, handle, date).catch((error: unknown) => {
        log.error('cannot answer a request', { path: stream.headers[':path'], error });
        stream.connection.reset(stream, errorCodes.internal);
      });
    },
  });
}

async function serve(stream: Http2Stream, socket: TLSSocket, handle: HandleRequest, date: () => string): Promise<void> {
  const peer = peerOf(socket);
  const request = new Http2Request(stream, withRepeatedHeaders(stream.headers, stream.rawHeaders, peer));
  const response = await handle(request, peer);
  if (stream.destroyed) return;
  await respond(stream, response, request.method === 'HEAD', date());
}

async function respond(stream: Http2Stream, response: ApiResponse, headOnly: boolean, date: string): Promise<void> {
  const headers = response.headers as Record<string, string | readonly string[] | number>;
  headers['date'] = date;
  // HTTP/2 says it in another way.
  if (headers['connection'] !== undefined) {
    delete headers['connection'];
    stream.connection.leave();
  }
  switch (response.kind) {
    case 'bytes':
    case 'object': {
      const chunks = response.kind === 'bytes' ? response.bytes : response.bytes();
      const length = totalLength(chunks);
      const compress = wantsGzip(stream.headers['accept-encoding'], length);
      if (compress) {
        headers['content-encoding'] = 'gzip';
        headers['vary'] = 'Accept-Encoding';
      } else headers['content-length'] = length;
      if (headOnly || length === 0) return stream.respond(response.code, headers, true);
      stream.respond(response.code, headers);
      if (chunks.length === 1 && !compress) return stream.end(chunks[0]);
      return writeChunks(stream, chunks, compress);
    }
    case 'watch':
      stream.respond(response.code, headers);
      return response.watch.toBytes(watchSink(stream));
    case 'stream':
      stream.respond(response.code, headers);
      return writeStream(stream, response.stream);
    case 'upgrade':
      return stream.respond(400, { date }, true);
  }
}

class Http2Request implements ApiRequest {
  readonly method: ApiRequest['method'];
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: ApiRequest['headers'];
  readonly #stream: Http2Stream;
  #abort: AbortController | undefined;

  constructor(stream: Http2Stream, headers: ApiRequest['headers']) {
    this.#stream = stream;
    this.headers = headers;
    this.method = headers[':method'] as ApiRequest['method'];
    const { path, query } = splitTarget(headers[':path'] as string);
    this.path = path;
    this.query = query;
  }

  body(): Promise<RequestBody> {
    return this.#stream.body();
  }

  /** Made when somebody asks: most requests are answered before anybody would. */
  get signal(): AbortSignal {
    if (!this.#abort) {
      const abort = new AbortController();
      this.#abort = abort;
      this.#stream.onClose(() => abort.abort(new Error('the client went away')));
    }
    return this.#abort.signal;
  }
}

/** The header of that name, made once a second. */
function dateOf(clock: Clock): () => string {
  let second = 0;
  let text = '';
  return () => {
    const now = Math.floor(clock.now() / 1000);
    if (now !== second) {
      second = now;
      text = new Date(now * 1000).toUTCString();
    }
    return text;
  };
}
