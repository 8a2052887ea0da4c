import { Agent, request as httpsRequest } from 'node:https';
import type { HttpsClientOptions } from '#client/https.ts';

export interface Exchange {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface RawAnswer {
  readonly code: number;
  /** Names in lower case, a header that comes more than once in several entries. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly text: string;
}

/** An answer to a request that is JSON: its body as a value. */
export interface Answer {
  readonly code: number;
  readonly warnings: readonly string[];
  readonly body: Readonly<Record<string, unknown>>;
}

/** One of the two servers that are compared. */
export class Server {
  readonly #connection: HttpsClientOptions;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 16 });

  constructor(connection: HttpsClientOptions) {
    this.#connection = connection;
  }

  /** An answer with code 0 is none: its text says why. */
  exchange({ method, path, headers, body }: Exchange): Promise<RawAnswer> {
    const { server, caPem, certPem, keyPem, token, insecureSkipTlsVerify } = this.#connection;
    const options = {
      method,
      agent: this.#agent,
      ca: caPem,
      // Who says who they are in a header has no certificate.
      ...(headers?.['authorization'] === undefined && { cert: certPem, key: keyPem }),
      rejectUnauthorized: !insecureSkipTlsVerify,
      headers: {
        'user-agent': 'compare',
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        // Node sends none of its own with DELETE.
        ...(body !== undefined && { 'content-length': String(Buffer.byteLength(body)) }),
        ...headers,
      },
    };
    return new Promise(resolve => {
      const failed = (error: Error) => resolve({ code: 0, headers: [], text: String(error) });
      const call = httpsRequest(new URL(path, server), options, response => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', failed);
        response.on('end', () =>
          resolve({
            code: response.statusCode ?? 0,
            headers: pairsOf(response.rawHeaders),
            text: Buffer.concat(chunks).toString(),
          }),
        );
      });
      call.setTimeout(30_000, () => call.destroy(new Error('no answer')));
      call.on('error', failed);
      call.end(body);
    });
  }

  async send(method: string, path: string, body?: unknown): Promise<Answer> {
    const { code, headers, text } = await this.exchange({
      method,
      path,
      headers: { 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const warnings = headers.filter(([name]) => name === 'warning').map(([, value]) => value);
    return { code, warnings, body: parsed(text) };
  }

  close(): void {
    this.#agent.destroy();
  }
}

function pairsOf(raw: readonly string[]): RawAnswer['headers'] {
  const pairs: [string, string][] = [];
  for (let at = 0; at < raw.length; at += 2) pairs.push([(raw[at] ?? '').toLowerCase(), raw[at + 1] ?? '']);
  return pairs;
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch {
    return { message: text.slice(0, 300) };
  }
}
