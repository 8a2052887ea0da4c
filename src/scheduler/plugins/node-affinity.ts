import type { Node } from '#api/core/v1/node.ts';
import type { NodeAffinity } from '#api/core/v1/pod-spec.ts';
import type { NodeSelectorTerm } from '#api/core/v1/node-selector-term.ts';
import type { Plugin, Remedy } from '../plugin.ts';
import { withSpec, type PodInfo } from '../pod-info.ts';

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
  explain(pod, { node }) {
    const labels = node.metadata.labels ?? {};
    const details: string[] = [];
    const remedies: Remedy[] = [];
    for (const [key, wanted] of Object.entries(pod.pod.spec.nodeSelector ?? {})) {
      const actual = Object.hasOwn(labels, key) ? labels[key] : undefined;
      if (actual === wanted) continue;
      details.push(
        `label ${key} is ${actual === undefined ? 'not set' : JSON.stringify(actual)}, the pod selects ${JSON.stringify(wanted)}`,
      );
      remedies.push({
        change: `its nodeSelector did not ask for ${key}=${wanted}`,
        apply: trial => {
          const left = Object.entries(trial.pod.pod.spec.nodeSelector ?? {}).filter(([each]) => each !== key);
          return { ...trial, pod: withSpec(trial.pod, { nodeSelector: Object.fromEntries(left) }) };
        },
      });
    }
    const required = pod.pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
    if (required !== undefined && !(required.nodeSelectorTerms ?? []).some(term => matchesTerm(term, node))) {
      const terms = (required.nodeSelectorTerms ?? []).map(textOf).join(' or ');
      details.push(`required node affinity is not met: ${terms}`);
      remedies.push({
        change: 'it had no required node affinity',
        apply: trial => {
          const { requiredDuringSchedulingIgnoredDuringExecution: _, ...rest } =
            trial.pod.pod.spec.affinity?.nodeAffinity ?? {};
          const affinity = { ...trial.pod.pod.spec.affinity, nodeAffinity: rest };
          return { ...trial, pod: withSpec(trial.pod, { affinity }) };
        },
      });
    }
    return { details, remedies };
  },
  scores: pod => (preferred(pod)?.length ?? 0) > 0,
  score(pod, { node }) {
    let sum = 0;
    for (const { weight, preference } of preferred(pod) ?? []) if (matchesTerm(preference, node)) sum += weight;
    return sum;
  },
};

function textOf({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm): string {
  const all = [...matchExpressions, ...matchFields];
  return all
    .map(each => `${each.key} ${each.operator}${each.values?.length ? ` [${each.values.join(', ')}]` : ''}`)
    .join(' and ');
}

/** With an affinity that the profile adds to that of every pod. */
export function nodeAffinityWith(added: NodeAffinity): Plugin {
  const required = added.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  const preferences = added.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  const enforced = { ...rejection, reasons: ["node(s) didn't match scheduler-enforced node affinity"] };
  return {
    ...nodeAffinity,
    filter(pod, node) {
      if (required && !required.some(term => matchesTerm(term, node.node))) return enforced;
      return nodeAffinity.filter?.(pod, node);
    },
    explain: (pod, node) =>
      required && !required.some(term => matchesTerm(term, node.node))
        ? { details: [`the profile asks for ${required.map(textOf).join(' or ')}`], remedies: [] }
        : (nodeAffinity.explain?.(pod, node) ?? { details: [], remedies: [] }),
    scores: pod => preferences.length > 0 || (nodeAffinity.scores?.(pod) ?? true),
    score(pod, node, cluster) {
      let sum = nodeAffinity.score?.(pod, node, cluster) ?? 0;
      for (const { weight, preference } of preferences) if (matchesTerm(preference, node.node)) sum += weight;
      return sum;
    },
  };
}

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
