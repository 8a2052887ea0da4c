import type { PodAffinityTerm } from '#api/core/v1/pod-spec.ts';
import { affinityTerm, selectionOf } from '../affinity-term.ts';
import type { ClusterState } from '../cluster-state.ts';
import type { DomainTally, NodeDomains } from '../node-domains.ts';
import type { NodeInfo } from '../node-info.ts';
import type { ClusterEvent, ClusterPlugin, Prepared, Refusal, Rejection, Remedy } from '../plugin.ts';
import { domainOf } from '../pod-counts.ts';
import { withSpec, type PodInfo } from '../pod-info.ts';

const rejection = (reason: string, unresolvable = false): Rejection => ({
  plugin: 'InterPodAffinity',
  reasons: [reason],
  unresolvable,
});
const withoutFriends = rejection("node(s) didn't match pod affinity rules", true);
const besideEnemies = rejection("node(s) didn't match pod anti-affinity rules");
const refusedByOthers = rejection("node(s) didn't satisfy existing pods anti-affinity rules");

/** Pods that want to be near others, or far from them; both those that run and the one that comes have a say. */
export const interPodAffinity: ClusterPlugin = interPodAffinityWith({
  hardPodAffinityWeight: 1,
  ignorePreferredTermsOfExistingPods: false,
});

/** The arguments of upstream's InterPodAffinityArgs. */
export interface InterPodAffinityArguments {
  readonly hardPodAffinityWeight: number;
  readonly ignorePreferredTermsOfExistingPods: boolean;
}

export function interPodAffinityWith(given: InterPodAffinityArguments): ClusterPlugin {
  return { name: 'InterPodAffinity', weight: 2, prepare: (pod, cluster) => prepare(pod, cluster, given), hint };
}

function hint(event: ClusterEvent, pod: PodInfo, { namespaceLabels }: ClusterState): boolean {
  if (event.type === 'nodes changed' || event.type === 'devices changed') return false;
  if (event.type === 'namespace relabelled') return true;
  const other = event.pod;
  const matches = (terms: readonly PodAffinityTerm[] | undefined, owner: PodInfo, candidate: PodInfo) =>
    terms?.some(term => affinityTerm(term, owner).matches(candidate, namespaceLabels)) ?? false;
  const required = ({ pod: { spec } }: PodInfo, sort: 'podAffinity' | 'podAntiAffinity') =>
    spec.affinity?.[sort]?.requiredDuringSchedulingIgnoredDuringExecution;
  if (event.type === 'pod placed') return matches(required(pod, 'podAffinity'), pod, other);
  // One that is gone is no enemy any more; nor does it refuse others.
  return (
    matches(required(pod, 'podAntiAffinity'), pod, other) || matches(required(other, 'podAntiAffinity'), other, pod)
  );
}

function prepare(
  pod: PodInfo,
  cluster: ClusterState,
  { hardPodAffinityWeight, ignorePreferredTermsOfExistingPods }: InterPodAffinityArguments,
): Prepared | undefined {
  const { podAffinity, podAntiAffinity } = pod.pod.spec.affinity ?? {};
  const { refusing, scoring } = cluster.podAffinities;
  const count = (term: PodAffinityTerm) => countsOf(term, pod, cluster);
  const wanted = (podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).map(count);
  const unwanted = (podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).map(count);
  const closed = [...refusing.values()]
    .filter(each => each.term.matches(pod, cluster.namespaceLabels))
    .map(({ term, tally }) => placesOf(term.topologyKey, tally, cluster));
  const prefers =
    (podAffinity?.preferredDuringSchedulingIgnoredDuringExecution?.length ?? 0) +
      (podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution?.length ?? 0) >
    0;
  const carried = ignorePreferredTermsOfExistingPods && !prefers ? [] : [...scoring.values()];
  const likes: Weighted[] = [
    ...(podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ weight, podAffinityTerm }) => ({
      weight,
      ...count(podAffinityTerm),
    })),
    ...(podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ weight, podAffinityTerm }) => ({
      weight: -weight,
      ...count(podAffinityTerm),
    })),
    ...carried
      .filter(each => each.term.matches(pod, cluster.namespaceLabels))
      .map(({ term, weight, required, tally }) => ({
        weight: required ? hardPodAffinityWeight : weight,
        self: false,
        ...placesOf(term.topologyKey, tally, cluster),
      })),
  ];
  const filters = wanted.length + unwanted.length + closed.length > 0;
  if (!filters && likes.length === 0) return undefined;
  // The first of a group that wants to be together has nobody to be near to yet.
  const first = wanted.every(each => each.self && each.tally.byDomain.size === 0);
  return {
    ...(filters && {
      filter(node, index) {
        for (const each of wanted) {
          const count = countAt(each, node, index);
          if (first ? count === undefined : (count ?? 0) === 0) return withoutFriends;
        }
        for (const each of unwanted) if ((countAt(each, node, index) ?? 0) > 0) return besideEnemies;
        for (const each of closed) if ((countAt(each, node, index) ?? 0) > 0) return refusedByOthers;
        return undefined;
      },
      explain: node => explained(node, { wanted, unwanted, closed, first }),
    }),
    ...(likes.length > 0 && {
      score: (node, index) => liking(likes, node, index),
      normalize: (raw, min, max) => (max === min ? 0 : Math.floor((100 * (raw - min)) / (max - min))),
    }),
  };
}

function explained(
  node: NodeInfo,
  {
    wanted,
    unwanted,
    closed,
    first,
  }: {
    readonly wanted: readonly Counts[];
    readonly unwanted: readonly Counts[];
    readonly closed: readonly Places[];
    readonly first: boolean;
  },
): Refusal {
  const details: string[] = [];
  const remedies: Remedy[] = [];
  const where = (topologyKey: string) => {
    const domain = domainOf(node, topologyKey);
    return domain === undefined ? `a node without the label ${topologyKey}` : `${topologyKey}=${domain}`;
  };
  for (const each of wanted) {
    const missing = first ? domainOf(node, each.topologyKey) === undefined : !occupied(node, each);
    if (!missing) continue;
    details.push(`no pod that it wants to be near is in ${where(each.topologyKey)}`);
    remedies.push(withoutTerm('podAffinity', each, `it did not require pods near it by ${each.topologyKey}`));
  }
  for (const each of unwanted) {
    if (!occupied(node, each)) continue;
    const count = countAt(each, node) ?? 0;
    details.push(`${count} pod(s) that it must not be near are in ${where(each.topologyKey)}`);
    remedies.push(withoutTerm('podAntiAffinity', each, `its anti-affinity by ${each.topologyKey} were preferred only`));
  }
  for (const each of closed) {
    const count = countAt(each, node) ?? 0;
    if (count > 0) details.push(`${count} pod(s) in ${where(each.topologyKey)} refuse such a pod near them`);
  }
  // What others refuse cannot be healed by this pod.
  return { details, remedies: closed.length > 0 && details.length > remedies.length ? [] : remedies };
}

function withoutTerm(sort: 'podAffinity' | 'podAntiAffinity', { given }: Counts, change: string): Remedy {
  return {
    change,
    apply: trial => {
      const affinity = trial.pod.pod.spec.affinity ?? {};
      const terms = affinity[sort]?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
      const left = terms.filter(each => each !== given);
      const changed = { ...affinity[sort], requiredDuringSchedulingIgnoredDuringExecution: left };
      return { ...trial, pod: withSpec(trial.pod, { affinity: { ...affinity, [sort]: changed } }) };
    },
  };
}

/** Where pods of a term are: by domain, and by the nodes of the cluster. */
interface Places {
  readonly topologyKey: string;
  readonly tally: DomainTally;
  readonly domains: NodeDomains;
  readonly counts: Int32Array;
}

interface Counts extends Places {
  /** As the pod has it. */
  readonly given?: PodAffinityTerm;
  /** The pod matches its own term. */
  readonly self: boolean;
}

interface Weighted extends Counts {
  readonly weight: number;
}

function countsOf(term: PodAffinityTerm, pod: PodInfo, cluster: ClusterState): Counts {
  const resolved = affinityTerm(term, pod);
  const tally = cluster.counts.of(term.topologyKey, selectionOf(resolved, cluster.namespaceLabels));
  return {
    given: term,
    self: resolved.matches(pod, cluster.namespaceLabels),
    ...placesOf(term.topologyKey, tally, cluster),
  };
}

function placesOf(topologyKey: string, tally: DomainTally, cluster: ClusterState): Places {
  const domains = cluster.domains(topologyKey);
  return { topologyKey, tally, domains, counts: tally.counts(domains) };
}

/** How many are in the node's domain; `undefined` where it is in none. */
function countAt({ topologyKey, tally, domains, counts }: Places, node: NodeInfo, index?: number): number | undefined {
  if (index === undefined) {
    const domain = domainOf(node, topologyKey);
    return domain === undefined ? undefined : (tally.byDomain.get(domain) ?? 0);
  }
  const domain = domains.byNode[index] as number;
  return domain < 0 ? undefined : counts[domain];
}

function occupied(node: NodeInfo, places: Places): boolean {
  return (countAt(places, node) ?? 0) > 0;
}

function liking(likes: readonly Weighted[], node: NodeInfo, index?: number): number {
  let sum = 0;
  for (const each of likes) sum += each.weight * (countAt(each, node, index) ?? 0);
  return sum;
}
