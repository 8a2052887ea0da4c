import { createHash } from 'node:crypto';
import { compileLabelSelector, type Labels } from '#api/machinery/selector.ts';
import type { LabelSelector } from '#api/meta/v1/label-selector.ts';
import type {
  IPBlock,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
} from '#api/networking/v1/network-policy.ts';
import { formatCidr, networkOf, parseCidr } from '#base/ip.ts';
import { familyOf, type Family } from '../proxy/chains.ts';

// A policy becomes a chain for each direction, whose rules accept and name sets of addresses. What is in those sets is no
// matter of the policy: pods come and go without a change of rules.

export type Direction = 'ingress' | 'egress';

/** A pod as policies see it. */
export interface PodView {
  readonly uid: string;
  readonly namespace: string;
  readonly labels: Labels | undefined;
  readonly ips: readonly string[];
  /** Its named ports. */
  readonly ports: readonly NamedPort[];
  /** It runs on this machine: policies that select it are kept here. */
  readonly isLocal: boolean;
}

export interface NamedPort {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
}

/** Pods by a property, as a set of the kernel for each family: their addresses, or addresses with a port. */
export interface PodSet {
  /** Without the family. Says exactly what is in it. */
  readonly name: string;
  /** Only pods of this namespace can be in it. */
  readonly namespace: string | undefined;
  /** Pods come and go with the labels of their namespace. */
  readonly usesNamespaceLabels: boolean;
  readonly hasPorts: boolean;
  elements(pod: PodView, namespaceLabels: Labels | undefined): readonly string[];
}

/** What one policy has to say about one direction. */
export interface CompiledDirection {
  /** nft rules, each of which accepts; none: nothing is allowed. */
  readonly rules: readonly string[];
  readonly sets: readonly PodSet[];
}

export interface CompiledPolicy {
  readonly namespace: string;
  selects(labels: Labels | undefined): boolean;
  readonly ingress: CompiledDirection | undefined;
  readonly egress: CompiledDirection | undefined;
}

export function compilePolicy({ metadata, spec }: NetworkPolicy): CompiledPolicy {
  const { namespace = '' } = metadata;
  const types = new Set(spec.policyTypes);
  return {
    namespace,
    selects: compileLabelSelector(spec.podSelector),
    ingress: types.has('Ingress')
      ? compileDirection(
          'ingress',
          namespace,
          (spec.ingress ?? []).map(({ from, ports }) => ({ peers: from, ports })),
        )
      : undefined,
    egress: types.has('Egress')
      ? compileDirection(
          'egress',
          namespace,
          (spec.egress ?? []).map(({ to, ports }) => ({ peers: to, ports })),
        )
      : undefined,
  };
}

export function setName(set: PodSet, { suffix }: Family): string {
  return `${set.name}-${suffix}`;
}

export function setType(set: PodSet, { type }: Family): string {
  return set.hasPorts ? `type ${type} . inet_service;` : `type ${type};`;
}

/** Short, and the same for the same text only. */
export function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 24);
}

interface Rule {
  readonly peers: readonly NetworkPolicyPeer[] | undefined;
  readonly ports: readonly NetworkPolicyPort[] | undefined;
}

const families = [familyOf('0.0.0.0'), familyOf('::')];

function compileDirection(direction: Direction, namespace: string, written: readonly Rule[]): CompiledDirection {
  const rules = new Set<string>();
  const sets = new Map<string, PodSet>();
  const use = (set: PodSet) => {
    sets.set(set.name, set);
    return set;
  };
  for (const { peers, ports } of written)
    for (const family of families) {
      const ofPorts = portConditions(ports ?? [], family, use);
      for (const peer of peerConditions(direction, namespace, peers ?? [], family, use))
        for (const port of ofPorts) rules.add([peer, port, 'accept'].filter(part => part !== '').join(' '));
    }
  return { rules: [...rules], sets: [...sets.values()] };
}

/** Conditions of which one must hold; an empty one always does. Of no peers: everybody. */
function peerConditions(
  direction: Direction,
  namespace: string,
  peers: readonly NetworkPolicyPeer[],
  family: Family,
  use: (set: PodSet) => PodSet,
): readonly string[] {
  const field = `${family.ip} ${direction === 'ingress' ? 'saddr' : 'daddr'}`;
  if (peers.length === 0) return [`meta nfproto ${family.protocol}`];
  return peers.flatMap(({ ipBlock, podSelector, namespaceSelector }) => {
    if (ipBlock) return blockConditions(ipBlock, field, family);
    return [`${field} @${setName(use(podsBySelector(namespace, podSelector, namespaceSelector)), family)}`];
  });
}

function blockConditions({ cidr, except = [] }: IPBlock, field: string, family: Family): readonly string[] {
  const network = normalized(cidr, family);
  if (network === undefined) return [];
  const holes = except.map(hole => normalized(hole, family)).filter(hole => hole !== undefined);
  // nft has no word for all addresses.
  const whole = network.endsWith('/0') ? `meta nfproto ${family.protocol}` : `${field} ${network}`;
  return [[whole, ...holes.map(hole => `${field} != ${hole}`)].join(' ')];
}

/** `undefined` for what is of the other family. */
function normalized(cidr: string, family: Family): string | undefined {
  const network = parseCidr(cidr);
  if (!network || familyOf(network.address.family === 4 ? '' : ':') !== family) return undefined;
  return formatCidr({ address: networkOf(network), prefixLength: network.prefixLength });
}

/** Conditions of which one must hold. Of no ports: every protocol. Ports count where the packet arrives, behind DNAT. */
function portConditions(
  ports: readonly NetworkPolicyPort[],
  { ip, ...family }: Family,
  use: (set: PodSet) => PodSet,
): readonly string[] {
  if (ports.length === 0) return [''];
  const conditions: string[] = [];
  const ranges = new Map<string, Range[]>();
  for (const { protocol = 'TCP', port, endPort } of ports) {
    const transport = transports.get(protocol);
    if (transport === undefined) continue;
    if (port === undefined) conditions.push(`meta l4proto ${transport}`);
    else if (typeof port === 'number') {
      const known = ranges.get(transport) ?? [];
      ranges.set(transport, [...known, { first: port, last: endPort ?? port }]);
    } else {
      const name = setName(use(podsByPort(protocol, port)), { ip, ...family });
      conditions.push(`meta l4proto ${transport} ${ip} daddr . th dport @${name}`);
    }
  }
  for (const [transport, list] of ranges) conditions.push(`${transport} dport { ${merged(list).join(', ')} }`);
  return conditions;
}

const transports: ReadonlyMap<string, string> = new Map([
  ['TCP', 'tcp'],
  ['UDP', 'udp'],
  ['SCTP', 'sctp'],
]);

interface Range {
  readonly first: number;
  readonly last: number;
}

/** nft refuses ranges that overlap. */
function merged(ranges: readonly Range[]): readonly string[] {
  const apart: { first: number; last: number }[] = [];
  for (const { first, last } of ranges.toSorted((a, b) => a.first - b.first)) {
    const before = apart.at(-1);
    if (before && first <= before.last + 1) before.last = Math.max(before.last, last);
    else apart.push({ first, last });
  }
  return apart.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`));
}

function podsBySelector(
  namespace: string,
  podSelector: LabelSelector | undefined,
  namespaceSelector: LabelSelector | undefined,
): PodSet {
  const everyPod = compileLabelSelector(podSelector ?? {});
  const everyNamespace = compileLabelSelector(namespaceSelector ?? {});
  const own = namespaceSelector ? undefined : namespace;
  return {
    name: `pods-${digest(JSON.stringify([own ?? null, namespaceSelector ?? null, podSelector ?? {}]))}`,
    namespace: own,
    usesNamespaceLabels: namespaceSelector !== undefined,
    hasPorts: false,
    elements({ namespace: its, labels, ips }, namespaceLabels) {
      const isIn = own === undefined ? everyNamespace(namespaceLabels) : its === own;
      return isIn && everyPod(labels) ? ips : [];
    },
  };
}

/** Where pods have a port of that name. */
function podsByPort(protocol: string, name: string): PodSet {
  return {
    name: `ports-${digest(JSON.stringify([protocol, name]))}`,
    namespace: undefined,
    usesNamespaceLabels: false,
    hasPorts: true,
    elements({ ips, ports }) {
      return ports
        .filter(port => port.name === name && port.protocol === protocol)
        .flatMap(({ port }) => ips.map(ip => `${ip} . ${port}`));
    },
  };
}
