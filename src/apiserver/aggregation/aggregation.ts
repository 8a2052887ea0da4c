import type { Clock } from '#base/clock.ts';
import { Lifetime } from '#base/lifetime.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import type { APIServiceSpec } from '#api/apiregistration/v1/api-service.ts';
import type { User } from '#auth/user.ts';
import type { Client } from '#client/client.ts';
import type { ApiRequest, ApiResponse } from '#client/transport.ts';
import type { WatchCache } from '../cache/watch-cache.ts';
import type { Ranking } from '../discovery/group-order.ts';
import type { HealthCheck } from '../health.ts';
import { postStartChecks } from '../post-start-hooks.ts';
import type { ApiMetrics } from '../metrics.ts';
import type { Registry } from '../registry.ts';
import type { Seed } from '../seed.ts';
import { ApiServices, type RemoteService } from './api-services.ts';
import { startAutoRegistration } from './auto-registration.ts';
import { startAvailability } from './availability.ts';
import { endpointsFrom } from './endpoints.ts';
import { availabilityMetrics } from './metrics.ts';
import { passOn } from './proxy.ts';
import { RemoteDocuments, type RemoteApi } from './remote-documents.ts';
import { openRemotes, type ProxyClient } from './remote.ts';

export interface AggregationOptions {
  /** What proves to extension API servers that the front proxy asks; asked at every request, so that it may be renewed. */
  readonly certificate: () => ProxyClient | undefined;
  /** Group versions of add-ons in this process, which somebody may have another server answer for. */
  readonly addOns?: readonly APIServiceSpec[];
}

/** Other servers answer for some group versions, as APIService objects say. */
export interface Aggregation extends Ranking {
  /** Who answers for a path, when that is another server. */
  remoteOf(path: string): RemoteService | undefined;
  passOn(remote: RemoteService, request: ApiRequest, user: User): Promise<ApiResponse>;
  passOnFor(api: RemoteApi, request: ApiRequest, user: User): Promise<ApiResponse>;
  /** Calls back when groups may stand in another order, or hold something else. */
  onChange(listener: () => void): void;
  /** Calls back when another server describes itself differently. */
  onDocuments(listener: () => void): void;
  /** Begins to write: objects for what is served here, conditions for all. */
  start(client: Client, seed: Seed): void;
  readonly healthChecks: readonly HealthCheck[];
}

export function openAggregation(
  options: AggregationOptions,
  parts: {
    readonly registry: Registry;
    readonly cache: WatchCache;
    readonly metrics: ApiMetrics;
    readonly clock: Clock;
    readonly random: Random;
    readonly log: Log;
  },
): Aggregation & AsyncDisposable {
  const { registry, cache, clock, random } = parts;
  const log = parts.log.child('aggregator');
  const lifetime = new Lifetime();
  const apiServices = lifetime.own(new ApiServices(registry, cache));
  const endpoints = endpointsFrom(registry, random);
  const remotes = lifetime.own(openRemotes(options.certificate, clock));
  const documents = lifetime.own(
    new RemoteDocuments({
      apiServices,
      endpoints,
      remotes,
      clock,
      onError: (name, error) => log.debug('cannot read the documents of an API service', { name, error }),
    }),
  );
  let isComplete = () => false;
  return {
    remoteOf: path => apiServices.remoteOf(path),
    passOn: (remote, request, user) => passOn(remote, request, user, { endpoints, remotes }),
    async passOnFor({ group, version }, request, user) {
      const remote = apiServices.remote(group, version);
      if (!remote) throw new Error(`cannot pass a request on to ${version}.${group}: its API service has gone`);
      return passOn(remote, request, user, { endpoints, remotes });
    },
    get remotes() {
      return [...documents.apis.values()];
    },
    priorityOf: (group, version) => apiServices.priorityOf(group, version),
    onChange(listener) {
      documents.onChange(listener);
      apiServices.onChange(listener);
    },
    onDocuments: listener => documents.onChange(listener),
    start(client, seed) {
      const { addOns = [] } = options;
      const registration = startAutoRegistration({ client, seed, registry, cache, apiServices, addOns, clock, log });
      lifetime.own(registration);
      isComplete = () => registration.isComplete;
      const metrics = availabilityMetrics(parts.metrics.registry);
      lifetime.own(
        startAvailability({ client, registry, cache, apiServices, endpoints, remotes, metrics, clock, log }),
      );
    },
    healthChecks: [
      ...postStartChecks('aggregation', () => isComplete()),
      { name: 'autoregister-completion', in: ['healthz', 'livez', 'readyz'], check: () => isComplete() },
    ],
    [Symbol.asyncDispose]: () => lifetime[Symbol.asyncDispose](),
  };
}
