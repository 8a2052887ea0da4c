import { mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { formatCidr, networkOf, parseCidr } from '#base/ip.ts';
import { watchLinks } from '#base/kernel/link-watch.ts';
import { isNamespace, Namespaces, releaseNamespace } from '#base/kernel/namespace.ts';
import { Netlink, type LinkChange } from '#base/kernel/netlink.ts';
import type { Log } from '#base/log.ts';
import { closeFirewall, openFirewall } from '../cni/firewall.ts';
import { setSysctl, uplinkMtu } from '../host.ts';
import { nodeBridge, nodeLink, nodeTable } from '../names.ts';
import { deleteTable } from '../nftables/run.ts';
import { NftTable } from '../nftables/table.ts';

/** The nodes of one machine, joined as machines are by a switch. */
export interface MachineNetwork {
  readonly clusterId: string;
  /** The machine's own address with its prefix, which is the first node's: `10.252.0.1/24`. */
  readonly machineAddress: string;
  /** Nodes beside the first one, each in a network namespace of its own. */
  readonly nodes: readonly NodePlace[];
}

export interface NodePlace {
  readonly number: number;
  readonly address: string;
  /** Where its namespace is bound. */
  readonly netnsPath: string;
}

const nodeInterface = 'eth0';
/** Nodes have numbers from 1; the first is the machine. */
const machineNumber = 1;

/** Makes what is missing: a bridge of the machine, and for each node a namespace with a link to the bridge. */
export async function makeMachineNetwork(network: MachineNetwork): Promise<void> {
  await using netlink = new Netlink();
  await using namespaces = new Namespaces();
  await makeBridge(network, netlink);
  for (const place of network.nodes) {
    if (!isNamespace(place.netnsPath)) {
      // The machine may have been started anew: the file is left, the namespace is not.
      rmSync(place.netnsPath, { force: true });
      mkdirSync(dirname(place.netnsPath), { recursive: true, mode: 0o700 });
      await namespaces.create({ paths: { net: place.netnsPath } });
    }
    await joinNode(network, place, netlink);
  }
}

/**
 * Lets the nodes reach the outside through the machine, and mends what others take away, until it is disposed of: what is
 * made stays, for the nodes that run on.
 */
export async function keepMachineNetwork(
  network: MachineNetwork,
  { podCidrs, clock, log }: { readonly podCidrs: readonly string[]; readonly clock: Clock; readonly log: Log },
): Promise<AsyncDisposable> {
  const { clusterId, machineAddress, nodes } = network;
  const bridge = nodeBridge(clusterId);
  const table = new NftTable({ name: nodeTable(clusterId), declarations: outward(network, podCidrs), clock, log });
  await table.flush();
  table.guard();
  await openFirewall(bridge, [machineAddress.includes(':') ? 6 : 4], log);
  let mending: Promise<void> | undefined;
  const ours = new Set([bridge, ...nodes.map(({ number }) => nodeLink(clusterId, number))]);
  const watch = watchLinks({
    clock,
    lost(losses) {
      if (losses !== undefined && !losses.some(({ of, name }) => of === 'link' && ours.has(name))) return;
      if (losses !== undefined) log.warn('a link between nodes is gone or down; mending it', { bridge });
      mending ??= makeMachineNetwork(network)
        .catch((error: unknown) => log.error('cannot mend the network between nodes', { bridge, error }))
        .finally(() => {
          mending = undefined;
        });
    },
  });
  return {
    async [Symbol.asyncDispose]() {
      watch[Symbol.dispose]();
      await mending;
      await table[Symbol.asyncDispose]();
    },
  };
}

/** Takes all of it away; of nodes that nobody remembers too, when their namespaces' files are given. */
export async function removeMachineNetwork(clusterId: string, netnsPaths: readonly string[], log: Log): Promise<void> {
  for (const path of netnsPaths) await releaseNamespace(path);
  const bridge = nodeBridge(clusterId);
  await using netlink = new Netlink();
  const ours = (await netlink.links()).filter(
    ({ name }) => name === bridge || name.startsWith(nodeLink(clusterId, 0).slice(0, -1)),
  );
  const changes = ours.map(({ name }): LinkChange => ({ do: 'deleteLink', name }));
  // The links of a namespace that ends go with it, sometime.
  if (changes.length > 0) await netlink.apply([{ changes, tolerate: ['ENODEV'] }]);
  await deleteTable(nodeTable(clusterId));
  await closeFirewall(bridge, log);
}

async function makeBridge({ clusterId, machineAddress }: MachineNetwork, netlink: Netlink): Promise<void> {
  const name = nodeBridge(clusterId);
  const mtu = await uplinkMtu(netlink);
  await netlink.apply([
    { changes: [{ do: 'addBridge', name, mtu, mac: hardwareAddress(clusterId, machineNumber) }], tolerate: ['EEXIST'] },
    { changes: [{ do: 'setLink', name, up: true, mtu }] },
    { changes: [{ do: 'addAddress', link: name, address: machineAddress }], tolerate: ['EEXIST'] },
  ]);
  setSysctl('net/ipv4/ip_forward', '1');
}

async function joinNode(
  { clusterId, machineAddress }: MachineNetwork,
  { number, address, netnsPath }: NodePlace,
  netlink: Netlink,
): Promise<void> {
  const name = nodeLink(clusterId, number);
  const [machine = '', prefixLength = ''] = machineAddress.split('/');
  const links = await netlink.links();
  const bridge = links.find(link => link.name === nodeBridge(clusterId));
  const mtu = bridge?.mtu ?? 1500;
  const link = links.find(each => each.name === name);
  const inside = await netlink.links(netnsPath);
  if (!link || !inside.some(each => each.name === nodeInterface)) {
    // Half a pair is left of a namespace that ended, or of an end that somebody has taken away.
    if (link) await netlink.apply([{ changes: [{ do: 'deleteLink', name }], tolerate: ['ENODEV'] }]);
    await netlink.apply([
      {
        changes: [
          {
            do: 'addVeth',
            name,
            mtu,
            master: nodeBridge(clusterId),
            peer: { name: nodeInterface, mac: hardwareAddress(clusterId, number), netnsPath },
          },
        ],
      },
    ]);
  } else if (link.master !== bridge?.index || !link.up)
    await netlink.apply([{ changes: [{ do: 'setLink', name, up: true, master: nodeBridge(clusterId) }] }]);
  await netlink.apply([
    {
      netnsPath,
      changes: [
        { do: 'setLink', name: 'lo', up: true },
        { do: 'setLink', name: nodeInterface, up: true },
        { do: 'addAddress', link: nodeInterface, address: `${address}/${prefixLength}` },
        { do: 'addRoute', link: nodeInterface, destination: '0.0.0.0/0', gateway: machine },
      ],
      tolerate: ['EEXIST'],
    },
  ]);
}

/** What nodes send to the outside comes from the machine; what their pods send has the nodes' addresses by then. */
function outward({ clusterId, machineAddress }: MachineNetwork, podCidrs: readonly string[]): string {
  const bridge = nodeBridge(clusterId);
  return `
    chain postrouting {
      type nat hook postrouting priority srcnat; policy accept;
      oifname != "${bridge}" ip saddr ${nodesOf(machineAddress)} ip daddr != { ${podCidrs.join(', ')} } masquerade
    }`;
}

function nodesOf(machineAddress: string): string {
  const network = parseCidr(machineAddress);
  if (!network) throw new Error(`cannot join nodes at ${machineAddress}: it is no address with a prefix`);
  return formatCidr({ address: networkOf(network), prefixLength: network.prefixLength });
}

/** Always the same: a bridge has otherwise that of a port, and a link that is made anew is still known to others. */
function hardwareAddress(clusterId: string, number: number): string {
  return `0a:57:${number.toString(16).padStart(2, '0')}:${clusterId.match(/../g)?.join(':')}`;
}
