import type { IncomingMessage } from 'node:http';
import type { User } from '#auth/user.ts';
import type { ApiRequest, ApiResponse } from '#client/transport.ts';
import { dialError, forwardedHeaders, isUpgrade, relayUpgrade } from '../streaming/backend.ts';
import { textResponse } from '../text.ts';
import type { RemoteService } from './api-services.ts';
import type { Endpoint, Endpoints } from './endpoints.ts';
import { identityHeaders, type Remotes } from './remote.ts';

/** Passes a request on to the server that answers for its group version, with the identity of whoever asks. */
export async function passOn(
  remote: RemoteService,
  request: ApiRequest,
  user: User,
  { endpoints, remotes }: { readonly endpoints: Endpoints; readonly remotes: Remotes },
): Promise<ApiResponse> {
  if (!remote.available) return unavailable();
  let endpoint: Endpoint;
  try {
    endpoint = endpoints.resolve(remote);
  } catch {
    // Upstream's answer says no more either: the condition of the APIService does.
    return unavailable();
  }
  const backend = remotes.backend(remote, endpoint);
  const query = request.query.toString();
  const upgrade = isUpgrade(request.headers);
  const outgoing = {
    method: request.method,
    path: `${request.path}${query === '' ? '' : `?${query}`}`,
    headers: {
      ...forwardedHeaders(request.headers, { upgrade }),
      ...origin(request),
      ...identityHeaders(user),
    },
    signal: request.signal,
  };
  if (upgrade) return relayUpgrade(backend, outgoing);
  const body = await request.body();
  const bytes = body.kind === 'bytes' ? body.bytes : Buffer.from(JSON.stringify(body.object));
  let response: IncomingMessage;
  try {
    response = await remotes.send(backend, { ...outgoing, ...(bytes.length > 0 && { body: bytes }) });
  } catch (cause) {
    return textResponse(503, `error trying to reach service: ${dialError(backend, cause as Error)}\n`);
  }
  return relayed(response, request.signal);
}

const unavailable = (): ApiResponse => textResponse(503, 'service unavailable\n');

function origin({ path, headers }: ApiRequest): Record<string, string> {
  const host = [headers['host'] ?? headers[':authority'] ?? ''].flat()[0] ?? '';
  return { 'x-forwarded-uri': path, 'x-forwarded-host': host, 'x-forwarded-proto': 'https' };
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

function relayed(response: IncomingMessage, signal: AbortSignal): ApiResponse {
  const code = response.statusCode ?? 502;
  if (code >= 300 && code <= 399 && (response.headers.location ?? '') !== '') {
    response.destroy();
    return textResponse(502, 'the backend attempted to redirect this request, which is not permitted');
  }
  const headers: Record<string, string | readonly string[]> = {};
  for (const [name, value] of Object.entries(response.headers))
    if (value !== undefined && !hopHeaders.has(name)) headers[name] = value;
  return { code, headers, kind: 'stream', stream: untilGone(response, signal) };
}

/** A client that goes away in the middle of a watch is no failure; a server that does is one. */
async function* untilGone(response: IncomingMessage, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* response as AsyncIterable<Uint8Array>;
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
