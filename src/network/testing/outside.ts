import type { Namespaces } from '#base/kernel/namespace.ts';
import { Netlink } from '#base/kernel/netlink.ts';

/** The machine's address towards the outside, and of others who are there. */
const machineAddress = '192.0.2.1/24';
const gateway = '192.0.2.2';

export interface Outside {
  /** Where its network namespace is made. */
  readonly netnsPath: string;
  readonly mtu?: number;
  /** Beside 192.0.2.2, where the machine's default route leads. */
  readonly alsoAddresses?: readonly string[];
  /** What it reaches by way of the machine. */
  readonly routes?: readonly string[];
}

/** The other machines of this one's network, behind a link called `uplink`. */
export async function makeOutside(namespaces: Namespaces, outside: Outside): Promise<void> {
  const { netnsPath, mtu = 1500, alsoAddresses = [], routes = [] } = outside;
  await namespaces.create({ paths: { net: netnsPath } });
  await using netlink = new Netlink();
  await netlink.apply([
    {
      changes: [
        { do: 'setLink', name: 'lo', up: true },
        { do: 'addVeth', name: 'uplink', mtu, peer: { name: 'uplink', netnsPath } },
        { do: 'addAddress', link: 'uplink', address: machineAddress },
      ],
    },
    {
      netnsPath,
      changes: [
        { do: 'setLink', name: 'lo', up: true },
        { do: 'setLink', name: 'uplink', up: true },
        ...[`${gateway}/24`, ...alsoAddresses].map(address => ({ do: 'addAddress', link: 'uplink', address }) as const),
        ...routes.map(
          destination =>
            ({ do: 'addRoute', link: 'uplink', destination, gateway: machineAddress.replace('/24', '') }) as const,
        ),
      ],
    },
    { changes: [{ do: 'addRoute', link: 'uplink', destination: '0.0.0.0/0', gateway }] },
  ]);
}
