import type { Node } from '#api/core/v1/node.ts';
import { Service, type LoadBalancerIngress } from '#api/core/v1/service.ts';
import { addressAt, cidrContains, formatIp, parseCidr, parseIp, type IpNetwork } from '#base/ip.ts';
import { keyOf, type Informer } from '#client/informer.ts';
import type { Informers } from '#client/informers.ts';
import type { CloudProvider, LoadBalancers } from './provider.ts';

export interface BuiltInCloudOptions {
  readonly informers: Informers;
  /** Addresses for load balancers, CIDRs. Empty: the nodes' own, port by port. */
  readonly pool: readonly string[];
  /** Ports of the nodes that are no service's: the API server's, the kubelets', that of the way in. */
  readonly reservedPorts: readonly number[];
}

/** The first addresses of a pool that are looked at: a /64 has more than anybody can try. */
const addressesTriedMax = 65_536;

/**
 * A cloud of the machines that the cluster is on. A load balancer has an address of the pool for itself, or ports of the
 * nodes' addresses that no other has. The service proxy of each node leads both on: there is nothing else to make.
 */
export function builtInCloud(options: BuiltInCloudOptions): CloudProvider {
  return { name: 'windlass', loadBalancers: builtInLoadBalancers(options) };
}

export function builtInLoadBalancers(options: BuiltInCloudOptions): LoadBalancers {
  const { pool, informers, reservedPorts } = options;
  const services = informers.of(Service);
  const networks = pool.map(cidr => {
    const network = parseCidr(cidr);
    if (!network) throw new Error(`cannot give out load balancers' addresses: ${JSON.stringify(cidr)} is no CIDR`);
    return network;
  });
  // What was given out a moment ago is not in any status yet.
  const given = new Map<string, readonly string[]>();
  const ensure = async (service: Service, nodes: readonly Node[]): Promise<readonly LoadBalancerIngress[]> => {
    const key = keyOf(service);
    const taken = claims(service, services, given);
    const ips =
      networks.length > 0 ? fromPool(service, networks, taken) : ofNodes(service, nodes, taken, reservedPorts);
    given.set(key, ips);
    return ips.map(ip => ({ ip, ipMode: 'VIP' }));
  };
  return {
    ensure,
    update: ensure,
    get: async service => given.get(keyOf(service))?.map(ip => ({ ip, ipMode: 'VIP' })),
    ensureDeleted: async service => void given.delete(keyOf(service)),
  };
}

/** `ip`, and `ip protocol port`, of all other services, each with whose it is. */
function claims(
  own: Service,
  services: Informer<Service>,
  given: ReadonlyMap<string, readonly string[]>,
): ReadonlyMap<string, string> {
  const taken = new Map<string, string>();
  for (const [key, service] of services.objects) {
    if (key === keyOf(own) || service.spec?.type !== 'LoadBalancer') continue;
    const inStatus = (service.status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []);
    for (const ip of new Set([...(given.get(key) ?? []), ...inStatus])) {
      taken.set(ip, key);
      for (const { protocol = 'TCP', port } of service.spec.ports ?? []) taken.set(`${ip} ${protocol} ${port}`, key);
    }
  }
  return taken;
}

function fromPool(
  service: Service,
  networks: readonly IpNetwork[],
  taken: ReadonlyMap<string, string>,
): readonly string[] {
  const asked = service.spec?.loadBalancerIP ?? '';
  const had = (service.status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []);
  const found: string[] = [];
  for (const family of familiesOf(service)) {
    const own = networks.filter(network => network.address.family === family);
    const fits = (text: string) => {
      const address = parseIp(text);
      return address?.family === family && own.some(network => cidrContains(network, address));
    };
    const wanted = parseIp(asked);
    if (wanted?.family === family) {
      const ip = formatIp(wanted);
      if (!fits(ip)) throw new Error(`the address ${ip} is not in the pool`);
      if (taken.has(ip)) throw new Error(`the address ${ip} is taken by the load balancer of ${taken.get(ip)}`);
      found.push(ip);
      continue;
    }
    const kept = had.find(ip => fits(ip) && !taken.has(ip));
    const ip = kept ?? firstFree(own, taken);
    if (ip !== undefined) found.push(ip);
  }
  if (found.length === 0) throw new Error('the pool has no free address of the service’s families');
  return found;
}

function firstFree(networks: readonly IpNetwork[], taken: ReadonlyMap<string, string>): string | undefined {
  for (const network of networks) {
    const bits = (network.address.family === 4 ? 32 : 128) - network.prefixLength;
    // The first and the last of an IPv4 network are none.
    const edges = network.address.family === 4 && bits > 1;
    const count = Math.min(addressesTriedMax, 2 ** bits - (edges ? 1 : 0));
    for (let index = edges ? 1 : 0; index < count; index++) {
      const ip = formatIp(addressAt(network, BigInt(index)));
      if (!taken.has(ip)) return ip;
    }
  }
  return undefined;
}

function ofNodes(
  service: Service,
  nodes: readonly Node[],
  taken: ReadonlyMap<string, string>,
  reservedPorts: readonly number[],
): readonly string[] {
  const families = familiesOf(service);
  const ips = new Set<string>();
  for (const { status } of nodes)
    for (const { type, address } of status.addresses ?? []) {
      const parsed = type === 'InternalIP' ? parseIp(address) : undefined;
      if (parsed && families.includes(parsed.family)) ips.add(formatIp(parsed));
    }
  if (ips.size === 0) throw new Error('there are no available nodes with an address of the service’s families');
  for (const { protocol = 'TCP', port } of service.spec?.ports ?? []) {
    if (protocol === 'TCP' && reservedPorts.includes(port))
      throw new Error(`the port ${port}/${protocol} of the nodes is the cluster’s own`);
    for (const ip of ips) {
      const holder = taken.get(`${ip} ${protocol} ${port}`);
      if (holder !== undefined)
        throw new Error(`the port ${port}/${protocol} of the nodes is taken by the load balancer of ${holder}`);
    }
  }
  return [...ips];
}

function familiesOf({ spec }: Service): readonly (4 | 6)[] {
  const families = (spec?.ipFamilies ?? []).map(family => (family === 'IPv6' ? 6 : 4));
  return families.length > 0 ? families : [4];
}
