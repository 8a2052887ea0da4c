import { Agent, request } from 'node:https';
import type { Clock } from '#base/clock.ts';
import type { WebhookTarget } from './endpoint.ts';

/** Sends a review and resolves with the text of the answer. Throws an Error for anything but 200. */
export interface WebhookCaller extends Disposable {
  post(
    target: WebhookTarget,
    body: string,
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<string>;
}

/** Larger answers are refused; a patch of the largest object fits. */
const answerBytesMax = 8 * 1024 * 1024;

/** Over HTTPS, with connections kept; redirects are not followed. */
export function httpsWebhookCaller(clock: Clock): WebhookCaller {
  const agent = new Agent({ keepAlive: true, maxFreeSockets: 8 });
  return {
    post(target, body, { timeoutMs, signal }) {
      const url = new URL(target.url);
      url.searchParams.set('timeout', `${timeoutMs / 1000}s`);
      const late = new AbortController();
      const cancel = clock.after(timeoutMs, () => late.abort(new Error('context deadline exceeded')));
      const answered = new Promise<string>((resolve, reject) => {
        const failed = (cause: Error) =>
          reject(new Error(`failed to call webhook: Post ${JSON.stringify(url.href)}: ${cause.message}`, { cause }));
        const outgoing = request(
          {
            method: 'POST',
            host: target.address ?? url.hostname,
            port: target.port,
            path: `${url.pathname}${url.search}`,
            headers: {
              host: url.host,
              'content-type': 'application/json',
              accept: 'application/json',
              'content-length': Buffer.byteLength(body),
            },
            servername: url.hostname,
            agent,
            signal: AbortSignal.any([signal, late.signal]),
            ...(target.caPem !== undefined && { ca: target.caPem }),
          },
          response => {
            const chunks: Uint8Array[] = [];
            let length = 0;
            response.on('data', (chunk: Uint8Array) => {
              length += chunk.length;
              if (length > answerBytesMax)
                response.destroy(new Error(`the answer is larger than ${answerBytesMax} bytes`));
              else chunks.push(chunk);
            });
            response.once('error', failed);
            response.once('end', () => {
              const text = Buffer.concat(chunks).toString();
              if (response.statusCode === 200) resolve(text);
              else
                reject(
                  new Error(
                    `failed to call webhook: the server responded with the status code ${response.statusCode} but did not return more information`,
                  ),
                );
            });
          },
        );
        outgoing.once('error', cause => failed(late.signal.aborted ? (late.signal.reason as Error) : cause));
        outgoing.end(body);
      });
      return answered.finally(cancel);
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}
