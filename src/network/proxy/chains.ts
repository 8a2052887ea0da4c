import { limits } from '#base/limits.ts';
import { bridgeName } from '../names.ts';

// The fixed part of the ruleset and the chains that elements go to. A new connection finds its service by one lookup of
// address, protocol and port, which leads to a chain for services with so many endpoints; that draws a number and finds
// the endpoint by one lookup of the same key with the number. So services and endpoints are elements of maps only.
//
// The number travels in the packet's priority: the kernel overwrites it when it forwards, and it is nobody else's like
// the packet's mark, which would meet others' routing rules.

export interface Family {
  readonly suffix: 4 | 6;
  readonly ip: 'ip' | 'ip6';
  readonly type: 'ipv4_addr' | 'ipv6_addr';
  readonly protocol: 'ipv4' | 'ipv6';
}

export const families: readonly Family[] = [
  { suffix: 4, ip: 'ip', type: 'ipv4_addr', protocol: 'ipv4' },
  { suffix: 6, ip: 'ip6', type: 'ipv6_addr', protocol: 'ipv6' },
];

export function familyOf(ip: string): Family {
  return families[ip.includes(':') ? 1 : 0] as Family;
}

/** By address (ClusterIP, external and load balancer addresses) or by port on any address of the node. */
export type FrontendKind = 'address' | 'node';

/** The names of the sets of each kind of frontend, without the family. */
export const sets = {
  address: {
    services: 'services',
    external: 'services-external',
    endpoints: 'endpoints',
    picks: 'picks',
    affinity: 'affinity',
    unserved: 'unserved',
  },
  node: {
    services: 'nodeports',
    external: 'nodeports-external',
    endpoints: 'node-endpoints',
    picks: 'node-picks',
    affinity: 'node-affinity',
    unserved: 'unserved-nodeports',
  },
} as const;

/** Numbers of endpoints for callers from outside begin here, where the policy makes them others. */
export const externalBase = 0x10000;

export interface ChainsOptions {
  readonly clusterId: string;
  /** The ids of this cluster's other nodes on the machine. */
  readonly idsBeside?: readonly string[];
  /** Callers from here are inside: what they send to outer addresses needs no detour by a local endpoint. */
  readonly clusterCidrs: readonly string[];
  /** Addresses for services: what no service has is dropped, and does not leave the node. */
  readonly serviceCidrs: readonly string[];
  /** Node ports answer at the node's addresses in these ranges only; absent: at all of them. */
  readonly nodePortAddresses?: readonly string[];
}

export function fixedChains({
  clusterId,
  idsBeside = [],
  clusterCidrs,
  serviceCidrs,
  nodePortAddresses,
}: ChainsOptions): string {
  // Clusters beside each other on one host may use the same addresses for services: a pod means its own cluster's.
  const bridges = [clusterId, ...idsBeside].map(id => `"${bridgeName(id)}"`).join(', ');
  const othersPods = `iifname "${bridgeName('*')}" iifname != { ${bridges} }`;
  const each = (text: (family: Family) => string) => families.map(text).join('\n      ');
  const inside = (family: Family) => clusterCidrs.filter(cidr => familyOf(cidr) === family).join(', ');
  const notInside = (family: Family) => (inside(family) === '' ? '' : `${family.ip} saddr != { ${inside(family)} }`);
  const atNode = (verdict: string) => {
    if (!nodePortAddresses) return `fib daddr type local ${verdict}`;
    const rules = families.map(family => {
      const cidrs = nodePortAddresses.filter(cidr => familyOf(cidr) === family).join(', ');
      return cidrs === '' ? '' : `${family.ip} daddr { ${cidrs} } fib daddr type local ${verdict}`;
    });
    return rules.join('\n      ');
  };
  return `
    ${each(declarations)}
    chain services {
      ${each(family => `${addressKey(family)} vmap @services${family.suffix}`)}
      goto node-addresses
    }
    chain nodeports {
      ${each(family => `meta nfproto ${family.protocol} ${portKey} vmap @nodeports${family.suffix}`)}
    }
    chain external {
      ${each(family => `${addressKey(family)} vmap @services-external${family.suffix}`)}
      ${atNode('goto nodeports-external')}
    }
    chain nodeports-external {
      ${each(family => `meta nfproto ${family.protocol} ${portKey} vmap @nodeports-external${family.suffix}`)}
    }
    chain node-addresses {
      ${atNode('goto nodeports')}
    }
    chain services-prerouting {
      type nat hook prerouting priority dstnat; policy accept;
      ${othersPods} goto node-addresses
      ${each(family => `meta nfproto ${family.protocol} ${notInside(family)} fib saddr type != local jump external`)}
      goto services
    }
    chain services-output {
      type nat hook output priority -100; policy accept;
      goto services
    }
    chain postrouting {
      type nat hook postrouting priority srcnat; policy accept;
      ${each(family => `ct status dnat oifname != "lo" ${family.ip} saddr . ${family.ip} daddr @hairpins${family.suffix} masquerade`)}
      ct status dnat oifname != "lo" ip saddr 127.0.0.0/8 masquerade
      ${each(
        family =>
          `ct status dnat oifname != "lo" ${family.ip} daddr . meta l4proto . th dport @remote${family.suffix} ${family.ip} saddr != @own-pods${family.suffix} masquerade`,
      )}
    }
    chain firewall {
      ${each(
        family =>
          `${addressKey(family)} @firewalled${family.suffix} ${addressKey(family)} . ${family.ip} saddr != @allowed${family.suffix} drop`,
      )}
    }
    chain firewall-prerouting {
      type filter hook prerouting priority -110; policy accept;
      ct state new jump firewall
    }
    chain firewall-output {
      type filter hook output priority -110; policy accept;
      ct state new jump firewall
    }
    chain reject-caller {
      meta l4proto tcp reject with tcp reset
      reject with icmpx port-unreachable
    }
    chain unserved {
      ${each(family => `${family.ip} daddr @cluster-ips${family.suffix} goto reject-caller`)}
      ${each(family => `${addressKey(family)} @unserved${family.suffix} goto reject-caller`)}
      ct status dnat return
      ${each(family =>
        serviceCidrs
          .filter(cidr => familyOf(cidr) === family)
          .map(cidr => `${family.ip} daddr ${cidr} drop`)
          .join('\n'),
      )}
      ${atNode('goto unserved-nodeports')}
    }
    chain unserved-nodeports {
      ${each(family => `meta nfproto ${family.protocol} ${portKey} @unserved-nodeports${family.suffix} goto reject-caller`)}
    }
    chain unserved-prerouting {
      type filter hook prerouting priority -90; policy accept;
      ct state new jump unserved
    }
    chain unserved-output {
      type filter hook output priority -90; policy accept;
      ct state new jump unserved
    }`;
}

/** A chain that elements go to, with its rules. */
export interface Chain {
  readonly name: string;
  readonly rules: string;
}

/** Leads to one of `count` endpoints by chance. */
export function randomChain(kind: FrontendKind, family: Family, count: number, base: number): Chain {
  return {
    name: `${kind}${family.suffix}-${base === 0 ? '' : 'external-'}random-${count}`,
    rules: [draw(count, base), lead(kind, family)].join('\n'),
  };
}

/** Leads a caller to the endpoint that it had within the timeout, and another one to one of `count` endpoints by chance. */
export function affinityChains(
  kind: FrontendKind,
  family: Family,
  count: number,
  base: number,
  timeoutSeconds: number,
): readonly [again: Chain, first: Chain] {
  const { affinity, picks } = sets[kind];
  const caller = `${family.ip} saddr . ${keyOfKind(kind, family)}`;
  const remember = `update @${affinity}${family.suffix} { ${caller} timeout ${timeoutSeconds}s : meta priority }`;
  const again: Chain = {
    name: `${kind}${family.suffix}-again-${timeoutSeconds}`,
    // Reached behind the lead only when that endpoint is gone.
    rules: [remember, lead(kind, family), `delete @${affinity}${family.suffix} { ${caller} : meta priority }`].join(
      '\n',
    ),
  };
  const first: Chain = {
    name: `${kind}${family.suffix}-${base === 0 ? '' : 'external-'}affinity-${count}-${timeoutSeconds}`,
    rules: [
      `meta priority set ${caller} map @${affinity}${family.suffix} jump ${again.name}`,
      draw(count, base),
      `meta priority set ${keyOfKind(kind, family)} . meta priority map @${picks}${family.suffix}`,
      remember,
      lead(kind, family),
    ].join('\n'),
  };
  return [again, first];
}

/** A number as the map's key has it: `major:minor`, in hexadecimal. */
export function numberKey(value: number): string {
  return `${(value >>> 16).toString(16)}:${(value & 0xffff).toString(16)}`;
}

function draw(count: number, base: number): string {
  // 0 is a packet's ordinary priority: numbers start at 1.
  return `meta priority set numgen random mod ${count} offset ${base + 1}`;
}

function lead(kind: FrontendKind, family: Family): string {
  const { endpoints } = sets[kind];
  return `dnat ${family.ip} to ${keyOfKind(kind, family)} . meta priority map @${endpoints}${family.suffix}`;
}

const portKey = 'meta l4proto . th dport';

function addressKey({ ip }: Family): string {
  return `${ip} daddr . ${portKey}`;
}

function keyOfKind(kind: FrontendKind, family: Family): string {
  return kind === 'address' ? addressKey(family) : portKey;
}

function declarations({ suffix, type }: Family): string {
  const port = 'inet_proto . inet_service';
  const frontend = `${type} . ${port}`;
  const remembered = `classid; size ${limits.affinityCallersMax}; flags dynamic,timeout; timeout 3h;`;
  return `
    map services${suffix} { type ${frontend} : verdict; }
    map services-external${suffix} { type ${frontend} : verdict; }
    map endpoints${suffix} { type ${frontend} . classid : ${type} . inet_service; }
    map picks${suffix} { type ${frontend} . classid : classid; }
    map affinity${suffix} { type ${type} . ${frontend} : ${remembered} }
    map nodeports${suffix} { type ${port} : verdict; }
    map nodeports-external${suffix} { type ${port} : verdict; }
    map node-endpoints${suffix} { type ${port} . classid : ${type} . inet_service; }
    map node-picks${suffix} { type ${port} . classid : classid; }
    map node-affinity${suffix} { type ${type} . ${port} : ${remembered} }
    set cluster-ips${suffix} { type ${type}; }
    set unserved${suffix} { type ${frontend}; }
    set unserved-nodeports${suffix} { type ${port}; }
    set firewalled${suffix} { type ${frontend}; }
    set allowed${suffix} { type ${frontend} . ${type}; flags interval; }
    set hairpins${suffix} { type ${type} . ${type}; }
    set remote${suffix} { type ${frontend}; }
    set own-pods${suffix} { type ${type}; flags interval; }`;
}
