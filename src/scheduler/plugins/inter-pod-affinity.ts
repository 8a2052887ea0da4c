import type { PodAffinityTerm } from '#api/core/v1/pod-spec.ts';
import type { CarriedTerm } from '../anti-affinity-index.ts';
import { affinityTerm, selectionOf } from '../affinity-term.ts';
import type { ClusterState } from '../cluster-state.ts';
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
  const closed = [...refusing.values()].filter(each => each.term.matches(pod, cluster.namespaceLabels));
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
      .map(({ term, weight, required, byDomain }) => ({
        weight: required ? hardPodAffinityWeight : weight,
        byDomain,
        topologyKey: term.topologyKey,
        self: false,
      })),
  ];
  const filters = wanted.length + unwanted.length + closed.length > 0;
  if (!filters && likes.length === 0) return undefined;
  // The first of a group that wants to be together has nobody to be near to yet.
  const first = wanted.every(each => each.self && each.byDomain.size === 0);
  return {
    ...(filters && {
      filter(node) {
        if (!first || wanted.some(each => domainOf(node, each.topologyKey) === undefined))
          if (!wanted.every(each => occupied(node, each))) return withoutFriends;
        if (unwanted.some(each => occupied(node, each))) return besideEnemies;
        if (closed.some(({ term, byDomain }) => occupied(node, { topologyKey: term.topologyKey, byDomain })))
          return refusedByOthers;
        return undefined;
      },
      explain: node => explained(node, { wanted, unwanted, closed, first }),
    }),
    ...(likes.length > 0 && {
      score: node => liking(node, likes),
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
    readonly closed: readonly CarriedTerm[];
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
    const count = each.byDomain.get(domainOf(node, each.topologyKey) ?? '') ?? 0;
    details.push(`${count} pod(s) that it must not be near are in ${where(each.topologyKey)}`);
    remedies.push(withoutTerm('podAntiAffinity', each, `its anti-affinity by ${each.topologyKey} were preferred only`));
  }
  for (const { term, byDomain } of closed) {
    if (!occupied(node, { topologyKey: term.topologyKey, byDomain })) continue;
    const count = byDomain.get(domainOf(node, term.topologyKey) ?? '') ?? 0;
    details.push(`${count} pod(s) in ${where(term.topologyKey)} refuse such a pod near them`);
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

interface Counts {
  /** As the pod has it. */
  readonly given?: PodAffinityTerm;
  readonly topologyKey: string;
  readonly byDomain: ReadonlyMap<string, number>;
  /** The pod matches its own term. */
  readonly self: boolean;
}

interface Weighted extends Counts {
  readonly weight: number;
}

function countsOf(term: PodAffinityTerm, pod: PodInfo, cluster: ClusterState): Counts {
  const resolved = affinityTerm(term, pod);
  return {
    given: term,
    topologyKey: term.topologyKey,
    byDomain: cluster.counts.of(term.topologyKey, selectionOf(resolved, cluster.namespaceLabels)),
    self: resolved.matches(pod, cluster.namespaceLabels),
  };
}

function occupied(node: NodeInfo, { topologyKey, byDomain }: Omit<Counts, 'self'>): boolean {
  const domain = domainOf(node, topologyKey);
  return domain !== undefined && (byDomain.get(domain) ?? 0) > 0;
}

function liking(node: NodeInfo, likes: readonly Weighted[]): number {
  let sum = 0;
  for (const { topologyKey, byDomain, weight } of likes) {
    const domain = domainOf(node, topologyKey);
    if (domain !== undefined) sum += weight * (byDomain.get(domain) ?? 0);
  }
  return sum;
}
