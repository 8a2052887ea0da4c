import { createHash } from 'node:crypto';

// Every name that a cluster takes on its host carries the cluster's id, so that clusters live side by side.

export function bridgeName(clusterId: string): string {
  return `wl-${clusterId}`;
}

/** The table of services. */
export function serviceTable(clusterId: string): string {
  return `windlass-${clusterId}`;
}

/** The table of the pod network: masquerading and host ports. */
export function podTable(clusterId: string): string {
  return `windlass-${clusterId}-pods`;
}

/** The table of network policies; there only while there are any. */
export function policyTable(clusterId: string): string {
  return `windlass-${clusterId}-policies`;
}

/** The link of a node that leads to the pods of other machines. */
export function tunnelLink(clusterId: string): string {
  return `wx-${clusterId}`;
}

/** What joins the nodes of one machine that have network namespaces of their own. */
export function nodeBridge(clusterId: string): string {
  return `wn-${clusterId}`;
}

/** The machine's end of the link of its `number`th node. */
export function nodeLink(clusterId: string, number: number): string {
  return `wn${clusterId}-${number}`;
}

/** The table by which those nodes reach the outside. */
export function nodeTable(clusterId: string): string {
  return `windlass-${clusterId}-nodes`;
}

/** How the host's ends of a cluster's pod links begin. */
export function podLinkPrefix(clusterId: string): string {
  return `wv${clusterId}`;
}

/** A link's name has at most 15 characters. */
const linkNameLength = 15;

export function podLink(clusterId: string, sandboxId: string): string {
  const digest = createHash('sha256').update(sandboxId).digest('hex');
  return `${podLinkPrefix(clusterId)}${digest}`.slice(0, linkNameLength);
}

/** The number of a cluster's group of links that are on their way out. */
export function linkGroup(clusterId: string): number {
  return createHash('sha256').update(clusterId).digest().readUInt32LE(0) & 0x7fff_ffff;
}
