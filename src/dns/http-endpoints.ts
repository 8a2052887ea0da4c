import { createServer, type Server } from 'node:http';
import type { Log } from '#base/log.ts';

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  readonly contentType?: string;
}

/** `host:port` → path → what is said there. */
export type HttpRoutes = Map<string, Map<string, () => HttpAnswer | Promise<HttpAnswer>>>;

/** `:8080` is at the server's own address; `:0` is nowhere. */
export function addRoute(
  routes: HttpRoutes,
  place: { readonly host: string; readonly port: number },
  path: string,
  answer: () => HttpAnswer | Promise<HttpAnswer>,
): void {
  if (place.port === 0) return;
  const key = `${place.host} ${place.port}`;
  const paths = routes.get(key) ?? new Map<string, () => HttpAnswer | Promise<HttpAnswer>>();
  paths.set(path, answer);
  routes.set(key, paths);
}

/** The HTTP listeners of DNS. They outlive configurations that agree on them: a reload refuses no probe. */
export class HttpEndpoints implements AsyncDisposable {
  readonly #log: Log;
  readonly #servers = new Map<string, Server>();
  #routes: HttpRoutes = new Map();

  constructor(log: Log) {
    this.#log = log;
  }

  serve(routes: HttpRoutes): void {
    this.#routes = routes;
    for (const [key, server] of this.#servers) if (!routes.has(key)) this.#end(key, server);
    for (const key of routes.keys()) if (!this.#servers.has(key)) this.#open(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#routes = new Map();
    for (const [key, server] of this.#servers) this.#end(key, server);
  }

  #open(key: string): void {
    const [host = '', port = ''] = key.split(' ');
    const server = createServer((request, response) => {
      const path = (request.url ?? '').split('?')[0] ?? '';
      const answer = this.#routes.get(key)?.get(path)?.() ?? { status: 404, body: '' };
      Promise.resolve(answer).then(
        ({ status, body, contentType = 'text/plain; charset=utf-8' }) =>
          response.writeHead(status, { 'Content-Type': contentType }).end(body),
        (error: unknown) => {
          this.#log.warn('cannot answer by HTTP', { path, error });
          response.writeHead(500).end();
        },
      );
    });
    server.on('error', error => {
      this.#log.error('cannot serve the health or metrics of DNS', { host, port, error });
      if (this.#servers.get(key) === server) this.#servers.delete(key);
    });
    server.listen(Number(port), host);
    this.#servers.set(key, server);
  }

  #end(key: string, server: Server): void {
    this.#servers.delete(key);
    server.close();
    server.closeAllConnections();
  }
}
