import { setOwn } from '../json.ts';
import type { Json, JsonObject } from '../schema.ts';
import { childOf, isMember, leaf, nodeOf, formatPath, type FieldSet, emptySet } from './field-set.ts';
import { deducedStructure, elementOf, isEmpty, isObject, memberOf, type Structure } from './structure.ts';

/** The live object with what was applied laid over it. What does not change is shared; nothing is changed. */
export function mergeObjects(structure: Structure, live: Json, applied: Json): Json {
  return merge(structure, live, applied) as Json;
}

/** The paths that a configuration sets. Throws an Error about lists that cannot be keyed. */
export function fieldSetOf(structure: Structure, value: Json, twice: Twice = 'allowed'): FieldSet {
  return fieldsBelow(structure, value, [], twice) ?? emptySet;
}

/** The object without the paths of the set. What loses all it held becomes null, which still counts as being there. */
export function withoutPaths(structure: Structure, value: Json, unwanted: FieldSet): Json {
  if (isLeaf(structure)) return null;
  if (structure.type === 'list') return Array.isArray(value) ? listWithout(structure, value as Json[], unwanted) : null;
  return isObject(value) ? membersWithout(structure, value, unwanted) : null;
}

/** The pruned object without the nulls that pruning left where something was in `merged`. */
export function withoutEmptied(structure: Structure, pruned: Json, merged: Json): Json {
  if (pruned === merged || isLeaf(structure)) return pruned;
  if (structure.type === 'list') {
    if (!Array.isArray(pruned) || !Array.isArray(merged)) return pruned;
    const before = new Map((merged as readonly Json[]).map(item => [elementOf(structure.keys, item), item]));
    return (pruned as readonly Json[])
      .filter(item => item !== null)
      .map(item => withoutEmptied(structure.item(), item, before.get(elementOf(structure.keys, item)) ?? null));
  }
  if (!isObject(pruned) || !isObject(merged)) return pruned;
  const result: Record<string, Json> = {};
  for (const name in pruned) {
    const value = pruned[name] as Json;
    const before = merged[name] as Json;
    if (value === null && before !== null) continue;
    setOwn(result, name, withoutEmptied(memberOf(structure, name)?.of() ?? deducedStructure, value, before));
  }
  return result;
}

/** Adds fields of objects to a set that holds something below them: `a.b.c` comes with `a` and `b`, if they are fields. */
export function withNamedFields(structure: Structure | undefined, set: FieldSet): FieldSet {
  const children: Record<string, FieldSet> = {};
  let changed = false;
  for (const element in set) {
    if (element === '.') continue;
    const node = set[element] as FieldSet;
    const [below, isNamed] = structureBelow(structure, element);
    const inner = withNamedFields(below, node);
    const member = isMember(node) || isNamed;
    const named = inner === node && member === isMember(node) ? node : nodeOf(member, withoutSelf(inner));
    if (named !== node) changed = true;
    children[element] = named as FieldSet;
  }
  if (!changed) return set;
  return Object.hasOwn(set, '.') ? { '.': leaf, ...children } : children;
}

function isLeaf({ type }: Structure): boolean {
  return type === 'leaf' || type === 'ignored';
}

function structureBelow(structure: Structure | undefined, element: string): [Structure | undefined, boolean] {
  if (structure === undefined) return [undefined, false];
  if (element.startsWith('f:')) {
    const name = element.slice(2);
    const isNamed = structure.type === 'object' && structure.fields.has(name);
    return [memberOf(structure, name)?.of(), isNamed];
  }
  return [element.startsWith('k:') && structure.type === 'list' ? structure.item() : undefined, false];
}

function withoutSelf(node: FieldSet): Record<string, FieldSet> {
  const { '.': _, ...children } = node as Record<string, FieldSet>;
  return children;
}

function merge(structure: Structure, live: Json | undefined, applied: Json | undefined): Json | undefined {
  if (applied === undefined) return live;
  if (live === undefined || isLeaf(structure) || (isEmpty(live) && isEmpty(applied))) return applied;
  if (structure.type === 'list') {
    return Array.isArray(live) && Array.isArray(applied)
      ? mergeLists(structure, live as Json[], applied as Json[])
      : isEmpty(applied)
        ? live
        : applied;
  }
  if (!isObject(live)) return applied;
  if (!isObject(applied)) return applied === null ? live : applied;
  return mergeMembers(structure, live, applied);
}

function mergeMembers(structure: Structure, live: JsonObject, applied: JsonObject): JsonObject {
  let result: Record<string, Json | undefined> | undefined;
  for (const name in applied) {
    const before = Object.hasOwn(live, name) ? live[name] : undefined;
    const after = merge(memberOf(structure, name)?.of() ?? deducedStructure, before, applied[name]);
    if (after === before) continue;
    result ??= { ...live };
    setOwn(result, name, after);
  }
  return result ?? live;
}

/** Items keep the applied order; items of the live list keep their place between them. */
function mergeLists(
  structure: Structure & { type: 'list' },
  live: readonly Json[],
  applied: readonly Json[],
): readonly Json[] {
  const lives = live.map(item => elementOf(structure.keys, item));
  const news = applied.map(item => elementOf(structure.keys, item));
  const liveItems = new Map<string, Json | undefined>();
  // What is there twice is replaced, not merged.
  for (const [index, element] of lives.entries())
    liveItems.set(element, liveItems.has(element) ? undefined : (live[index] as Json));
  const newItems = new Map(news.map((element, index) => [element, applied[index] as Json]));
  const shared = news.filter(element => liveItems.has(element));
  const done = new Set<string>();
  const result: Json[] = [];
  const take = (element: string) => {
    done.add(element);
    result.push(merge(structure.item(), liveItems.get(element), newItems.get(element)) as Json);
  };
  let [left, right] = [0, 0];
  let nextShared = shared.shift();
  while (left < lives.length || right < news.length) {
    const [one, other] = [lives[left], news[right]];
    if (one !== undefined && other !== undefined) {
      if (one === other) {
        take(one);
        left++;
        right++;
        nextShared = shared.shift();
        continue;
      }
      if (newItems.has(one) && nextShared !== undefined && nextShared !== one) {
        left++;
        continue;
      }
    }
    if (one !== undefined) {
      if (!newItems.has(one)) {
        result.push(live[left] as Json);
        left++;
        continue;
      }
      if (done.has(one)) left++;
    }
    if (other !== undefined) {
      take(other);
      right++;
      if (nextShared === other) nextShared = shared.shift();
    }
  }
  const unchanged = result.length === live.length && result.every((item, index) => item === live[index]);
  return unchanged ? live : result;
}

/** Whether items may be there twice that should be there once: what is stored may be older than the rule. */
type Twice = 'allowed' | 'refused';

function fieldsBelow(structure: Structure, value: Json, path: readonly string[], twice: Twice): FieldSet | undefined {
  if (isLeaf(structure)) return leaf;
  if (structure.type === 'list')
    return Array.isArray(value) ? itemFields(structure, value as Json[], path, twice) : undefined;
  if (!isObject(value)) return value === null ? undefined : leaf;
  const children: Record<string, FieldSet> = {};
  for (const name in value) {
    const each = value[name];
    if (each === undefined) continue;
    const member = memberOf(structure, name);
    if (!member) throw new Error(`${formatPath([...path, `f:${name}`])}: field not declared in schema`);
    const below = fieldsBelow(member.of(), each, [...path, member.element], twice);
    const isNamed = structure.type === 'object' && structure.fields.has(name);
    const owned = !isNamed || each === null || (isObject(each) && isEmpty(each)) || below === leaf;
    const node = nodeOf(owned, below === undefined ? undefined : withoutSelf(below));
    if (node !== undefined) children[member.element] = node;
  }
  return nodeOf(false, children);
}

function itemFields(
  structure: Structure & { type: 'list' },
  list: readonly Json[],
  path: readonly string[],
  twice: Twice,
): FieldSet | undefined {
  const children: Record<string, FieldSet> = {};
  for (const [index, item] of list.entries()) {
    const element = elementAt(structure, item, index, path);
    if (Object.hasOwn(children, element)) {
      if (twice === 'refused')
        throw new Error(`${formatPath(path)}: duplicate entries for key ${formatPath([element])}`);
      // Nobody can tell their parts apart: all of them are one leaf.
      children[element] = leaf;
      continue;
    }
    const below = fieldsBelow(structure.item(), item, [...path, element], twice);
    children[element] = nodeOf(true, below === undefined ? undefined : withoutSelf(below)) as FieldSet;
  }
  return nodeOf(false, children);
}

function elementAt(
  structure: Structure & { type: 'list' },
  item: Json,
  index: number,
  path: readonly string[],
): string {
  try {
    return elementOf(structure.keys, item);
  } catch (error) {
    throw new Error(`${formatPath(path)}: element ${index}: ${(error as Error).message}`, { cause: error });
  }
}

function listWithout(
  structure: Structure & { type: 'list' },
  list: readonly Json[],
  unwanted: FieldSet,
): readonly Json[] | null {
  const kept: Json[] = [];
  for (const item of list) {
    const node = childOf(unwanted, elementOf(structure.keys, item));
    if (node === undefined) kept.push(item);
    else if (!isMember(node)) kept.push(withoutPaths(structure.item(), item, node));
  }
  if (kept.length === list.length && kept.every((item, index) => item === list[index])) return list;
  return kept.length > 0 ? kept : null;
}

function membersWithout(structure: Structure, object: JsonObject, unwanted: FieldSet): JsonObject | null {
  let changed = false;
  const kept: Record<string, Json | undefined> = {};
  for (const name in object) {
    const value = object[name] as Json;
    const member = memberOf(structure, name);
    const node = childOf(unwanted, member?.element ?? `f:${name}`);
    const left = leftOf(member?.of() ?? deducedStructure, value, node);
    if (left !== value) changed = true;
    if (left !== undefined) setOwn(kept, name, left);
  }
  if (!changed) return object;
  return isEmpty(kept) ? null : kept;
}

function leftOf(structure: Structure, value: Json, node: FieldSet | undefined): Json | undefined {
  if (node === undefined) return value;
  return isMember(node) ? undefined : withoutPaths(structure, value, node);
}
