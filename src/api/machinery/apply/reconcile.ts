import { childOf, isEmptySet, isMember, leaf, nodeOf, type FieldSet } from './field-set.ts';
import { memberOf, type Structure } from './structure.ts';

/**
 * A set as the schema of today has it: where the parts of a list or an object were owned one by one and it is atomic now,
 * its owner has the whole. The other way round nothing has to be done: who had the whole has the field, and none of its
 * parts.
 */
export function reconciled(structure: Structure, set: FieldSet): FieldSet {
  if (known.get(set) === structure) return set;
  const result = reconciledNode(structure, set);
  known.set(result, structure);
  return result;
}

/** Sets are shared and never changed: each is looked through once a schema. */
const known = new WeakMap<FieldSet, Structure>();

function reconciledNode(structure: Structure, node: FieldSet): FieldSet {
  let changed: Record<string, FieldSet> | undefined;
  for (const element in node) {
    if (element === '.') continue;
    const child = childOf(node, element) as FieldSet;
    if (isEmptySet(child)) continue;
    const below = structureBelow(structure, element);
    if (!below) continue;
    const next = below.type === 'leaf' ? (below.atomic ? leaf : child) : reconciledNode(below, child);
    if (next === child) continue;
    changed ??= { ...(node as Record<string, FieldSet>) };
    changed[element] = next;
  }
  if (!changed) return node;
  const { '.': self, ...children } = changed;
  return nodeOf(self !== undefined && isMember(node), children) as FieldSet;
}

/** Undefined where the schema says nothing of it. */
function structureBelow(structure: Structure, element: string): Structure | undefined {
  if (structure.type === 'list') return element.startsWith('f:') ? undefined : structure.item();
  if (!element.startsWith('f:')) return undefined;
  const name = element.slice(2);
  if (structure.type === 'object') return structure.fields.get(name)?.of();
  return memberOf(structure, name)?.of();
}
