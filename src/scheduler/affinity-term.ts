import type { PodAffinityTerm } from '#api/core/v1/pod-spec.ts';
import { compileLabelSelector, type Labels } from '#api/machinery/selector.ts';
import { withLabels, type PodSelection } from './pod-counts.ts';
import type { PodInfo } from './pod-info.ts';

/** An affinity term made independent of the pod that carries it: its own namespace and its labels filled in. */
export interface AffinityTerm {
  /** Terms with the same id select the same pods. */
  readonly id: string;
  readonly topologyKey: string;
  matches(pod: PodInfo, namespaceLabels: ReadonlyMap<string, Labels>): boolean;
}

export function affinityTerm(term: PodAffinityTerm, owner: PodInfo): AffinityTerm {
  const { metadata } = owner.pod;
  const names = term.namespaces ?? [];
  // Without names and without a selector a term means the pod's own namespace.
  const namespaces = names.length === 0 && term.namespaceSelector === undefined ? [metadata.namespace ?? ''] : names;
  const extra: Record<string, string> = {};
  for (const key of term.matchLabelKeys ?? []) {
    const value = metadata.labels?.[key];
    if (value !== undefined) extra[key] = value;
  }
  const mismatched: Record<string, string> = {};
  for (const key of term.mismatchLabelKeys ?? []) {
    const value = metadata.labels?.[key];
    if (value !== undefined) mismatched[key] = value;
  }
  const selectsLabels = withLabels(term.labelSelector, extra);
  const selectsNamespace =
    term.namespaceSelector === undefined ? undefined : compileLabelSelector(term.namespaceSelector);
  const unlike = Object.entries(mismatched);
  return {
    id: JSON.stringify([term.topologyKey, term.labelSelector, namespaces, term.namespaceSelector, extra, mismatched]),
    topologyKey: term.topologyKey,
    matches({ pod }, namespaceLabels) {
      const namespace = pod.metadata.namespace ?? '';
      const { labels } = pod.metadata;
      return (
        (namespaces.includes(namespace) || (selectsNamespace?.(namespaceLabels.get(namespace)) ?? false)) &&
        selectsLabels(labels) &&
        unlike.every(([key, value]) => labels?.[key] !== undefined && labels[key] !== value)
      );
    },
  };
}

/** The pods that a term selects, for counting them. */
export function selectionOf(term: AffinityTerm, namespaceLabels: ReadonlyMap<string, Labels>): PodSelection {
  return { id: term.id, matches: pod => term.matches(pod, namespaceLabels) };
}
