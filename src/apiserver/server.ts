import type { Clock } from '#base/clock.ts';
import { Lifetime } from '#base/lifetime.ts';
import { limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import type { AdmissionPlugin } from '#admission/admission.ts';
import { httpsWebhookCaller } from '#admission/webhooks/call.ts';
import { targetOf } from '#admission/webhooks/endpoint.ts';
import { errors } from '#api/machinery/errors.ts';
import type { Kind } from '#api/machinery/kind.ts';
import type { Credentials } from '#auth/authentication/authenticator.ts';
import type { Audit } from '#auth/audit/open-audit.ts';
import { alwaysAllow } from '#auth/authorization/always-allow.ts';
import type { Authorizer } from '#auth/authorization/authorizer.ts';
import { loopbackAdmin, type User } from '#auth/user.ts';
import { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { kinds as allKinds } from '#api/kinds.ts';
import type { Client } from '#client/client.ts';
import { inProcessClient } from '#client/in-process.ts';
import type { ApiRequest, ApiResponse } from '#client/transport.ts';
import type { Storage } from '#storage/storage.ts';
import { WatchCache } from './cache/watch-cache.ts';
import { registerAuditMetrics } from './audit/audit-metrics.ts';
import { auditHook } from './audit/audit-step.ts';
import { BrowserHeaders, type BrowserOptions } from './browser-headers.ts';
import type { Foundation } from './call.ts';
import type { Step } from './chain.ts';
import { startCustomResources } from './crd/controller.ts';
import { Dispatcher } from './dispatch.ts';
import { startExpiry } from './expiry.ts';
import { type ClientCertificates, Handler } from './handler.ts';
import { type HealthCheck, healthPaths } from './health.ts';
import { indexPath } from './index-path.ts';
import { openAggregation, type Aggregation, type AggregationOptions } from './aggregation/aggregation.ts';
import type { ComputedResource } from './computed-resource.ts';
import { Hooks } from './hooks.ts';
import { flowControlDebugPaths } from './flow-control/debug-paths.ts';
import { FlowControl, flowControlKinds } from './flow-control/flow-control.ts';
import { followConfiguration } from './flow-control/follow-configuration.ts';
import { InFlightLimit, type InFlightLimits } from './in-flight.ts';
import { listen, type ListenOptions, type Listener } from './http/listen.ts';
import type { Peer } from './http/peer.ts';
import { ApiMetrics } from './metrics.ts';
import { Registry } from './registry.ts';
import { postStartChecks } from './post-start-hooks.ts';
import { seedOf, type Seed } from './seed.ts';
import { servedKindsOf } from './served-kinds.ts';
import { serviceHook } from './services/service-hook.ts';
import type { RawPath, SubresourceHandlers } from './subresource.ts';
import { Subresources } from './subresources.ts';
import { Shutdown, type ShutdownOptions } from './shutdown.ts';
import { textResponse } from './text.ts';
import type { Tracing } from './tracing/open-tracing.ts';
import { versionPath } from './version.ts';
import { Writer } from './writer.ts';

export interface ApiServerOptions {
  readonly storage: Storage;
  readonly authenticate: (credentials: Credentials) => Promise<User> | User;
  readonly authorizer: Authorizer;
  /** In the order in which they are asked. */
  readonly admission: readonly AdmissionPlugin[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly serviceCIDR: string;
  readonly nodePorts?: { readonly first: number; readonly last: number } | undefined;
  /** How often history is compacted (upstream's default: five minutes); 0: never. */
  readonly compactIntervalMs?: number | undefined;
  /** How long Events live (upstream's default: an hour). */
  readonly eventTtlMs?: number | undefined;
  /** `serviceaccounts/token`, `pods/log`, `tokenreviews.authentication.k8s.io`, …: see subresource.ts. */
  readonly handlers?: SubresourceHandlers;
  /** Discovery, OpenAPI and whatever else is no resource. May look at the registry for the kinds that are served. */
  readonly rawPaths?: (registry: Registry, aggregation: Aggregation | undefined) => readonly RawPath[];
  /** Lets other servers answer for group versions; absent: APIService objects are only kept. */
  readonly aggregation?: AggregationOptions;
  /** Resources of add-ons that are worked out, not stored. */
  readonly computed?: readonly ComputedResource[];
  readonly healthChecks?: readonly HealthCheck[];
  /** What pages of other origins may do, and by which way browsers come. */
  readonly browsers?: BrowserOptions | undefined;
  /** How long a request may take that is not long-running. */
  readonly requestTimeoutMs?: number | undefined;
  /** Traces requests and sends the traces to a collector. */
  readonly tracing?: Tracing | undefined;
  /** Writes down what its policy says of every request. */
  readonly audit?: Audit | undefined;
  /** How many requests are worked on at once; `fair`: divided by priority and fairness (the default). */
  readonly inFlight?: (InFlightLimits & { readonly fair: boolean }) | undefined;
  /** For tests: objects that are shared are frozen. */
  readonly freezes?: boolean;
  /** Instead of every built-in kind that a default server serves. */
  readonly kinds?: readonly Kind[];
}

/** A running API server. It listens only when told to. */
export interface ApiServer extends AsyncDisposable {
  /** A request by whoever its headers (and certificate) prove. */
  handle(request: ApiRequest, certificates?: ClientCertificates): Promise<ApiResponse>;
  /** A request by a user of this process. */
  handleAs(user: User, request: ApiRequest): Promise<ApiResponse>;
  listen(options: ListenOptions): Promise<Listener>;
  /** Writes what every cluster begins with. */
  readonly seed: Seed;
  /** Ends gracefully: says so, takes nothing new, waits for what is under way. Closing is still to be done. */
  drain(options: ShutdownOptions): Promise<void>;
  /** `https://127.0.0.1:6443`, once it listens. */
  readonly url: string | undefined;
  readonly registry: Registry;
  readonly cache: WatchCache;
  readonly metrics: ApiMetrics;
}

export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { storage, clock, random, authorizer, admission } = options;
  const log = options.log.child('apiserver');
  const lifetime = new Lifetime();
  const cache = lifetime.own(new WatchCache(storage, clock, log, options.freezes));
  const metrics = new ApiMetrics(() => cache);
  const registry = new Registry(cache);
  const kinds = options.kinds ?? allKinds.filter(kind => kind.served && kind.plural !== '');
  await cache.start(kinds.filter(kind => !kind.storedAs));
  registry.add(kinds);
  const writer = new Writer(storage, cache, clock, options.eventTtlMs);
  const hooks = new Hooks(
    new Map([
      [
        'Service',
        serviceHook(
          {
            registry,
            cache,
            writer,
            storage,
            clock,
            random,
            log,
            serviceCIDR: options.serviceCIDR,
            nodePorts: options.nodePorts ?? defaultNodePorts,
          },
          lifetime.signal,
        ),
      ],
    ]),
  );
  const served = servedKindsOf(registry);
  const foundation: Foundation = {
    registry,
    served,
    cache,
    writer,
    hooks,
    admission,
    authorizer,
    clock,
    random,
    metrics,
    requestTimeoutMs: options.requestTimeoutMs,
  };
  const inFlight = options.inFlight ?? defaultInFlight;
  const flowControl = inFlight.fair
    ? new FlowControl({
        clock,
        seatsMax: inFlight.readOnlyMax + inFlight.mutatingMax,
        sizeOf({ group, version, resource }) {
          const found = registry.find(group, version, resource)?.cache;
          return found && { count: found.size, meanBytes: found.size === 0 ? 0 : found.bytes / found.size };
        },
      })
    : undefined;
  const { computed = [] } = options;
  registry.add(computed.map(each => each.kind));
  const aggregation =
    options.aggregation &&
    lifetime.own(openAggregation(options.aggregation, { registry, cache, metrics, clock, random, log }));
  const shutdown = new Shutdown(clock);
  const begun = { fairness: false, definitions: false };
  const definesKinds = kinds.some(kind => (kind as unknown) === CustomResourceDefinition);
  const checks = [
    ...ownChecks(cache, shutdown),
    ...postStartChecks('caches', () => cache.revision > 0),
    ...(flowControl ? postStartChecks('fairness', () => begun.fairness) : []),
    ...(definesKinds ? postStartChecks('definitions', () => begun.definitions) : []),
    ...(aggregation?.healthChecks ?? []),
    ...(options.healthChecks ?? []),
  ];
  const rawPaths = [
    versionPath,
    ...healthPaths(checks),
    metricsPath(metrics),
    ...(flowControl ? flowControlDebugPaths(flowControl, () => clock.now() - clock.monotonic()) : []),
    ...(options.rawPaths?.(registry, aggregation) ?? []),
  ];
  const dispatcher = new Dispatcher(
    [indexPath(registry, rawPaths), ...rawPaths],
    new Subresources(options.handlers ?? {}, computed),
    aggregation,
  );
  const { authenticate, audit } = options;
  if (audit) registerAuditMetrics(metrics.registry, audit.metrics);
  // The server's own work on definitions and their objects is nobody's request: nobody is asked whether it may be done.
  const loopback = new Handler({
    foundation: { ...foundation, authorizer: alwaysAllow, admission: [] },
    dispatcher,
    authenticate,
    log,
  });
  const client = inProcessClient((user: User, request) => loopback.handleAs(user, request), loopbackAdmin);
  const handler = new Handler({
    foundation,
    dispatcher,
    authenticate,
    log,
    flowControl: flowControl ? limitFairly(flowControl, metrics) : limitSimply(new InFlightLimit(metrics, inFlight)),
    ...(audit && { audit: auditHook(audit) }),
    tracer: options.tracing?.tracer,
    shutdown,
    browsers: options.browsers && new BrowserHeaders(options.browsers),
  });
  lifetime.own(startExpiry(foundation, log, options.eventTtlMs));
  if (definesKinds) {
    // Only a definition that names a webhook needs somebody to call it.
    const webhooks = once(() => lifetime.own(httpsWebhookCaller(clock)));
    lifetime.own(
      await startCustomResources({
        client,
        registry,
        cache,
        clock,
        random,
        log,
        callWebhook: async (config, body, how) =>
          webhooks().post(await targetOf(config, { client, random }), body, how),
        observeConversion: (seconds, failure) => metrics.conversion(seconds, failure),
      }),
    );
    begun.definitions = true;
  }
  const seed = seedOf(foundation);
  if (definesKinds) aggregation?.start(client, seed);
  if (flowControl) {
    lifetime.defer(startFlowControl(flowControl, { registry, cache, client, clock, log }));
    begun.fairness = true;
  }
  const { compactIntervalMs = defaultCompactIntervalMs } = options;
  if (compactIntervalMs > 0) compactRegularly(cache, compactIntervalMs, clock, log, lifetime.signal);
  let url: string | undefined;
  return {
    registry,
    cache,
    metrics,
    seed,
    handle: (request, certificates) => handler.handle(request, certificates),
    handleAs: (user, request) => handler.handleAs(user, request),
    drain: how => shutdown.run(how),
    get url() {
      return url;
    },
    async listen(where) {
      const listener = await listen(
        (request, peer) =>
          peer.refused
            ? refuseCertificate(handler, request, peer.address)
            : handler.handle(request, certificatesOf(peer), peer.address),
        where,
        log,
      );
      lifetime.own(listener);
      url = `https://${where.host.includes(':') ? `[${where.host}]` : where.host}:${listener.port}`;
      return listener;
    },
    [Symbol.asyncDispose]: () => lifetime[Symbol.asyncDispose](),
  };
}

/** Upstream's defaults. */
const defaultInFlight = {
  readOnlyMax: limits.readOnlyRequestsInFlightMax,
  mutatingMax: limits.mutatingRequestsInFlightMax,
  fair: true,
};

function limitFairly(flowControl: FlowControl, metrics: ApiMetrics): Step {
  metrics.collectInFlight(() => flowControl.metrics.inFlight());
  flowControl.metrics.registerIn(metrics.registry);
  return (call, next) => flowControl.admit(call, next);
}

function limitSimply(limit: InFlightLimit): Step {
  return (call, next) => limit.admit(call, next);
}

/** The returned function ends it. A server without these kinds works by what is mandatory. */
function startFlowControl(
  flowControl: FlowControl,
  parts: Pick<Foundation, 'registry' | 'cache' | 'clock'> & {
    readonly client: Client;
    readonly log: Log;
  },
): () => void {
  const { registry } = parts;
  const [levels, schemas] = [flowControlKinds.levels, flowControlKinds.schemas].map(
    ({ group, version, plural }) => registry.find(group, version, plural)?.cache,
  );
  const stops = [flowControl.start()];
  if (levels && schemas) {
    stops.push(followConfiguration({ ...parts, flowControl, levels, schemas }));
  }
  return () => {
    for (const stop of stops) stop();
  };
}

function once<Value>(make: () => Value): () => Value {
  let made: Value | undefined;
  return () => (made ??= make());
}

const defaultNodePorts = { first: 30_000, last: 32_767 };

function certificatesOf({ certificate, proxyCertificate }: Peer): ClientCertificates | undefined {
  if (!certificate && !proxyCertificate) return undefined;
  return { ...(certificate && { clientCertificate: certificate }), ...(proxyCertificate && { proxyCertificate }) };
}

/** A certificate that nobody we trust has signed is no identity; only a token beside it can be one. */
function refuseCertificate(handler: Handler, request: ApiRequest, address?: string): Promise<ApiResponse> {
  if (request.headers['authorization'] !== undefined) return handler.handle(request, undefined, address);
  return handler.refuse(request, errors.unauthorized(), address);
}

function ownChecks(cache: WatchCache, shutdown: Shutdown): readonly HealthCheck[] {
  const everywhere = ['healthz', 'livez', 'readyz'] as const;
  return [
    { name: 'ping', in: everywhere, check: () => true },
    { name: 'log', in: everywhere, check: () => true },
    { name: 'etcd', in: everywhere, check: () => cache.isFed() },
    { name: 'etcd-readiness', in: ['readyz'], check: () => cache.isFed() },
    { name: 'informer-sync', in: ['readyz'], check: () => cache.revision > 0 },
    { name: 'shutdown', in: ['readyz'], check: () => !shutdown.announced },
  ];
}

function metricsPath(metrics: ApiMetrics): RawPath {
  return {
    path: '/metrics',
    async handle() {
      return textResponse(200, await metrics.text(), { 'content-type': metrics.registry.contentType });
    },
  };
}

/** Upstream's interval: what was overwritten or deleted is kept for five to ten minutes. */
const defaultCompactIntervalMs = 300_000;

/** Also when much has happened meanwhile: history must not grow without bound between two times. */
const trimRevisions = 2 * limits.watchHistoryEventsMax;

function compactRegularly(
  cache: WatchCache,
  compactIntervalMs: number,
  clock: Clock,
  log: Log,
  signal: AbortSignal,
): void {
  let previous = cache.revision;
  let trimmed = cache.revision;
  const tried = (work: Promise<void>) =>
    work.catch((error: unknown) => log.warn('cannot compact the store', { error }));
  const tick = () => {
    cancel = clock.after(compactIntervalMs, tick);
    if (previous > 1) void tried(cache.compact(previous));
    previous = cache.revision;
  };
  let cancel = clock.after(compactIntervalMs, tick);
  const stopListening = cache.listen((_resource, { revision }) => {
    if (revision - trimmed < trimRevisions) return;
    trimmed = revision - limits.watchHistoryEventsMax;
    void tried(cache.trim(trimmed));
  });
  signal.addEventListener('abort', () => {
    cancel();
    stopListening();
  });
}
