import type { Node } from '#api/core/v1/node.ts';
import type { NodeSelectorTerm } from '#api/core/v1/node-selector-term.ts';
import type { Plugin } from '../plugin.ts';
import type { PodInfo } from '../pod-info.ts';

const rejection = {
  plugin: 'NodeAffinity',
  reasons: ["node(s) didn't match Pod's node affinity/selector"],
  unresolvable: true,
};

export const nodeAffinity: Plugin = {
  name: 'NodeAffinity',
  weight: 2,
  normalize: 'proportional',
  filter: (pod, { node }) => (selectsNode(pod, node) ? undefined : rejection),
  scores: pod => (preferred(pod)?.length ?? 0) > 0,
  score(pod, { node }) {
    let sum = 0;
    for (const { weight, preference } of preferred(pod) ?? []) if (matchesTerm(preference, node)) sum += weight;
    return sum;
  },
};

/** nodeSelector and the required node affinity of a pod. */
export function selectsNode({ pod }: PodInfo, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  for (const [key, wanted] of Object.entries(pod.spec.nodeSelector ?? {})) {
    if (!Object.hasOwn(labels, key) || labels[key] !== wanted) return false;
  }
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || (required.nodeSelectorTerms ?? []).some(term => matchesTerm(term, node));
}

function preferred({ pod }: PodInfo) {
  return pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution;
}

/** A term without any requirement matches nothing. */
export function matchesTerm(term: NodeSelectorTerm, node: Node): boolean {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length === 0 && fields.length === 0) return false;
  const labels = node.metadata.labels ?? {};
  return (
    expressions.every(each => matches(each, Object.hasOwn(labels, each.key) ? labels[each.key] : undefined)) &&
    fields.every(each => matches(each, each.key === 'metadata.name' ? node.metadata.name : undefined))
  );
}

function matches(
  requirement: { readonly operator: string; readonly values?: readonly string[] | undefined },
  actual: string | undefined,
): boolean {
  const values = requirement.values ?? [];
  switch (requirement.operator) {
    case 'In':
      return actual !== undefined && values.includes(actual);
    case 'NotIn':
      return actual === undefined || !values.includes(actual);
    case 'Exists':
      return actual !== undefined;
    case 'DoesNotExist':
      return actual === undefined;
    case 'Gt':
      return compares(actual, values, (a, b) => a > b);
    case 'Lt':
      return compares(actual, values, (a, b) => a < b);
    default:
      return false;
  }
}

function compares(
  actual: string | undefined,
  values: readonly string[],
  holds: (actual: bigint, wanted: bigint) => boolean,
): boolean {
  const integer = /^[+-]?\d+$/;
  const [wanted] = values;
  if (actual === undefined || wanted === undefined || !integer.test(actual) || !integer.test(wanted)) return false;
  return holds(BigInt(actual), BigInt(wanted));
}
