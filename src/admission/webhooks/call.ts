import { Agent, request } from 'node:https';
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Clock } from '#base/clock.ts';
import { traceHeaders } from '#base/trace.ts';
import type { WebhookTarget } from './endpoint.ts';

/** Sends a review and resolves with the text of the answer. Throws CallError for anything but success. */
export interface WebhookCaller extends Disposable {
  post(
    target: WebhookTarget,
    body: string,
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<string>;
}

/** A webhook gave no answer that can be used; with the code that stands for it in metrics. */
export class CallError extends Error {
  readonly code: number;

  constructor(message: string, code: number, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** How the API server proves to a webhook who it is: from the kubeconfig of the admission configuration. */
export interface WebhookCredentials {
  readonly certPem?: string;
  readonly keyPem?: string;
  readonly authorization?: string;
}

/** By the host that is called, with its port unless that is 443. */
export type CredentialsFor = (host: string) => WebhookCredentials | undefined;

/** Larger answers are refused; a patch of the largest object fits. */
const answerBytesMax = 8 * 1024 * 1024;

/** Over HTTPS, with connections kept; redirects are not followed. */
export function httpsWebhookCaller(clock: Clock, credentialsFor: CredentialsFor = () => undefined): WebhookCaller {
  const agent = new Agent({ keepAlive: true, maxFreeSockets: 8 });
  const open = (url: URL, target: WebhookTarget, body: string, signal: AbortSignal): ClientRequest => {
    const { certPem, keyPem, authorization } = credentialsFor(url.host) ?? {};
    const outgoing = request({
      method: 'POST',
      host: target.address ?? url.hostname.replace(/^\[|\]$/g, ''),
      port: target.port,
      path: `${url.pathname}${url.search}`,
      headers: {
        host: url.host,
        'content-type': 'application/json',
        accept: 'application/json, */*',
        'user-agent': 'kube-apiserver-admission',
        'content-length': Buffer.byteLength(body),
        ...(authorization !== undefined && { authorization }),
        ...traceHeaders(),
      },
      servername: url.hostname,
      agent,
      signal,
      ...(target.caPem !== undefined && { ca: target.caPem }),
      ...(certPem !== undefined && { cert: certPem }),
      ...(keyPem !== undefined && { key: keyPem }),
    });
    outgoing.end(body);
    return outgoing;
  };
  return {
    async post(target, body, { timeoutMs, signal }) {
      const url = new URL(target.url);
      url.searchParams.set('timeout', `${timeoutMs / 1000}s`);
      const late = new AbortController();
      const cancel = clock.after(timeoutMs, () => late.abort(new Error('context deadline exceeded')));
      try {
        const either = AbortSignal.any([signal, late.signal]);
        const response = await answerOf(() => open(url, target, body, either));
        const text = await textOf(response);
        const { statusCode = 502 } = response;
        if (statusCode >= 200 && statusCode <= 206) return text;
        throw new CallError(`failed to call webhook: ${unexpected(response, text)}`, statusCode);
      } catch (cause) {
        if (cause instanceof CallError) throw cause;
        const { message } = late.signal.aborted ? (late.signal.reason as Error) : (cause as Error);
        throw new CallError(`failed to call webhook: Post ${JSON.stringify(url.href)}: ${message}`, 503, { cause });
      } finally {
        cancel();
      }
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}

/** The head of the answer. A kept connection that the other side has just closed is no failure of the webhook. */
async function answerOf(open: () => ClientRequest): Promise<IncomingMessage> {
  let outgoing = open();
  try {
    return await headOf(outgoing);
  } catch (error) {
    if (!outgoing.reusedSocket || (error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
    outgoing = open();
    return headOf(outgoing);
  }
}

function headOf(outgoing: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    outgoing.once('response', resolve);
    outgoing.on('error', reject);
  });
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > answerBytesMax) {
      response.destroy();
      throw new Error(`the answer is larger than ${answerBytesMax} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** What upstream's client makes of an answer that is none. */
function unexpected({ statusCode = 502, headers }: IncomingMessage, text: string): string {
  const said = statusMessage(text);
  if (said !== undefined) return said;
  const known = generic[statusCode];
  if (known !== undefined) return known;
  const isText = /^text\/|json/.test(headers['content-type'] ?? 'text/plain');
  const body = isText ? text.trim() : 'unknown';
  if (statusCode === 403) return body;
  if (statusCode >= 500)
    return `an error on the server (${JSON.stringify(body)}) has prevented the request from succeeding`;
  return `the server responded with the status code ${statusCode} but did not return more information`;
}

const generic: Readonly<Record<number, string>> = {
  401: 'the server has asked for the client to provide credentials',
  404: 'the server could not find the requested resource',
  405: 'the server does not allow this method on the requested resource',
  409: 'the server reported a conflict',
  422: 'the server rejected our request due to an error in our request',
  429: 'the server has received too many requests and has asked us to try again later',
  503: 'the server is currently unable to handle the request',
  504: 'the server was unable to return a response in the time allotted, but may still be processing the request',
};

function statusMessage(text: string): string | undefined {
  try {
    const value = JSON.parse(text) as { readonly kind?: unknown; readonly message?: unknown } | null;
    return value?.kind === 'Status' && typeof value.message === 'string' ? value.message : undefined;
  } catch {
    // Most servers answer with plain text.
    return undefined;
  }
}
