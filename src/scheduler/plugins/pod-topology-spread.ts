import type { TopologySpreadConstraint } from '#api/core/v1/pod-spec.ts';
import type { ClusterState } from '../cluster-state.ts';
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
      filter: node => refusal(node, required),
      explain: node => explained(node, required),
    }),
    ...(preferred.length > 0 && {
      score: node => crowding(node, preferred, allLabels),
      // The emptier the domain, the better.
      normalize: (raw, min, max) => (max === 0 ? 100 : Math.floor((100 * (max + min - raw)) / max)),
    }),
  };
}

interface Counted {
  readonly constraint: TopologySpreadConstraint;
  readonly byDomain: ReadonlyMap<string, number>;
  /** The emptiest domain's count. */
  readonly minimum: number;
  /** The pod itself counts where it goes. */
  readonly self: 0 | 1;
  /** Topologies with many domains count for more, or hosts would drown in zones. */
  readonly weight: number;
}

function counted(constraint: TopologySpreadConstraint, pod: PodInfo, cluster: ClusterState): Counted {
  const selection = selectionFor(constraint, pod);
  const byDomain = cluster.counts.of(constraint.topologyKey, selection);
  const domains = eligibleDomains(constraint, pod, cluster);
  // Only a filter asks for the emptiest one, and there may be as many domains as nodes.
  let minimum = constraint.whenUnsatisfiable === 'DoNotSchedule' ? Number.POSITIVE_INFINITY : 0;
  if (minimum > 0) for (const domain of domains) minimum = Math.min(minimum, byDomain.get(domain) ?? 0);
  // KEP-3022: too few domains count as an empty one.
  if (domains.size < (constraint.minDomains ?? 1) || domains.size === 0) minimum = 0;
  return { constraint, byDomain, minimum, self: selection.matches(pod) ? 1 : 0, weight: Math.log(domains.size + 2) };
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

/** Domains of nodes on which the pod could be at all, by the constraint's inclusion policies. KEP-3094. */
function eligibleDomains(
  constraint: TopologySpreadConstraint,
  pod: PodInfo,
  cluster: ClusterState,
): ReadonlySet<string> {
  const { spec } = pod.pod;
  const honorsTaints = constraint.nodeTaintsPolicy === 'Honor';
  const selects = spec.nodeSelector !== undefined || spec.affinity?.nodeAffinity !== undefined;
  const honorsAffinity = constraint.nodeAffinityPolicy !== 'Ignore' && selects;
  if (!honorsTaints && !honorsAffinity) return cluster.domains(constraint.topologyKey);
  const domains = new Set<string>();
  for (const node of cluster.nodes) {
    const domain = domainOf(node, constraint.topologyKey);
    if (domain === undefined || domains.has(domain)) continue;
    if (honorsAffinity && !selectsNode(pod, node.node)) continue;
    if (honorsTaints && untolerated(node, pod)) continue;
    domains.add(domain);
  }
  return domains;
}

function untolerated({ node }: NodeInfo, { pod }: PodInfo): boolean {
  const hard = (node.spec.taints ?? []).filter(taint => taint.effect !== 'PreferNoSchedule');
  return hard.some(taint => !tolerates(pod.spec.tolerations, taint));
}

function refusal(node: NodeInfo, constraints: readonly Counted[]): Rejection | undefined {
  for (const { constraint, byDomain, minimum, self } of constraints) {
    const domain = domainOf(node, constraint.topologyKey);
    if (domain === undefined) return withoutLabel;
    if ((byDomain.get(domain) ?? 0) + self - minimum > constraint.maxSkew) return tooSkewed;
  }
  return undefined;
}

function explained(node: NodeInfo, constraints: readonly Counted[]): Refusal {
  const broken = constraints.filter(each => refusal(node, [each]) !== undefined);
  return {
    details: broken.map(({ constraint: { topologyKey, maxSkew }, byDomain, minimum, self }) => {
      const domain = domainOf(node, topologyKey);
      if (domain === undefined) return `the node has no label ${topologyKey}`;
      const count = byDomain.get(domain) ?? 0;
      return `${topologyKey}=${domain} has ${count} of its pods, the emptiest has ${minimum}: with it the skew is ${count + self - minimum}, at most ${maxSkew} is allowed`;
    }),
    remedies: broken.flatMap(({ constraint, byDomain, minimum, self }) => {
      const { topologyKey } = constraint;
      const domain = domainOf(node, topologyKey);
      if (domain === undefined) return [];
      const maxSkew = (byDomain.get(domain) ?? 0) + self - minimum;
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
function crowding(node: NodeInfo, constraints: readonly Counted[], allLabels: boolean): number | undefined {
  let sum = 0;
  for (const { constraint, byDomain, weight } of constraints) {
    const domain = domainOf(node, constraint.topologyKey);
    if (domain === undefined) {
      if (allLabels) return undefined;
      continue;
    }
    sum += (byDomain.get(domain) ?? 0) * weight + (constraint.maxSkew - 1);
  }
  return Math.round(sum);
}
