import type { Clock } from '#base/clock.ts';
import { deepEqual } from '#base/deep-equal.ts';
import { Lifetime } from '#base/lifetime.ts';
import type { Log } from '#base/log.ts';
import { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Secret } from '#api/core/v1/secret.ts';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { isReason } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { formatTime } from '#api/machinery/time.ts';
import { IngressClass } from '#api/networking/v1/ingress-class.ts';
import { Ingress } from '#api/networking/v1/ingress.ts';
import { ClusterRole } from '#api/rbac/v1/cluster-role.ts';
import { ClusterRoleBinding } from '#api/rbac/v1/cluster-role-binding.ts';
import type { Client } from '#client/client.ts';
import { createIfAbsent, createOrPatch } from '#client/ensure.ts';
import { keyOf, type Informer } from '#client/informer.ts';
import type { Informers } from '#client/informers.ts';
import { arrange, type Arrangement, type WantedService, type WantedStatus } from './arrange.ts';
import { serversOf, serviceOf } from './endpoints.ts';
import {
  BackendTlsPolicy,
  Gateway,
  GatewayClass,
  GrpcRoute,
  HttpRoute,
  ReferenceGrant,
  TlsRoute,
  type Condition,
} from './kinds.ts';
import { openGatewayMetrics } from './metrics.ts';
import { metricsPort, Proxy } from './proxy.ts';
import { className, controllerName, ingressControllerName, type Finding, type World } from './world.ts';

/** The account that the controller acts as, in `kube-system`. */
export const gatewayAccount = 'gateway-controller';

export interface GatewayOptions {
  /** Acts as `gatewayAccount`. */
  readonly client: Client;
  /** Writes the definitions, classes and roles. */
  readonly admin: Client;
  readonly informers: Informers;
  readonly serves: { readonly ingress: boolean; readonly gateway: boolean };
  /** Where the proxy keeps its files. */
  readonly directory: string;
  readonly logFile: string;
  readonly clusterId: string;
  readonly threads: number;
  /** The address on this machine's pod network that the proxy takes, and its node; undefined while there is none. */
  place(): { readonly address: string; readonly nodeName: string } | undefined;
  /** Called when the answer of `place` may have changed. */
  onPlaceChange(listener: () => void): void;
  /** Why no proxy can run here, as a sentence with the remedy. */
  readonly problem?: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export interface GatewayController extends AsyncDisposable {
  readonly metrics: ReturnType<typeof openGatewayMetrics>;
  /** Everything known so far is in the proxy and in the statuses. */
  settled(): Promise<void>;
}

/** Changes come in bursts: an `apply` of many objects should be one new worker of the proxy. */
const gatherMs = 20;
const retryMs = 1_000;
const restMs = 200;
/** How soon a proxy that has ended is missed. */
const lookMs = 1_000;

/**
 * Serves Ingresses and the Gateway API through HAProxy. The proxy starts with the first object that needs it. When this ends
 * the proxy runs on, for the next that takes it over; see `endProxy`.
 */
export async function startGateway(options: GatewayOptions): Promise<GatewayController> {
  const { admin, serves } = options;
  await Promise.all([ensureRole(admin), serves.gateway && ensureDefinitions(options)]);
  if (serves.gateway) await ensureDefaultClass(admin);
  if (serves.ingress) await ensureIngressClass(admin);
  return new Controller(options);
}

class Controller implements GatewayController {
  readonly metrics = openGatewayMetrics(() => this.#proxy.counts);
  readonly #options: GatewayOptions;
  readonly #proxy: Proxy;
  readonly #lifetime = new Lifetime();
  readonly #informers;
  readonly #localPorts = new Map<string, number>();
  /** What the last arrangement looked at: kind and key. */
  #seen = new Set<string>();
  #dirty = true;
  /** Services whose endpoints have changed. */
  #moved = new Set<string>();
  #wake = Promise.withResolvers<void>();
  #settled = Promise.withResolvers<void>();
  readonly #work: Promise<void>;
  #cancelLook: (() => void) | undefined;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#proxy = new Proxy(options);
    const { informers, serves } = options;
    const of = <Type extends ApiObject>(kind: Kind<Type>) => (serves.gateway ? informers.of(kind) : undefined);
    this.#informers = {
      services: informers.of(Service),
      slices: informers.of(EndpointSlice),
      secrets: informers.of(Secret),
      configMaps: of(ConfigMap),
      namespaces: of(Namespace),
      ingresses: serves.ingress ? informers.of(Ingress) : undefined,
      ingressClasses: serves.ingress ? informers.of(IngressClass) : undefined,
      classes: of(GatewayClass),
      gateways: of(Gateway),
      httpRoutes: of(HttpRoute),
      grpcRoutes: of(GrpcRoute),
      tlsRoutes: of(TlsRoute),
      grants: of(ReferenceGrant),
      policies: of(BackendTlsPolicy),
    };
    options.onPlaceChange(() => this.#changed());
    this.#work = this.#run();
    this.#lookAfter();
  }

  settled(): Promise<void> {
    return this.#settled.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const disposed = this.#lifetime[Symbol.asyncDispose]();
    this.#cancelLook?.();
    this.#wake.resolve();
    await disposed;
    await this.#work;
    this.metrics.close();
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#lifetime;
    const all = Object.values(this.#informers).filter(each => each !== undefined) as unknown as Informer<ApiObject>[];
    try {
      await Promise.all(all.map(each => each.synced));
    } catch (error) {
      if (!signal.aborted) log.error('cannot read what is to be served', { error });
      return;
    }
    this.#subscribe();
    while (!signal.aborted) {
      if (!this.#dirty && this.#moved.size === 0) {
        this.#settled.resolve();
        this.#wake = Promise.withResolvers();
        await this.#wake.promise;
        await clock.sleep(gatherMs, signal).catch(() => undefined);
        continue;
      }
      try {
        await this.#step();
      } catch (error) {
        if (signal.aborted) return;
        log.warn('cannot bring the proxy up to date', { error });
        this.#proxy.forget();
        this.#dirty = true;
        await clock.sleep(retryMs, signal).catch(() => undefined);
      }
    }
  }

  /** It may be another life's child: nobody tells when it ends. */
  #lookAfter(): void {
    const cancel = this.#options.clock.after(lookMs, () => {
      if (this.#lifetime.signal.aborted) return;
      if (this.#proxy.isLost) {
        this.#options.log.warn('the proxy has ended; it is started again');
        this.#proxy.forget();
        this.#changed();
      }
      this.#lookAfter();
    });
    this.#cancelLook = cancel;
  }

  async #step(): Promise<void> {
    const { clock } = this.#options;
    const moved = this.#moved;
    this.#moved = new Set();
    if (!this.#dirty) {
      await this.#proxy.update(moved, backend => this.#serversOf(backend));
      return;
    }
    this.#dirty = false;
    const startedMs = clock.monotonic();
    const arrangement = arrange(this.#world(this.#options.problem));
    this.metrics.arranged(arrangement);
    try {
      await this.#place(arrangement);
    } catch (error) {
      // Whoever waits for the Gateway hears of it.
      const problem = `The proxy could not be configured: ${error instanceof Error ? error.message : String(error)}`;
      await this.#writeStatuses(arrange(this.#world(problem.slice(0, messageMax))).statuses);
      throw error;
    }
    await this.#writeStatuses(arrangement.statuses);
    this.metrics.tookMs(clock.monotonic() - startedMs);
    // Old workers live until their requests are done: a new one for every keystroke would pile them up.
    await clock.sleep(restMs, this.#lifetime.signal).catch(() => undefined);
  }

  #subscribe(): void {
    const { services, slices, secrets, configMaps, namespaces, ...others } = this.#informers;
    const looked = (kind: string) => (object: ApiObject) => {
      if (this.#seen.has(`${kind} ${keyOf(object)}`)) this.#changed();
    };
    const follow = <Type extends ApiObject>(
      informer: Informer<Type> | undefined,
      changed: (object: Type) => void,
      matters: (object: Type, old: Type) => boolean = () => true,
    ) => {
      if (!informer) return;
      this.#lifetime.defer(
        informer.subscribe({
          added: changed,
          updated: (object, old) => {
            if (matters(object, old)) changed(object);
          },
          deleted: changed,
        }),
      );
    };
    follow<Service>(services, looked('Service'));
    follow<Secret>(
      secrets,
      looked('Secret'),
      (secret, old) => secret.data !== old.data && !deepEqual(secret.data, old.data),
    );
    follow<ConfigMap>(configMaps, looked('ConfigMap'));
    follow<Namespace>(namespaces, looked('Namespace'), (object, old) => object.metadata.labels !== old.metadata.labels);
    follow<EndpointSlice>(slices, slice => {
      this.#moved.add(`${slice.metadata.namespace}/${serviceOf(slice)}`);
      this.#wakeUp();
    });
    for (const informer of Object.values(others))
      follow(
        informer as Informer<ApiObject> | undefined,
        () => this.#changed(),
        // What we have written ourselves does not matter.
        (object, old) =>
          object.metadata.generation === undefined ||
          object.metadata.generation !== old.metadata.generation ||
          !sameButStatus(object, old) ||
          conflicted(object, old),
      );
  }

  #changed(): void {
    this.#dirty = true;
    this.#wakeUp();
  }

  #wakeUp(): void {
    this.#settled = Promise.withResolvers();
    this.#wake.resolve();
  }

  #world(problem: string | undefined): World {
    const found = this.#informers;
    const seen = new Set<string>();
    this.#seen = seen;
    const look = <Type extends ApiObject>(
      informer: Informer<Type> | undefined,
      kind: string,
      name: string,
      namespace?: string,
    ) => {
      seen.add(`${kind} ${namespace === undefined ? name : `${namespace}/${name}`}`);
      return informer?.get(name, namespace);
    };
    const all = <Type extends ApiObject>(informer: Informer<Type> | undefined): readonly Type[] =>
      informer ? [...informer.objects.values()].filter(each => !each.metadata.deletionTimestamp) : [];
    return {
      classes: all(found.classes),
      gateways: all(found.gateways),
      httpRoutes: all(found.httpRoutes),
      grpcRoutes: all(found.grpcRoutes),
      tlsRoutes: all(found.tlsRoutes),
      grants: all(found.grants),
      policies: all(found.policies),
      ingresses: all(found.ingresses),
      ingressClasses: all(found.ingressClasses),
      service: (namespace, name) => look(found.services, 'Service', name, namespace),
      secret: (namespace, name) => look(found.secrets, 'Secret', name, namespace),
      configMap: (namespace, name) => look(found.configMaps, 'ConfigMap', name, namespace),
      labelsOfNamespace: name => look(found.namespaces, 'Namespace', name)?.metadata.labels ?? {},
      addresses: ({ namespace, name }) => {
        const service = look(found.services, 'Service', name, namespace);
        return (service?.status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []);
      },
      ...(problem !== undefined && { problem }),
    };
  }

  /** The proxy first, then what leads to it: nobody is sent to a port that nobody listens on. */
  async #place({ model, services }: Arrangement): Promise<void> {
    const { problem, log } = this.#options;
    const place = this.#options.place();
    if (problem === undefined && place) {
      this.#assignPorts(services);
      if (model.ports.length > 0)
        await this.#proxy.apply(model, {
          address: place.address,
          localPorts: this.#localPorts,
          servers: backend => this.#serversOf(backend),
        });
      else await this.#proxy.stop();
    }
    for (const wanted of services) {
      try {
        await this.#ensureService(wanted, place);
      } catch (error) {
        log.warn('cannot write the Service of a Gateway', { service: wanted.name, error });
        this.#dirty = true;
      }
    }
    await this.#removeServices(services);
  }

  #serversOf(backend: Parameters<typeof serversOf>[0]): readonly string[] {
    const index = this.#informers.slices.index('namespace and name of the service', slice => [
      `${slice.metadata.namespace}/${serviceOf(slice)}`,
    ]);
    return serversOf(backend, index.get(`${backend.namespace}/${backend.service}`).values());
  }

  /** Ports stay what they are while their listener lives, also from one life of this controller to the next. */
  #assignPorts(services: readonly WantedService[]): void {
    const ids = new Set(services.flatMap(({ ports }) => ports.map(({ id }) => id)));
    for (const id of this.#localPorts.keys()) if (!ids.has(id)) this.#localPorts.delete(id);
    for (const { namespace, name, ports } of services) {
      const slice = this.#informers.slices.get(name, namespace);
      for (const { id, number } of ports) {
        const before = slice?.ports?.find(each => each.name === portName(number))?.port;
        const taken = [...this.#localPorts.values()];
        if (this.#localPorts.has(id) || before === undefined || taken.includes(before)) continue;
        this.#localPorts.set(id, before);
      }
    }
    const taken = new Set(this.#localPorts.values());
    let next = metricsPort + 1;
    for (const id of ids) {
      if (this.#localPorts.has(id)) continue;
      while (taken.has(next)) next++;
      if (next > portMax) throw new Error('cannot serve all listeners: there are more than the proxy has ports');
      taken.add(next);
      this.#localPorts.set(id, next);
    }
  }

  async #ensureService(wanted: WantedService, place: ReturnType<GatewayOptions['place']>): Promise<void> {
    const { client } = this.#options;
    const { namespace, name, owner } = wanted;
    const current = this.#informers.services.get(name, namespace);
    const ports = wanted.ports.map(({ id, number }) => ({
      name: portName(number),
      protocol: 'TCP',
      port: number,
      targetPort: this.#localPorts.get(id) ?? number,
    }));
    const labels = { ...wanted.labels, [managedLabel]: managedBy };
    const metadata = {
      namespace,
      name,
      labels,
      annotations: wanted.annotations,
      ...(owner && { ownerReferences: [ownerOf(owner, 'gateway.networking.k8s.io/v1', 'Gateway')] }),
    };
    const spec = {
      type: 'LoadBalancer',
      // The client's address reaches the proxy: its port is on the node that the address leads to.
      externalTrafficPolicy: 'Local',
      ports,
      ...(wanted.address !== undefined && { loadBalancerIP: wanted.address }),
    };
    if (!current) await client.create(Service, { metadata, spec }, { namespace });
    else if (current.metadata.labels?.[managedLabel] !== managedBy)
      throw new Error(`cannot lead traffic to the proxy: the Service ${namespace}/${name} is somebody else's`);
    else if (!covers(current, metadata, spec, ports)) {
      // Ports as a whole: a merge by number would keep what is not wanted any more.
      const nodePorts = new Map(current.spec?.ports?.map(each => [each.port, each.nodePort]));
      const kept = ports.map(each => ({
        ...each,
        ...(nodePorts.get(each.port) && { nodePort: nodePorts.get(each.port) }),
      }));
      await client.patch(
        Service,
        name,
        { type: 'merge', patch: { metadata, spec: { ...spec, ports: kept } } },
        { namespace },
      );
    }
    if (place) await this.#ensureSlice(wanted, place, this.#informers.services.get(name, namespace));
  }

  async #ensureSlice(
    { namespace, name, ports }: WantedService,
    { address, nodeName }: NonNullable<ReturnType<GatewayOptions['place']>>,
    service: Service | undefined,
  ): Promise<void> {
    // Its owner must be known first; the Service's own event brings us back.
    if (!service) return;
    const wanted = {
      metadata: {
        namespace,
        name,
        labels: { 'kubernetes.io/service-name': name, 'endpointslice.kubernetes.io/managed-by': managedBy },
        ownerReferences: [ownerOf(service, 'v1', 'Service')],
      },
      addressType: 'IPv4',
      endpoints: [{ addresses: [address], nodeName, conditions: { ready: true, serving: true, terminating: false } }],
      ports: ports.flatMap(({ id, number }) => {
        const port = this.#localPorts.get(id);
        return port === undefined ? [] : [{ name: portName(number), protocol: 'TCP', port }];
      }),
    };
    const current = this.#informers.slices.get(name, namespace);
    const same =
      current &&
      deepEqual(current.ports, wanted.ports) &&
      current.endpoints?.length === 1 &&
      deepEqual(current.endpoints[0]?.addresses, [address]) &&
      current.endpoints[0]?.nodeName === nodeName;
    if (!same) await createOrPatch(this.#options.client, EndpointSlice, wanted);
  }

  async #removeServices(services: readonly WantedService[]): Promise<void> {
    const wanted = new Set(services.map(({ namespace, name }) => `${namespace}/${name}`));
    const own = this.#informers.services.index(managedLabel, each => [each.metadata.labels?.[managedLabel] ?? '']);
    for (const [key, { metadata }] of own.get(managedBy)) {
      if (wanted.has(key) || metadata.deletionTimestamp) continue;
      try {
        await this.#options.client.delete(Service, metadata.name ?? '', { namespace: metadata.namespace ?? '' });
      } catch (error) {
        if (!isReason(error, 'NotFound')) throw error;
      }
    }
  }

  async #writeStatuses(statuses: readonly WantedStatus[]): Promise<void> {
    for (const wanted of statuses) {
      const status = this.#statusOf(wanted);
      const { object } = wanted;
      const before = (object as ApiObject & { readonly status?: unknown }).status;
      if (status === undefined || deepEqual(before, status)) continue;
      const { namespace } = object.metadata;
      try {
        await this.#options.client.update(
          kindFor(wanted) as Kind<ApiObject>,
          { ...(object as ApiObject), status } as ApiObject,
          {
            subresource: 'status',
            ...(namespace !== undefined && { namespace }),
          },
        );
      } catch (error) {
        // It has changed meanwhile, which its own event says, or is gone.
        if (isReason(error, 'NotFound')) continue;
        if (!isReason(error, 'Conflict')) throw error;
        this.#dirty = true;
      }
    }
  }

  #statusOf(wanted: WantedStatus): unknown {
    const { object } = wanted;
    const generation = object.metadata.generation ?? 0;
    const times = (findings: readonly Finding[], before: readonly Condition[] | undefined) =>
      conditionsOf(findings, before, generation, formatTime(this.#options.clock.now()));
    switch (wanted.type) {
      case 'class': {
        const before = wanted.object.status;
        return {
          conditions: times(wanted.findings, before?.conditions),
          supportedFeatures: supportedFeatures.map(name => ({ name })),
        };
      }
      case 'gateway': {
        const before = wanted.object.status;
        return {
          ...(wanted.addresses.length > 0 && { addresses: wanted.addresses }),
          conditions: times(wanted.findings, before?.conditions),
          listeners: wanted.listeners.map(({ findings, ...listener }) => ({
            ...listener,
            conditions: times(findings, before?.listeners?.find(each => each.name === listener.name)?.conditions),
          })),
        };
      }
      case 'route': {
        const before = wanted.object.status?.parents ?? [];
        const others = before.filter(each => each.controllerName !== controllerName);
        const own = wanted.parents.map(({ findings, ...parent }) => ({
          ...parent,
          conditions: times(
            findings,
            before.find(each => each.controllerName === controllerName && deepEqual(each.parentRef, parent.parentRef))
              ?.conditions,
          ),
        }));
        if (own.length === 0 && others.length === before.length) return undefined;
        return { parents: [...others, ...own] };
      }
      case 'policy': {
        const before = wanted.object.status?.ancestors ?? [];
        const others = before.filter(each => each.controllerName !== controllerName);
        const own = wanted.ancestors.map(({ findings, ...ancestor }) => ({
          ...ancestor,
          conditions: times(
            findings,
            before.find(
              each => each.controllerName === controllerName && deepEqual(each.ancestorRef, ancestor.ancestorRef),
            )?.conditions,
          ),
        }));
        if (own.length === 0 && others.length === before.length) return undefined;
        return { ancestors: [...others, ...own] };
      }
      case 'ingress':
        return {
          loadBalancer: wanted.addresses.length === 0 ? {} : { ingress: wanted.addresses.map(ip => ({ ip })) },
        };
    }
  }
}

const managedLabel = 'windlass.dev/managed-by';
const managedBy = 'gateway-controller';
const portMax = 65_000;
const messageMax = 1_000;

function portName(number: number): string {
  return `port-${number}`;
}

function ownerOf({ metadata }: ApiObject, apiVersion: string, kind: string) {
  return { apiVersion, kind, name: metadata.name ?? '', uid: metadata.uid ?? '', controller: true };
}

function covers(
  { metadata, spec }: Service,
  wanted: { readonly labels: Readonly<Record<string, string>>; readonly annotations: Readonly<Record<string, string>> },
  { loadBalancerIP = '' }: { readonly loadBalancerIP?: string },
  ports: readonly { readonly name: string; readonly port: number; readonly targetPort: number }[],
): boolean {
  const within = (part: Readonly<Record<string, string>>, whole: Readonly<Record<string, string>> | undefined) =>
    Object.entries(part).every(
      ([name, value]) => whole !== undefined && Object.hasOwn(whole, name) && whole[name] === value,
    );
  return (
    within(wanted.labels, metadata.labels) &&
    within(wanted.annotations, metadata.annotations) &&
    (spec?.loadBalancerIP ?? '') === loadBalancerIP &&
    deepEqual(
      spec?.ports?.map(({ name, port, targetPort }) => ({ name, port, targetPort })),
      ports.map(({ name, port, targetPort }) => ({ name, port, targetPort })),
    )
  );
}

function kindFor(wanted: WantedStatus) {
  switch (wanted.type) {
    case 'class':
      return GatewayClass;
    case 'gateway':
      return Gateway;
    case 'route':
      return { HTTPRoute: HttpRoute, GRPCRoute: GrpcRoute, TLSRoute: TlsRoute }[wanted.kind];
    case 'policy':
      return BackendTlsPolicy;
    case 'ingress':
      return Ingress;
  }
}

/** A condition keeps its time while its status is the same. */
function conditionsOf(
  findings: readonly Finding[],
  before: readonly Condition[] | undefined,
  observedGeneration: number,
  now: string,
): readonly Condition[] {
  return findings.map(finding => {
    const old = before?.find(each => each.type === finding.type);
    const lastTransitionTime = old?.status === finding.status ? old.lastTransitionTime : now;
    return { ...finding, observedGeneration, lastTransitionTime };
  });
}

function sameButStatus(left: ApiObject, right: ApiObject): boolean {
  const { labels, annotations, deletionTimestamp } = left.metadata;
  const other = right.metadata;
  return (
    deepEqual(labels, other.labels) &&
    deepEqual(annotations, other.annotations) &&
    deletionTimestamp === other.deletionTimestamp
  );
}

/** Somebody else wrote a status that is ours. */
function conflicted(object: ApiObject, old: ApiObject): boolean {
  const statusOf = (each: ApiObject) => (each as ApiObject & { readonly status?: unknown }).status;
  return !deepEqual(statusOf(object), statusOf(old));
}

async function ensureDefinitions({ admin, clock }: GatewayOptions): Promise<void> {
  const { gatewayDefinitions, bundleVersion } = await import('./definitions.ts');
  await Promise.all(
    gatewayDefinitions().map(async definition => {
      const { name } = definition.metadata;
      const found = await existing(admin, name);
      // Somebody may have installed a newer bundle.
      const version = found?.metadata.annotations?.['gateway.networking.k8s.io/bundle-version'];
      if (!found) await createIfAbsent(admin, CustomResourceDefinition, definition as never);
      else if (version !== undefined && olderThan(version, bundleVersion))
        await createOrPatch(admin, CustomResourceDefinition, definition as never);
      while (!isEstablished(await existing(admin, name))) await clock.sleep(10);
    }),
  );
}

async function existing(admin: Client, name: string): Promise<CustomResourceDefinition | undefined> {
  try {
    return await admin.get(CustomResourceDefinition, name);
  } catch (error) {
    if (isReason(error, 'NotFound')) return undefined;
    throw error;
  }
}

function isEstablished(definition: CustomResourceDefinition | undefined): boolean {
  return definition?.status?.conditions?.some(each => each.type === 'Established' && each.status === 'True') ?? false;
}

function olderThan(version: string, than: string): boolean {
  const numbers = (text: string) => (/^v(\d+)\.(\d+)\.(\d+)/.exec(text) ?? []).slice(1).map(Number);
  const [left, right] = [numbers(version), numbers(than)];
  if (left.length < 3) return false;
  for (const [index, number] of left.entries()) if (number !== right[index]) return number < (right[index] ?? 0);
  return false;
}

/** Named as in upstream's list of features; what is not here is not served. */
const supportedFeatures = [
  'BackendTLSPolicy',
  'GRPCRoute',
  'GRPCRouteNamedRouteRule',
  'GRPCRouteRequestHeaderModifier',
  'Gateway',
  'GatewayAddressEmpty',
  'GatewayHTTPListenerIsolation',
  'GatewayHTTPSListenerDetectMisdirectedRequests',
  'GatewayInfrastructurePropagation',
  'GatewayPort8080',
  'HTTPRoute',
  'HTTPRoute303RedirectStatusCode',
  'HTTPRoute307RedirectStatusCode',
  'HTTPRoute308RedirectStatusCode',
  'HTTPRouteBackendProtocolH2C',
  'HTTPRouteBackendProtocolWebSocket',
  'HTTPRouteBackendRequestHeaderModification',
  'HTTPRouteBackendTimeout',
  'HTTPRouteCORS',
  'HTTPRouteDestinationPortMatching',
  'HTTPRouteHostRewrite',
  'HTTPRouteMethodMatching',
  'HTTPRouteNamedRouteRule',
  'HTTPRouteParentRefPort',
  'HTTPRoutePathRedirect',
  'HTTPRoutePathRewrite',
  'HTTPRoutePortRedirect',
  'HTTPRouteQueryParamMatching',
  'HTTPRouteRequestMirror',
  'HTTPRouteRequestMultipleMirrors',
  'HTTPRouteRequestPercentageMirror',
  'HTTPRouteRequestTimeout',
  'HTTPRouteResponseHeaderModification',
  'HTTPRouteSchemeRedirect',
  'ReferenceGrant',
  'TLSRoute',
  'TLSRouteModeMixed',
  'TLSRouteModeTerminate',
];

async function ensureDefaultClass(admin: Client): Promise<void> {
  await createIfAbsent(admin, GatewayClass, {
    metadata: { name: className },
    spec: { controllerName, description: 'Served by the built-in controller.' },
  });
}

async function ensureIngressClass(admin: Client): Promise<void> {
  await createIfAbsent(admin, IngressClass, {
    metadata: { name: className, annotations: { 'ingressclass.kubernetes.io/is-default-class': 'true' } },
    spec: { controller: ingressControllerName },
  });
}

async function ensureRole(admin: Client): Promise<void> {
  const name = 'windlass:gateway-controller';
  const read = ['get', 'list', 'watch'];
  await Promise.all([
    createOrPatch(admin, ClusterRole, {
      metadata: { name },
      rules: [
        { apiGroups: [''], resources: ['secrets', 'configmaps', 'namespaces', 'nodes'], verbs: read },
        {
          apiGroups: ['', 'discovery.k8s.io'],
          resources: ['services', 'endpointslices'],
          verbs: [...read, 'create', 'update', 'patch', 'delete'],
        },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices/restricted'], verbs: ['create'] },
        { apiGroups: ['networking.k8s.io'], resources: ['ingresses', 'ingressclasses'], verbs: read },
        { apiGroups: ['networking.k8s.io'], resources: ['ingresses/status'], verbs: ['update', 'patch'] },
        { apiGroups: ['gateway.networking.k8s.io'], resources: ['*'], verbs: read },
        {
          apiGroups: ['gateway.networking.k8s.io'],
          resources: ['gatewayclasses', 'gateways', 'httproutes', 'grpcroutes', 'tlsroutes', 'backendtlspolicies'].map(
            each => `${each}/status`,
          ),
          verbs: ['update', 'patch'],
        },
        // For ownerReferences that block deletion.
        { apiGroups: ['gateway.networking.k8s.io'], resources: ['gateways/finalizers'], verbs: ['update'] },
        { apiGroups: [''], resources: ['services/finalizers'], verbs: ['update'] },
      ],
    }),
    createIfAbsent(admin, ClusterRoleBinding, {
      metadata: { name },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
      subjects: [{ kind: 'ServiceAccount', namespace: 'kube-system', name: gatewayAccount }],
    }),
  ]);
}
