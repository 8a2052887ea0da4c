import { createServer, STATUS_CODES, type IncomingMessage } from 'node:http';
import { duplexPair, type Duplex } from 'node:stream';
import { Channel } from '#base/queue.ts';
import { limits } from '#base/limits.ts';
import type { Client } from './client.ts';
import type { ApiRequest, ApiResponse, RequestBody, WatchResponse } from './transport.ts';
import { openWebSocket } from './web-socket.ts';
import { clientOver, failureOf, splitTarget, type WireEvent, type WireRequest } from './wire.ts';

const decoder = new TextDecoder();
const never = new AbortController().signal;

/**
 * A client that calls the API server's handler chain directly: no sockets, no JSON, and the objects that come out are those
 * of the server's cache. `user` is the identity that the chain authorizes and audits.
 */
export function inProcessClient<User>(
  handle: (user: User, request: ApiRequest) => Promise<ApiResponse>,
  user: User,
  options: { readonly userAgent?: string } = {},
): Client {
  const { userAgent = 'windlass' } = options;
  const call = (request: WireRequest) => handle(user, requestOf(request, userAgent));
  return clientOver({
    async send(request) {
      const response = await call(request);
      const body = await valueOf(response);
      if (response.code >= 400) throw failureOf(body, response.code);
      return body;
    },
    async *watch(request) {
      // The server stops feeding us when this generator is left early.
      const stop = new AbortController();
      const signal = request.signal ? AbortSignal.any([request.signal, stop.signal]) : stop.signal;
      try {
        const response = await call({ ...request, signal });
        if (response.kind === 'watch') yield* eventsOf(response.watch, signal);
        // Another server answers behind this one, in bytes.
        else if (response.kind === 'stream' && response.code < 400) yield* eventsIn(response.stream);
        else throw failureOf(await valueOf(response), response.code);
      } finally {
        stop.abort(new Error('the watch was left'));
      }
    },
    async text(request) {
      const response = await call(request);
      const text = await textOf(response);
      if (response.code >= 400) throw failureOf(parsed(text), response.code, text);
      return text;
    },
    connect: (path, subprotocols, signal) =>
      openWebSocket(`ws://in-process${path}`, subprotocols, {
        headers: { 'user-agent': userAgent },
        createConnection: () => upgradable(request => handle(user, request)),
        signal,
      }),
  });
}

function requestOf(request: WireRequest, userAgent: string): ApiRequest {
  const { contentType = '' } = request;
  return {
    method: request.method,
    path: request.path,
    query: request.query,
    headers: {
      accept: request.accept ?? 'application/json',
      'user-agent': userAgent,
      ...(contentType !== '' && { 'content-type': contentType }),
    },
    body: () =>
      Promise.resolve<RequestBody>(
        request.body === undefined
          ? { kind: 'bytes', bytes: new Uint8Array(), contentType }
          : { kind: 'object', object: copyOf(request.body), contentType },
      ),
    signal: request.signal ?? never,
  };
}

/**
 * The chain may change what it gets, and what callers send is mostly built around parts of shared, frozen objects. Also
 * drops undefined members, as JSON would.
 */
export function copyOf<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(copyOf) as Value;
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const member = (value as Record<string, unknown>)[key];
    if (member === undefined) continue;
    if (key === '__proto__')
      Object.defineProperty(copy, key, { value: copyOf(member), enumerable: true, configurable: true, writable: true });
    else copy[key] = copyOf(member);
  }
  return copy as Value;
}

async function valueOf(response: ApiResponse): Promise<unknown> {
  return response.kind === 'object' ? response.object : parsed(await textOf(response));
}

async function textOf(response: ApiResponse): Promise<string> {
  switch (response.kind) {
    case 'object':
      return decoder.decode(Buffer.concat(response.bytes()));
    case 'bytes':
      return decoder.decode(Buffer.concat(response.bytes));
    case 'stream': {
      const chunks: Uint8Array[] = [];
      for await (const chunk of response.stream) chunks.push(chunk);
      return decoder.decode(Buffer.concat(chunks));
    }
    case 'watch':
    case 'upgrade':
      throw new TypeError(`cannot read an answer as text: it is a ${response.kind}`);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Plain text is an answer too; the caller has it.
    return undefined;
  }
}

async function* eventsIn(stream: AsyncIterable<Uint8Array>): AsyncGenerator<WireEvent, void, undefined> {
  const text = new TextDecoder();
  let rest = '';
  for await (const chunk of stream) {
    const lines = (rest + text.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > limits.watchLineBytesMax)
      throw new Error(`cannot read a watch: an event is larger than ${limits.watchLineBytesMax} bytes`);
    for (const line of lines) if (line !== '') yield JSON.parse(line) as WireEvent;
  }
}

/** The state at the beginning comes in one go and is made of shared objects, so only what follows counts to the limit. */
async function* eventsOf(watch: WatchResponse, signal: AbortSignal): AsyncGenerator<WireEvent, void, undefined> {
  const channel = new Channel<WireEvent>();
  let bookmarked = false;
  watch.toObjects({
    push(item) {
      const event = item as WireEvent;
      if (bookmarked && channel.length >= limits.watchBufferEventsMax) return false;
      bookmarked ||= event.type === 'BOOKMARK';
      return channel.push(event);
    },
    end: () => channel.close(),
  });
  const aborted = () => channel.close(signal.reason);
  if (signal.aborted) aborted();
  signal.addEventListener('abort', aborted, { once: true });
  try {
    yield* channel;
  } finally {
    signal.removeEventListener('abort', aborted);
  }
}

/** A connection to a server that lives for this one connection: it parses the upgrade request and passes it to the chain. */
function upgradable(handle: (request: ApiRequest) => Promise<ApiResponse>): Duplex {
  const [client, server] = duplexPair();
  const parser = createServer();
  parser.on('upgrade', (message: IncomingMessage, socket: Duplex, head: Buffer) => {
    const gone = new AbortController();
    socket.once('close', () => gone.abort(new Error('the connection was closed')));
    handle(upgradeRequestOf(message, gone.signal))
      .then(async response => {
        if (response.kind === 'upgrade') return response.take(socket, head);
        const text = await textOf(response);
        socket.end(
          `HTTP/1.1 ${response.code} ${STATUS_CODES[response.code] ?? ''}\r\ncontent-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n\r\n${text}`,
        );
      })
      .catch((error: unknown) => socket.destroy(error as Error));
  });
  parser.emit('connection', server);
  return client;
}

function upgradeRequestOf(message: IncomingMessage, signal: AbortSignal): ApiRequest {
  const { path, query } = splitTarget(message.url ?? '/');
  return {
    method: 'GET',
    path,
    query,
    headers: message.headers,
    body: () => Promise.resolve({ kind: 'bytes', bytes: new Uint8Array(), contentType: '' }),
    signal,
  };
}
