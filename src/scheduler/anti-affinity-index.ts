import type { PodAffinityTerm } from '#api/core/v1/pod-spec.ts';
import { affinityTerm, type AffinityTerm } from './affinity-term.ts';
import { DomainTally } from './node-domains.ts';
import type { NodeInfo } from './node-info.ts';
import { domainOf } from './pod-counts.ts';
import type { PodInfo } from './pod-info.ts';

/** A term that pods which run carry, with the domains they are in. */
export interface CarriedTerm {
  readonly term: AffinityTerm;
  /** Positive for affinity, negative for anti-affinity; required affinity counts 1, as upstream's hardPodAffinityWeight. */
  readonly weight: number;
  /** Required affinity: a profile may weigh it otherwise. */
  readonly required: boolean;
  readonly tally: DomainTally;
}

/**
 * The affinity terms of the pods that run. Replicas carry the same terms, so a new pod is compared with a handful of terms
 * and not with every pod.
 */
export class AntiAffinityIndex {
  /** Required anti-affinity: where such a term matches a new pod, its domains are closed to it. */
  readonly refusing = new Map<string, CarriedTerm>();
  /** Preferred terms both ways and required affinity: they score. */
  readonly scoring = new Map<string, CarriedTerm>();

  podChanged(pod: PodInfo, node: NodeInfo, sign: 1 | -1): void {
    const { affinity } = pod.pod.spec;
    if (affinity?.podAffinity === undefined && affinity?.podAntiAffinity === undefined) return;
    const change = (table: Map<string, CarriedTerm>, term: PodAffinityTerm, weight: number, required = false) =>
      this.#change(table, affinityTerm(term, pod), weight, required, node, sign);
    const { podAffinity, podAntiAffinity } = affinity;
    for (const term of podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [])
      change(this.refusing, term, 0);
    for (const term of podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [])
      change(this.scoring, term, 1, true);
    for (const { weight, podAffinityTerm } of podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [])
      change(this.scoring, podAffinityTerm, weight);
    for (const { weight, podAffinityTerm } of podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [])
      change(this.scoring, podAffinityTerm, -weight);
  }

  #change(
    table: Map<string, CarriedTerm>,
    term: AffinityTerm,
    weight: number,
    required: boolean,
    node: NodeInfo,
    sign: 1 | -1,
  ): void {
    const domain = domainOf(node, term.topologyKey);
    if (domain === undefined) return;
    const id = `${term.id}\n${weight}\n${required}`;
    const carried = table.get(id) ?? { term, weight, required, tally: new DomainTally() };
    table.set(id, carried);
    carried.tally.change(domain, sign);
    if (carried.tally.byDomain.size === 0) table.delete(id);
  }
}
