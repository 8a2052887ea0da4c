import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Netlink } from '#base/kernel/netlink.ts';

/** The MTU of the link that leads outside, so that pods' packets fit. */
export async function uplinkMtu(netlink: Netlink): Promise<number> {
  const uplink = defaultRouteLink();
  const link = uplink === undefined ? undefined : (await netlink.links()).find(({ name }) => name === uplink);
  return link ? Math.min(link.mtu, 65_535) : 1500;
}

/** `/proc/net/route`: the first line with destination and mask 0, by metric. */
function defaultRouteLink(): string | undefined {
  const routes = readFileSync('/proc/net/route', 'latin1')
    .split('\n')
    .slice(1)
    .map(line => line.split('\t'))
    .filter(([, destination, , , , , , mask]) => destination === '00000000' && mask === '00000000');
  return routes.toSorted((left, right) => Number(left[6]) - Number(right[6]))[0]?.[0];
}

/** A file below /proc/sys. */
export function setSysctl(path: string, value: string): void {
  // Writing is refused where somebody has set it for us already, as in a container.
  if (readSysctl(path) !== value) writeFileSync(`/proc/sys/${path}`, value);
}

/** Takes packets of a link whose senders this machine would answer by another one: routes there and back may differ. */
export function acceptOtherPaths(link: string): void {
  const [strict, loose] = ['1', '2'];
  const own = `net/ipv4/conf/${link}/rp_filter`;
  if (!existsSync(`/proc/sys/${own}`)) return;
  if (readSysctl(own) === strict || readSysctl('net/ipv4/conf/all/rp_filter') === strict) setSysctl(own, loose);
}

function readSysctl(path: string): string {
  return readFileSync(`/proc/sys/${path}`, 'latin1').trim();
}
