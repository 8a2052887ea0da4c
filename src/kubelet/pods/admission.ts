import type { Node } from '#api/core/v1/node.ts';
import type { NodeSelectorTerm } from '#api/core/v1/node-selector-term.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import type { PodSpec } from '#api/core/v1/pod-spec.ts';
import { aggregateRequests, isExtendedResource } from '#api/core/v1/pod-resources.ts';
import { milliValue, wholeValue } from '#api/machinery/quantity.ts';
import type { Waiting } from './decide.ts';

/** Why this node does not take a pod that was bound to it, in the words of its status; `undefined` when it does. */
export function refusal(pod: Pod, node: Node | undefined, others: Iterable<Pod>): Waiting | undefined {
  const { spec } = pod;
  if (!spec || !node) return undefined;
  if (spec.os?.name && spec.os.name !== 'linux')
    return { reason: 'PodOSNotSupported', message: "Failed to admit pod as the OS field doesn't match node OS" };
  if (!fitsNode(spec, node)) {
    const message =
      "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
    return { reason: 'NodeAffinity', message };
  }
  return shortage(spec, node, [...others]) ?? portConflict(spec, others);
}

function shortage(spec: PodSpec, node: Node, others: readonly Pod[]): Waiting | undefined {
  const allocatable = node.status?.allocatable ?? {};
  const wanted: Record<string, string> = { ...aggregateRequests(spec), pods: '1' };
  for (const [name, amount] of Object.entries(wanted)) {
    const value = name === 'cpu' ? milliValue : wholeValue;
    const requested = value(amount);
    const capacity = value(allocatable[name]);
    // What the node has never told of is no concern of its own, as upstream has it: a driver may bring it.
    const isUntold = allocatable[name] === undefined && (name === 'ephemeral-storage' || isExtendedResource(name));
    if (requested === 0 || isUntold) continue;
    const used = others.reduce((sum, other) => {
      if (name === 'pods') return sum + 1;
      return sum + (other.spec ? value(aggregateRequests(other.spec)[name]) : 0);
    }, 0);
    if (used + requested <= capacity) continue;
    const message = `Pod was rejected: Node didn't have enough resource: ${name}, requested: ${requested}, used: ${used}, capacity: ${capacity}`;
    return { reason: `OutOf${name}`, message };
  }
  return undefined;
}

function portConflict(spec: PodSpec, others: Iterable<Pod>): Waiting | undefined {
  const wanted = new Set(hostPorts(spec));
  if (wanted.size === 0) return undefined;
  for (const other of others)
    if (other.spec && hostPorts(other.spec).some(port => wanted.has(port)))
      return {
        reason: 'NodePorts',
        message:
          "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
      };
  return undefined;
}

function hostPorts(spec: PodSpec): string[] {
  return spec.containers.flatMap(({ ports = [] }) =>
    ports.filter(({ hostPort }) => hostPort).map(each => `${each.hostIP ?? ''}/${each.protocol}/${each.hostPort}`),
  );
}

function fitsNode(spec: PodSpec, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  const has = (key: string) => (Object.hasOwn(labels, key) ? labels[key] : undefined);
  if (Object.entries(spec.nodeSelector ?? {}).some(([key, value]) => has(key) !== value)) return false;
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return !required || required.nodeSelectorTerms.some(term => matches(term, node, has));
}

function matches(term: NodeSelectorTerm, node: Node, has: (key: string) => string | undefined): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  if (matchExpressions.length + matchFields.length === 0) return false;
  const fields = (key: string) => (key === 'metadata.name' ? node.metadata.name : undefined);
  return (
    matchExpressions.every(each => holds(each.operator, each.values ?? [], has(each.key))) &&
    matchFields.every(each => holds(each.operator, each.values ?? [], fields(each.key)))
  );
}

function holds(operator: string, values: readonly string[], value: string | undefined): boolean {
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
      return value !== undefined && Number(value) > Number(values[0]);
    case 'Lt':
      return value !== undefined && Number(value) < Number(values[0]);
    default:
      return false;
  }
}
