import { existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import {
  addressAt,
  AddressPool,
  cidrContains,
  formatIp,
  networkSize,
  parseCidr,
  parseIp,
  type IpNetwork,
} from '#base/ip.ts';
import { systemClock, type Clock } from '#base/clock.ts';
import { watchLinks, type Loss } from '#base/kernel/link-watch.ts';
import { Netlink, type LinkChange, type Step } from '#base/kernel/netlink.ts';
import { silentLog, type Log } from '#base/log.ts';
import { forgetConnections } from '../conntrack.ts';
import { bridgeName, linkGroup, podLink, podLinkPrefix, podTable } from '../names.ts';
import { setSysctl, uplinkMtu } from '../host.ts';
import { deleteTable } from '../nftables/run.ts';
import { NftTable } from '../nftables/table.ts';
import { closeFirewall, openFirewall } from './firewall.ts';
import { Leases, type Lease } from './leases.ts';
import { LinkRemover } from './link-remover.ts';
import type { LeasedPod, NetworkedSandbox, NodeNetwork, PodGate } from './pod-network.ts';
import { hostPortElements, linkRules, nodeElement, podRules, senderElement, type PodElement } from './rules.ts';

export interface BridgeNetworkOptions {
  readonly clusterId: string;
  /** This node's networks, one a family; none: known later by `updatePodCidrs`. The first address is the gateway. */
  readonly podCidrs: readonly string[];
  /** The whole cluster's pods: no masquerading between them. Absent: this node's. */
  readonly clusterCidrs?: readonly string[];
  /** Where leases are kept over restarts of the agent. */
  readonly stateDir: string;
  /** Absent: that of the default route's link. */
  readonly mtu?: number;
  /** How packets to other nodes' pods travel: in others, which makes them smaller, to this port of UDP. */
  readonly tunnel?: { readonly overheadBytes: number; readonly port: number };
  /** Network policies; absent: none are kept. */
  readonly gate?: PodGate;
  /** Somebody else connects pods to the bridge, with hardware addresses of their own. */
  readonly connectedByOthers?: boolean;
  readonly clock?: Clock;
  readonly log?: Log;
}

export interface BridgeNetwork extends NodeNetwork {
  readonly mtu: number;
}

/**
 * The built-in pod network: a bridge with the gateway addresses, and a pair of links for each pod. A pod's address has no
 * neighbours: everything it sends passes the host's routing, so that services, host ports and policies see it, whether
 * or not br_netfilter is loaded. What is made stays when the object is disposed of, for the pods that run on;
 * `removeBridgeNetwork` takes it away.
 */
export async function bridgeNetwork(options: BridgeNetworkOptions): Promise<BridgeNetwork> {
  const network = new Bridge(options);
  try {
    await network.updatePodCidrs(options.podCidrs);
    return network;
  } catch (error) {
    await network[Symbol.asyncDispose]();
    throw error;
  }
}

/** Removes a cluster's bridge, its pods' links and its rules from this machine. */
export async function removeBridgeNetwork(clusterId: string): Promise<void> {
  await using netlink = new Netlink();
  const bridge = bridgeName(clusterId);
  const ours = (await netlink.links()).filter(
    link => link.name === bridge || link.name.startsWith(podLinkPrefix(clusterId)),
  );
  const changes = ours.map((link): LinkChange => ({ do: 'deleteLink', name: link.name }));
  if (changes.length > 0) await netlink.apply([{ changes, tolerate: ['ENODEV'] }]);
  await deleteTable(podTable(clusterId));
  await deleteTable(podTable(clusterId), 'bridge');
  await closeFirewall(bridge, silentLog);
}

const podInterface = 'eth0';

interface Range {
  readonly cidr: string;
  readonly network: IpNetwork;
  readonly gateway: string;
  readonly pool: AddressPool;
}

class Bridge implements BridgeNetwork {
  readonly #options: BridgeNetworkOptions;
  readonly #name: string;
  readonly #log: Log;
  readonly #netlink = new Netlink();
  readonly #remover: LinkRemover;
  readonly #leases: Leases;
  #ranges: readonly Range[] = [];
  #table: NftTable | undefined;
  #linkTable: NftTable | undefined;
  #mtu = 1500;
  #mac = '';
  /** Addresses whose hardware address follows from them, written once: most pods need no change of the table. */
  #knownSenders: ReadonlySet<string> = new Set();
  readonly #nodeAddresses = new Set<string>();
  /** Sandboxes whose network is on its way out. */
  readonly #closing = new Set<string>();
  #watch: Disposable | undefined;
  #bridgeIndex: number | undefined;
  #repairing: Promise<void> | undefined;

  constructor(options: BridgeNetworkOptions) {
    this.#options = options;
    this.#name = bridgeName(options.clusterId);
    this.#log = options.log ?? silentLog;
    this.#remover = new LinkRemover(this.#netlink, linkGroup(options.clusterId));
    this.#leases = new Leases(join(options.stateDir, 'leases'));
    for (const { sandboxId, pod, ips } of this.#leases.all()) if (pod) options.gate?.known(sandboxId, pod, ips);
  }

  get gateways(): readonly string[] {
    return this.#ranges.map(range => range.gateway);
  }

  get mtu(): number {
    return this.#mtu;
  }

  notReady(): string | undefined {
    return this.#ranges.length > 0 ? undefined : 'the node has no pod CIDR yet';
  }

  async updatePodCidrs(podCidrs: readonly string[]): Promise<void> {
    if (podCidrs.length === 0 || podCidrs.join() === this.#ranges.map(range => range.cidr).join()) return;
    const ranges = podCidrs.map(cidr => this.#rangeOf(cidr));
    await this.#makeBridge(ranges);
    await this.#loadRules(ranges);
    this.#ranges = ranges;
    this.#watch ??= watchLinks({
      clock: this.#options.clock ?? systemClock,
      lost: losses => this.#lost(losses),
    });
  }

  async nodesChanged({ come = [], gone = [] }: Parameters<NodeNetwork['nodesChanged']>[0]): Promise<void> {
    for (const ip of come) this.#nodeAddresses.add(ip);
    for (const ip of gone) this.#nodeAddresses.delete(ip);
    const table = this.#table;
    if (!table) return;
    this.#want(table, come.map(nodeElement));
    for (const { set, key } of gone.map(nodeElement)) table.delete(set, key);
    await table.flush();
  }

  async setup(sandbox: NetworkedSandbox, signal?: AbortSignal): Promise<{ ips: readonly string[] }> {
    signal?.throwIfAborted();
    const reason = this.notReady();
    if (reason !== undefined) throw new Error(`cannot connect sandbox ${sandbox.id}: ${reason}`);
    if (this.#leases.get(sandbox.id)) await this.teardown(sandbox);
    const portMappings = (sandbox.config.portMappings ?? []).filter(mapping => mapping.hostPort > 0);
    const pod = podOf(sandbox);
    const ips = this.#allocate(sandbox.id);
    const lease: Lease = { sandboxId: sandbox.id, ips, portMappings, ...(pod && { pod }) };
    try {
      this.#leases.put(lease);
      // Before there is a link that it could speak over.
      if (pod) await this.#options.gate?.admit(sandbox.id, pod, ips, signal);
      await this.#connect(lease, sandbox.netnsPath);
      await this.#openPorts(lease);
      signal?.throwIfAborted();
    } catch (error) {
      await this.teardown(sandbox);
      throw error;
    }
    return { ips: lease.ips };
  }

  async teardown({ id }: { readonly id: string }): Promise<void> {
    const lease = this.#leases.get(id);
    if (!lease) return;
    this.#closing.add(id);
    try {
      await this.#disconnect(lease);
    } finally {
      this.#closing.delete(id);
    }
  }

  async #disconnect(lease: Lease): Promise<void> {
    const id = lease.sandboxId;
    await this.#closePorts(lease);
    const mac = macOf(lease.ips[0] ?? '');
    await this.#remover.remove(podLink(this.#options.clusterId, id));
    await this.#netlink.apply([
      {
        changes: lease.ips.map(address => ({ do: 'deleteNeighbour', link: this.#name, address, mac })),
        tolerate: ['ENODEV', 'ENOENT'],
      },
    ]);
    this.#options.gate?.dismiss(id);
    // An agent that is killed here repeats the above at its start.
    this.#leases.delete(id);
    for (const ip of lease.ips) for (const { pool } of this.#ranges) pool.release(ip);
  }

  async check(sandbox: NetworkedSandbox): Promise<void> {
    const lease = this.#leases.get(sandbox.id);
    if (!lease) throw new Error(`cannot find the network of sandbox ${sandbox.id}: it has no lease`);
    const [links, inside] = await Promise.all([this.#netlink.links(), this.#netlink.links(sandbox.netnsPath)]);
    const name = podLink(this.#options.clusterId, sandbox.id);
    const bridge = links.find(link => link.name === this.#name);
    const link = links.find(candidate => candidate.name === name);
    if (!link || !bridge || link.master !== bridge.index || !link.up)
      throw new Error(`cannot use the network of sandbox ${sandbox.id}: link ${name} is not on ${this.#name}`);
    if (!inside.some(candidate => candidate.name === podInterface && candidate.up))
      throw new Error(`cannot use the network of sandbox ${sandbox.id}: ${podInterface} is gone or down`);
  }

  async reconcile(sandboxes: readonly NetworkedSandbox[]): Promise<void> {
    const alive = new Set(sandboxes.map(sandbox => sandbox.id));
    for (const { sandboxId } of this.#leases.all()) {
      if (alive.has(sandboxId)) continue;
      this.#log.info('giving back the network of a sandbox that is gone', { sandbox: sandboxId });
      await this.teardown({ id: sandboxId });
    }
    const { clusterId } = this.#options;
    const known = new Set(this.#leases.all().map(lease => podLink(clusterId, lease.sandboxId)));
    const leaked = (await this.#netlink.links()).filter(
      link => link.name.startsWith(podLinkPrefix(clusterId)) && !known.has(link.name),
    );
    const changes = leaked.map((link): LinkChange => ({ do: 'deleteLink', name: link.name }));
    if (changes.length > 0) await this.#netlink.apply([{ changes, tolerate: ['ENODEV'] }]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch?.[Symbol.dispose]();
    await this.#repairing;
    await this.#table?.[Symbol.asyncDispose]();
    await this.#linkTable?.[Symbol.asyncDispose]();
    await this.#remover.idle();
    await this.#netlink[Symbol.asyncDispose]();
  }

  #rangeOf(cidr: string): Range {
    const network = parseCidr(cidr);
    if (!network) throw new Error(`cannot use ${cidr} for pods: it is no CIDR`);
    const bits = network.address.family === 4 ? 32 : 128;
    if (bits - network.prefixLength < 3) throw new Error(`cannot use ${cidr} for pods: it has too few addresses`);
    const gateway = formatIp(addressAt(network, 1n));
    const last = addressAt(network, (1n << BigInt(bits - network.prefixLength)) - 1n);
    const pool = new AddressPool(network, [formatIp(addressAt(network, 0n)), gateway, formatIp(last)]);
    for (const lease of this.#leases.all()) for (const ip of lease.ips) pool.take(ip);
    return { cidr, network, gateway, pool };
  }

  #allocate(sandboxId: string): readonly string[] {
    const ips: string[] = [];
    for (const { pool, cidr } of this.#ranges) {
      const ip = pool.allocate();
      if (ip === undefined) {
        for (const given of ips) for (const range of this.#ranges) range.pool.release(given);
        throw new Error(`cannot give sandbox ${sandboxId} an address: no addresses are free in ${cidr}`);
      }
      ips.push(ip);
    }
    return ips;
  }

  async #makeBridge(ranges: readonly Range[]): Promise<void> {
    this.#mtu = this.#options.mtu ?? (await uplinkMtu(this.#netlink)) - (this.#options.tunnel?.overheadBytes ?? 0);
    // A bridge without an address of its own takes that of a port, and changes it with the ports.
    this.#mac = macOf(ranges[0]?.gateway ?? '');
    await this.#netlink.apply([
      {
        changes: [{ do: 'addBridge', name: this.#name, mtu: this.#mtu, mac: this.#mac }],
        tolerate: ['EEXIST'],
      },
      { changes: [{ do: 'setLink', name: this.#name, up: true, mtu: this.#mtu }] },
      {
        changes: ranges.map(range => ({
          do: 'addAddress',
          link: this.#name,
          address: `${range.gateway}/${range.network.prefixLength}`,
        })),
        tolerate: ['EEXIST'],
      },
    ]);
    // One that was there before may have another address.
    const bridge = (await this.#netlink.links()).find(link => link.name === this.#name);
    this.#mac = bridge?.mac ?? this.#mac;
    this.#bridgeIndex = bridge?.index;
    if (ranges.some(range => range.network.address.family === 4)) {
      setSysctl('net/ipv4/ip_forward', '1');
      // Lets processes of the node reach host ports and node ports of pods at 127.0.0.1; `guard-loopback` keeps pods out.
      setSysctl(`net/ipv4/conf/${this.#name}/route_localnet`, '1');
      // Pods have no neighbours to be redirected to, and redirects use up the rate at which callers are told of refusal.
      // An interface has what it or `all` says, so the other interfaces keep theirs.
      setSysctl(`net/ipv4/conf/${this.#name}/send_redirects`, '0');
      setSysctl('net/ipv4/conf/all/send_redirects', '0');
    }
    if (ranges.some(range => range.network.address.family === 6)) setSysctl('net/ipv6/conf/all/forwarding', '1');
    // Pods that others connect are neighbours: only so do services and policies see what they send each other.
    if (this.#options.connectedByOthers)
      for (const tool of ['iptables', 'ip6tables'])
        if (existsSync(`/proc/sys/net/bridge/bridge-nf-call-${tool}`))
          setSysctl(`net/bridge/bridge-nf-call-${tool}`, '1');
    await openFirewall(
      this.#name,
      ranges.map(range => range.network.address.family),
      this.#log,
    );
  }

  #lost(losses: readonly Loss[] | undefined): void {
    const isOurs = ({ of, index, name }: Loss) =>
      of === 'link' ? name === this.#name : index === this.#bridgeIndex && of !== 'route';
    if (losses !== undefined && !losses.some(isOurs)) return;
    // What is taken away while it is mended is told by the next look.
    this.#repairing ??= this.#repair()
      .catch((error: unknown) => this.#log.error('cannot mend the bridge', { bridge: this.#name, error }))
      .finally(() => {
        this.#repairing = undefined;
      });
  }

  /** Makes what is missing of the bridge, and puts back the pods' links, whoever has taken it away. */
  async #repair(): Promise<void> {
    const before = await this.#netlink.links();
    const bridge = before.find(link => link.name === this.#name);
    const addresses = networkInterfaces()[this.#name]?.map(({ address }) => address);
    if (!bridge?.up || !this.gateways.every(gateway => addresses?.includes(gateway))) {
      this.#log.warn('somebody else has changed the bridge; making it anew', { bridge: this.#name });
      await this.#makeBridge(this.#ranges);
    }
    const leases = this.#leases.all().filter(({ sandboxId }) => !this.#closing.has(sandboxId));
    await this.#netlink.apply(
      leases.map(({ sandboxId, ips }): Step => {
        const name = podLink(this.#options.clusterId, sandboxId);
        const mac = macOf(ips[0] ?? '');
        const port = before.find(link => link.name === name);
        const isPort = port !== undefined && port.master !== undefined && port.master === bridge?.index;
        return {
          changes: [
            ...(isPort ? [] : this.#joinBridge(name, mac)),
            ...ips.map((address): LinkChange => ({ do: 'addNeighbour', link: this.#name, address, mac })),
          ],
          // A pod whose link is just being made has all of this from there.
          tolerate: ['ENODEV'],
        };
      }),
    );
  }

  #joinBridge(name: string, mac: string): readonly LinkChange[] {
    return [{ do: 'setLink', name, master: this.#name }, ...asPort(name, mac)];
  }

  async #loadRules(ranges: readonly Range[]): Promise<void> {
    const podCidrs = ranges.map(range => range.cidr);
    const { clusterId, clusterCidrs = podCidrs, connectedByOthers = false, clock = systemClock } = this.#options;
    await this.#table?.[Symbol.asyncDispose]();
    this.#table = new NftTable({
      name: podTable(clusterId),
      declarations: podRules({
        bridge: this.#name,
        podCidrs,
        clusterCidrs,
        checkSenders: !connectedByOthers,
        ...(this.#options.tunnel && { tunnelPort: this.#options.tunnel.port }),
      }),
      clock,
      log: this.#log,
    });
    this.#knownSenders = new Set(ranges.slice(0, 1).filter(hasFewAddresses).flatMap(addressesOf));
    for (const ip of this.#knownSenders) this.#want(this.#table, [senderElement(macOf(ip), ip)]);
    this.#want(this.#table, [...this.#nodeAddresses].map(nodeElement));
    for (const lease of this.#leases.all())
      this.#want(this.#table, [...this.#senderElements(lease), ...hostPortElements(lease)]);
    if (!connectedByOthers) await this.#loadLinkRules();
    await this.#table.flush();
    this.#table.guard();
  }

  async #loadLinkRules(): Promise<void> {
    const { clusterId, clock = systemClock } = this.#options;
    await this.#linkTable?.[Symbol.asyncDispose]();
    this.#linkTable = new NftTable({
      family: 'bridge',
      name: podTable(clusterId),
      declarations: linkRules({ links: `${podLinkPrefix(clusterId)}*`, mac: this.#mac }),
      clock,
      log: this.#log,
    });
    await this.#linkTable.flush();
    this.#linkTable.guard();
  }

  async #connect(lease: Lease, netnsPath: string): Promise<void> {
    const link = podLink(this.#options.clusterId, lease.sandboxId);
    const mac = macOf(lease.ips[0] ?? '');
    const gateways = lease.ips.map(ip => this.#rangeWith(ip).gateway);
    await this.#netlink.apply([
      {
        changes: [
          {
            do: 'addVeth',
            name: link,
            mtu: this.#mtu,
            master: this.#name,
            peer: { name: podInterface, mac, netnsPath },
          },
          ...asPort(link, mac),
          ...lease.ips.map((address): LinkChange => ({ do: 'addNeighbour', link: this.#name, address, mac })),
        ],
      },
      {
        netnsPath,
        changes: [
          { do: 'setLink', name: 'lo', up: true },
          { do: 'setLink', name: podInterface, up: true },
          ...lease.ips.map(
            (ip): LinkChange => ({
              do: 'addAddress',
              link: podInterface,
              address: ip.includes(':') ? `${ip}/128` : `${ip}/32`,
            }),
          ),
          ...gateways.flatMap((gateway): LinkChange[] => [
            { do: 'addNeighbour', link: podInterface, address: gateway, mac: this.#mac },
            {
              do: 'addRoute',
              link: podInterface,
              destination: gateway.includes(':') ? '::/0' : '0.0.0.0/0',
              gateway,
              onLink: true,
            },
          ]),
        ],
      },
    ]);
  }

  /** Host ports, and the addresses that it may send from where they are not known from the start. */
  async #openPorts(lease: Lease): Promise<void> {
    const table = this.#table;
    const ports = hostPortElements(lease);
    const elements = [...this.#senderElements(lease), ...ports];
    if (!table || elements.length === 0) return;
    for (const { set, key, value } of ports) {
      const other = table.get(set, key);
      if (other !== undefined && other !== value)
        throw new Error(`cannot open host port ${key.replaceAll(' . ', '/')}: ${other.replace(' . ', ':')} has it`);
    }
    this.#want(table, elements);
    await table.flush();
  }

  async #closePorts(lease: Lease): Promise<void> {
    const table = this.#table;
    const elements = [...this.#senderElements(lease), ...hostPortElements(lease)];
    if (!table || elements.length === 0) return;
    for (const { set, key, value } of elements) if (table.get(set, key) === value) table.delete(set, key);
    await table.flush();
    // A flow of UDP has no end: it would go on to whoever gets the address next.
    const flows = lease.portMappings
      .filter(mapping => mapping.protocol === 'UDP')
      .flatMap(({ hostPort }) => lease.ips.map(target => ({ protocol: 'udp', port: hostPort, target }) as const));
    await forgetConnections(flows, this.#log);
  }

  #want(table: NftTable, elements: readonly PodElement[]): void {
    for (const { set, key, value } of elements) table.set(set, key, value);
  }

  #senderElements({ ips }: Lease): readonly PodElement[] {
    if (this.#options.connectedByOthers) return [];
    const mac = macOf(ips[0] ?? '');
    return ips.filter(ip => !this.#knownSenders.has(ip)).map(ip => senderElement(mac, ip));
  }

  #rangeWith(ip: string): Range {
    const address = parseIp(ip);
    const range = this.#ranges.find(candidate => address && cidrContains(candidate.network, address));
    if (!range) throw new Error(`cannot connect ${ip}: it is in none of the node's networks`);
    return range;
  }
}

/** The bridge is told who sits where and learns nothing from what pods send: none can take another's traffic. */
function asPort(link: string, mac: string): readonly LinkChange[] {
  return [
    { do: 'setBridgePort', name: link, hairpin: true, learning: false, unicastFlood: false, locked: true },
    { do: 'addForwarding', link, mac },
  ];
}

/** A /24 at most: of larger ranges only the leased addresses are written. */
const knownSendersMax = 256n;

function hasFewAddresses({ network }: Range): boolean {
  return networkSize(network) <= knownSendersMax;
}

function addressesOf({ network }: Range): readonly string[] {
  return Array.from({ length: Number(networkSize(network)) }, (_, index) =>
    formatIp(addressAt(network, BigInt(index))),
  );
}

/** `undefined` where nobody has said whose sandbox it is. */
function podOf({ config: { metadata, labels = {} } }: NetworkedSandbox): LeasedPod | undefined {
  return metadata && { uid: metadata.uid, namespace: metadata.namespace, name: metadata.name, labels };
}

/** A local unicast address that an IP address determines. */
function macOf(ip: string): string {
  const value = parseIp(ip)?.value ?? 0n;
  const low = (value & 0xffff_ffffn).toString(16).padStart(8, '0');
  return `0a:58:${low.match(/../g)?.join(':')}`;
}
