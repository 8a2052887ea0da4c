import { createServer, type Server } from 'node:http';
import type { Log } from '#base/log.ts';
import type { HealthCheck } from './decide.ts';

const requestTimeoutMs = 5_000;
const connectionsMax = 100;

/** Servers on the health check ports of services: 200 when this node has endpoints of the service, otherwise 503. */
export class HealthChecks implements AsyncDisposable {
  readonly #log: Log;
  /** By `namespace/name`. */
  readonly #open = new Map<string, { readonly server: Server; check: HealthCheck }>();

  constructor(log: Log) {
    this.#log = log;
  }

  set(serviceKey: string, check: HealthCheck | undefined): void {
    const open = this.#open.get(serviceKey);
    if (open && check && open.check.port === check.port) {
      open.check = check;
      return;
    }
    if (open) {
      this.#open.delete(serviceKey);
      open.server.close();
      open.server.closeAllConnections();
    }
    if (check) this.#open.set(serviceKey, { server: this.#serve(serviceKey, check), check });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const key of this.#open.keys()) this.set(key, undefined);
  }

  #serve(serviceKey: string, { port }: HealthCheck): Server {
    const server = createServer({ requestTimeout: requestTimeoutMs }, (_, response) => {
      const check = this.#open.get(serviceKey)?.check;
      const localEndpoints = check?.localEndpoints ?? 0;
      response.writeHead(localEndpoints > 0 ? 200 : 503, {
        'Content-Type': 'application/json',
        'X-Content-Type-Options': 'nosniff',
        'X-Load-Balancing-Endpoint-Weight': String(localEndpoints),
      });
      const service = { namespace: check?.namespace, name: check?.name };
      response.end(`${JSON.stringify({ service, localEndpoints, serviceProxyHealthy: true }, null, '\t')}\n`);
    });
    server.maxConnections = connectionsMax;
    server.on('error', error =>
      this.#log.error('cannot serve the health check of a service', { service: serviceKey, port, error }),
    );
    server.listen(port);
    server.unref();
    return server;
  }
}
