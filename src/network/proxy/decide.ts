import { createHash } from 'node:crypto';
import type { Service, ServicePort } from '#api/core/v1/service.ts';
import type { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { cidrContains, formatCidr, formatIp, networkOf, parseCidr, parseIp, type IpNetwork } from '#base/ip.ts';
import {
  affinityChains,
  externalBase,
  familyOf,
  numberKey,
  randomChain,
  sets,
  type Chain,
  type Family,
  type FrontendKind,
} from './chains.ts';
import { clusterTargets, localTargets, targetsOf, type NodeInfo, type Target, isHere } from './endpoints.ts';

/** An element of a set, or of a map when `value` is not empty. */
export interface Element {
  readonly set: string;
  readonly key: string;
  readonly value: string;
}

/** What one service needs in the kernel. */
export interface ServiceRules {
  /** The chains that its elements go to; services share them. */
  readonly chains: readonly Chain[];
  readonly elements: readonly Element[];
  readonly healthCheck: HealthCheck | undefined;
  readonly udp: readonly UdpFrontend[];
  /** The order of the endpoints of each frontend: hand it to the next decision, and only what has changed moves. */
  readonly order: Order;
}

/** Answers a load balancer's question whether this node has endpoints. */
export interface HealthCheck {
  readonly port: number;
  readonly namespace: string;
  readonly name: string;
  readonly localEndpoints: number;
}

/** For forgetting flows: UDP has no end that the kernel could see. */
export interface UdpFrontend {
  /** Absent: any address of the node. */
  readonly address: string | undefined;
  readonly port: number;
  readonly targets: readonly string[];
}

export type Order = ReadonlyMap<string, readonly string[]>;

export interface Ruleset {
  readonly chains: ReadonlyMap<string, string>;
  /** set → key → value */
  readonly elements: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

/** The rules of all services. `slices` are those of a service by its `namespace/name`. */
export function decide(
  services: Iterable<Service>,
  slices: (serviceKey: string) => Iterable<EndpointSlice>,
  node: NodeInfo,
): Ruleset {
  const chains = new Map<string, string>();
  const elements = new Map<string, Map<string, string>>();
  for (const service of services) {
    const { namespace = '', name = '' } = service.metadata;
    const rules = decideService(service, [...slices(`${namespace}/${name}`)], node);
    for (const chain of rules.chains) chains.set(chain.name, chain.rules);
    for (const { set, key, value } of rules.elements) {
      const ofSet = elements.get(set) ?? new Map<string, string>();
      elements.set(set, ofSet);
      if (!ofSet.has(key)) ofSet.set(key, value);
    }
  }
  return { chains, elements };
}

/** Another proxy serves those. */
const otherProxyLabel = 'service.kubernetes.io/service-proxy-name';

export function decideService(
  service: Service,
  slices: readonly EndpointSlice[],
  node: NodeInfo,
  previous: Order = new Map(),
): ServiceRules {
  const rules = new Rules(previous);
  const { spec } = service;
  const addresses = clusterIpsOf(service);
  if (!spec || addresses.length === 0 || service.metadata.labels?.[otherProxyLabel] !== undefined) return rules.done();
  const external = spec.type === 'NodePort' || spec.type === 'LoadBalancer';
  const externalLocal = spec.externalTrafficPolicy === 'Local';
  const internalLocal = spec.internalTrafficPolicy === 'Local';
  const affinitySeconds =
    spec.sessionAffinity === 'ClientIP' ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800) : undefined;
  for (const ip of addresses) rules.add({ set: `cluster-ips${familyOf(ip).suffix}`, key: ip, value: '' });
  for (const port of spec.ports ?? []) {
    for (const ip of addresses) {
      const family = familyOf(ip);
      const protocol = port.protocol ?? 'TCP';
      const targets = targetsOf(slices, port.name ?? '', protocol, family.suffix, node);
      const cluster = clusterTargets(targets, node);
      const local = externalLocal || internalLocal ? localTargets(targets) : [];
      const some = cluster.length > 0;
      const frontends: Frontend[] = [
        { kind: 'address', ip, port: port.port, everyone: internalLocal ? local : cluster, outsiders: undefined, some },
      ];
      const outer = { everyone: cluster, outsiders: externalLocal ? local : undefined, some };
      for (const address of outerAddresses(service, family))
        frontends.push({ kind: 'address', ip: address, port: port.port, ...outer });
      if (external && port.nodePort) frontends.push({ kind: 'node', ip: undefined, port: port.nodePort, ...outer });
      for (const frontend of frontends) addFrontend(rules, frontend, protocol, family, affinitySeconds);
      addFirewall(rules, service, port, protocol, family);
      addMasquerading(rules, frontends, protocol, family);
    }
  }
  return rules.done(healthCheckOf(service, slices, node));
}

interface Frontend {
  readonly kind: FrontendKind;
  readonly ip: string | undefined;
  readonly port: number;
  readonly everyone: readonly Target[];
  /** Whom callers from outside reach in place of `everyone`, where a policy says so. */
  readonly outsiders: readonly Target[] | undefined;
  /** The service has endpoints anywhere: what a policy leaves without is dropped, not refused. */
  readonly some: boolean;
}

function addFrontend(
  rules: Rules,
  frontend: Frontend,
  protocol: string,
  family: Family,
  affinitySeconds: number | undefined,
): void {
  const { kind, ip, port, everyone, outsiders, some } = frontend;
  const names = sets[kind];
  const place = `${protocol.toLowerCase()} . ${port}`;
  const key = ip === undefined ? place : `${ip} . ${place}`;
  const targets = new Map<string, Target>();
  const view = (group: readonly Target[], base: number): string => {
    for (const target of group) targets.set(targetKey(target), target);
    const ordered = rules.arrange(`${kind}${family.suffix} ${key} ${base}`, group.map(targetKey));
    if (affinitySeconds === undefined) {
      for (const [index, target] of ordered.entries())
        rules.add({
          set: `${names.endpoints}${family.suffix}`,
          key: `${key} . ${numberKey(base + index + 1)}`,
          value: target,
        });
      return rules.goto(randomChain(kind, family, ordered.length, base));
    }
    for (const [index, target] of ordered.entries())
      rules.add({
        set: `${names.picks}${family.suffix}`,
        key: `${key} . ${numberKey(base + index + 1)}`,
        value: numberKey(lastingNumber(target)),
      });
    const [again, first] = affinityChains(kind, family, ordered.length, base, affinitySeconds);
    rules.goto(again);
    return rules.goto(first);
  };
  const add = (set: string, value: string) => rules.add({ set: `${set}${family.suffix}`, key, value });
  if (everyone.length > 0) add(names.services, view(everyone, 0));
  else if (some) add(names.services, 'drop');
  else add(names.unserved, '');
  if (outsiders && some) add(names.external, outsiders.length > 0 ? view(outsiders, externalBase) : 'drop');
  if (affinitySeconds !== undefined)
    for (const target of targets.keys())
      rules.add({
        set: `${names.endpoints}${family.suffix}`,
        key: `${key} . ${numberKey(lastingNumber(target))}`,
        value: target,
      });
  if (protocol === 'UDP') rules.addUdp({ address: ip, port, targets: [...targets.values()].map(target => target.ip) });
}

/** Callers of the load balancer's addresses from elsewhere than `loadBalancerSourceRanges` are dropped. */
function addFirewall(rules: Rules, service: Service, port: ServicePort, protocol: string, family: Family): void {
  const { spec } = service;
  if (spec?.type !== 'LoadBalancer') return;
  const ranges = (spec.loadBalancerSourceRanges ?? []).map(range => parseCidr(range.trim())).filter(isNetwork);
  if (ranges.length === 0) return;
  // A service of one family is closed to all of the other's ranges.
  const allowed = widest(ranges.filter(range => familyOf(formatCidr(range)) === family));
  for (const ip of loadBalancerIps(service, family)) {
    const key = `${ip} . ${protocol.toLowerCase()} . ${port.port}`;
    rules.add({ set: `firewalled${family.suffix}`, key, value: '' });
    for (const range of allowed)
      rules.add({
        set: `allowed${family.suffix}`,
        key: `${key} . ${formatIp(networkOf(range))}/${range.prefixLength}`,
        value: '',
      });
  }
}

/**
 * Who must get another source address, so that the answer comes back through this node: a pod that meets itself behind
 * a service, and whoever is led from outside the cluster to another node.
 */
function addMasquerading(rules: Rules, frontends: readonly Frontend[], protocol: string, family: Family): void {
  for (const { everyone, outsiders = [] } of frontends)
    for (const { ip, port, local } of [...everyone, ...outsiders])
      if (local) rules.add({ set: `hairpins${family.suffix}`, key: `${ip} . ${ip}`, value: '' });
      else rules.add({ set: `remote${family.suffix}`, key: `${ip} . ${protocol.toLowerCase()} . ${port}`, value: '' });
}

function healthCheckOf(service: Service, slices: readonly EndpointSlice[], node: NodeInfo): HealthCheck | undefined {
  const { spec } = service;
  const port = spec?.healthCheckNodePort ?? 0;
  if (port === 0 || spec?.type !== 'LoadBalancer' || spec.externalTrafficPolicy !== 'Local') return undefined;
  const local = new Set<string>();
  for (const slice of slices)
    for (const endpoint of slice.endpoints ?? [])
      if (isHere(endpoint, node) && (endpoint.conditions?.ready ?? true))
        for (const address of endpoint.addresses) local.add(address);
  const { namespace = '', name = '' } = service.metadata;
  return { port, namespace, name, localEndpoints: local.size };
}

/** Canonical; empty for headless services and external names. */
function clusterIpsOf({ spec }: Service): readonly string[] {
  if (!spec || spec.type === 'ExternalName') return [];
  const listed = spec.clusterIPs?.length ? spec.clusterIPs : [spec.clusterIP ?? ''];
  return listed.map(canonical).filter(ip => ip !== undefined);
}

/** External addresses and the load balancer's, of one family, each once. */
function outerAddresses(service: Service, family: Family): readonly string[] {
  const listed = (service.spec?.externalIPs ?? []).map(canonical).filter(ip => ip !== undefined);
  const ofFamily = listed.filter(ip => familyOf(ip) === family);
  return [...new Set([...ofFamily, ...loadBalancerIps(service, family)])];
}

function loadBalancerIps({ spec, status }: Service, family: Family): readonly string[] {
  if (spec?.type !== 'LoadBalancer') return [];
  // With the mode Proxy the balancer wants to see the traffic itself (KEP-1860).
  const ingresses = (status?.loadBalancer?.ingress ?? []).filter(ingress => (ingress.ipMode ?? 'VIP') === 'VIP');
  return ingresses
    .map(ingress => canonical(ingress.ip ?? ''))
    .filter(ip => ip !== undefined)
    .filter(ip => familyOf(ip) === family);
}

function canonical(text: string): string | undefined {
  const address = parseIp(text);
  return address && formatIp(address);
}

function isNetwork(network: IpNetwork | undefined): network is IpNetwork {
  return network !== undefined;
}

/** Without the ranges that lie in others: the kernel's interval sets take no overlaps. */
function widest(ranges: readonly IpNetwork[]): readonly IpNetwork[] {
  const sorted = ranges.toSorted((left, right) => left.prefixLength - right.prefixLength);
  const kept: IpNetwork[] = [];
  for (const range of sorted) if (!kept.some(wider => cidrContains(wider, range.address))) kept.push(range);
  return kept;
}

/** As the maps have it: `10.244.0.5 . 8080`. */
function targetKey({ ip, port }: Target): string {
  return `${ip} . ${port}`;
}

/** A number that an endpoint keeps over restarts, for callers that shall find it again. Above all indexes. */
function lastingNumber(target: string): number {
  return (createHash('sha1').update(target).digest().readUInt32BE(0) & 0x3fff_ffff) | 0x4000_0000;
}

class Rules {
  readonly #chains = new Map<string, Chain>();
  readonly #elements = new Map<string, Element>();
  readonly #udp: UdpFrontend[] = [];
  readonly #order = new Map<string, readonly string[]>();
  readonly #previous: Order;

  constructor(previous: Order) {
    this.#previous = previous;
  }

  add(element: Element): void {
    const id = `${element.set} ${element.key}`;
    if (!this.#elements.has(id)) this.#elements.set(id, element);
  }

  addUdp(frontend: UdpFrontend): void {
    this.#udp.push(frontend);
  }

  goto(chain: Chain): string {
    this.#chains.set(chain.name, chain);
    return `goto ${chain.name}`;
  }

  arrange(frontend: string, wanted: readonly string[]): readonly string[] {
    const order = arrange(this.#previous.get(frontend) ?? [], wanted);
    this.#order.set(frontend, order);
    return order;
  }

  done(healthCheck?: HealthCheck): ServiceRules {
    return {
      chains: [...this.#chains.values()],
      elements: [...this.#elements.values()],
      healthCheck,
      udp: this.#udp,
      order: this.#order,
    };
  }
}

/** Keeps everyone's place as far as it can: newcomers and the last ones fill the gaps. */
export function arrange(previous: readonly string[], wanted: readonly string[]): readonly string[] {
  const missing = new Set(wanted);
  const places = Array.from({ length: missing.size }, (_, place) => {
    const target = previous[place];
    return target !== undefined && missing.delete(target) ? target : undefined;
  });
  const rest = [...missing];
  return places.map(target => target ?? (rest.shift() as string));
}
