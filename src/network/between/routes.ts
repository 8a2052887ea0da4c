import { createHash } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import type { Node } from '#api/core/v1/node.ts';
import { exponentialBackoff } from '#base/backoff.ts';
import type { Clock } from '#base/clock.ts';
import { formatCidr, formatIp, networkOf, parseCidr, parseIp, type IpNetwork } from '#base/ip.ts';
import { watchLinks, type Loss } from '#base/kernel/link-watch.ts';
import { Netlink, type LinkChange } from '#base/kernel/netlink.ts';
import { spawnToEnd } from '#base/kernel/process.ts';
import type { Log } from '#base/log.ts';
import type { Informer } from '#client/informer.ts';
import { acceptOtherPaths, uplinkMtu } from '../host.ts';
import { tunnelLink } from '../names.ts';

/** How packets get from a node's pods to another node's: packed into UDP, or by routes where nodes are neighbours. */
export type BetweenNodes = 'vxlan' | 'hostgw';

export interface Tunnel {
  readonly vni: number;
  readonly port: number;
  readonly overheadBytes: number;
}

/** The same on all nodes of a cluster, and another for a cluster beside it. `undefined`: nothing is packed. */
export function tunnelOf(mode: BetweenNodes, clusterId: string): Tunnel | undefined {
  if (mode !== 'vxlan') return undefined;
  const vni = Number.parseInt(clusterId, 16) & 0xff_ffff || 1;
  const [firstPort, ports] = [14_000, 2_000];
  // Ethernet 14, IPv4 20, UDP 8, VXLAN 8.
  return { vni, port: firstPort + (vni % ports), overheadBytes: 50 };
}

export interface NodeRoutesOptions {
  readonly mode: BetweenNodes;
  readonly clusterId: string;
  /** The nodes whose pods are to be reached; this one is among them. */
  readonly nodes: Informer<Node>;
  readonly nodeName: string;
  /** This node's own address, by which others reach it. */
  readonly nodeAddress: string;
  /** Hears which addresses nodes have, before anything is sent to them. */
  nodesChanged(change: { readonly come: readonly string[]; readonly gone: readonly string[] }): Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Leads to the pods of all other nodes. Disposing of it leaves the routes in the kernel; `removeNodeRoutes` takes them away. */
export interface NodeRoutes extends AsyncDisposable {
  /** Resolves when the kernel leads to every node that the informer has brought so far. */
  settled(): Promise<void>;
}

/** Routes are ours by this number, which nobody has registered (/etc/iproute2/rt_protos). */
const routeProtocol = 87;

export function startNodeRoutes(options: NodeRoutesOptions): NodeRoutes {
  return new Routes(options);
}

/** Takes the tunnel and the routes off this machine, in the network namespace of the caller. */
export async function removeNodeRoutes(clusterId: string): Promise<void> {
  await using netlink = new Netlink();
  const name = tunnelLink(clusterId);
  const links = await netlink.links();
  if (links.some(link => link.name === name))
    await netlink.apply([{ changes: [{ do: 'deleteLink', name }], tolerate: ['ENODEV'] }]);
}

/** What is known of a node, as far as it matters here. */
interface Peer {
  readonly addresses: readonly string[];
  readonly ranges: readonly IpNetwork[];
}

interface Written {
  readonly addresses: readonly string[];
  readonly changes: readonly LinkChange[];
}

class Routes implements NodeRoutes {
  readonly #options: NodeRoutesOptions;
  readonly #tunnel: Tunnel | undefined;
  readonly #netlink = new Netlink();
  readonly #ended = new AbortController();
  readonly #unsubscribe: () => void;
  readonly #watch: Disposable;
  readonly #ready: Promise<void>;
  #dirty = new Set<string>();
  readonly #written = new Map<string, Written>();
  #loaded = false;
  /** The kernel may have other things than we have written. */
  #isDoubtful = true;
  #link: string;
  #linkIndex: number | undefined;
  #working: Promise<void> | undefined;
  #cancelRetry: () => void = () => {};
  /** What is being mended by others, such as the bridge, is soon there; what is wrong stays so for long. */
  readonly #backoff = exponentialBackoff({ initialMs: 250, maxMs: 30_000 });

  constructor(options: NodeRoutesOptions) {
    this.#options = options;
    const { nodes, clusterId, mode, clock, log } = options;
    this.#tunnel = tunnelOf(mode, clusterId);
    this.#link = this.#tunnel ? tunnelLink(clusterId) : '';
    const changed = (node: Node) => this.#changed(node.metadata.name ?? '');
    this.#unsubscribe = nodes.subscribe({
      added: changed,
      updated: (node, old) => {
        if (!samePeer(peerOf(node), peerOf(old))) changed(node);
      },
      deleted: changed,
    });
    this.#watch = watchLinks({ clock, lost: losses => this.#lost(losses) });
    this.#ready = this.#start();
    this.#ready.catch((error: unknown) => {
      if (!this.#ended.signal.aborted) log.error('cannot lead to the pods of other nodes', { error });
    });
  }

  async settled(): Promise<void> {
    await this.#ready;
    while (this.#working || this.#dirty.size > 0 || this.#isDoubtful) await (this.#working ?? this.#work());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort(new Error('the ways between nodes were closed'));
    this.#cancelRetry();
    this.#unsubscribe();
    this.#watch[Symbol.dispose]();
    await this.#working?.catch(() => undefined);
    await this.#netlink[Symbol.asyncDispose]();
  }

  async #start(): Promise<void> {
    await this.#options.nodes.synced;
    this.#ended.signal.throwIfAborted();
    this.#loaded = true;
    await this.#work();
  }

  #changed(name: string): void {
    this.#dirty.add(name);
    // Everything of ours depends on our own range.
    if (name === this.#options.nodeName) this.#isDoubtful = true;
    this.#wake();
  }

  #lost(losses: readonly Loss[] | undefined): void {
    const isOurs = ({ of, index, name, protocol }: Loss) => {
      if (of === 'link') return name === this.#link;
      if (of === 'route') return protocol === routeProtocol;
      return this.#tunnel !== undefined && index === this.#linkIndex;
    };
    if (losses !== undefined && !losses.some(isOurs)) return;
    this.#isDoubtful = true;
    this.#wake();
  }

  #wake(): void {
    if (!this.#loaded || this.#working || this.#ended.signal.aborted) return;
    // Changes that arrive together are written together.
    queueMicrotask(() => {
      if (!this.#working && !this.#ended.signal.aborted) void this.#work();
    });
  }

  #work(): Promise<void> {
    this.#working ??= this.#writeAll().finally(() => {
      this.#working = undefined;
    });
    return this.#working;
  }

  async #writeAll(): Promise<void> {
    const failed = new Set<string>();
    while (!this.#ended.signal.aborted && (this.#dirty.size > 0 || this.#isDoubtful)) {
      const dirty = this.#isDoubtful
        ? new Set([...this.#options.nodes.objects.keys(), ...this.#written.keys()])
        : this.#dirty;
      const isDoubtful = this.#isDoubtful;
      this.#dirty = new Set();
      this.#isDoubtful = false;
      try {
        const own = this.#own();
        if (!own) return;
        if (isDoubtful) await this.#begin(own);
        for (const name of dirty) if (!(await this.#write(name, own))) failed.add(name);
      } catch (error) {
        if (this.#ended.signal.aborted) return;
        this.#options.log.error('cannot lead to the pods of other nodes', { error });
        this.#retry([], true);
        return;
      }
    }
    if (failed.size > 0) this.#retry(failed, false);
    else this.#backoff.reset();
  }

  #retry(names: Iterable<string>, isDoubtful: boolean): void {
    this.#cancelRetry();
    this.#cancelRetry = this.#options.clock.after(this.#backoff.next(), () => {
      for (const name of names) this.#dirty.add(name);
      this.#isDoubtful ||= isDoubtful;
      this.#wake();
    });
  }

  /** Undefined: this node has no range yet, so there is nothing that could be led anywhere. */
  #own(): Peer | undefined {
    const node = this.#options.nodes.get(this.#options.nodeName);
    return node && peerOf(node);
  }

  /** Makes the tunnel where there is none, takes away what an agent before has left, and forgets what was written. */
  async #begin(own: Peer): Promise<void> {
    const { nodes, nodeName, nodeAddress } = this.#options;
    if (this.#tunnel) await this.#openTunnel(own, this.#tunnel);
    else this.#link = linkWith(nodeAddress);
    acceptOtherPaths(linkWith(nodeAddress));
    const wanted = [...nodes.objects].flatMap(([name, node]) =>
      name === nodeName ? [] : this.#waysTo(peerOf(node), own),
    );
    const kept = new Set(wanted.map(identityOf));
    const strange = (await this.#found()).filter(change => !kept.has(identityOf(change)));
    await this.#netlink.apply([
      { changes: strange.map(reversed), tolerate: ['ENODEV', 'ENOENT', 'ESRCH', 'EADDRNOTAVAIL'] },
    ]);
    // The addresses of nodes are kept where they are; ways are all written anew, which changes nothing where they are there.
    for (const [name, { addresses }] of this.#written) this.#written.set(name, { addresses, changes: [] });
  }

  async #openTunnel(own: Peer, { vni, port, overheadBytes }: Tunnel): Promise<void> {
    const { nodeAddress } = this.#options;
    const name = this.#link;
    const mac = tunnelMac(own);
    const links = await this.#netlink.links();
    const uplink = links.find(link => link.name === linkWith(nodeAddress));
    const mtu = (uplink ? Math.min(uplink.mtu, 65_535) : await uplinkMtu(this.#netlink)) - overheadBytes;
    const old = links.find(link => link.name === name);
    const isFit = old !== undefined && old.mac === mac;
    await this.#netlink.apply([
      ...(old && !isFit ? [{ changes: [{ do: 'deleteLink', name } as const] }] : []),
      ...(isFit ? [] : [{ changes: [{ do: 'addVxlan', name, mtu, mac, vni, port, local: nodeAddress } as const] }]),
      { changes: [{ do: 'setLink', name, up: true, mtu }] },
      {
        changes: own.ranges.map(
          range => ({ do: 'addAddress', link: name, address: `${first(range)}/${widthOf(range)}` }) as const,
        ),
        tolerate: ['EEXIST'],
      },
    ]);
    this.#linkIndex = (await this.#netlink.links()).find(link => link.name === name)?.index;
  }

  /** False: it must be tried again. */
  async #write(name: string, own: Peer): Promise<boolean> {
    const { nodes, nodeName, nodesChanged, log } = this.#options;
    const node = nodes.get(name);
    const peer = node && peerOf(node);
    const before = this.#written.get(name) ?? { addresses: [], changes: [] };
    const addresses = peer?.addresses ?? [];
    const changes = peer && name !== nodeName ? this.#waysTo(peer, own) : [];
    const kept = new Set(changes.map(change => JSON.stringify(change)));
    const had = new Set(before.changes.map(change => JSON.stringify(change)));
    const gone = before.changes.filter(change => !kept.has(JSON.stringify(change)));
    const come = changes.filter(change => !had.has(JSON.stringify(change)));
    try {
      await nodesChanged({
        come: addresses.filter(address => !before.addresses.includes(address)),
        gone: before.addresses.filter(address => !addresses.includes(address)),
      });
      if (gone.length > 0)
        await this.#netlink.apply([
          // Routes first: they look at neighbours.
          { changes: gone.map(reversed).toReversed(), tolerate: ['ENODEV', 'ENOENT', 'ESRCH', 'EADDRNOTAVAIL'] },
        ]);
      if (come.length > 0) await this.#netlink.apply([{ changes: come }]);
      if (peer) this.#written.set(name, { addresses, changes });
      else this.#written.delete(name);
      return true;
    } catch (error) {
      if (this.#ended.signal.aborted) return true;
      log.error('cannot lead to the pods of a node', { node: name, addresses, error });
      this.#written.set(name, { addresses, changes: [] });
      return false;
    }
  }

  #waysTo(peer: Peer, own: Peer): readonly LinkChange[] {
    const link = this.#link;
    const family = familyOf(this.#options.nodeAddress);
    const machine = peer.addresses.find(address => familyOf(address) === family);
    if (machine === undefined || peer.ranges.length === 0) return [];
    const mac = tunnelMac(peer);
    const routes = peer.ranges.flatMap((range): LinkChange[] => {
      const mine = own.ranges.find(each => each.address.family === range.address.family);
      const gateway = this.#tunnel
        ? first(range)
        : peer.addresses.find(each => familyOf(each) === range.address.family);
      if (!mine || gateway === undefined) return [];
      const destination = formatCidr({ address: networkOf(range), prefixLength: range.prefixLength });
      const route = { do: 'addRoute', link, destination, gateway, protocol: routeProtocol } as const;
      if (!this.#tunnel) return [route];
      // What the node itself sends comes from the tunnel's own address, so that answers take the tunnel as well.
      return [
        { do: 'addNeighbour', link, address: gateway, mac },
        { ...route, onLink: true, source: first(mine) },
      ];
    });
    return this.#tunnel ? [{ do: 'addTunnelEnd', link, mac, machine }, ...routes] : routes;
  }

  /** What of ours is in the kernel, as the changes that would make it. */
  async #found(): Promise<readonly LinkChange[]> {
    const link = this.#link;
    const routes = await Promise.all(
      ['-4', '-6'].map(family =>
        listed<{ dst: string; gateway?: string; dev?: string }>('ip', [
          family,
          'route',
          'show',
          'proto',
          String(routeProtocol),
        ]),
      ),
    );
    const found = routes.flat().map(
      ({ dst, gateway, dev = link }): LinkChange => ({
        do: 'addRoute',
        link: dev,
        destination: dst.includes('/') ? dst : `${dst}/${dst.includes(':') ? 128 : 32}`,
        ...(gateway !== undefined && { gateway }),
        protocol: routeProtocol,
      }),
    );
    if (!this.#tunnel) return found;
    const [ends, neighbours] = await Promise.all([
      listed<{ mac: string; dst?: string }>('bridge', ['fdb', 'show', 'dev', link]),
      listed<{ dst: string; lladdr?: string }>('ip', ['neigh', 'show', 'dev', link, 'nud', 'permanent']),
    ]);
    return [
      ...ends.flatMap(({ mac, dst }): LinkChange[] =>
        dst === undefined ? [] : [{ do: 'addTunnelEnd', link, mac, machine: dst }],
      ),
      ...neighbours.map(
        ({ dst, lladdr = '' }): LinkChange => ({ do: 'addNeighbour', link, address: dst, mac: lladdr }),
      ),
      ...found,
    ];
  }
}

/** What can be there only once. */
function identityOf(change: LinkChange): string {
  switch (change.do) {
    case 'addRoute':
      return `route ${change.destination} ${change.link}`;
    case 'addNeighbour':
      return `neighbour ${change.address}`;
    case 'addTunnelEnd':
      return `end ${change.mac} ${change.machine}`;
    default:
      return JSON.stringify(change);
  }
}

function reversed(change: LinkChange): LinkChange {
  switch (change.do) {
    case 'addRoute': {
      const { link, destination, gateway, protocol } = change;
      return {
        do: 'deleteRoute',
        link,
        destination,
        ...(gateway !== undefined && { gateway }),
        ...(protocol !== undefined && { protocol }),
      };
    }
    case 'addNeighbour':
      return { ...change, do: 'deleteNeighbour' };
    case 'addTunnelEnd':
      return { ...change, do: 'deleteTunnelEnd' };
    default:
      throw new Error(`cannot take back ${change.do}: it is no way to a node`);
  }
}

async function listed<Entry>(tool: string, args: readonly string[]): Promise<readonly Entry[]> {
  const { exitCode, stdout, stderr } = await spawnToEnd(tool, ['-json', ...args]);
  if (exitCode !== 0) throw new Error(`cannot list ${args.join(' ')}: ${stderr.toString().trim()}`);
  const text = stdout.toString().trim();
  return text === '' ? [] : (JSON.parse(text) as readonly Entry[]);
}

function peerOf({ spec, status }: Node): Peer {
  const internal = (status?.addresses ?? []).filter(({ type }) => type === 'InternalIP').map(({ address }) => address);
  const cidrs = spec?.podCIDRs?.length ? spec.podCIDRs : spec?.podCIDR ? [spec.podCIDR] : [];
  return {
    addresses: internal.filter(address => parseIp(address) !== undefined),
    ranges: cidrs.map(parseCidr).filter(range => range !== undefined),
  };
}

function samePeer(left: Peer, right: Peer): boolean {
  const text = ({ addresses, ranges }: Peer) => [...addresses, ...ranges.map(formatCidr)].join();
  return text(left) === text(right);
}

/** A hardware address that follows from a node's range, so that nobody has to be told. */
function tunnelMac({ ranges: [range] }: Peer): string {
  const digest = createHash('sha256')
    .update(range ? formatCidr(range) : '')
    .digest('hex');
  return `0e:58:${digest.slice(0, 8).match(/../g)?.join(':')}`;
}

function linkWith(address: string): string {
  const found = Object.entries(networkInterfaces()).find(([, all]) => all?.some(each => each.address === address));
  if (!found) throw new Error(`cannot find the link with the address ${address}: no link of this machine has it`);
  return found[0];
}

function first(range: IpNetwork): string {
  return formatIp(networkOf(range));
}

function widthOf({ address }: IpNetwork): number {
  return address.family === 4 ? 32 : 128;
}

function familyOf(address: string): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}
