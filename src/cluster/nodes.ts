import { hostname, networkInterfaces } from 'node:os';
import { ipv4Addresses } from './addresses.ts';
import type { ClusterConfig } from './data-dir.ts';

/** A node of this machine. */
export interface LocalNode {
  readonly name: string;
  readonly kubeletPort: number;
}

/** The machine's name, and numbered ones beside it. Each node's kubelet has a port above the API server's. */
export function localNodes(config: ClusterConfig): readonly LocalNode[] {
  const base =
    hostname()
      .toLowerCase()
      .replace(/[^a-z0-9.-]/g, '-')
      .replace(/^[.-]+|[.-]+$/g, '') || 'node';
  return Array.from({ length: config.nodes }, (_, index) => ({
    name: index === 0 ? base : `${base}-${index + 1}`,
    // 6443 → 10250 as everywhere else; clusters side by side differ by their ports.
    kubeletPort: config.port + 3807 + index,
  }));
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
