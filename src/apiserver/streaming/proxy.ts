import type { IncomingMessage } from 'node:http';
import { errors } from '#api/machinery/errors.ts';
import type { ApiRequest, ApiResponse } from '#client/transport.ts';
import type { SubresourceContext, SubresourceHandler } from '../subresource.ts';
import { dialError, forwardedHeaders, isUpgrade, relayUpgrade, send, type Backend } from './backend.ts';
import { hasLinks, withLinks } from './html-links.ts';

/** Passes any request on to a server in the cluster. */
export function proxy(kind: string, find: (namespace: string, name: string) => Promise<Backend>): SubresourceHandler {
  return async (request, context) => {
    const { base, rest } = splitPath(request.path, context);
    await context.admit('CONNECT', { apiVersion: 'v1', kind, metadata: {}, path: rest } as never);
    const query = request.query.toString();
    const withQuery = query === '' ? '' : `?${query}`;
    // A page at the root with relative links needs the slash.
    if (rest === '' && (request.method === 'GET' || request.method === 'HEAD') && !isUpgrade(request.headers))
      return { code: 301, headers: { location: `${base}/${withQuery}` }, kind: 'bytes', bytes: [] };
    const backend = await find(context.info.namespace, context.info.name);
    const upgrade = isUpgrade(request.headers);
    const outgoing = {
      method: request.method,
      path: `${rest === '' ? '/' : rest}${withQuery}`,
      headers: { ...forwardedHeaders(request.headers, { upgrade }), ...origin(request, base, rest) },
      signal: request.signal,
    };
    if (upgrade) return relayUpgrade(backend, outgoing);
    const body = await request.body();
    const bytes = body.kind === 'bytes' ? body.bytes : Buffer.from(JSON.stringify(body.object));
    let response: IncomingMessage;
    try {
      response = await send(backend, { ...outgoing, ...(bytes.length > 0 && { body: bytes }) });
    } catch (cause) {
      throw Object.assign(
        errors.serviceUnavailable(`error trying to reach service: ${dialError(backend, cause as Error)}`),
        { cause },
      );
    }
    const { 'x-forwarded-host': host = '' } = outgoing.headers as Readonly<Record<string, string>>;
    return relayed(response, { backend, base, host });
  };
}

/** The path up to `/proxy` and what follows, as sent: escapes are the backend's to read. */
function splitPath(path: string, { info }: SubresourceContext): { readonly base: string; readonly rest: string } {
  const before = info.namespace === '' ? 5 : 7;
  let at = 0;
  for (let slash = 0; slash < before; slash++) at = path.indexOf('/', at) + 1;
  const end = path.indexOf('/', at);
  return end < 0 ? { base: path, rest: '' } : { base: path.slice(0, end), rest: path.slice(end) };
}

function origin(request: ApiRequest, base: string, rest: string): Record<string, string> {
  const host = [request.headers['host'] ?? request.headers[':authority'] ?? ''].flat()[0] ?? '';
  return {
    'x-forwarded-uri': `${base}${rest === '' ? '/' : rest}`,
    'x-forwarded-host': host,
    'x-forwarded-proto': 'https',
  };
}

const hopHeaders = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Where a page is, and how its readers reach it. */
interface Place {
  readonly backend: Backend;
  /** The path of the proxy. */
  readonly base: string;
  /** The host that the client asked. */
  readonly host: string;
}

async function relayed(response: IncomingMessage, place: Place): Promise<ApiResponse> {
  const headers: Record<string, string | readonly string[]> = {};
  for (const [name, value] of Object.entries(response.headers))
    if (value !== undefined && !hopHeaders.has(name)) headers[name] = value;
  const code = response.statusCode ?? 502;
  const location = response.headers.location;
  if (location !== undefined) headers['location'] = throughProxy(location, place);
  else if (hasLinks(response)) {
    delete headers['content-length'];
    return { code, headers, kind: 'stream', stream: await withLinks(response, link => throughProxy(link, place)) };
  }
  return { code, headers, kind: 'stream', stream: response };
}

/** A link to the backend itself leads through the proxy again; one to elsewhere is the client's business. */
function throughProxy(link: string, { backend, base, host }: Place): string {
  // Relative to the page it stands on, it is right already.
  if (!/^([a-z][a-z0-9+.-]*:)?\//i.test(link)) return link;
  const here = new URL(
    `${backend.scheme}://${backend.host.includes(':') ? `[${backend.host}]` : backend.host}:${backend.port}`,
  );
  if (!URL.canParse(link, here)) return link;
  const target = new URL(link, here);
  const isOfClient = target.host === host;
  if (target.host !== here.host && !isOfClient) return link;
  const path = target.pathname.startsWith(base) ? target.pathname : `${base}${target.pathname}`;
  return `${isOfClient ? target.origin : ''}${path}${target.search}${target.hash}`;
}
