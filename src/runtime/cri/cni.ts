export interface CniOptions {
  /** The addresses of this node's pods; one range a family, with commas between. */
  readonly podCidr: string;
  /** Names the network and its bridge: at most 15 characters. */
  readonly name: string;
  /** Where host-local remembers addresses; its own default when absent. */
  readonly dataDirectory?: string;
}

/** The kernel's limit on the name of a link. */
const linkNameCharactersMax = 15;

/**
 * A network for containerd or CRI-O by the reference plugins (Debian: containernetworking-plugins): a bridge with
 * addresses from the node's range, masquerading and host ports. Belongs in `/etc/cni/net.d/10-windlass.conflist`.
 */
export function cniConfig({ podCidr, name, dataDirectory }: CniOptions): string {
  if (name === '' || name.length > linkNameCharactersMax)
    throw new Error(
      `cannot name a bridge ${JSON.stringify(name)}: 1 to ${linkNameCharactersMax} characters are allowed`,
    );
  const subnets = podCidr.split(',').map(subnet => subnet.trim());
  const bridge = {
    type: 'bridge',
    bridge: name,
    isGateway: true,
    ipMasq: true,
    // A pod reaches itself through its Service.
    hairpinMode: true,
    ipam: {
      type: 'host-local',
      ranges: subnets.map(subnet => [{ subnet }]),
      routes: subnets.map(subnet => ({ dst: subnet.includes(':') ? '::/0' : '0.0.0.0/0' })),
      ...(dataDirectory !== undefined && { dataDir: dataDirectory }),
    },
  };
  const portmap = { type: 'portmap', capabilities: { portMappings: true } };
  return `${JSON.stringify({ cniVersion: '1.0.0', name, plugins: [bridge, portmap] }, null, 2)}\n`;
}
