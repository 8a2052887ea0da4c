import type { TopologySpreadConstraint } from '#api/core/v1/pod-spec.ts';
import type { ClusterState } from '../cluster-state.ts';
import type { DomainTally, NodeDomains } from '../node-domains.ts';
import type { NodeInfo } from '../node-info.ts';
import type { ClusterEvent, ClusterPlugin, Prepared, Refusal, Rejection } from '../plugin.ts';
import { domainOf, podsInNamespace, type PodSelection } from '../pod-counts.ts';
import { withSpec, type PodInfo } from '../pod-info.ts';
import { selectsNode } from './node-affinity.ts';
import { tolerates } from './taint-toleration.ts';

const tooSkewed: Rejection = {
  plugin: 'PodTopologySpread',
  reasons: ["node(s) didn't match pod topology spread constraints"],
  unresolvable: false,
};
const withoutLabel: Rejection = {
  plugin: 'PodTopologySpread',
  reasons: ["node(s) didn't match pod topology spread constraints (missing required label)"],
  unresolvable: true,
};

/** What holds for pods without constraints: upstream's own, or a list. */
export interface SpreadArguments {
  readonly defaults: 'System' | readonly TopologySpreadConstraint[];
}

/** KEP-1258: pods of one workload are spread a little over hosts and zones. */
const systemDefaults: readonly TopologySpreadConstraint[] = [
  { topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'ScheduleAnyway', maxSkew: 3 },
  { topologyKey: 'topology.kubernetes.io/zone', whenUnsatisfiable: 'ScheduleAnyway', maxSkew: 5 },
];

/** Keeps the pods of a selection spread over zones, hosts or any other topology. KEP-895. */
export const podTopologySpread: ClusterPlugin = podTopologySpreadWith({ defaults: 'System' });

export function podTopologySpreadWith({ defaults }: SpreadArguments): ClusterPlugin {
  const constraints = defaults === 'System' ? systemDefaults : defaults;
  return {
    name: 'PodTopologySpread',
    weight: 2,
    hint,
    prepare(pod, cluster) {
      const own = pod.pod.spec.topologySpreadConstraints ?? [];
      if (own.length > 0) return prepare(pod, cluster, own, true);
      const labelSelector = constraints.length === 0 ? undefined : cluster.workloads.selectorOf(pod.pod);
      if (labelSelector === undefined) return undefined;
      const given = constraints.map(each => ({ ...each, labelSelector }));
      // Nodes need not have all of the labels that the system assumes.
      return prepare(pod, cluster, given, defaults !== 'System');
    },
  };
}

function hint(event: ClusterEvent, pod: PodInfo): boolean {
  if (event.type === 'nodes changed') return true;
  if (event.type === 'namespace relabelled' || event.type === 'devices changed') return false;
  const own = pod.pod.spec.topologySpreadConstraints ?? [];
  if (event.pod.pod.metadata.namespace !== pod.pod.metadata.namespace) return false;
  // Without own constraints the profile's hold, for the pods of the same workload.
  return own.length === 0 || own.some(constraint => selectionFor(constraint, pod).matches(event.pod));
}

function prepare(
  pod: PodInfo,
  cluster: ClusterState,
  all: readonly TopologySpreadConstraint[],
  allLabels: boolean,
): Prepared | undefined {
  const required = all
    .filter(each => each.whenUnsatisfiable === 'DoNotSchedule')
    .map(each => counted(each, pod, cluster));
  const preferred = all
    .filter(each => each.whenUnsatisfiable !== 'DoNotSchedule')
    .map(each => counted(each, pod, cluster));
  return {
    ...(required.length > 0 && {
      filter: (node, index) => refusal(required, node, index),
      explain: node => explained(node, required),
    }),
    ...(preferred.length > 0 && {
      score: (node, index) => crowding(preferred, allLabels, node, index),
      // The emptier the domain, the better.
      normalize: (raw, min, max) => (max === 0 ? 100 : Math.floor((100 * (max + min - raw)) / max)),
    }),
  };
}

interface Counted {
  readonly constraint: TopologySpreadConstraint;
  readonly tally: DomainTally;
  /** The same by the nodes of the cluster. */
  readonly domains: NodeDomains;
  readonly counts: Int32Array;
  /** The emptiest domain's count. */
  readonly minimum: number;
  /** The pod itself counts where it goes. */
  readonly self: 0 | 1;
  /** Topologies with many domains count for more, or hosts would drown in zones. */
  readonly weight: number;
}

function counted(constraint: TopologySpreadConstraint, pod: PodInfo, cluster: ClusterState): Counted {
  const selection = selectionFor(constraint, pod);
  const tally = cluster.counts.of(constraint.topologyKey, selection);
  const domains = cluster.domains(constraint.topologyKey);
  const counts = tally.counts(domains);
  const eligible = eligibleDomains(constraint, pod, cluster);
  const size = eligible?.size ?? domains.size;
  // Only a filter asks for the emptiest one, and there may be as many domains as nodes.
  let minimum = constraint.whenUnsatisfiable === 'DoNotSchedule' ? Number.POSITIVE_INFINITY : 0;
  if (minimum > 0 && eligible) for (const domain of eligible) minimum = Math.min(minimum, counts[domain] as number);
  else if (minimum > 0) for (const count of counts) minimum = Math.min(minimum, count);
  // KEP-3022: too few domains count as an empty one.
  if (size < (constraint.minDomains ?? 1) || size === 0) minimum = 0;
  const self = selection.matches(pod) ? 1 : 0;
  return { constraint, tally, domains, counts, minimum, self, weight: Math.log(size + 2) };
}

/** How many are in the node's domain; `undefined` where it is in none. */
function countAt({ constraint, tally, domains, counts }: Counted, node: NodeInfo, index?: number): number | undefined {
  if (index === undefined) {
    const domain = domainOf(node, constraint.topologyKey);
    return domain === undefined ? undefined : (tally.byDomain.get(domain) ?? 0);
  }
  const domain = domains.byNode[index] as number;
  return domain < 0 ? undefined : counts[domain];
}

function selectionFor({ labelSelector, matchLabelKeys }: TopologySpreadConstraint, pod: PodInfo): PodSelection {
  const { namespace = '', labels } = pod.pod.metadata;
  const extra: Record<string, string> = {};
  for (const key of matchLabelKeys ?? []) {
    const value = labels?.[key];
    if (value !== undefined) extra[key] = value;
  }
  return podsInNamespace(namespace, labelSelector, extra);
}

/** Domains of nodes on which the pod could be at all, by the constraint's inclusion policies; `undefined`: all. KEP-3094. */
function eligibleDomains(
  constraint: TopologySpreadConstraint,
  pod: PodInfo,
  cluster: ClusterState,
): ReadonlySet<number> | undefined {
  const { spec } = pod.pod;
  const honorsTaints = constraint.nodeTaintsPolicy === 'Honor';
  const selects = spec.nodeSelector !== undefined || spec.affinity?.nodeAffinity !== undefined;
  const honorsAffinity = constraint.nodeAffinityPolicy !== 'Ignore' && selects;
  if (!honorsTaints && !honorsAffinity) return undefined;
  const { byNode } = cluster.domains(constraint.topologyKey);
  const eligible = new Set<number>();
  for (const [index, node] of cluster.nodes.entries()) {
    const domain = byNode[index] as number;
    if (domain < 0 || eligible.has(domain)) continue;
    if (honorsAffinity && !selectsNode(pod, node.node)) continue;
    if (honorsTaints && untolerated(node, pod)) continue;
    eligible.add(domain);
  }
  return eligible;
}

function untolerated({ node }: NodeInfo, { pod }: PodInfo): boolean {
  const hard = (node.spec.taints ?? []).filter(taint => taint.effect !== 'PreferNoSchedule');
  return hard.some(taint => !tolerates(pod.spec.tolerations, taint));
}

function refusal(constraints: readonly Counted[], node: NodeInfo, index?: number): Rejection | undefined {
  for (const each of constraints) {
    const count = countAt(each, node, index);
    if (count === undefined) return withoutLabel;
    if (count + each.self - each.minimum > each.constraint.maxSkew) return tooSkewed;
  }
  return undefined;
}

function explained(node: NodeInfo, constraints: readonly Counted[]): Refusal {
  const broken = constraints.filter(each => refusal([each], node) !== undefined);
  return {
    details: broken.map(({ constraint: { topologyKey, maxSkew }, tally, minimum, self }) => {
      const domain = domainOf(node, topologyKey);
      if (domain === undefined) return `the node has no label ${topologyKey}`;
      const count = tally.byDomain.get(domain) ?? 0;
      return `${topologyKey}=${domain} has ${count} of its pods, the emptiest has ${minimum}: with it the skew is ${count + self - minimum}, at most ${maxSkew} is allowed`;
    }),
    remedies: broken.flatMap(({ constraint, tally, minimum, self }) => {
      const { topologyKey } = constraint;
      const domain = domainOf(node, topologyKey);
      if (domain === undefined) return [];
      const maxSkew = (tally.byDomain.get(domain) ?? 0) + self - minimum;
      return {
        change: `it allowed a skew of ${maxSkew} over ${topologyKey} instead of ${constraint.maxSkew}`,
        share: (maxSkew - constraint.maxSkew) / maxSkew,
        apply: trial => ({
          ...trial,
          pod: withSpec(trial.pod, {
            topologySpreadConstraints: (trial.pod.pod.spec.topologySpreadConstraints ?? []).map(each =>
              each === constraint ? { ...each, maxSkew } : each,
            ),
          }),
        }),
      };
    }),
  };
}

/** `undefined` for a node that is in none of the domains that matter: it is liked least. */
function crowding(
  constraints: readonly Counted[],
  allLabels: boolean,
  node: NodeInfo,
  index?: number,
): number | undefined {
  let sum = 0;
  for (const each of constraints) {
    const count = countAt(each, node, index);
    if (count !== undefined) sum += count * each.weight + (each.constraint.maxSkew - 1);
    else if (allLabels) return undefined;
  }
  return Math.round(sum);
}
