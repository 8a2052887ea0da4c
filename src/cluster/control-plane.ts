import type { Clock } from '#base/clock.ts';
import { Lifetime } from '#base/lifetime.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import { metricsServerAccount, metricsServerPolicy, openMetricsServer } from '#addons/metrics-server/metrics-server.ts';
import { admissionChain } from '#admission/chain.ts';
import { policyMetrics } from '#admission/policies/metrics.ts';
import { httpsWebhookCaller } from '#admission/webhooks/call.ts';
import { webhookMetrics } from '#admission/webhooks/metrics.ts';
import { Secret } from '#api/core/v1/secret.ts';
import { ensureBootstrapObjects } from '#apiserver/bootstrap.ts';
import type { Encryption } from '#apiserver/encryption/encryption.ts';
import { discoveryPaths } from '#apiserver/discovery/discovery.ts';
import {
  ensureFlowControlConfiguration,
  keepFlowControlConfiguration,
} from '#apiserver/flow-control/ensure-configuration.ts';
import { openIdPaths } from '#apiserver/discovery/openid.ts';
import { keepEndpoints } from '#apiserver/endpoint-leases.ts';
import { keepIdentityLease } from '#apiserver/identity-lease.ts';
import { openApiPaths } from '#apiserver/openapi/openapi.ts';
import { openTracing } from '#apiserver/tracing/open-tracing.ts';
import { reviewHandlers } from '#apiserver/reviews/reviews.ts';
import { startApiServer, type ApiServer } from '#apiserver/server.ts';
import { postStartChecks } from '#apiserver/post-start-hooks.ts';
import { nodeAgents } from '#apiserver/streaming/node-agent.ts';
import { streamingHandlers } from '#apiserver/streaming/streaming.ts';
import { boundObjectsFrom, getIfThere } from '#auth/authentication/bound-objects.ts';
import { openAudit } from '#auth/audit/open-audit.ts';
import { authenticationFrom } from '#auth/authentication/configured.ts';
import { ensureLegacyTokenTracking, legacyTokenUse } from '#auth/authentication/legacy-token-use.ts';
import { ensureTrustConfigMap, keepTrustConfigMap } from '#auth/authentication/trust-config-map.ts';
import { authorizationFrom } from '#auth/authorization/configured.ts';
import { rbacEscalationCheck } from '#auth/authorization/escalation.ts';
import { followRoles } from '#auth/authorization/follow.ts';
import { nodeAuthorizer, nodeRelationsFrom } from '#auth/authorization/node.ts';
import { reconcileBootstrapPolicy } from '#auth/authorization/policy/bootstrap-policy.ts';
import { rbacAuthorizer } from '#auth/authorization/rbac.ts';
import { loopbackAdmin, serviceAccountUser, type User } from '#auth/user.ts';
import { builtInLoadBalancers } from '#cloud/built-in.ts';
import { startServiceController } from '#cloud/service-controller.ts';
import type { Client } from '#client/client.ts';
import { openEventRecorder } from '#client/events.ts';
import { inProcessClient } from '#client/in-process.ts';
import { openInformers, type Informers } from '#client/informers.ts';
import type { CertificateSigner } from '#controllers/controller.ts';
import { optionalControllers, startControllers } from '#controllers/controllers.ts';
import { schedulerMetrics } from '#scheduler/metrics.ts';
import { startScheduler } from '#scheduler/scheduler.ts';
import { userAgentOf } from '#api/machinery/version.ts';
import type { Storage } from '#storage/storage.ts';
import { admissionSettingsFrom } from './admission-configuration.ts';
import { actWhileLeading } from './leadership.ts';
import type { KubeApiserverArguments } from './flags/kube-apiserver.ts';
import { auditFrom, browsersFrom, inFlightFrom } from './request-options.ts';
import { kindsServed } from './runtime-config.ts';
import type { KubeControllerManagerArguments } from './flags/kube-controller-manager.ts';
import { schedulerConfigurationOf } from './scheduler-configuration.ts';
import { extenderAdvisers } from './scheduler-extenders.ts';
import { loadSchedulerPlugins } from './scheduler-plugins/load-plugins.ts';
import type { KubeSchedulerArguments } from './flags/kube-scheduler.ts';

/** What the control plane signs and proves with. Its own certificates are renewed while it runs: they are read at each use. */
export interface Credentials {
  readonly caCertPem: string;
  readonly caKeyPem: string;
  /** Signs service-account tokens. */
  readonly serviceAccountKeyPem: string;
  /** The API server's own identity towards kubelets; without it there are no kubelets to ask. */
  readonly kubeletClient?: { readonly certPem: string; readonly keyPem: string };
  /** The front proxy's identity towards extension API servers. */
  readonly frontProxyClient?: { readonly certPem: string; readonly keyPem: string };
  /** The authority of front proxies; without it nobody may say who a user is. */
  readonly frontProxyCaPem?: string;
}

export interface ControlPlaneOptions {
  readonly storage: Storage;
  /** What encrypts in that store. */
  readonly encryption?: Encryption | undefined;
  readonly credentials: Credentials;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly podCIDR: string;
  readonly serviceCIDR: string;
  /** The `kubernetes` Service's address. */
  readonly serviceIP: string;
  readonly clusterDomain: string;
  /** How the API server is reached from pods and nodes; absent where nobody but this machine reaches it. */
  readonly advertise: { readonly address: string; readonly port: number } | undefined;
  /** Addresses for Services of the type LoadBalancer, CIDRs; absent: the nodes' own. */
  readonly loadBalancerPool?: readonly string[];
  /** Ports of the nodes that no such Service gets. */
  readonly reservedPorts?: readonly number[];
  /** Under which name this API server says that it lives; absent: it does not. */
  readonly identity?: { readonly hostname: string; readonly identity: string };
  /** Upstream's flags by their names: see `flags/`. */
  readonly apiServerArguments?: KubeApiserverArguments;
  readonly controllerManagerArguments?: KubeControllerManagerArguments;
  readonly schedulerArguments?: KubeSchedulerArguments;
}

export interface ControlPlane extends AsyncDisposable {
  readonly apiServer: ApiServer;
  /** A client of this process with an identity. */
  clientOf(user: User, component?: string): Client;
  /** With every right. */
  readonly client: Client;
  readonly informers: Informers;
  /** Whose certificates the server's listener has to ask for. */
  readonly trust: { readonly clientCaPem: string; readonly proxyCaPem: string | undefined };
  /** Starts controllers and scheduler; before that the API server answers but nothing happens by itself. */
  startActing(): Promise<void>;
}

/** Without what is undefined, so that a default behind it holds. */
function given<Values extends object>(values: Values): { [Name in keyof Values]?: NonNullable<Values[Name]> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [Name in keyof Values]?: NonNullable<Values[Name]>;
  };
}

/** Without kubelets nobody asks for one. */
const noCertificate = { certPem: '', keyPem: '' };

function served(registry: ApiServer['registry']) {
  return { kinds: () => registry.kinds, onChange: (listener: () => void) => void registry.onChange(listener) };
}

/** Loaded when the first configuration has an expression. */
async function celExpressions() {
  const [{ celEnvironment }, { expressionsIn }] = await Promise.all([
    import('#cel/environment.ts'),
    import('#auth/expressions.ts'),
  ]);
  return expressionsIn(celEnvironment);
}

/** The library behind it takes a tenth of a second to load: only when the first certificate is asked for. */
function lazySigner(
  { caCertPem, caKeyPem }: Credentials,
  issuing: { readonly clock: Clock; readonly random: Random },
): CertificateSigner {
  const load = async () => {
    const { certificateSigner } = await import('#auth/certificates/signer.ts');
    return certificateSigner({ certPem: caCertPem, keyPem: caKeyPem }, issuing);
  };
  return {
    describe: async request => (await load()).describe(request),
    sign: async (...asked) => (await load()).sign(...asked),
  };
}

/** API server, controllers and scheduler in this process, over any store. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { storage, credentials, clock, random, log, advertise, clusterDomain } = options;
  const { apiServerArguments = {}, controllerManagerArguments = {} } = options;
  const schedulerConfiguration = schedulerConfigurationOf(options.schedulerArguments ?? {});
  const lifetime = new Lifetime();
  // The parts of the API server are its clients, too: what they ask before it is there waits for it.
  const starting = Promise.withResolvers<ApiServer>();
  // Copies are read once the objects that every cluster begins with are there, so that they are complete from the start.
  const begun = Promise.withResolvers<ApiServer>();
  for (const { promise } of [starting, begun]) promise.catch(() => {});
  const clientOf = (user: User, component = 'kube-apiserver', after: Promise<ApiServer> = starting.promise) =>
    inProcessClient<User>(async (as, request) => (await after).handleAs(as, request), user, {
      userAgent: userAgentOf(component),
    });
  const client = clientOf(loopbackAdmin);
  const informers = openInformers(clientOf(loopbackAdmin, 'kube-apiserver', begun.promise), {
    clock,
    random,
    log: log.child('informers'),
  });
  lifetime.defer(() => informers[Symbol.dispose]());

  const roles = followRoles(informers);
  const authorizer = lifetime.own(
    await authorizationFrom(apiServerArguments, {
      node: nodeAuthorizer(nodeRelationsFrom(informers)),
      rbac: rbacAuthorizer(roles.index),
      expressions: celExpressions,
      clock,
      log: log.child('authorization'),
    }),
  );
  const objects = boundObjectsFrom(informers, client);
  const authentication = lifetime.own(
    await authenticationFrom(apiServerArguments, {
      caCertPem: credentials.caCertPem,
      proxyCaPem: credentials.frontProxyCaPem,
      serviceAccountKeyPem: credentials.serviceAccountKeyPem,
      issuer: `https://kubernetes.default.svc.${clusterDomain}`,
      objects,
      bootstrapSecret: name => getIfThere(client, Secret, name, 'kube-system'),
      usedLegacy: legacyTokenUse(client, clock, log),
      expressions: celExpressions,
      clock,
      random,
      log: log.child('authentication'),
    }),
  );
  const { tokens, audiences, issuer, keys } = authentication;
  const checkEscalation = rbacEscalationCheck(roles.index, authorizer);
  const agents = lifetime.own(
    nodeAgents({
      client,
      certificate: () => credentials.kubeletClient ?? noCertificate,
      caPem: credentials.caCertPem,
    }),
  );
  const address = advertise ? `${advertise.address}:${advertise.port}` : 'localhost';
  const metrics = lifetime.own(
    openMetricsServer({
      client: clientOf(serviceAccountUser('kube-system', metricsServerAccount), 'metrics-server'),
      informers,
      clock,
      log: log.child('metrics-server'),
    }),
  );
  const traces = apiServerArguments['tracing-config-file'];
  const tracing =
    traces === undefined ? undefined : await openTracing(traces, { clock, random, log: log.child('tracing') });
  if (tracing) lifetime.own(tracing);
  const audit = await openAudit(auditFrom(apiServerArguments), { clock, log: log.child('audit') });
  if (audit) lifetime.own(audit);
  const admissionSettings = await admissionSettingsFrom(apiServerArguments, { clock, signal: lifetime.signal });
  const webhooks = webhookMetrics();
  const policies = policyMetrics();
  const kinds = kindsServed(apiServerArguments['runtime-config']);
  let isBootstrapped = false;
  const apiServer = await startApiServer({
    kinds,
    storage,
    clock,
    random,
    log,
    authorizer,
    authenticate: authentication.authenticate,
    admission: admissionChain({
      informers,
      client,
      clock,
      random,
      authorizer,
      checkEscalation,
      webhookCaller: lifetime.own(httpsWebhookCaller(clock, admissionSettings.credentialsFor)),
      webhookMetrics: webhooks,
      policyMetrics: policies,
      choice: admissionSettings.choice,
      configuration: admissionSettings.configuration,
    }),
    inFlight: inFlightFrom(apiServerArguments),
    browsers: browsersFrom(apiServerArguments),
    requestTimeoutMs: apiServerArguments['request-timeout'],
    audit,
    tracing,
    healthChecks: [...postStartChecks('bootstrap', () => isBootstrapped), ...(options.encryption?.healthChecks ?? [])],
    serviceCIDR: options.serviceCIDR,
    nodePorts: apiServerArguments['service-node-port-range'],
    compactIntervalMs: apiServerArguments['etcd-compaction-interval'],
    eventTtlMs: apiServerArguments['event-ttl'],
    handlers: {
      ...reviewHandlers({
        authorizer,
        tokens,
        audiences,
        objects,
        clock,
        issue: authentication.issue,
        ...authentication.tokenLimits,
      }),
      ...streamingHandlers({ client, agents, random }),
    },
    aggregation: { certificate: () => credentials.frontProxyClient, addOns: [metrics.apiService] },
    computed: metrics.resources,
    rawPaths: (registry, aggregation) => [
      ...discoveryPaths({ ...served(registry), serverAddress: address, ...(aggregation && { ranking: aggregation }) }),
      ...openApiPaths({ ...served(registry), clock, ...(aggregation && { aggregation }) }),
      ...openIdPaths({
        issuer,
        keySetUri: apiServerArguments['service-account-jwks-uri'] ?? `https://${address}/openid/v1/jwks`,
        keys,
      }),
    ],
  });
  lifetime.own(apiServer);
  options.encryption?.metrics.registerIn(apiServer.metrics.registry);
  webhooks.registerOn(apiServer.metrics.registry);
  policies.registerOn(apiServer.metrics.registry);
  const ofScheduler = schedulerMetrics(apiServer.metrics.registry);
  starting.resolve(apiServer);
  const isShared = storage.shared !== undefined;
  await ensureBootstrapObjects(client, apiServer.seed, {
    serviceCIDR: options.serviceCIDR,
    serviceIP: options.serviceIP,
    advertise,
    isAlone: !isShared,
  });
  if (isShared && advertise)
    lifetime.own(await keepEndpoints({ storage, client, clock, log: log.child('endpoints'), advertise }));
  if (options.identity) keepIdentityLease({ client, clock, random, log, ...options.identity }, lifetime.signal);
  await Promise.all([
    reconcileBootstrapPolicy(client, apiServer.seed, {
      optional: optionalControllers(kinds),
      trustBundles: kinds.some(kind => kind.plural === 'clustertrustbundles'),
      addOns: [metricsServerPolicy],
    }),
    ensureFlowControlConfiguration(client, apiServer.seed),
    ensureTrustConfigMap(client, authentication, apiServer.seed),
    ensureLegacyTokenTracking(apiServer.seed, clock),
  ]);
  isBootstrapped = true;
  lifetime.defer(keepFlowControlConfiguration(client, apiServer.seed, clock, log));
  begun.resolve(apiServer);
  metrics.start();
  // What plugins and authorizers look at must be complete before the first request from outside.
  await Promise.all([roles.synced, informers.synced]);

  return {
    apiServer,
    clientOf,
    client,
    informers,
    trust: { clientCaPem: authentication.clientCaPem, proxyCaPem: authentication.frontProxy?.caPem },
    async startActing() {
      lifetime.defer(keepTrustConfigMap(client, informers, authentication, log));
      if (!storage.shared) {
        await Promise.all([actAsControllers(lifetime), actAsScheduler(lifetime)]);
        return;
      }
      // One of the control planes beside each other acts.
      for (const [name, act] of [
        ['kube-controller-manager', actAsControllers],
        ['kube-scheduler', actAsScheduler],
      ] as const) {
        const candidate = clientOf({ name: `system:${name}`, groups: ['system:authenticated'] }, name);
        const election = { client: candidate, name, clock, random, log: log.child('election') };
        const leading = actWhileLeading(election, act, lifetime.signal);
        lifetime.defer(() => leading);
      }
    },
    [Symbol.asyncDispose]: () => lifetime[Symbol.asyncDispose](),
  };

  async function actAsControllers(acting: Lifetime): Promise<void> {
    const controllers = startControllers({
      client: clientOf(loopbackAdmin, 'kube-controller-manager'),
      // What upstream's controller manager does in its own name.
      clientFor: name =>
        clientOf(
          name === 'kube-controller-manager'
            ? { name: 'system:kube-controller-manager', groups: ['system:authenticated'] }
            : serviceAccountUser('kube-system', name),
          'kube-controller-manager',
        ),
      informers,
      clock,
      random,
      log: log.child('controllers'),
      serves: kind => kinds.includes(kind),
      settings: {
        clusterCidrs: [options.podCIDR],
        caCertPem: credentials.caCertPem,
        signer: lazySigner(credentials, { clock, random }),
        accountToken: authentication.issueLegacy,
        ...given({
          nodeMonitorGraceMs: controllerManagerArguments['node-monitor-grace-period'],
          terminatedPodsMax: controllerManagerArguments['terminated-pod-gc-threshold'],
        }),
      },
    });
    acting.own(controllers);
    acting.own(
      startServiceController({
        client: clientOf(serviceAccountUser('kube-system', 'service-controller'), 'cloud-controller-manager'),
        informers,
        loadBalancers: builtInLoadBalancers({
          informers,
          pool: options.loadBalancerPool ?? [],
          reservedPorts: options.reservedPorts ?? [],
        }),
        clock,
        log: log.child('service-controller'),
      }),
    );
  }

  async function actAsScheduler(acting: Lifetime): Promise<void> {
    const asScheduler = { name: 'system:kube-scheduler', groups: ['system:authenticated'] };
    const schedulerClient = clientOf(asScheduler, 'kube-scheduler');
    const eventsOf = (component: string) =>
      acting.own(openEventRecorder({ client: schedulerClient, component, clock, log }));
    const schedulerLog = log.child('scheduler');
    const advisers = [
      ...extenderAdvisers(schedulerConfiguration.extenders, { clock, lifetime: acting }),
      ...(await loadSchedulerPlugins(options.schedulerArguments?.plugin ?? [], schedulerConfiguration, {
        clock,
        log: schedulerLog,
        lifetime: acting,
      })),
    ];
    await startScheduler({
      client: schedulerClient,
      informers,
      eventsOf,
      advisers,
      clock,
      random,
      log: schedulerLog,
      configuration: schedulerConfiguration,
      metrics: ofScheduler,
      signal: acting.signal,
    });
  }
}
