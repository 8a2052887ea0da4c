import { createHash } from 'node:crypto';
import type { Ingress } from '#api/networking/v1/ingress.ts';
import { Backends, type PolicyAncestor } from './backends.ts';
import { ownIngresses, portsOfIngresses } from './ingresses.ts';
import type {
  BackendTlsPolicy,
  Gateway,
  GatewayAddress,
  GatewayClass,
  ListenerStatus,
  ParentReference,
  Route,
  RouteParentStatus,
} from './kinds.ts';
import {
  allowsNamespace,
  certificateBehind,
  clientValidationOf,
  gatewayGroup,
  intersection,
  listenersOf,
  type ListenerState,
} from './listeners.ts';
import type { Certificate, HttpEntry, ProxyListener, ProxyModel, ProxyPort, TlsEntry } from './model.ts';
import { compileRoute, type RouteKindName } from './routes.ts';
import { className, controllerName, no, yes, type Finding, type World } from './world.ts';

/** What follows from everything that users have written. */
export interface Arrangement {
  readonly model: ProxyModel;
  readonly services: readonly WantedService[];
  readonly statuses: readonly WantedStatus[];
}

/** A Service of the type LoadBalancer that leads to ports of the proxy. */
export interface WantedService {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly owner?: Gateway;
  /** Ports with the ids of the proxy's. */
  readonly ports: readonly { readonly number: number; readonly id: string }[];
  /** An address that is asked for. */
  readonly address?: string;
}

export type WantedStatus =
  | { readonly type: 'class'; readonly object: GatewayClass; readonly findings: readonly Finding[] }
  | {
      readonly type: 'gateway';
      readonly object: Gateway;
      readonly findings: readonly Finding[];
      readonly addresses: readonly GatewayAddress[];
      readonly listeners: readonly (Omit<ListenerStatus, 'conditions'> & { readonly findings: readonly Finding[] })[];
    }
  | {
      readonly type: 'route';
      readonly kind: RouteKindName;
      readonly object: Route;
      readonly parents: readonly (Omit<RouteParentStatus, 'conditions'> & { readonly findings: readonly Finding[] })[];
    }
  | { readonly type: 'policy'; readonly object: BackendTlsPolicy; readonly ancestors: readonly PolicyAncestor[] }
  | { readonly type: 'ingress'; readonly object: Ingress; readonly addresses: readonly string[] };

export const ingressService = { namespace: 'kube-system', name: 'windlass-ingress' } as const;

export function arrange(world: World): Arrangement {
  const backends = new Backends(world);
  const own = new Set(
    world.classes.filter(each => each.spec.controllerName === controllerName).map(({ metadata }) => metadata.name),
  );
  const gateways = world.gateways
    .filter(({ spec }) => own.has(spec.gatewayClassName))
    .map(gateway => new GatewayState(gateway, world));
  const routes = (
    [
      ['HTTPRoute', world.httpRoutes],
      ['GRPCRoute', world.grpcRoutes],
      ['TLSRoute', world.tlsRoutes],
    ] as const
  ).flatMap(([kind, objects]) => objects.map(route => attach(route as Route, kind, gateways, world, backends)));
  const ingressPorts = portsOfIngresses(world, backends);
  const ingresses = ownIngresses(world);
  const ingressAddresses = ingresses.length > 0 ? world.addresses(ingressService) : [];
  return {
    model: { ports: [...gateways.flatMap(each => each.ports()), ...ingressPorts], backends: backends.all },
    services: [
      ...gateways.flatMap(each => each.service() ?? []),
      ...(ingressPorts.length > 0
        ? [
            {
              ...ingressService,
              labels: { 'app.kubernetes.io/managed-by': 'windlass' },
              annotations: {},
              ports: ingressPorts.map(({ id, number }) => ({ id, number })),
            },
          ]
        : []),
    ],
    statuses: [
      ...world.classes.filter(({ metadata }) => own.has(metadata.name)).map(classStatus),
      ...gateways.map(each => each.status()),
      ...routes,
      ...backends
        .policyStatuses()
        .map(({ policy, ancestors }) => ({ type: 'policy' as const, object: policy, ancestors })),
      ...ingresses.map(object => ({ type: 'ingress' as const, object, addresses: ingressAddresses })),
    ],
  };
}

function classStatus(object: GatewayClass): WantedStatus {
  const { parametersRef } = object.spec;
  return {
    type: 'class',
    object,
    findings: [
      parametersRef
        ? no('Accepted', 'InvalidParameters', 'This controller takes no parameters.')
        : yes('Accepted', 'Accepted', 'Gateways of this class are served.'),
      yes('SupportedVersion'),
    ],
  };
}

class GatewayState {
  readonly gateway: Gateway;
  readonly listeners: readonly ListenerState[];
  readonly client: Certificate | undefined;
  readonly #world: World;
  readonly #refused: Finding | undefined;
  readonly #resolved: Finding | undefined;
  readonly #http = new Map<string, HttpEntry[]>();
  readonly #tls = new Map<string, TlsEntry[]>();
  /** Listener → routes. */
  readonly #attached = new Map<string, number>();

  constructor(gateway: Gateway, world: World) {
    this.gateway = gateway;
    this.#world = world;
    this.listeners = listenersOf(gateway, world);
    this.#refused = refusalOf(gateway);
    const reference = gateway.spec.tls?.backend?.clientCertificateRef;
    const found = reference && certificateBehind(reference, gateway, world);
    this.client = found && 'certPem' in found ? found : undefined;
    if (found && 'reason' in found)
      this.#resolved = no(
        'ResolvedRefs',
        found.reason === 'RefNotPermitted' ? found.reason : 'InvalidClientCertificateRef',
        found.message,
      );
    else if (reference) this.#resolved = yes('ResolvedRefs');
  }

  get key(): string {
    return `${this.gateway.metadata.namespace}/${this.gateway.metadata.name}`;
  }

  attach(
    { listener }: ListenerState,
    hostnames: readonly string[],
    entries: {
      readonly http: readonly Omit<HttpEntry, 'hostname'>[];
      readonly tls: readonly Omit<TlsEntry, 'hostname'>[];
    },
  ): void {
    const { name } = listener;
    this.#attached.set(name, (this.#attached.get(name) ?? 0) + 1);
    for (const hostname of hostnames) {
      push(
        this.#http,
        name,
        entries.http.map(entry => ({ ...entry, hostname })),
      );
      push(
        this.#tls,
        name,
        entries.tls.map(entry => ({ ...entry, hostname })),
      );
    }
  }

  ports(): readonly ProxyPort[] {
    if (this.#refused) return [];
    const usable = this.listeners.filter(each => each.usable);
    return [...Map.groupBy(usable, ({ listener }) => listener.port)].map(([number, states]) => {
      const validation = states[0] && clientValidationOf(this.gateway, states[0].listener, this.#world)?.validation;
      return {
        id: `${this.key}:${number}`,
        number,
        listeners: states.map(state => this.#proxyListener(state)),
        ...(validation && { clientValidation: validation }),
      };
    });
  }

  #proxyListener({ listener, certificates }: ListenerState): ProxyListener {
    const hostname = listener.hostname ?? '';
    if (listener.protocol === 'TLS') {
      const type = listener.tls?.mode === 'Passthrough' ? 'passthrough' : 'terminate';
      return { type, hostname, certificates, entries: this.#tls.get(listener.name) ?? [] };
    }
    const type = listener.protocol === 'HTTPS' ? 'https' : 'http';
    return { type, hostname, certificates, entries: this.#http.get(listener.name) ?? [] };
  }

  get #serviceName() {
    return { namespace: this.gateway.metadata.namespace ?? '', name: serviceName(this.gateway.metadata.name ?? '') };
  }

  service(): WantedService | undefined {
    const ports = this.ports();
    if (ports.length === 0) return undefined;
    const { labels = {}, annotations = {} } = this.gateway.spec.infrastructure ?? {};
    const asked = this.gateway.spec.addresses?.find(each => each.value !== undefined && each.value !== '');
    return {
      ...this.#serviceName,
      labels: {
        ...labels,
        'gateway.networking.k8s.io/gateway-name': labelOf(this.gateway.metadata.name ?? ''),
        'gateway.networking.k8s.io/gateway-class-name': labelOf(this.gateway.spec.gatewayClassName),
        'app.kubernetes.io/managed-by': 'windlass',
      },
      annotations,
      owner: this.gateway,
      ports: ports.map(({ id, number }) => ({ id, number })),
      ...(asked?.value !== undefined && { address: asked.value }),
    };
  }

  status(): WantedStatus {
    const { gateway, listeners } = this;
    const ips = this.#refused || this.ports().length === 0 ? [] : this.#world.addresses(this.#serviceName);
    const invalid = listeners.filter(each => !each.accepts);
    const accepted =
      this.#refused ??
      (invalid.length === 0
        ? yes('Accepted', 'Accepted', 'The Gateway is served.')
        : invalid.length === listeners.length
          ? no('Accepted', 'ListenersNotValid', 'No listener is valid.')
          : yes('Accepted', 'ListenersNotValid', `${invalid.length} of the listeners are not valid.`));
    return {
      type: 'gateway',
      object: gateway,
      findings: [accepted, this.#programmed(accepted, ips), ...(this.#resolved ? [this.#resolved] : [])],
      addresses: ips.map(value => ({ type: 'IPAddress', value })),
      listeners: listeners.map(state => ({
        name: state.listener.name,
        supportedKinds: state.supportedKinds,
        attachedRoutes: this.#attached.get(state.listener.name) ?? 0,
        findings: state.findings.map(finding =>
          finding.type !== 'Programmed' || finding.status !== 'True' || accepted.status === 'True'
            ? finding
            : no('Programmed', 'Invalid', accepted.message),
        ),
      })),
    };
  }

  #programmed(accepted: Finding, ips: readonly string[]): Finding {
    const asked = this.gateway.spec.addresses?.flatMap(({ value }) => (value ? [value] : [])) ?? [];
    if (accepted.status !== 'True') return no('Programmed', 'Invalid', accepted.message);
    if (this.#world.problem !== undefined) return no('Programmed', 'NoResources', this.#world.problem);
    if (this.ports().length === 0) return no('Programmed', 'Invalid', 'No listener can take connections.');
    const missing = asked.find(each => !ips.includes(each));
    if (missing !== undefined)
      return no('Programmed', 'AddressNotUsable', `The address ${missing} could not be assigned.`);
    if (ips.length === 0) return no('Programmed', 'AddressNotAssigned', 'The Gateway has no address yet.');
    return yes('Programmed', 'Programmed', 'The proxy serves this Gateway.');
  }
}

function push<Value>(map: Map<string, Value[]>, key: string, values: readonly Value[]): void {
  const list = map.get(key) ?? [];
  list.push(...values);
  map.set(key, list);
}

function refusalOf({ spec }: Gateway): Finding | undefined {
  if (spec.infrastructure?.parametersRef)
    return no('Accepted', 'InvalidParameters', 'This controller takes no parameters.');
  const alien = spec.addresses?.find(({ type = 'IPAddress' }) => type !== 'IPAddress');
  if (alien) return no('Accepted', 'UnsupportedAddress', `Addresses of the type ${alien.type} cannot be given.`);
  return undefined;
}

/** Names of Services are labels of 63 characters; those of Gateways may be longer and have dots. */
function serviceName(gateway: string): string {
  const name = `${gateway}-${className}`;
  if (/^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) return name;
  const digest = createHash('sha256').update(gateway).digest('hex').slice(0, 8);
  const plain = gateway.replaceAll('.', '-').replace(/^[^a-z]*/, 'g-');
  return `${plain.slice(0, 63 - digest.length - className.length - 2)}-${digest}-${className}`;
}

function labelOf(name: string): string {
  return name.length <= 63
    ? name
    : `${name.slice(0, 54)}-${createHash('sha256').update(name).digest('hex').slice(0, 8)}`;
}

/** Joins a route to the listeners of its parents. */
function attach(
  route: Route,
  kind: RouteKindName,
  gateways: readonly GatewayState[],
  world: World,
  backends: Backends,
): WantedStatus {
  const namespace = route.metadata.namespace ?? '';
  const taken = new Set<string>();
  const parents = (route.spec.parentRefs ?? []).flatMap(parentRef => {
    const state = parentOf(parentRef, namespace, gateways);
    if (!state) return [];
    const ancestor = {
      group: gatewayGroup,
      kind: 'Gateway',
      name: state.gateway.metadata.name ?? '',
      namespace: state.gateway.metadata.namespace ?? '',
    };
    const { accepted, listeners } = placesFor(route, kind, parentRef, state, world);
    const compiled = compileRoute(route, kind, { backends, ancestor, client: state.client });
    const verdict = accepted.status === 'True' ? (compiled.refused ?? accepted) : accepted;
    if (verdict.status === 'True')
      for (const { listener, hostnames } of listeners) {
        // A route that names a listener twice is attached once.
        const place = `${state.key} ${listener.listener.name}`;
        if (!taken.has(place)) state.attach(listener, hostnames, compiled);
        taken.add(place);
      }
    return [{ parentRef, controllerName, findings: [verdict, compiled.unresolved ?? yes('ResolvedRefs')] }];
  });
  return { type: 'route', kind, object: route, parents };
}

function parentOf(
  { group = gatewayGroup, kind = 'Gateway', name, namespace }: ParentReference,
  own: string,
  gateways: readonly GatewayState[],
): GatewayState | undefined {
  if (group !== gatewayGroup || kind !== 'Gateway') return undefined;
  return gateways.find(
    ({ gateway }) => gateway.metadata.name === name && gateway.metadata.namespace === (namespace ?? own),
  );
}

interface Places {
  readonly accepted: Finding;
  readonly listeners: readonly { readonly listener: ListenerState; readonly hostnames: readonly string[] }[];
}

function placesFor(
  route: Route,
  kind: RouteKindName,
  { sectionName, port }: ParentReference,
  { gateway, listeners }: GatewayState,
  world: World,
): Places {
  const nowhere = (reason: string, message: string): Places => ({
    accepted: no('Accepted', reason, message),
    listeners: [],
  });
  const named = listeners.filter(
    ({ listener }) =>
      (sectionName === undefined || listener.name === sectionName) && (port === undefined || listener.port === port),
  );
  if (named.length === 0) return nowhere('NoMatchingParent', 'The Gateway has no such listener.');
  const allowed = named.filter(
    ({ listener, supportedKinds }) =>
      supportedKinds.some(each => each.kind === kind) &&
      allowsNamespace(listener, gateway, route.metadata.namespace ?? '', world),
  );
  if (allowed.length === 0)
    return nowhere('NotAllowedByListeners', 'No listener takes routes of this kind from this namespace.');
  const wanted = route.spec.hostnames ?? [];
  const places = allowed.flatMap(listener => {
    const own = listener.listener.hostname;
    const hostnames =
      wanted.length === 0 ? [own ?? ''] : wanted.flatMap(each => intersection(each.toLowerCase(), own) ?? []);
    return hostnames.length === 0 ? [] : [{ listener, hostnames }];
  });
  if (places.length === 0)
    return nowhere('NoMatchingListenerHostname', 'No listener is for the host names of this route.');
  const accepting = places.filter(({ listener }) => listener.accepts);
  if (accepting.length === 0) return nowhere('NotAllowedByListeners', 'No listener that this route is for is valid.');
  return { accepted: yes('Accepted', 'Accepted', 'The route is served.'), listeners: accepting };
}
