import type { Lease } from './leases.ts';

export interface PodRulesOptions {
  readonly bridge: string;
  /** This node's pods. */
  readonly podCidrs: readonly string[];
  /** Whom pods reach with their own address: all pods of the cluster. */
  readonly clusterCidrs: readonly string[];
  /** Pods send from the addresses of their elements in `senders` only. */
  readonly checkSenders: boolean;
  /** Where packets from other nodes' pods arrive, packed into others. */
  readonly tunnelPort?: number;
}

/** The chains of the pod network: masquerading to the outside, host ports, and what pods must not send. */
export function podRules({ bridge, podCidrs, clusterCidrs, checkSenders, tunnelPort }: PodRulesOptions): string {
  const families = [family4, family6];
  const of = (cidrs: readonly string[], { isOf }: Family) => cidrs.filter(isOf);
  const outward = families.flatMap(family => {
    const inside = of(clusterCidrs, family);
    return of(podCidrs, family).map(cidr => {
      const elsewhere = [...inside, family.multicast].join(', ');
      return `oifname != "${bridge}" ${family.ip} saddr ${cidr} ${family.ip} daddr != { ${elsewhere} } ${family.ip} daddr != @nodes${family.suffix} masquerade`;
    });
  });
  return `
    ${families.map(family => portMaps(family)).join('\n')}
    ${families.map(({ suffix, type }) => `set senders${suffix} { type ether_addr . ${type}; }`).join('\n')}
    ${families.map(({ suffix, type }) => `set nodes${suffix} { type ${type}; }`).join('\n')}
    chain hostports {
      ${families.map(hostPortRules).join('\n')}
    }
    chain hostports-prerouting {
      type nat hook prerouting priority dstnat; policy accept;
      fib daddr type local goto hostports
    }
    chain hostports-output {
      type nat hook output priority -100; policy accept;
      fib daddr type local goto hostports
    }
    chain postrouting {
      type nat hook postrouting priority srcnat; policy accept;
      ip saddr . ip daddr @hairpins4 masquerade
      ip6 saddr . ip6 daddr @hairpins6 masquerade
      oifname "${bridge}" ip saddr 127.0.0.0/8 masquerade
      ${outward.join('\n')}
    }
    chain guard-loopback {
      type filter hook prerouting priority raw; policy accept;
      iifname "${bridge}" ip daddr 127.0.0.0/8 drop
      iifname "${bridge}" ip saddr 127.0.0.0/8 drop
      ${checkSenders ? families.map(({ suffix, ip }) => `iifname "${bridge}" ether saddr . ${ip} saddr != @senders${suffix} drop`).join('\n') : ''}
    }
    ${tunnelPort === undefined ? '' : guardTunnel(tunnelPort)}
    chain no-redirects {
      type filter hook output priority filter; policy accept;
      oifname "${bridge}" icmp type redirect drop
      oifname "${bridge}" icmpv6 type nd-redirect drop
    }`;
}

/**
 * On the links, before the bridge decides where a frame goes: pods speak to the host only, so that nothing passes its
 * routing by, where policies are. (Isolated ports would do, but for br_netfilter, which leads what it has translated from
 * port to port.) Nobody hears who asks for an address, nor whoever answers in another's place.
 */
export function linkRules({ links, mac }: { readonly links: string; readonly mac: string }): string {
  return `
    chain to-host-only {
      type filter hook prerouting priority -300; policy accept;
      iifname "${links}" ether daddr != ${mac} drop
    }`;
}

export interface PodElement {
  readonly set: string;
  readonly key: string;
  readonly value: string;
}

/** The elements that a lease's host ports need. */
export function hostPortElements({ ips, portMappings }: Lease): readonly PodElement[] {
  const elements: PodElement[] = [];
  for (const { protocol, hostPort, containerPort, hostIp } of portMappings) {
    if (!hostPort) continue;
    for (const ip of ips) {
      const { suffix, any } = ip.includes(':') ? family6 : family4;
      const port = `${protocol.toLowerCase()} . ${hostPort}`;
      const value = `${ip} . ${containerPort}`;
      if (hostIp === undefined || hostIp === '' || hostIp === any)
        elements.push({ set: `hostports${suffix}`, key: port, value });
      else if (hostIp.includes(':') === ip.includes(':'))
        elements.push({ set: `hostports-at${suffix}`, key: `${hostIp} . ${port}`, value });
    }
  }
  // A pod that calls its own host port must see an answer from the one it called.
  if (elements.length > 0)
    for (const ip of ips)
      elements.push({ set: `hairpins${ip.includes(':') ? 6 : 4}`, key: `${ip} . ${ip}`, value: '' });
  return elements;
}

/** A pod's hardware address goes with each of its addresses: ports are locked to the one, this set to the other. */
export function senderElement(mac: string, ip: string): PodElement {
  return { set: `senders${ip.includes(':') ? 6 : 4}`, key: `${mac} . ${ip}`, value: '' };
}

/** A node that takes part. */
export function nodeElement(ip: string): PodElement {
  return { set: `nodes${ip.includes(':') ? 6 : 4}`, key: ip, value: '' };
}

/** What a tunnel carries is not asked where it comes from: only nodes may send through it, least of all pods. */
function guardTunnel(port: number): string {
  return `
    chain guard-tunnel {
      type filter hook prerouting priority raw; policy accept;
      ${[family4, family6].map(({ suffix, ip }) => `udp dport ${port} fib daddr type local ${ip} saddr != @nodes${suffix} drop`).join('\n')}
    }`;
}

interface Family {
  readonly suffix: 4 | 6;
  readonly ip: 'ip' | 'ip6';
  readonly type: string;
  readonly multicast: string;
  readonly any: string;
  isOf(cidr: string): boolean;
}

const family4: Family = {
  suffix: 4,
  ip: 'ip',
  type: 'ipv4_addr',
  multicast: '224.0.0.0/4',
  any: '0.0.0.0',
  isOf: cidr => !cidr.includes(':'),
};
const family6: Family = {
  suffix: 6,
  ip: 'ip6',
  type: 'ipv6_addr',
  multicast: 'ff00::/8',
  any: '::',
  isOf: cidr => cidr.includes(':'),
};

function portMaps({ suffix, type }: Family): string {
  return `
    map hostports${suffix} { type inet_proto . inet_service : ${type} . inet_service; }
    map hostports-at${suffix} { type ${type} . inet_proto . inet_service : ${type} . inet_service; }
    set hairpins${suffix} { type ${type} . ${type}; }`;
}

function hostPortRules({ suffix, ip }: Family): string {
  return `
      dnat ${ip} to ${ip} daddr . meta l4proto . th dport map @hostports-at${suffix}
      meta nfproto ${ip === 'ip' ? 'ipv4' : 'ipv6'} dnat ${ip} to meta l4proto . th dport map @hostports${suffix}`;
}
