import type { Registry } from 'prom-client';
import type { Clock } from '#base/clock.ts';
import { Lifetime } from '#base/lifetime.ts';
import type { Log } from '#base/log.ts';
import { systemRandom, type Random } from '#base/random.ts';
import type { Informers } from '#client/informers.ts';
import { buildChain } from './chain.ts';
import { failure, responseCode } from './message.ts';
import type { Upstream } from './plugin.ts';
import { ClusterRecords } from './records.ts';
import { readUpstreams } from './resolv-conf.ts';
import { DnsServer } from './server.ts';

export interface DnsOptions {
  readonly informers: Informers;
  /** Where to listen: the node's address on the pod network. */
  readonly address: string;
  readonly port: number;
  /** `cluster.local` */
  readonly clusterDomain: string;
  /** Absent: the node's resolv.conf. Empty: names outside the cluster are refused. */
  readonly upstreams?: readonly Upstream[];
  readonly ttlSeconds?: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly random?: Random;
  readonly registry?: Registry;
  readonly logQueries?: boolean;
  /** For `/health` and `/ready` by HTTP. Absent: none. */
  readonly healthPort?: number;
}

export interface Dns extends AsyncDisposable {
  readonly port: number;
  /** All services are known; until then cluster names are SERVFAIL. */
  readonly ready: Promise<void>;
}

/** Upstream's default. */
const ttlSecondsDefault = 5;

/** Serves the cluster's names and forwards the rest. Resolves when it listens. */
export async function startDns(options: DnsOptions): Promise<Dns> {
  const { informers, address, port, clusterDomain, clock, log, random = systemRandom } = options;
  const lifetime = new Lifetime();
  try {
    const records = lifetime.own(
      new ClusterRecords({
        informers,
        zone: clusterDomain.toLowerCase().replace(/\.$/, ''),
        ttlSeconds: options.ttlSeconds ?? ttlSecondsDefault,
        address,
      }),
    );
    // Whoever does not wait learns it from the answers.
    records.synced.catch(() => undefined);
    const handler = buildChain({
      records,
      upstreams: options.upstreams ?? readUpstreams([address]),
      clock,
      random,
      log,
      registry: options.registry,
      logQueries: options.logQueries ?? false,
      address,
      healthPort: options.healthPort,
      lifetime,
      refuse: () => failure(responseCode.REFUSED),
    });
    const server = lifetime.own(new DnsServer({ address, port, handler, clock, log }));
    await server.listen();
    return {
      port: server.port,
      ready: records.synced,
      [Symbol.asyncDispose]: () => lifetime[Symbol.asyncDispose](),
    };
  } catch (error) {
    await lifetime[Symbol.asyncDispose]();
    throw new Error(`cannot serve DNS at ${address}:${port}`, { cause: error });
  }
}
