import { deepEqual } from '#base/deep-equal.ts';
import type { Json, JsonObject } from '../schema.ts';
import { emptySet, leaf, nodeOf, type FieldSet } from './field-set.ts';
import { deducedStructure, elementIfAny, isEmpty, isObject, memberOf, type Structure } from './structure.ts';

export interface Comparison {
  /** Paths that are new or have another value. */
  readonly changed: FieldSet;
  readonly removed: FieldSet;
}

/** Which paths differ between two objects. Costs nothing for parts that they share. */
export function compareObjects(structure: Structure, before: Json, after: Json): Comparison {
  const { changed, removed } = compare(structure, before, after);
  return { changed: changed ?? emptySet, removed: removed ?? emptySet };
}

interface Difference {
  readonly changed?: FieldSet | undefined;
  readonly removed?: FieldSet | undefined;
}

const same: Difference = {};
const added: Difference = { changed: leaf };
const gone: Difference = { removed: leaf };

/** Undefined is absent; null is a value. */
function compare(structure: Structure, before: Json | undefined, after: Json | undefined): Difference {
  if (before === after || structure.type === 'ignored') return same;
  if (structure.type === 'leaf' || (isEmpty(before) && isEmpty(after))) return compareLeaf(before, after);
  if (structure.type === 'list') {
    if (!isListOrNone(before) || !isListOrNone(after)) return compareLeaf(before, after);
    return compareLists(structure, before, after);
  }
  if (!isObjectOrNone(before) || !isObjectOrNone(after)) return compareSorts(structure, before, after);
  return compareMembers(structure, before, after);
}

function compareLeaf(before: Json | undefined, after: Json | undefined): Difference {
  if (before === undefined) return added;
  if (after === undefined) return gone;
  return deepEqual(before, after) ? same : added;
}

/** Values without a type may be anything: one becomes another, and members of an object come or go with it. */
function compareSorts(structure: Structure, before: Json | undefined, after: Json | undefined): Difference {
  const { changed } = compareLeaf(before, after);
  if (changed === undefined || before === undefined) return compareLeaf(before, after);
  return {
    changed: isObject(after)
      ? nodeOf(true, compareMembers(structure, null, after).changed as Record<string, FieldSet> | undefined)
      : changed,
    removed: isObject(before) ? compareMembers(structure, before, null).removed : undefined,
  };
}

function compareMembers(
  structure: Structure,
  before: JsonObject | null | undefined,
  after: JsonObject | null | undefined,
): Difference {
  const parts = new Parts();
  for (const name in after) {
    const value = after[name];
    if (value === undefined) continue;
    const old = before && Object.hasOwn(before, name) ? before[name] : undefined;
    if (old !== value) parts.add(structure, name, old, value);
  }
  for (const name in before) {
    const old = before[name];
    if (old === undefined) continue;
    if (!after || !Object.hasOwn(after, name) || after[name] === undefined) parts.add(structure, name, old, undefined);
  }
  return parts.difference(before === undefined, after === undefined);
}

class Parts {
  #changed: Record<string, FieldSet> | undefined;
  #removed: Record<string, FieldSet> | undefined;

  add(structure: Structure, name: string, before: Json | undefined, after: Json | undefined): void {
    const member = memberOf(structure, name);
    const of = member ? member.of() : deducedStructure;
    this.take(member ? member.element : `f:${name}`, compare(of, before, after));
  }

  take(element: string, { changed, removed }: Difference): void {
    if (changed !== undefined) (this.#changed ??= {})[element] = changed;
    if (removed !== undefined) (this.#removed ??= {})[element] = removed;
  }

  difference(isNew: boolean, isGone: boolean): Difference {
    if (!isNew && !isGone && this.#changed === undefined && this.#removed === undefined) return same;
    return { changed: nodeOf(isNew, this.#changed), removed: nodeOf(isGone, this.#removed) };
  }
}

function compareLists(
  structure: Structure & { type: 'list' },
  before: readonly Json[] | null | undefined,
  after: readonly Json[] | null | undefined,
): Difference {
  // Most lists did not change, and telling items by their keys costs more than to see that.
  if (deepEqual(before, after)) return same;
  const parts = new Parts();
  const old = itemsByElement(structure, before);
  const fresh = itemsByElement(structure, after);
  for (const [element, items] of fresh) parts.take(element, compareItems(structure, old.get(element), items));
  for (const [element, items] of old)
    if (!fresh.has(element)) parts.take(element, compareItems(structure, items, undefined));
  return parts.difference(before === undefined, after === undefined);
}

/** Items with one path element. Usually there is one; several are owned together, as upstream does it. */
function compareItems(
  structure: Structure & { type: 'list' },
  before: readonly Json[] | undefined,
  after: readonly Json[] | undefined,
): Difference {
  const [olds, news] = [before?.length ?? 0, after?.length ?? 0];
  if (olds <= 1 && news <= 1) return compare(structure.item(), before?.[0], after?.[0]);
  if (olds >= 2 && news >= 2) return deepEqual(before, after) ? same : added;
  if (olds >= 2) {
    const { changed } = news === 0 ? same : compare(structure.item(), undefined, after?.[0]);
    return { changed, removed: leaf };
  }
  const { removed } = olds === 0 ? same : compare(structure.item(), before?.[0], undefined);
  return { changed: leaf, removed };
}

function itemsByElement(
  { keys }: Structure & { type: 'list' },
  list: readonly Json[] | null | undefined,
): ReadonlyMap<string, readonly Json[]> {
  const items = new Map<string, Json[]>();
  for (const item of list ?? []) {
    const element = elementIfAny(keys, item);
    if (element === undefined) continue;
    const known = items.get(element);
    if (known) known.push(item);
    else items.set(element, [item]);
  }
  return items;
}

function isListOrNone(value: Json | undefined): value is readonly Json[] | null | undefined {
  return value === undefined || value === null || Array.isArray(value);
}

function isObjectOrNone(value: Json | undefined): value is JsonObject | null | undefined {
  return value === undefined || value === null || isObject(value);
}
