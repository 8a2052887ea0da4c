import type { IncomingMessage } from 'node:http';
import { Agent } from 'node:https';
import type { Clock } from '#base/clock.ts';
import type { User } from '#auth/user.ts';
import { type Backend, type BackendRequest, dialError, send } from '../streaming/backend.ts';
import type { RemoteService } from './api-services.ts';
import type { Endpoint } from './endpoints.ts';

/** What the API server proves to extension API servers: that it is the front proxy. */
export interface ProxyClient {
  readonly certPem: string;
  readonly keyPem: string;
}

/** Connections to extension API servers. */
export interface Remotes extends Disposable {
  backend(remote: RemoteService, endpoint: Endpoint): Backend;
  /** An answer's head, or an Error in Go's words. A connection that was kept too long is tried once more. */
  send(backend: Backend, request: BackendRequest): Promise<IncomingMessage>;
  /** A small document, read whole; for discovery and OpenAPI. */
  read(
    backend: Backend,
    request: { readonly path: string; readonly headers: BackendRequest['headers']; readonly timeoutMs: number },
    signal: AbortSignal,
  ): Promise<RemoteDocument>;
}

export interface RemoteDocument {
  readonly code: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

const idleConnectionsMax = 32;
/** The OpenAPI document of a whole cluster is a tenth of this. */
const documentBytesMax = 32 * 1024 * 1024;

/** `certificate` is asked at every connection, so that a renewed one is taken. */
export function openRemotes(certificate: () => ProxyClient | undefined, clock: Clock): Remotes {
  const agent = new Agent({ keepAlive: true, maxFreeSockets: idleConnectionsMax });
  return {
    backend(remote, { host, port }) {
      const proves = certificate();
      return {
        scheme: 'https',
        host,
        port,
        tls: {
          ...(proves && { cert: proves.certPem, key: proves.keyPem }),
          ...(!remote.insecure && (remote.caPem === undefined ? { systemTrust: true } : { ca: remote.caPem })),
          serverName: `${remote.service}.${remote.namespace}.svc`,
          agent,
        },
      };
    },
    send,
    async read(backend, { path, headers, timeoutMs }, signal) {
      const late = new AbortController();
      const cancel = clock.after(timeoutMs, () => late.abort(new Error('context deadline exceeded')));
      const get = `Get ${JSON.stringify(`https://${hostText(backend)}${path}`)}`;
      try {
        const both = AbortSignal.any([signal, late.signal]);
        const response = await send(backend, { method: 'GET', path, headers, signal: both });
        return { code: response.statusCode ?? 502, headers: response.headers, text: await textOf(response) };
      } catch (cause) {
        const why = late.signal.aborted ? 'context deadline exceeded' : dialError(backend, cause as Error);
        throw new Error(`${get}: ${why}`, { cause });
      } finally {
        cancel();
      }
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}

export function hostText({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Who asks, as extension API servers read it from a front proxy they trust. */
export function identityHeaders({ name, uid, groups, extra }: User): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = { 'x-remote-user': bytesText(name) };
  if (uid !== undefined && uid !== '') headers['x-remote-uid'] = bytesText(uid);
  if (groups.length > 0) headers['x-remote-group'] = groups.map(bytesText);
  for (const [key, values] of Object.entries(extra ?? {}))
    headers[`x-remote-extra-${headerKey(key)}`] = values.map(bytesText);
  return headers;
}

/** What the API server itself asks, it asks with every right. */
export const aggregatorUser: User = { name: 'system:kube-aggregator', groups: ['system:masters'] };

/** Node writes headers as Latin-1: the bytes of UTF-8 one by one, as Go sends them. */
function bytesText(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** Everything that no header name may have is written with percent signs; as is the sign itself. */
function headerKey(key: string): string {
  let escaped = '';
  for (const byte of Buffer.from(key.toLowerCase())) {
    const character = String.fromCharCode(byte);
    escaped += /[a-z0-9!#$&'*+.^_`|~-]/.test(character)
      ? character
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return escaped;
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > documentBytesMax) {
      response.destroy();
      throw new Error(`the answer is larger than ${documentBytesMax} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
