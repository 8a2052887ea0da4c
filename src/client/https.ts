import { readFile } from 'node:fs/promises';
import http2 from 'node:http2';
import { StringDecoder } from 'node:string_decoder';
import { exponentialBackoff } from '#base/backoff.ts';
import { systemClock, type Clock } from '#base/clock.ts';
import { limits } from '#base/limits.ts';
import type { ApiError } from '#api/machinery/errors.ts';
import type { Client } from './client.ts';
import { openWebSocket, type TlsOptions } from './web-socket.ts';
import { clientOver, failureOf, type WireEvent, type WireRequest } from './wire.ts';

export interface HttpsClientOptions {
  /** `https://10.0.0.1:6443` */
  readonly server: string;
  readonly caPem?: string;
  readonly certPem?: string;
  readonly keyPem?: string;
  readonly token?: string;
  /** Read again every minute, because bound tokens are rotated. */
  readonly tokenFile?: string;
  readonly tlsServerName?: string;
  readonly insecureSkipTlsVerify?: boolean;
  readonly userAgent?: string;
  readonly clock?: Clock;
  /** For a request that is not a watch. */
  readonly requestTimeoutMs?: number;
}

export interface HttpsClient extends Client, AsyncDisposable {
  /** New connections use this certificate; the present one is left after its requests. */
  useCertificate(certPem: string, keyPem: string): void;
}

/** Upstream's clients notice a dead connection after 30 s of silence and 15 s without an answer to a ping. */
const pingAfterMs = 30_000;
const pingTimeoutMs = 15_000;
const connectTimeoutMs = 30_000;
const tokenReadEveryMs = 60_000;
/** How often a request is sent again when the server says `Retry-After`. */
const retriesMax = 10;
/** Big lists and many watches share one connection; the default window of 64 KB would make them wait for each other. */
const streamWindowBytes = 4 * 1024 * 1024;
const connectionWindowBytes = 64 * 1024 * 1024;

/** A client over HTTP/2 and TLS that connects when it is first used and again whenever the connection was lost. */
export function httpsClient(options: HttpsClientOptions): HttpsClient {
  const { server, clock = systemClock, requestTimeoutMs = limits.requestTimeoutMs, userAgent = 'windlass' } = options;
  const base = new URL(server);
  const prefix = base.pathname.replace(/\/$/, '');
  const connection = new Http2Connection(base, tlsOptionsOf(options), clock);
  const authorization = authorizationOf(options, clock);

  const open = async (request: WireRequest, signal: AbortSignal) => {
    const bearer = await authorization();
    const query = request.query.toString();
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    return connection.request(
      {
        ':method': request.method,
        ':path': `${prefix}${request.path}${query === '' ? '' : `?${query}`}`,
        accept: request.accept ?? 'application/json',
        'user-agent': userAgent,
        ...(bearer !== undefined && { authorization: bearer }),
        ...(body && { 'content-type': request.contentType ?? 'application/json', 'content-length': body.length }),
      },
      body,
      signal,
    );
  };

  const answer = async (request: WireRequest): Promise<{ code: number; text: string }> => {
    for (let attempt = 0; ; attempt++) {
      using deadline = deadlineOf(clock, requestTimeoutMs, request.signal);
      const response = await open(request, deadline.signal);
      const text = await response.text();
      const retryAfterMs = retryAfterOf(response.code, response.headers['retry-after']);
      if (retryAfterMs === undefined || attempt >= retriesMax) return { code: response.code, text };
      await clock.sleep(retryAfterMs, request.signal);
    }
  };

  const client = clientOver({
    async send(request) {
      const { code, text } = await answer(request);
      const body = parsed(text);
      if (code >= 400) throw failureOf(body, code, text);
      return completed(body);
    },
    async *watch(request) {
      const stop = new AbortController();
      const signal = request.signal ? AbortSignal.any([request.signal, stop.signal]) : stop.signal;
      try {
        // Headers come at once, so a server that does not answer is noticed by the deadline.
        const cancel = clock.after(requestTimeoutMs, () => stop.abort(timeoutError(request.path)));
        const response = await open(request, signal).finally(cancel);
        if (response.code >= 400) {
          const text = await response.text();
          throw failureOf(parsed(text), response.code, text);
        }
        for await (const line of response.lines(limits.watchLineBytesMax)) {
          if (line !== '') yield JSON.parse(line) as WireEvent;
        }
      } finally {
        stop.abort(new Error('the watch was left'));
      }
    },
    async text(request) {
      const { code, text } = await answer(request);
      if (code >= 400) throw failureOf(parsed(text), code, text);
      return text;
    },
    async connect(path, subprotocols, signal) {
      const bearer = await authorization();
      return openWebSocket(`${base.protocol === 'http:' ? 'ws' : 'wss'}://${base.host}${prefix}${path}`, subprotocols, {
        headers: { 'user-agent': userAgent, ...(bearer !== undefined && { authorization: bearer }) },
        tls: connection.tls,
        signal,
      });
    },
  });
  return {
    ...client,
    useCertificate: (certPem, keyPem) => connection.useCertificate(certPem, keyPem),
    [Symbol.asyncDispose]: () => connection.close(),
  };
}

function tlsOptionsOf(options: HttpsClientOptions): TlsOptions {
  const { caPem, certPem, keyPem, tlsServerName, insecureSkipTlsVerify } = options;
  return {
    ...(caPem !== undefined && { ca: caPem }),
    ...(certPem !== undefined && { cert: certPem }),
    ...(keyPem !== undefined && { key: keyPem }),
    ...(tlsServerName !== undefined && { servername: tlsServerName }),
    ...(insecureSkipTlsVerify && { rejectUnauthorized: false }),
  };
}

/** The value of the Authorization header, if there is one. */
function authorizationOf(options: HttpsClientOptions, clock: Clock): () => Promise<string | undefined> {
  const { token, tokenFile } = options;
  if (tokenFile === undefined) return async () => (token === undefined ? undefined : `Bearer ${token}`);
  let read: { readonly atMs: number; readonly value: string } | undefined;
  return async () => {
    if (!read || clock.monotonic() - read.atMs > tokenReadEveryMs)
      read = { atMs: clock.monotonic(), value: `Bearer ${(await readFile(tokenFile, 'utf8')).trim()}` };
    return read.value;
  };
}

interface Response {
  readonly code: number;
  readonly headers: http2.IncomingHttpHeaders;
  text(): Promise<string>;
  lines(bytesMax: number): AsyncGenerator<string, void, undefined>;
}

class Http2Connection {
  tls: TlsOptions;
  readonly #base: URL;
  readonly #clock: Clock;
  readonly #backoff = exponentialBackoff({ initialMs: 50, maxMs: 5_000 });
  #session: Promise<http2.ClientHttp2Session> | undefined;
  #closed = false;

  constructor(base: URL, tls: TlsOptions, clock: Clock) {
    this.#base = base;
    this.tls = tls;
    this.#clock = clock;
  }

  useCertificate(certPem: string, keyPem: string): void {
    this.tls = { ...this.tls, cert: certPem, key: keyPem };
    const session = this.#session;
    this.#session = undefined;
    session?.then(
      open => open.close(),
      () => undefined,
    );
  }

  /** Sends a request; one that certainly did not reach the server (its connection was closing) is sent on a new one. */
  async request(
    headers: http2.OutgoingHttpHeaders,
    body: Uint8Array | undefined,
    signal: AbortSignal,
  ): Promise<Response> {
    for (let attempt = 0; ; attempt++) {
      signal.throwIfAborted();
      const session = await this.#connected(signal);
      try {
        const response = await this.#send(session, headers, body, signal);
        this.#backoff.reset();
        return response;
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        if (!neverArrived(error) || attempt >= 3) throw this.#unreachable(error);
        if (session.closed || session.destroyed) this.#session = undefined;
        await this.#clock.sleep(this.#backoff.next(), signal);
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const session = await this.#session?.catch(() => undefined);
    session?.destroy();
  }

  #connected(signal: AbortSignal): Promise<http2.ClientHttp2Session> {
    if (this.#closed) throw new Error(`cannot reach ${this.#base.host}: the client is closed`);
    this.#session ??= this.#connect();
    return abortable(this.#session, signal);
  }

  #connect(): Promise<http2.ClientHttp2Session> {
    const attempt = new Promise<http2.ClientHttp2Session>((resolve, reject) => {
      const session = http2.connect(this.#base.origin, {
        ...this.tls,
        settings: { initialWindowSize: streamWindowBytes, enablePush: false },
      });
      const lost = () => {
        if (this.#session === attempt) this.#session = undefined;
      };
      const cancel = this.#clock.after(connectTimeoutMs, () => session.destroy(new Error('connection timed out')));
      let failure: unknown;
      session.on('error', error => {
        failure = error;
      });
      session.on('goaway', lost);
      session.on('close', () => {
        cancel();
        lost();
        reject(this.#unreachable(failure));
      });
      session.once('connect', () => {
        cancel();
        session.setLocalWindowSize(connectionWindowBytes);
        this.#watchOver(session);
        if (this.#closed) session.destroy();
        resolve(session);
      });
    });
    // Whoever waits sees the failure; a connection that nobody waits for any more may fail quietly.
    attempt.catch(() => undefined);
    return attempt;
  }

  /** Pings a connection that something waits on, and cuts it when it is dead. */
  #watchOver(session: http2.ClientHttp2Session): void {
    let cancel: () => void = () => undefined;
    const later = () => {
      cancel = this.#clock.after(pingAfterMs, () => {
        if (session.destroyed) return;
        const cut = this.#clock.after(pingTimeoutMs, () => session.destroy(new Error('no answer to a ping')));
        cancel = cut;
        session.ping(error => {
          cut();
          if (!error) later();
        });
      });
    };
    later();
    session.once('close', () => cancel());
  }

  #send(
    session: http2.ClientHttp2Session,
    headers: http2.OutgoingHttpHeaders,
    body: Uint8Array | undefined,
    signal: AbortSignal,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const stream = session.request(headers, { endStream: body === undefined });
      let failure: unknown;
      const aborted = () => stream.close(http2.constants.NGHTTP2_CANCEL);
      signal.addEventListener('abort', aborted, { once: true });
      stream.on('error', error => {
        failure = error;
      });
      stream.once('close', () => {
        signal.removeEventListener('abort', aborted);
        reject(failure ?? Object.assign(new Error('the stream was closed'), { rstCode: stream.rstCode }));
      });
      stream.once('response', received => resolve(responseOf(stream, received, signal)));
      if (body) stream.end(body);
    });
  }

  #unreachable(cause: unknown): Error {
    const why = cause instanceof Error ? cause.message : 'the connection was closed';
    return new Error(`cannot reach ${this.#base.host}: ${why}`, { cause });
  }
}

function responseOf(
  stream: http2.ClientHttp2Stream,
  headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader,
  signal: AbortSignal,
): Response {
  const chunks = async function* (): AsyncGenerator<Buffer, void, undefined> {
    try {
      yield* stream as AsyncIterable<Buffer>;
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    }
    // A cancelled stream ends like a finished one.
    signal.throwIfAborted();
    if (stream.rstCode !== http2.constants.NGHTTP2_NO_ERROR)
      throw new Error(`cannot read an answer: the stream was reset with code ${stream.rstCode}`);
  };
  return {
    code: Number(headers[':status']),
    headers,
    async text() {
      const parts: Buffer[] = [];
      for await (const chunk of chunks()) parts.push(chunk);
      return Buffer.concat(parts).toString('utf8');
    },
    lines: bytesMax => linesOf(chunks(), bytesMax),
  };
}

async function* linesOf(chunks: AsyncIterable<Buffer>, bytesMax: number): AsyncGenerator<string, void, undefined> {
  const decoder = new StringDecoder('utf8');
  let parts: string[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    const text = decoder.write(chunk);
    let start = 0;
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', start)) {
      parts.push(text.slice(start, at));
      yield parts.join('');
      parts = [];
      length = 0;
      start = at + 1;
    }
    if (start < text.length) parts.push(text.slice(start));
    length += text.length - start;
    if (length > bytesMax) throw new Error(`cannot read a watch: an event is longer than ${bytesMax} bytes`);
  }
  const rest = parts.join('') + decoder.end();
  if (rest !== '') yield rest;
}

function neverArrived(error: unknown): boolean {
  const { code, rstCode } = error as { code?: string; rstCode?: number };
  return (
    code === 'ERR_HTTP2_INVALID_SESSION' ||
    code === 'ERR_HTTP2_GOAWAY_SESSION' ||
    code === 'ERR_HTTP2_OUT_OF_STREAMS' ||
    rstCode === http2.constants.NGHTTP2_REFUSED_STREAM ||
    (error instanceof Error && error.message.includes('NGHTTP2_REFUSED_STREAM'))
  );
}

/** The wait that a busy server asks for; client-go heeds it on 429 and on every 5xx that carries it. */
function retryAfterOf(code: number, header: string | string[] | undefined): number | undefined {
  if ((code !== 429 && code < 500) || typeof header !== 'string') return undefined;
  const seconds = Number(header);
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined;
}

/** Items of built-in lists come without their kind; in memory every object has it. */
function completed(body: unknown): unknown {
  const { apiVersion, kind, items } = body as { apiVersion?: string; kind?: string; items?: unknown };
  if (!Array.isArray(items) || kind === undefined || !kind.endsWith('List')) return body;
  const own = kind.slice(0, -'List'.length);
  for (const item of items as { apiVersion?: string; kind?: string }[]) {
    item.apiVersion ??= apiVersion ?? '';
    item.kind ??= own;
  }
  return body;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Plain text is an answer too; the caller has it.
    return undefined;
  }
}

function deadlineOf(
  clock: Clock,
  delayMs: number,
  outer: AbortSignal | undefined,
): Disposable & { readonly signal: AbortSignal } {
  const timer = new AbortController();
  const cancel = clock.after(delayMs, () => timer.abort(timeoutError('the request')));
  return {
    signal: outer ? AbortSignal.any([outer, timer.signal]) : timer.signal,
    [Symbol.dispose]: cancel,
  };
}

function timeoutError(what: string): ApiError {
  return failureOf(undefined, 504, `Timeout: ${what} was not answered in time`);
}

function abortable<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  if (signal.aborted) return Promise.reject(signal.reason as Error);
  return new Promise((resolve, reject) => {
    const aborted = () => reject(signal.reason as Error);
    signal.addEventListener('abort', aborted, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted));
  });
}
