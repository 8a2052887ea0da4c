import { readFileSync } from 'node:fs';
import { Agent, request, type RequestOptions } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { load } from 'js-yaml';
import { type Answer, type Api, NotSentError, RefusedError } from './workload.ts';

/** An API server as its kubeconfig says. One attempt a request: what came of it is not guessed. */
export function httpsApi(kubeconfig: string): Api {
  const { clusters, users } = load(readFileSync(kubeconfig, 'utf8')) as {
    clusters: { cluster: { server: string; 'certificate-authority-data': string } }[];
    users: { user: { 'client-certificate-data': string; 'client-key-data': string } }[];
  };
  const cluster = clusters[0]?.cluster;
  const user = users[0]?.user;
  if (!cluster || !user) throw new Error(`cannot read ${kubeconfig}: it names no cluster or user`);
  const pem = (data: string) => Buffer.from(data, 'base64').toString();
  const agent = new Agent({
    keepAlive: true,
    ca: pem(cluster['certificate-authority-data']),
    cert: pem(user['client-certificate-data']),
    key: pem(user['client-key-data']),
  });
  const open = (path: string, options: RequestOptions, body?: string, signal?: AbortSignal) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const asked = request(`${cluster.server}${path}`, { ...options, agent, ...(signal && { signal }) }, resolve);
      asked.on('error', (error: NodeJS.ErrnoException) =>
        reject(error.code === 'ECONNREFUSED' ? new NotSentError(error.message) : error),
      );
      asked.setTimeout(requestMsMax, () => {
        if (!signal) asked.destroy(new Error('no answer'));
      });
      asked.end(body);
    });
  return {
    async send(method, path, body): Promise<Answer> {
      const text = body === undefined ? undefined : JSON.stringify(body);
      // Node does not say by itself how long the body of a DELETE is.
      const headers = {
        'content-type': 'application/json',
        ...(text !== undefined && { 'content-length': Buffer.byteLength(text) }),
      };
      const response = await open(path, { method, headers }, text);
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      return { code: response.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString()) };
    },
    async watch(path, onEvent, signal) {
      const response = await open(path, { method: 'GET' }, undefined, signal);
      if (response.statusCode !== 200) {
        response.resume();
        throw new RefusedError(response.statusCode ?? 0);
      }
      // A line that a kill has cut was never told.
      for await (const line of createInterface({ input: response }))
        if (line.endsWith('}')) onEvent(JSON.parse(line) as Parameters<typeof onEvent>[0]);
    },
  };
}

const requestMsMax = 15_000;
