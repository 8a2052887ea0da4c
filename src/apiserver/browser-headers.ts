import type { ApiRequest, ApiResponse } from '#client/transport.ts';

export interface BrowserOptions {
  /** Regular expressions of origins whose pages may use the API. */
  readonly allowedOrigins: readonly RegExp[];
  /** `max-age=31536000`, `includeSubDomains`, `preload`: that browsers come back by HTTPS alone. */
  readonly strictTransportSecurity: readonly string[];
}

type Headers = Record<string, string | readonly string[]>;

const allowedMethods = 'POST, GET, OPTIONS, PUT, DELETE, PATCH';
const allowedHeaders =
  'Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, X-Requested-With, If-Modified-Since';

/** What browsers are told beside the answer: who may read it (CORS), and by which way they come. */
export class BrowserHeaders {
  readonly #options: BrowserOptions;

  constructor(options: BrowserOptions) {
    this.#options = options;
  }

  /** The answer to a browser that asks before it asks: nobody needs to be authenticated for it. */
  preflight(request: ApiRequest): ApiResponse | undefined {
    if (request.method !== 'OPTIONS' || this.#originOf(request) === undefined) return undefined;
    return { kind: 'bytes', code: 204, headers: {}, bytes: [] };
  }

  add(request: ApiRequest, headers: Headers): void {
    const { strictTransportSecurity } = this.#options;
    if (strictTransportSecurity.length > 0) headers['strict-transport-security'] = strictTransportSecurity.join('; ');
    const origin = this.#originOf(request);
    if (origin === undefined) return;
    headers['access-control-allow-origin'] = origin;
    headers['access-control-allow-methods'] = allowedMethods;
    headers['access-control-allow-headers'] = allowedHeaders;
    headers['access-control-expose-headers'] = 'Date';
    headers['access-control-allow-credentials'] = 'true';
  }

  #originOf({ headers }: ApiRequest): string | undefined {
    const origin = headers['origin'];
    if (typeof origin !== 'string' || origin === '') return undefined;
    return this.#options.allowedOrigins.some(each => each.test(origin)) ? origin : undefined;
  }
}
