import { readFileSync } from 'node:fs';
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent, request } from 'node:https';
import type { Clock } from '#base/clock.ts';
import { readKubeconfig } from '#client/kubeconfig.ts';

/** Another program that the API server asks: an issuer of tokens, a webhook. */
export interface Endpoint {
  readonly url: string;
  readonly caPem?: string | undefined;
  readonly certPem?: string | undefined;
  readonly keyPem?: string | undefined;
  readonly token?: string | undefined;
  /** Read at every request, because tokens are rotated. */
  readonly tokenFile?: string | undefined;
  readonly tlsServerName?: string | undefined;
  readonly insecureSkipTlsVerify?: boolean | undefined;
}

export interface Answered {
  readonly code: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
}

/** Keeps connections to one endpoint. Redirects are not followed: who is trusted is the one that was named. */
export interface Outgoing extends Disposable {
  get(url: string, headers?: Readonly<Record<string, string>>): Promise<Answered>;
  /** To the endpoint's own URL, as JSON. */
  post(body: string): Promise<Answered>;
}

/** Answers of reviews and key sets are small. */
const usualAnswerBytesMax = 1024 * 1024;

export function outgoingTo(
  endpoint: Endpoint,
  options: {
    readonly clock: Clock;
    readonly timeoutMs: number;
    readonly signal: AbortSignal;
    readonly answerBytesMax?: number;
  },
): Outgoing {
  const secure = new Agent({
    keepAlive: true,
    maxFreeSockets: 8,
    ...(endpoint.caPem !== undefined && { ca: endpoint.caPem }),
    ...(endpoint.certPem !== undefined && { cert: endpoint.certPem }),
    ...(endpoint.keyPem !== undefined && { key: endpoint.keyPem }),
    ...(endpoint.tlsServerName !== undefined && { servername: endpoint.tlsServerName }),
    ...(endpoint.insecureSkipTlsVerify && { rejectUnauthorized: false }),
  });
  const plain = new HttpAgent({ keepAlive: true, maxFreeSockets: 8 });
  const { answerBytesMax = usualAnswerBytesMax } = options;
  const send = (method: string, address: string, headers: Record<string, string>, body: string | undefined) => {
    const url = new URL(address);
    const { clock, timeoutMs, signal } = options;
    const late = new AbortController();
    const cancel = clock.after(timeoutMs, () => late.abort(new Error('context deadline exceeded')));
    const answered = new Promise<Answered>((resolve, reject) => {
      const failed = (cause: Error) =>
        reject(
          new Error(
            `${method} ${JSON.stringify(url.href)}: ${(late.signal.aborted ? (late.signal.reason as Error) : cause).message}`,
            { cause },
          ),
        );
      const wanted = { method, headers, signal: AbortSignal.any([signal, late.signal]) };
      const take = (response: import('node:http').IncomingMessage) => {
        const chunks: Uint8Array[] = [];
        let length = 0;
        response.on('data', (chunk: Uint8Array) => {
          length += chunk.length;
          if (length > answerBytesMax) response.destroy(new Error(`the answer is larger than ${answerBytesMax} bytes`));
          else chunks.push(chunk);
        });
        response.once('error', failed);
        response.once('end', () =>
          resolve({
            code: response.statusCode ?? 0,
            headers: response.headers,
            text: Buffer.concat(chunks).toString(),
          }),
        );
      };
      const outgoing =
        url.protocol === 'https:'
          ? request(url, { ...wanted, agent: secure }, take)
          : httpRequest(url, { ...wanted, agent: plain }, take);
      outgoing.once('error', failed);
      outgoing.end(body);
    });
    return answered.finally(cancel);
  };
  return {
    get: (url, headers = {}) => send('GET', url, { accept: 'application/json', ...headers }, undefined),
    post(body) {
      const token = endpoint.tokenFile === undefined ? endpoint.token : readFileSync(endpoint.tokenFile, 'utf8').trim();
      const headers = {
        accept: 'application/json',
        'content-type': 'application/json',
        'content-length': String(Buffer.byteLength(body)),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      };
      return send('POST', endpoint.url, headers, body);
    },
    [Symbol.dispose]() {
      secure.destroy();
      plain.destroy();
    },
  };
}

/** Where a webhook is, by a kubeconfig file: its cluster is the webhook, its user the API server. */
export async function endpointFromKubeconfig(file: string): Promise<Endpoint> {
  const { connection } = await readKubeconfig(file);
  const { server, caPem, certPem, keyPem, token, tokenFile, tlsServerName, insecureSkipTlsVerify } = connection;
  return { url: server, caPem, certPem, keyPem, token, tokenFile, tlsServerName, insecureSkipTlsVerify };
}

/** How often a webhook is asked before it counts as failed, and the pauses between: upstream's. */
const attemptsMax = 5;
const firstPauseMs = 500;
const pauseFactor = 1.5;

/** Asks again where the fault may pass: no connection, 5xx that says so, too many requests. */
export async function postWithRetries(
  outgoing: Outgoing,
  body: string,
  clock: Clock,
  signal: AbortSignal,
  initialPauseMs = firstPauseMs,
) {
  for (let attempt = 1, pauseMs = initialPauseMs; ; attempt++, pauseMs *= pauseFactor) {
    let answer: Answered | undefined;
    let failure: unknown;
    try {
      answer = await outgoing.post(body);
    } catch (error) {
      failure = error;
    }
    if (answer && answer.code >= 200 && answer.code < 300) return answer;
    const error =
      failure ??
      new Error(`the server responded with the status code ${answer?.code} but did not return more information`);
    const mayPass = answer
      ? answer.code === 429 || answer.code === 500 || answer.headers['retry-after'] !== undefined
      : isLost(failure);
    if (!mayPass || attempt === attemptsMax) throw error;
    await clock.sleep(pauseMs, signal);
  }
}

/** A connection that broke, as against a webhook that is too slow or not to be trusted. */
function isLost(failure: unknown): boolean {
  const code = ((failure as Error).cause as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ECONNRESET' || code === 'ECONNREFUSED' || code === 'EPIPE';
}
