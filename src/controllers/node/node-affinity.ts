import type { Node } from '#api/core/v1/node.ts';
import type { NodeSelectorTerm } from '#api/core/v1/node-selector-term.ts';
import type { PodSpec } from '#api/core/v1/pod-spec.ts';

type Requirement = NonNullable<NodeSelectorTerm['matchExpressions']>[number];

/** May a pod be on a node, as far as its node selector and its required node affinity go? */
export function wantsNode({ nodeSelector, affinity }: PodSpec, node: Node): boolean {
  const { labels = {} } = node.metadata;
  for (const [key, value] of Object.entries(nodeSelector ?? {})) if (labels[key] !== value) return false;
  const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || (required.nodeSelectorTerms ?? []).some(term => matchesTerm(term, node));
}

/** A term without conditions selects nothing. */
function matchesTerm({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, { metadata }: Node): boolean {
  if (matchExpressions.length + matchFields.length === 0) return false;
  return (
    matchExpressions.every(each => holds(each, metadata.labels?.[each.key])) &&
    matchFields.every(each => holds(each, each.key === 'metadata.name' ? metadata.name : undefined))
  );
}

function holds({ operator, values = [] }: Requirement, value: string | undefined): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return isInteger(value) && Number(value) > Number(values[0]);
    case 'Lt':
      return isInteger(value) && Number(value) < Number(values[0]);
    default:
      return false;
  }
}

function isInteger(value: string | undefined): boolean {
  return value !== undefined && /^-?\d+$/.test(value);
}
