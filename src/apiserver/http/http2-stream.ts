import { limits } from '#base/limits.ts';
import { errors } from '#api/machinery/errors.ts';
import type { RequestBody } from '#client/transport.ts';
import type { RawHeaders } from './hpack.ts';
import type { Http2Connection } from './http2-connection.ts';
import { emptyBody } from './body.ts';
import type { BodySink } from './write.ts';

/** What a stream may have unsent before whoever writes should wait. */
const highWaterBytes = 128 * 1024;

/** One request and its answer. The first part is for whoever answers, the second for the connection. */
export class Http2Stream implements BodySink {
  readonly id: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly rawHeaders: RawHeaders;
  readonly connection: Http2Connection;
  /** Over: by its end, by one of the two sides, or with the connection. */
  destroyed = false;
  /** Nothing more will be written. */
  ended = false;
  /** In the line of those that have something to send. */
  waits = false;
  /** The request is complete. */
  remoteClosed = false;
  sendWindow: number;
  receiveWindow: number;
  #queue: Uint8Array[] = [];
  #sentChunks = 0;
  #queuedBytes = 0;
  /** How much of the first piece has been sent. */
  offset = 0;
  #chunks: Buffer[] = [];
  /** How much of the body has come, whether it was kept or not. */
  bodyBytes = 0;
  /** The request is answered, and what still comes of it is thrown away: ends the waiting for its end. */
  stopSwallowing: (() => void) | undefined;
  #heldBytes = 0;
  #body: RequestBody | undefined;
  #refusedBody: Error | undefined;
  #waiter: { resolve(body: RequestBody): void; reject(error: Error): void } | undefined;
  readonly #drained = new Set<() => void>();
  readonly #closed = new Set<() => void>();

  /** Undefined: the headers are not those of a request. */
  static open(
    connection: Http2Connection,
    id: number,
    raw: RawHeaders,
    windows: { readonly send: number; readonly receive: number },
  ): Http2Stream | undefined {
    const headers = requestHeaders(raw);
    return headers && new Http2Stream(connection, id, raw, headers, windows);
  }

  private constructor(
    connection: Http2Connection,
    id: number,
    raw: RawHeaders,
    headers: Readonly<Record<string, string>>,
    { send, receive }: { readonly send: number; readonly receive: number },
  ) {
    this.connection = connection;
    this.id = id;
    this.rawHeaders = raw;
    this.headers = headers;
    this.sendWindow = send;
    this.receiveWindow = receive;
  }

  /** The whole body. Rejects with ApiError RequestEntityTooLarge as soon as it is too long. */
  body(): Promise<RequestBody> {
    if (this.#refusedBody) return Promise.reject(this.#refusedBody);
    if (this.#body) return Promise.resolve(this.#body);
    if (this.destroyed) return Promise.reject(closedEarly());
    if (this.remoteClosed) return Promise.resolve(this.#takeChunks());
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
  }

  respond(status: number, headers: Readonly<Record<string, string | number | readonly string[]>>, end = false): void {
    this.connection.respond(this, status, headers, end);
  }

  write(bytes: Uint8Array): boolean {
    if (this.destroyed || this.ended) return false;
    if (bytes.length > 0) {
      this.#queue.push(bytes);
      this.#queuedBytes += bytes.length;
      this.connection.wake(this);
    }
    return this.#queuedBytes < highWaterBytes;
  }

  end(bytes?: Uint8Array): void {
    if (this.destroyed || this.ended) return;
    if (bytes && bytes.length > 0) this.write(bytes);
    this.ended = true;
    this.connection.wake(this);
  }

  get unsentBytes(): number {
    return this.#queuedBytes;
  }

  /** Resolves when there is room again, or the stream is over. */
  drained(): Promise<void> {
    if (this.destroyed || this.#queuedBytes < highWaterBytes) return Promise.resolve();
    return new Promise(resolve => {
      this.#drained.add(resolve);
    });
  }

  /** What comes in one turn of the event loop goes out together anyway. */
  batch(): void {}

  onClose(run: () => void): void {
    if (this.destroyed) run();
    else this.#closed.add(run);
  }

  /* For the connection: what is to be sent … */

  /** The first piece that has not been sent as a whole. */
  get next(): Uint8Array {
    return this.#queue[this.#sentChunks] as Uint8Array;
  }

  sent(bytes: number): void {
    this.sendWindow -= bytes;
    this.offset += bytes;
    this.#queuedBytes -= bytes;
    if (this.offset === this.next.length) {
      this.offset = 0;
      // Taking from the front of a long list costs as much as the list is long.
      if (++this.#sentChunks === this.#queue.length) {
        this.#queue.length = 0;
        this.#sentChunks = 0;
      } else if (this.#sentChunks === 256) {
        this.#queue = this.#queue.slice(this.#sentChunks);
        this.#sentChunks = 0;
      }
    }
    if (this.#drained.size === 0 || this.#queuedBytes >= highWaterBytes / 2) return;
    for (const run of this.#drained) run();
    this.#drained.clear();
  }

  close(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#chunks = [];
    this.#heldBytes = 0;
    this.#waiter?.reject(closedEarly());
    this.#waiter = undefined;
    for (const run of this.#drained) run();
    this.#drained.clear();
    for (const run of this.#closed) run();
    this.#closed.clear();
  }

  /* … and what has come. */

  /** Bytes of the body that wait to be taken. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Answers with how many of the bytes are kept. */
  takeBody(bytes: Buffer): number {
    this.bodyBytes += bytes.length;
    if (this.#refusedBody || this.destroyed) return 0;
    if (this.bodyBytes > limits.requestBodyBytesMax) {
      this.#refusedBody = errors.tooLarge(`Request entity too large: limit is ${limits.requestBodyBytesMax}`);
      this.#waiter?.reject(this.#refusedBody);
      this.#waiter = undefined;
      this.#chunks = [];
      this.connection.released(this.#heldBytes);
      this.#heldBytes = 0;
      return 0;
    }
    this.#chunks.push(bytes);
    this.#heldBytes += bytes.length;
    return bytes.length;
  }

  /** False: it has another length than its headers say. */
  endBody(): boolean {
    this.remoteClosed = true;
    const said = this.headers['content-length'];
    if (said !== undefined && said !== String(this.bodyBytes) && Number(said) !== this.bodyBytes) return false;
    if (!this.#waiter || this.#refusedBody) return true;
    this.#waiter.resolve(this.#takeChunks());
    this.#waiter = undefined;
    return true;
  }

  #takeChunks(): RequestBody {
    const chunks = this.#chunks;
    const released = this.#heldBytes;
    this.#chunks = [];
    this.#heldBytes = 0;
    if (chunks.length === 0) return (this.#body = emptyBody);
    const bytes = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
    if (released > 0) this.connection.released(released);
    this.#body = { kind: 'bytes', bytes, contentType: this.headers['content-type'] ?? '' };
    return this.#body;
  }
}

function closedEarly() {
  return errors.badRequest('the connection was closed before the body was complete');
}

/** RFC 9113, 8.2: small letters, no characters that mean something elsewhere. */
const validName = /^:?[a-z0-9!#$%&'*+\-.^_`|~]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there.
const invalidValue = /[\0-\x08\x0a-\x1f\x7f]/;
/** They speak of a connection, and HTTP/2 has other means for that. */
const connectionHeaders = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']);
const pseudoHeaders = new Set([':method', ':path', ':scheme', ':authority']);
/** Of these only the first one counts; others of the same name are joined. */
const singleHeaders = new Set([
  'authorization',
  'content-type',
  'content-length',
  'user-agent',
  'host',
  'from',
  'referer',
]);

/** Names that were found valid; clients send the same ones again and again. */
const knownNames = new Set<string>();
const knownNamesMax = 1_024;

/** Joined as Node joins them; undefined when a request must not have such headers. */
function requestHeaders(raw: RawHeaders): Readonly<Record<string, string>> | undefined {
  const headers = Object.create(null) as Record<string, string>;
  let pseudo = true;
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] as string;
    const value = raw[at + 1] as string;
    if (!knownNames.has(name)) {
      if (!validName.test(name) || connectionHeaders.has(name)) return undefined;
      if (knownNames.size < knownNamesMax) knownNames.add(name);
    }
    if (invalidValue.test(value)) return undefined;
    const before = headers[name];
    if (name.charCodeAt(0) === 58) {
      if (!pseudo || before !== undefined || !pseudoHeaders.has(name)) return undefined;
      headers[name] = value;
      continue;
    }
    pseudo = false;
    if (before === undefined) headers[name] = value;
    else if (name === 'cookie') headers[name] = `${before}; ${value}`;
    else if (name === 'content-length' && value !== before) return undefined;
    else if (!singleHeaders.has(name)) headers[name] = `${before}, ${value}`;
  }
  if (headers[':method'] === undefined || !headers[':path'] || headers[':scheme'] === undefined) return undefined;
  if (headers['te'] !== undefined && headers['te'] !== 'trailers') return undefined;
  return headers;
}
