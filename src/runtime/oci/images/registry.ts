import { type IncomingMessage, request as httpRequest, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Duplex } from 'node:stream';
import type { AuthConfig } from '../../runtime.ts';
import { RuntimeError } from '../../runtime.ts';
import { mediaTypes } from './manifest.ts';
import { isLoopback } from './reference.ts';
import type { Endpoint, HostConfig } from './registries.ts';

/** The documents a manifest request accepts. */
const manifestTypes = [
  mediaTypes.ociIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerList,
  mediaTypes.dockerManifest,
].join(', ');

export const manifestBytesMax = 4 * 1024 * 1024;
const tokenBytesMax = 1024 * 1024;
const redirectsMax = 5;
/** A registry that says nothing for so long is given up. */
const silenceMsMax = 60_000;

/** One repository at one address, by the OCI distribution protocol, with the credentials for it. */
export class Repository {
  readonly #endpoint: Endpoint;
  readonly #name: string;
  readonly #auth: AuthConfig | undefined;
  /** The Authorization header that worked last. */
  #authorization: string | undefined;

  constructor(endpoint: Endpoint, name: string, auth: AuthConfig | undefined) {
    this.#endpoint = endpoint;
    this.#name = name;
    // A mirror is somebody else: it gets what the registries file has for it, never the pod's secrets.
    this.#auth = (endpoint.isOrigin ? auth : undefined) ?? endpoint.config.auth;
  }

  get url(): URL {
    return this.#endpoint.url;
  }

  async manifest(reference: string, signal?: AbortSignal): Promise<{ bytes: Buffer; mediaType: string }> {
    const response = await this.#get(`manifests/${reference}`, manifestTypes, signal);
    const bytes = await readAll(response, manifestBytesMax, 'manifest');
    return {
      bytes,
      mediaType:
        String(response.headers['content-type'] ?? '')
          .split(';')[0]
          ?.trim() ?? '',
    };
  }

  /** The blob's bytes as they come; the caller counts and checks them. */
  blob(digest: string, signal?: AbortSignal): Promise<IncomingMessage> {
    return this.#get(`blobs/${digest}`, '*/*', signal);
  }

  async #get(path: string, accept: string, signal?: AbortSignal): Promise<IncomingMessage> {
    const base = this.#endpoint.url.pathname.replace(/\/+$/, '');
    const root = base === '' ? '/v2' : base;
    const url = new URL(`${root}/${this.#name}/${path}`, this.#endpoint.url);
    let response = await this.#send(url, accept, signal);
    if (response.statusCode === 401) {
      response.resume();
      this.#authorization = await this.#authenticate(response, signal);
      response = await this.#send(url, accept, signal);
    }
    if (response.statusCode === 200) return response;
    throw await refusal(response, url, this.#name);
  }

  /** Follows redirects; the credentials stay with the host they are for. */
  async #send(url: URL, accept: string, signal?: AbortSignal): Promise<IncomingMessage> {
    let target = url;
    for (let count = 0; count <= redirectsMax; count++) {
      const own = target.host === url.host && target.protocol === url.protocol;
      const headers = { accept, ...(own && this.#authorization ? { authorization: this.#authorization } : {}) };
      const response = await send(target, headers, own ? this.#endpoint.config : {}, signal);
      const { location } = response.headers;
      if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0) || !location) return response;
      response.resume();
      const next = new URL(location, target);
      if (next.protocol !== 'https:' && next.protocol !== url.protocol)
        throw new RuntimeError(
          'Unavailable',
          `refused a redirect from ${target.host} to ${next.protocol}//${next.host}`,
        );
      target = next;
    }
    throw new RuntimeError('Unavailable', `too many redirects from ${url.host}`);
  }

  async #authenticate(response: IncomingMessage, signal?: AbortSignal): Promise<string> {
    const challenge = parseChallenge(response.headers['www-authenticate'] ?? '');
    const basic = basicAuthorization(this.#auth);
    if (this.#auth?.registryToken) return `Bearer ${this.#auth.registryToken}`;
    if (challenge?.scheme === 'basic' && basic) return basic;
    if (challenge?.scheme === 'bearer' && challenge.realm) return this.#fetchToken(challenge, basic, signal);
    throw new RuntimeError(
      'Unauthenticated',
      `failed to authorize at ${this.#endpoint.url.host}: no basic auth credentials`,
    );
  }

  /** The token service that the registry names. */
  async #fetchToken(challenge: Challenge, basic: string | undefined, signal?: AbortSignal): Promise<string> {
    const realm = new URL(challenge.realm);
    // Credentials go out only where nobody can listen.
    const guarded = realm.protocol === 'https:' || realm.hostname === this.#endpoint.url.hostname;
    if (!guarded && basic)
      throw new RuntimeError('Unauthenticated', `refused to send credentials to ${realm.origin} without TLS`);
    if (challenge.service) realm.searchParams.set('service', challenge.service);
    realm.searchParams.set('scope', challenge.scope || `repository:${this.#name}:pull`);
    const config = realm.host === this.#endpoint.url.host ? this.#endpoint.config : {};
    const answer = this.#auth?.identityToken
      ? await postRefreshToken(realm, this.#auth.identityToken, challenge, config, signal)
      : await send(realm, { accept: 'application/json', ...(basic ? { authorization: basic } : {}) }, config, signal);
    if (answer.statusCode !== 200) {
      answer.resume();
      throw new RuntimeError(
        'Unauthenticated',
        `failed to authorize: failed to fetch ${basic ? 'oauth' : 'anonymous'} token: unexpected status ${answer.statusCode} from ${realm.host}`,
      );
    }
    const body = await readAll(answer, tokenBytesMax, 'token');
    const { token, access_token: accessToken } = JSON.parse(body.toString()) as {
      token?: unknown;
      access_token?: unknown;
    };
    const value = typeof token === 'string' ? token : accessToken;
    if (typeof value === 'string' && value !== '') return `Bearer ${value}`;
    throw new RuntimeError('Unauthenticated', `failed to authorize: no token from ${realm.host}`);
  }
}

function postRefreshToken(
  realm: URL,
  token: string,
  challenge: Challenge,
  config: HostConfig,
  signal?: AbortSignal,
): Promise<IncomingMessage> {
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    refresh_token: token,
    client_id: 'windlass',
    service: challenge.service,
    scope: realm.searchParams.get('scope') ?? '',
  });
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  return send(new URL(realm.pathname, realm), headers, config, signal, form.toString());
}

interface Challenge {
  readonly scheme: string;
  readonly realm: string;
  readonly service: string;
  readonly scope: string;
}

/** `Bearer realm="https://…",service="…",scope="…"` */
export function parseChallenge(header: string): Challenge | undefined {
  const match = /^\s*(\w+)\s*(.*)$/.exec(header);
  if (!match) return undefined;
  const fields = new Map(
    [...(match[2] ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]),
  );
  return {
    scheme: (match[1] ?? '').toLowerCase(),
    realm: fields.get('realm') ?? '',
    service: fields.get('service') ?? '',
    scope: fields.get('scope') ?? '',
  };
}

function basicAuthorization(auth: AuthConfig | undefined): string | undefined {
  if (auth?.auth) return `Basic ${auth.auth}`;
  if (!auth?.username) return undefined;
  return `Basic ${Buffer.from(`${auth.username}:${auth.password ?? ''}`).toString('base64')}`;
}

function send(
  url: URL,
  headers: Readonly<Record<string, string>>,
  config: HostConfig,
  signal?: AbortSignal,
  body?: string,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const open = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = open(url, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { 'user-agent': 'windlass', ...headers },
      signal,
      ca: config.ca,
      cert: config.cert,
      key: config.key,
      rejectUnauthorized: !config.insecureSkipVerify,
      timeout: silenceMsMax,
      ...(config.connectLoopback && isLoopback(url.host) && connecting(config.connectLoopback, url)),
    });
    request.on('timeout', () => request.destroy(new Error(`no answer for ${silenceMsMax / 1000} s`)));
    request.on('response', resolve);
    request.on('error', cause => {
      if (signal?.aborted) reject(signal.reason as Error);
      else
        reject(
          new RuntimeError(
            'Unavailable',
            `failed to do request: GET "${url.origin}${url.pathname}": ${cause.message}`,
            { cause },
          ),
        );
    });
    request.end(body);
  });
}

type Connected = (error: Error | null, socket: Duplex) => void;

/** Only without TLS: with it, a registry on this machine is asked at one of its addresses. */
function connecting(connect: NonNullable<HostConfig['connectLoopback']>, url: URL): RequestOptions {
  if (url.protocol !== 'http:') return {};
  return {
    createConnection(_, connected: Connected) {
      connect(Number(url.port || 80)).then(
        socket => connected(null, socket),
        (error: Error) => connected(error, undefined as unknown as Duplex),
      );
      return undefined;
    },
  };
}

async function refusal(response: IncomingMessage, url: URL, name: string): Promise<RuntimeError> {
  response.resume();
  const status = response.statusCode ?? 0;
  const reference = `${url.host}/${name}`;
  if (status === 404) return new RuntimeError('NotFound', `failed to resolve reference "${reference}": not found`);
  if (status === 401 || status === 403)
    return new RuntimeError(
      status === 401 ? 'Unauthenticated' : 'PermissionDenied',
      `pull access denied, repository does not exist or may require authorization: ${reference}: unexpected status ${status}`,
    );
  return new RuntimeError(
    'Unavailable',
    `unexpected status from GET request to ${url.origin}${url.pathname}: ${status} ${response.statusMessage}`,
  );
}

async function readAll(response: IncomingMessage, bytesMax: number, what: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > bytesMax) {
      response.destroy();
      throw new RuntimeError('ResourceExhausted', `the registry's ${what} is larger than ${bytesMax} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
