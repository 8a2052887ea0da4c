import type { LabelSelector } from '#api/meta/v1/label-selector.ts';
import { compileLabelSelector, type LabelPredicate } from '#api/machinery/selector.ts';
import { DomainTally } from './node-domains.ts';
import type { NodeInfo } from './node-info.ts';
import type { PodInfo } from './pod-info.ts';

/** Which pods count: by namespace and by labels. */
export interface PodSelection {
  /** Canonical text: equal selections share their counts. */
  readonly id: string;
  matches(pod: PodInfo): boolean;
}

/** Namespaces by name, or by their labels. */
export interface NamespaceLabels {
  of(namespace: string): Readonly<Record<string, string>>;
}

/** How many counts are kept up to date; the one unused for longest goes first. */
const countsMax = 1024;

/**
 * How many pods of a selection run in each topology domain (zone, host, …). A count is made by looking at all pods once,
 * and from then on follows every pod that comes and goes, so that spreading and affinity cost no walk over the cluster.
 */
export class PodCounts {
  readonly #counts = new Map<string, DomainCount>();
  readonly #nodes: () => Iterable<NodeInfo>;

  constructor(nodes: () => Iterable<NodeInfo>) {
    this.#nodes = nodes;
  }

  of(topologyKey: string, selection: PodSelection): DomainTally {
    const id = `${topologyKey}\n${selection.id}`;
    let count = this.#counts.get(id);
    if (count) this.#counts.delete(id);
    else count = this.#counted(topologyKey, selection);
    this.#counts.set(id, count);
    if (this.#counts.size > countsMax) this.#counts.delete(this.#counts.keys().next().value ?? '');
    return count.tally;
  }

  podChanged(pod: PodInfo, node: NodeInfo, sign: 1 | -1): void {
    for (const count of this.#counts.values()) count.change(pod, node, sign);
  }

  /** Namespaces were labelled anew: who is counted may be different. */
  forget(): void {
    this.#counts.clear();
  }

  #counted(topologyKey: string, selection: PodSelection): DomainCount {
    const count = new DomainCount(topologyKey, selection);
    for (const node of this.#nodes()) for (const pod of node.pods.values()) count.change(pod, node, 1);
    return count;
  }
}

class DomainCount {
  readonly tally = new DomainTally();
  readonly #topologyKey: string;
  readonly #selection: PodSelection;

  constructor(topologyKey: string, selection: PodSelection) {
    this.#topologyKey = topologyKey;
    this.#selection = selection;
  }

  change(pod: PodInfo, node: NodeInfo, sign: 1 | -1): void {
    const domain = domainOf(node, this.#topologyKey);
    if (domain !== undefined && this.#selection.matches(pod)) this.tally.change(domain, sign);
  }
}

/** The value of a topology label on a node. */
export function domainOf(node: NodeInfo, topologyKey: string): string | undefined {
  return node.labels.get(topologyKey);
}

/** Running pods of one namespace by labels; those on their way out do not count. */
export function podsInNamespace(
  namespace: string,
  selector: LabelSelector | undefined,
  extra: Readonly<Record<string, string>> = {},
): PodSelection {
  const matches = withLabels(selector, extra);
  return {
    id: JSON.stringify([namespace, selector, extra]),
    matches: ({ pod }) =>
      pod.metadata.namespace === namespace &&
      pod.metadata.deletionTimestamp === undefined &&
      matches(pod.metadata.labels),
  };
}

/** A nil selector matches nothing; the extra labels must match as well. */
export function withLabels(
  selector: LabelSelector | undefined,
  extra: Readonly<Record<string, string>>,
): LabelPredicate {
  const matches = compileLabelSelector(selector);
  const wanted = Object.entries(extra);
  if (wanted.length === 0) return matches;
  return labels => matches(labels) && wanted.every(([key, value]) => labels !== undefined && labels[key] === value);
}
