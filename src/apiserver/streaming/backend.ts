import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { pipeline, type Duplex } from 'node:stream';
import { traceHeaders } from '#base/trace.ts';
import { errors } from '#api/machinery/errors.ts';
import type { ApiResponse } from '#client/transport.ts';

/** A server behind the API server: a node agent, a pod, an endpoint of a service. */
export interface Backend {
  readonly scheme: 'http' | 'https';
  readonly host: string;
  readonly port: number;
  readonly tls?: BackendTls;
}

export interface BackendTls {
  readonly cert?: string;
  readonly key?: string;
  /** Absent: the certificate is not verified, as upstream does for pods and services, but for `systemTrust`. */
  readonly ca?: string;
  /** Without `ca`: whom the system trusts may have signed the certificate. */
  readonly systemTrust?: boolean;
  /** The name the certificate must be for, whatever the address. */
  readonly serverName?: string;
  /** Keeps connections to be used again. */
  readonly agent?: HttpsAgent;
}

export interface BackendRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body?: Uint8Array;
  readonly signal: AbortSignal;
}

/** An answer that refuses an upgrade is read up to here. */
const refusalBytesMax = 1024 * 1024;
const connectTimeoutMs = 30_000;

/** Sends a request and resolves with the head of the answer. Redirects are answers like any other: nobody follows them. */
export async function send(backend: Backend, request: BackendRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = open(backend, request);
    outgoing.once('response', resolve);
    outgoing.once('upgrade', (_response, socket: Duplex) => {
      // Nobody asked for one.
      socket.destroy();
      reject(new Error('the backend switched protocols without being asked'));
    });
    outgoing.once('error', (error: NodeJS.ErrnoException) => {
      // The other side had given up the kept connection in just this moment: nothing was wrong with the request.
      const isStale = outgoing.reusedSocket && error.code === 'ECONNRESET' && replayed.has(request.method);
      if (isStale && !request.signal.aborted) resolve(send(backend, request));
      else reject(error);
    });
    outgoing.end(request.body);
  });
}

/** What may be asked twice, as Go's client sees it. */
const replayed: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/**
 * Passes an upgrade on. Only an answer 101 turns the connection into a tunnel; anything else is relayed as an ordinary
 * answer and the connection to the backend is closed (CVE-2018-1002105).
 */
export async function relayUpgrade(backend: Backend, request: BackendRequest): Promise<ApiResponse> {
  const answer = await new Promise<{ response: IncomingMessage; tunnel?: { socket: Duplex; head: Buffer } }>(
    (resolve, reject) => {
      const outgoing = open({ ...backend, tls: withoutAgent(backend.tls) }, request);
      outgoing.once('response', response => resolve({ response }));
      outgoing.once('upgrade', (response, socket: Duplex, head) => resolve({ response, tunnel: { socket, head } }));
      outgoing.once('error', cause =>
        reject(errors.other('', `error dialing backend: ${dialError(backend, cause)}`, undefined, 500)),
      );
      outgoing.end(request.body);
    },
  );
  const { response, tunnel } = answer;
  if (response.statusCode === 101 && tunnel) return tunnelled(response, tunnel.socket, tunnel.head, request.signal);
  tunnel?.socket.destroy();
  return refused(response);
}

/** What stands between client and backend, and what only the API server may know, does not go on. */
export function forwardedHeaders(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  options: { readonly upgrade: boolean },
): Record<string, string | readonly string[]> {
  const result: Record<string, string | readonly string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    // A colon begins what HTTP/2 says of the request itself.
    if (value === undefined || dropped.has(name) || /^(:|impersonate-|x-remote-)/.test(name)) continue;
    result[name] = value;
  }
  const protocols = [headers['sec-websocket-protocol'] ?? []].flat().flatMap(each => each.split(','));
  const kept = protocols
    .map(each => each.trim())
    .filter(each => !each.startsWith('base64url.bearer.authorization.k8s.io.'));
  if (kept.length > 0) result['sec-websocket-protocol'] = kept.join(', ');
  else delete result['sec-websocket-protocol'];
  if (options.upgrade) {
    result['connection'] = 'Upgrade';
    result['upgrade'] = [headers['upgrade'] ?? ''].flat()[0] ?? '';
  }
  return result;
}

export function isUpgrade(headers: Readonly<Record<string, string | readonly string[] | undefined>>): boolean {
  return (
    headers['upgrade'] !== undefined && [headers['connection'] ?? ''].flat().join().toLowerCase().includes('upgrade')
  );
}

/** A failed connection in Go's words, which people look for. */
export function dialError(backend: Pick<Backend, 'host' | 'port'>, cause: Error): string {
  const address = backend.host.includes(':') ? `[${backend.host}]:${backend.port}` : `${backend.host}:${backend.port}`;
  const said = dialErrors[(cause as NodeJS.ErrnoException).code ?? ''];
  return said === undefined ? cause.message : `dial tcp ${address}: ${said}`;
}

const dialErrors: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connect: connection refused',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
  ETIMEDOUT: 'i/o timeout',
  ECONNRESET: 'connection reset by peer',
};

const dropped = new Set([
  'authorization',
  'connection',
  'content-length',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

function open(backend: Backend, { method, path, headers, body, signal }: BackendRequest) {
  const options: RequestOptions = {
    host: backend.host,
    port: backend.port,
    method,
    path,
    headers: {
      ...(headers as NodeJS.Dict<string | string[]>),
      ...traceHeaders(),
      ...(body && { 'content-length': body.length }),
    },
    signal,
    agent: backend.tls?.agent ?? false,
  };
  const outgoing =
    backend.scheme === 'http' ? httpRequest(options) : httpsRequest({ ...options, ...tlsOptions(backend.tls) });
  // Only until it is connected: the streams themselves may be quiet for hours.
  outgoing.once('socket', socket => {
    if (!socket.connecting) return;
    socket.setTimeout(connectTimeoutMs, () =>
      socket.destroy(Object.assign(new Error('i/o timeout'), { code: 'ETIMEDOUT' })),
    );
    socket.once(backend.scheme === 'http' ? 'connect' : 'secureConnect', () => socket.setTimeout(0));
  });
  return outgoing;
}

function tlsOptions(tls: BackendTls = {}) {
  const { cert, key, ca, systemTrust = false, serverName } = tls;
  return {
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(ca === undefined ? { rejectUnauthorized: systemTrust } : { ca }),
    // The certificate is checked against it, too. A check of one's own would keep the agent from using connections again.
    ...(serverName !== undefined && { servername: serverName }),
  };
}

function withoutAgent(tls: BackendTls | undefined): BackendTls {
  const { agent, ...rest } = tls ?? {};
  void agent;
  return rest;
}

function tunnelled(response: IncomingMessage, backend: Duplex, backendHead: Buffer, signal: AbortSignal): ApiResponse {
  // Until the client's side is handed over, its going away is all that can end the tunnel.
  const abandon = () => backend.destroy();
  signal.addEventListener('abort', abandon, { once: true });
  backend.once('error', abandon);
  return {
    code: 101,
    headers: {},
    kind: 'upgrade',
    take(client, clientHead) {
      signal.removeEventListener('abort', abandon);
      client.write(headOf(response));
      if (backendHead.length > 0) client.write(backendHead);
      if (clientHead.length > 0) backend.write(clientHead);
      return joined(client, backend);
    },
  };
}

const joinedListenersMax = 30;

/** Both directions, byte by byte, until either side ends; a broken side ends the other. */
function joined(client: Duplex, backend: Duplex): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let open = 2;
  const ended = (error: unknown) => {
    if (error) {
      client.destroy();
      backend.destroy();
    }
    if (--open === 0) resolve();
  };
  // Two pipelines listen to each side, beside what HTTP and TLS have put there.
  for (const side of [client, backend]) side.setMaxListeners(joinedListenersMax);
  pipeline(backend, client, ended);
  pipeline(client, backend, ended);
  return promise;
}

function headOf(response: IncomingMessage): string {
  let head = `HTTP/1.1 101 ${response.statusMessage || 'Switching Protocols'}\r\n`;
  for (let index = 0; index < response.rawHeaders.length; index += 2)
    head += `${response.rawHeaders[index]}: ${response.rawHeaders[index + 1]}\r\n`;
  return `${head}\r\n`;
}

async function refused(response: IncomingMessage): Promise<ApiResponse> {
  const { statusCode = 502 } = response;
  if (statusCode >= 300 && statusCode < 400) {
    response.destroy();
    return text(502, 'the backend attempted to redirect this request, which is not permitted');
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > refusalBytesMax) break;
    chunks.push(chunk);
  }
  response.destroy();
  // An upgrade that the backend answers with success has still not happened.
  const code = statusCode >= 400 ? statusCode : 502;
  return {
    code,
    headers: { 'content-type': response.headers['content-type'] ?? 'text/plain; charset=utf-8' },
    kind: 'bytes',
    bytes: chunks,
  };
}

function text(code: number, message: string): ApiResponse {
  return {
    code,
    headers: { 'content-type': 'text/plain; charset=utf-8' },
    kind: 'bytes',
    bytes: [Buffer.from(message)],
  };
}
