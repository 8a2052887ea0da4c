import { existsSync, readdirSync } from 'node:fs';
import { hostname, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import type { MachineNetwork, NodePlace } from '#network/between/machine.ts';
import { ipv4Addresses } from './addresses.ts';
import type { ClusterConfig, DataDir } from './data-dir.ts';

/** A node of this machine. */
export interface LocalNode {
  readonly name: string;
  readonly kubeletPort: number;
  /** Absent: the machine's. */
  readonly address?: string;
  /** It has a network namespace of its own; absent: it is in the machine's. */
  readonly place?: NodePlace;
}

/**
 * The machine's name, and numbered ones beside it. Each node's kubelet has a port above the API server's. Beside the first
 * one, nodes with our own containers have network namespaces of their own; a runtime that speaks CRI has but one network.
 */
export function localNodes(dir: DataDir, config: ClusterConfig): readonly LocalNode[] {
  const base =
    hostname()
      .toLowerCase()
      .replace(/[^a-z0-9.-]/g, '-')
      .replace(/^[.-]+|[.-]+$/g, '') || 'node';
  // 6443 → 10250 as everywhere else; clusters side by side differ by their ports.
  const port = config.port + 3807;
  const isJoined = config.runtime === 'oci' && config.nodes > 1;
  return Array.from({ length: config.nodes }, (_, index) => {
    const name = index === 0 ? base : `${base}-${index + 1}`;
    if (!isJoined) return { name, kubeletPort: port + index };
    const address = addressAmongNodes(config, index);
    if (index === 0) return { name, kubeletPort: port, address };
    const netnsPath = join(dir.run, 'netns', String(index + 1));
    return { name, kubeletPort: port, address, place: { number: index + 1, address, netnsPath } };
  });
}

/** As many as a /24 has addresses for. */
export const nodesMax = 250;

/** What joins the nodes of this machine, where they have network namespaces. */
export function machineNetwork(dir: DataDir, config: ClusterConfig): MachineNetwork | undefined {
  const nodes = localNodes(dir, config).flatMap(({ place }) => (place ? [place] : []));
  if (nodes.length === 0) return undefined;
  return { clusterId: dir.id, machineAddress: `${addressAmongNodes(config, 0)}/24`, nodes };
}

/** Clusters that run beside each other have pod ranges of their own, so they have ranges of nodes of their own too. */
function addressAmongNodes({ podCIDR }: ClusterConfig, index: number): string {
  return `10.252.${Number(podCIDR.split('.')[1]) - 244}.${index + 1}`;
}

/** The files of all namespaces that nodes have had, also of a cluster that had more of them. */
export function nodeNamespaces(dir: DataDir): readonly string[] {
  const directory = join(dir.run, 'netns');
  return existsSync(directory) ? readdirSync(directory).map(name => join(directory, name)) : [];
}

/** The address by which others reach this machine; without a network the loopback's. */
export function machineAddress(): string {
  return ipv4Addresses()[0] ?? '127.0.0.1';
}

/** Every address and name by which this machine's API server may be called. */
export function machineNames(): { readonly hosts: readonly string[]; readonly ips: readonly string[] } {
  const ips = Object.values(networkInterfaces())
    .flatMap(each => each ?? [])
    .filter(each => each.family === 'IPv4');
  return { hosts: ['localhost', hostname()], ips: ips.map(each => each.address) };
}
