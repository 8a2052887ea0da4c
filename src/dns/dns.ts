import { Registry } from 'prom-client';
import type { Clock } from '#base/clock.ts';
import { Lifetime } from '#base/lifetime.ts';
import type { Log } from '#base/log.ts';
import { systemRandom, type Random } from '#base/random.ts';
import type { ConfigMap } from '#api/core/v1/config-map.ts';
import type { Informer } from '#client/informer.ts';
import type { Informers } from '#client/informers.ts';
import { corefileConfigMap } from './corefile-config-map.ts';
import { readConfiguration, routeByZone, type Configuration } from './configuration.ts';
import { DnsMetrics } from './dns-metrics.ts';
import { HttpEndpoints, type HttpRoutes } from './http-endpoints.ts';
import type { DnsContext, Handler, Upstream } from './plugin.ts';
import { readUpstreams } from './resolv-conf.ts';
import { DnsServer } from './server.ts';

export interface DnsOptions {
  readonly informers: Informers;
  /** Where to listen: the node's address on the pod network. */
  readonly address: string;
  readonly port: number;
  /** `cluster.local` */
  readonly clusterDomain: string;
  /** What `/etc/resolv.conf` means. Absent: the node's. Empty: names outside the cluster are refused. */
  readonly upstreams?: readonly Upstream[];
  readonly ttlSeconds?: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly random?: Random;
  readonly registry?: Registry;
  readonly logQueries?: boolean;
  /** For `/health`, `/ready` and `/metrics` by HTTP, unless a Corefile says otherwise. Absent: none. */
  readonly healthPort?: number;
  readonly metricsPort?: number;
  /** Its object called `coredns` has the Corefile, when there is one. */
  readonly configMaps?: Informer<ConfigMap>;
}

export interface Dns extends AsyncDisposable {
  readonly port: number;
  /** All services are known; until then cluster names are SERVFAIL. */
  readonly ready: Promise<void>;
}

/** Upstream's default. */
const ttlSecondsDefault = 5;

/** What is served where nobody has written a Corefile. */
export function defaultCorefile(
  options: Pick<DnsOptions, 'clusterDomain' | 'ttlSeconds' | 'healthPort' | 'metricsPort' | 'logQueries'>,
): string {
  const { clusterDomain, ttlSeconds = ttlSecondsDefault, healthPort, metricsPort = 0, logQueries = false } = options;
  return [
    '.:53 {',
    '    errors',
    ...(logQueries ? ['    log'] : []),
    ...(healthPort === undefined ? [] : [`    health :${healthPort}`, `    ready :${healthPort}`]),
    `    kubernetes ${clusterDomain} in-addr.arpa ip6.arpa {`,
    '        pods insecure',
    '        fallthrough in-addr.arpa ip6.arpa',
    `        ttl ${ttlSeconds}`,
    '    }',
    `    prometheus :${metricsPort}`,
    '    forward . /etc/resolv.conf {',
    '        max_concurrent 1000',
    '        policy sequential',
    '    }',
    '    cache 30 {',
    '        servfail 2s',
    '    }',
    '    loop',
    '    reload',
    '    loadbalance',
    '}',
    '',
  ].join('\n');
}

/** Serves the cluster's names and forwards the rest. Resolves when it listens. */
export async function startDns(options: DnsOptions): Promise<Dns> {
  const { address, port } = options;
  const serving = new Serving(options);
  try {
    const { synced } = await serving.start();
    return {
      port: serving.port,
      ready: synced,
      [Symbol.asyncDispose]: () => serving[Symbol.asyncDispose](),
    };
  } catch (error) {
    await serving[Symbol.asyncDispose]();
    throw new Error(`cannot serve DNS at ${address}:${port}`, { cause: error });
  }
}

const ownPort = 53;

/** The listeners, and the configuration behind them, which may be replaced. */
class Serving implements AsyncDisposable {
  readonly #options: DnsOptions;
  readonly #servers = new Map<number, DnsServer>();
  readonly #http: HttpEndpoints;
  #metrics: DnsMetrics | undefined;
  #current:
    | { readonly configuration: Configuration; readonly lifetime: Lifetime; readonly isDefault: boolean }
    | undefined;
  #unsubscribe = () => {};
  /** One configuration after the other. */
  #applying: Promise<void> = Promise.resolve();
  #ended = false;
  #seen: string | undefined;

  constructor(options: DnsOptions) {
    this.#options = options;
    this.#http = new HttpEndpoints(options.log);
  }

  get port(): number {
    return this.#servers.get(ownPort)?.port ?? 0;
  }

  /** With our own Corefile; another one takes its place when it is heard of. */
  async start(): Promise<{ readonly synced: Promise<void> }> {
    const { configMaps } = this.#options;
    const { synced } = await this.#apply(undefined);
    if (configMaps) {
      const heard = (object: ConfigMap, gone: boolean) => {
        const { metadata } = object;
        if (metadata.name !== corefileConfigMap.name || metadata.namespace !== corefileConfigMap.namespace) return;
        this.#follow(gone ? undefined : object.data);
      };
      this.#unsubscribe = configMaps.subscribe({
        added: object => heard(object, false),
        updated: object => heard(object, false),
        deleted: object => heard(object, true),
      });
    }
    return { synced };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    this.#unsubscribe();
    await this.#applying;
    await Promise.all([...this.#servers.values()].map(server => server[Symbol.asyncDispose]()));
    await this.#http[Symbol.asyncDispose]();
    await this.#current?.lifetime[Symbol.asyncDispose]();
  }

  #follow(data: Readonly<Record<string, string>> | undefined): void {
    const { log } = this.#options;
    const wanted = data?.[corefileConfigMap.key] === undefined ? undefined : new Map(Object.entries(data));
    const text = JSON.stringify(wanted && [...wanted]);
    if (text === this.#seen) return;
    this.#seen = text;
    this.#applying = this.#applying.then(async () => {
      if (this.#ended) return;
      if (this.#current && !this.#current.isDefault && !this.#current.configuration.reloads) {
        log.info('the Corefile has changed; without the plugin reload it holds from the next start on');
        return;
      }
      try {
        await this.#apply(wanted);
        log.info('a Corefile is served', { own: wanted === undefined });
      } catch (error) {
        if (this.#metrics) this.#metrics.reloadsFailed++;
        log.error('the Corefile cannot be served: the one before stays', { error });
      }
    });
  }

  /** Resolves when it is served; `synced` when all is known. A failure leaves what was. */
  async #apply(data: ReadonlyMap<string, string> | undefined): Promise<{ readonly synced: Promise<void> }> {
    const { informers, clock, log, random = systemRandom, registry, address } = this.#options;
    const configuration = await readConfiguration({
      corefile: data?.get(corefileConfigMap.key) ?? defaultCorefile(this.#options),
      files: data ?? new Map(),
      nodeUpstreams: this.#options.upstreams ?? readUpstreams([address]),
    });
    if (configuration.counts) this.#metrics ??= new DnsMetrics(registry ?? new Registry());
    const lifetime = new Lifetime();
    const http: HttpRoutes = new Map();
    const readiness = new Map<string, () => boolean>();
    const synced: Promise<void>[] = [];
    const ports = new Map<number, (readonly [readonly string[], Handler])[]>();
    const opened: number[] = [];
    try {
      for (const { port, zones, clusterZones, counts, build } of configuration.servers) {
        const metrics = counts ? this.#metrics : undefined;
        const shared = { informers, clock, random, log, address, http, readiness, synced, lifetime, clusterZones };
        const handler = build({ ...shared, metrics } satisfies DnsContext);
        ports.set(port, [...(ports.get(port) ?? []), [zones, handler]]);
      }
      // The server's own port is open whether it serves a zone or not.
      if (!ports.has(ownPort)) ports.set(ownPort, []);
      for (const [port, servers] of ports) {
        if (this.#servers.has(port)) continue;
        const listensAt = port === ownPort ? this.#options.port : port;
        const handler = routeByZone(servers);
        const server = new DnsServer({ address, port: listensAt, handler, clock, log });
        this.#servers.set(port, server);
        opened.push(port);
        await server.listen();
      }
    } catch (error) {
      for (const port of opened) await this.#close(port);
      await lifetime[Symbol.asyncDispose]();
      throw error;
    }
    for (const [port, servers] of ports) this.#servers.get(port)?.serve(routeByZone(servers));
    for (const port of this.#servers.keys()) if (!ports.has(port)) await this.#close(port);
    this.#http.serve(http);
    const before = this.#current;
    this.#current = { configuration, lifetime, isDefault: data === undefined };
    await before?.lifetime[Symbol.asyncDispose]();
    const all = Promise.all(synced).then(() => undefined);
    // Whoever does not wait learns it from the answers.
    all.catch(() => undefined);
    return { synced: all };
  }

  async #close(port: number): Promise<void> {
    const server = this.#servers.get(port);
    this.#servers.delete(port);
    await server?.[Symbol.asyncDispose]();
  }
}
