import { encodeJson } from '../json.ts';
import type { Json, JsonObject } from '../schema.ts';

/**
 * A set of paths in the very form in which managedFields keep it (FieldsV1): an object of path elements (`f:name`,
 * `k:{"name":"a"}`, `v:"x"`, `i:0`). An empty object is a member; `.` marks a member that has members below. Sets are
 * never changed: operations share what stays the same.
 */
export type FieldSet = JsonObject;

export const emptySet: FieldSet = Object.freeze({});

/** The node of a path that is a member and has nothing below. */
export const leaf: FieldSet = Object.freeze({});

/** The root is never a member itself. */
export function isEmptySet(set: FieldSet): boolean {
  for (const _ in set) return false;
  return true;
}

export function unionOf(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b || isEmptySet(b)) return a;
  if (isEmptySet(a)) return b;
  return rootOf(unionNodes(a, b, false, false));
}

/** What is in `a` and not in `b`. Removing a member leaves the members below it. */
export function differenceOf(a: FieldSet, b: FieldSet): FieldSet {
  return isEmptySet(a) || isEmptySet(b) ? a : rootOf(differNodes(a, b, false));
}

/** Like `differenceOf`, but a member of `b` takes everything below it along. */
export function recursiveDifferenceOf(a: FieldSet, b: FieldSet): FieldSet {
  return isEmptySet(a) || isEmptySet(b) ? a : rootOf(differNodes(a, b, true));
}

export function intersectionOf(a: FieldSet, b: FieldSet): FieldSet {
  return rootOf(intersectNodes(a, b, false, false));
}

/** A node of a path: is it a member, and what is below? Undefined when it is neither. */
export function nodeOf(member: boolean, children: Record<string, FieldSet> | undefined): FieldSet | undefined {
  if (children === undefined || isEmptySet(children)) return member ? leaf : undefined;
  if (member) return { '.': leaf, ...children };
  return children;
}

export function isMember(node: FieldSet): boolean {
  return Object.hasOwn(node, '.') || isEmptySet(node);
}

/** The node below; undefined when there is none. */
export function childOf(node: FieldSet, element: string): FieldSet | undefined {
  return Object.hasOwn(node, element) ? (node[element] as FieldSet) : undefined;
}

/** The same set, its elements in the order in which upstream writes them. */
export function inOrder(set: FieldSet): FieldSet {
  const before = Object.keys(set);
  const elements = before.toSorted(compareElements);
  const nodes = elements.map(element => inOrder(set[element] as FieldSet));
  if (elements.every((element, at) => element === before[at] && nodes[at] === set[element])) return set;
  return Object.fromEntries(elements.map((element, at) => [element, nodes[at] as FieldSet]));
}

/** Every member's path, in the order in which upstream walks a set. */
export function* pathsOf(set: FieldSet, path: readonly string[] = []): Generator<readonly string[]> {
  for (const element of Object.keys(set).sort(compareElements)) {
    if (element === '.') continue;
    const node = set[element] as FieldSet;
    const at = [...path, element];
    if (isMember(node)) yield at;
    yield* pathsOf(node, at);
  }
}

/** `.spec.containers[name="a"].image` */
export function formatPath(path: readonly string[]): string {
  return path.map(formatElement).join('');
}

/** Reads what a client sent. Undefined when it is no field set. Unknown kinds of elements are dropped. */
export function readFieldSet(value: Json | undefined): FieldSet | undefined {
  if (value === undefined || value === null) return emptySet;
  return readNode(value);
}

/** The keys stand in the order of their names. */
export function keyElement(keys: JsonObject): string {
  let text = '';
  for (const name in keys) text += `${text === '' ? '' : ','}${JSON.stringify(name)}:${textOf(keys[name] as Json)}`;
  return `k:{${text}}`;
}

export function valueElement(value: Json): string {
  return `v:${textOf(value)}`;
}

function textOf(value: Json): string {
  return typeof value === 'string' ? JSON.stringify(value) : encodeJson(value);
}

function rootOf(node: FieldSet | undefined): FieldSet {
  return node ?? emptySet;
}

/*
 * At the root an empty object is the empty set; below it is a member. So each function is told whether the nodes it
 * gets are members.
 */

function unionNodes(a: FieldSet, b: FieldSet, aMember: boolean, bMember: boolean): FieldSet | undefined {
  if (a === b) return a;
  const children: Record<string, FieldSet> = {};
  for (const element in a) if (element !== '.') children[element] = a[element] as FieldSet;
  let changed = bMember && !aMember;
  for (const element in b) {
    if (element === '.') continue;
    const other = b[element] as FieldSet;
    const own = childOf(children, element);
    const merged = own === undefined ? other : (unionNodes(own, other, isMember(own), isMember(other)) as FieldSet);
    if (merged === own) continue;
    children[element] = merged;
    changed = true;
  }
  return changed ? nodeOf(aMember || bMember, children) : a;
}

function differNodes(a: FieldSet, b: FieldSet, recursive: boolean): FieldSet | undefined {
  const children: Record<string, FieldSet> = {};
  let changed = false;
  for (const element in a) {
    if (element === '.') continue;
    const own = a[element] as FieldSet;
    const other = childOf(b, element);
    const left = other === undefined ? own : differChild(own, other, recursive);
    if (left !== own) changed = true;
    if (left !== undefined) children[element] = left;
  }
  return changed ? nodeOf(Object.hasOwn(a, '.'), children) : a;
}

function differChild(own: FieldSet, other: FieldSet, recursive: boolean): FieldSet | undefined {
  const otherMember = isMember(other);
  if (recursive && otherMember) return undefined;
  const member = isMember(own) && !otherMember;
  if (isEmptySet(own)) return member ? own : undefined;
  const below = differNodes(own, other, recursive);
  if (below === own && member === isMember(own)) return own;
  return nodeOf(member, withoutSelf(below));
}

function withoutSelf(node: FieldSet | undefined): Record<string, FieldSet> | undefined {
  if (node === undefined || !Object.hasOwn(node, '.')) return node as Record<string, FieldSet> | undefined;
  const { '.': _, ...children } = node as Record<string, FieldSet>;
  return children;
}

function intersectNodes(a: FieldSet, b: FieldSet, aMember: boolean, bMember: boolean): FieldSet | undefined {
  const children: Record<string, FieldSet> = {};
  for (const element in a) {
    const own = a[element] as FieldSet;
    const other = element === '.' ? undefined : childOf(b, element);
    const common = other && intersectNodes(own, other, isMember(own), isMember(other));
    if (common !== undefined) children[element] = common;
  }
  return nodeOf(aMember && bMember, children);
}

const ranks: Readonly<Record<string, number>> = { '.': 0, f: 1, k: 2, v: 3, i: 4 };

function compareElements(a: string, b: string): number {
  const rank = (ranks[a[0] as string] ?? 9) - (ranks[b[0] as string] ?? 9);
  if (rank !== 0) return rank;
  if (a.startsWith('i:')) return Number(a.slice(2)) - Number(b.slice(2));
  return a < b ? -1 : a > b ? 1 : 0;
}

function formatElement(element: string): string {
  const rest = element.slice(2);
  switch (element[0]) {
    case 'f':
      return `.${rest}`;
    case 'v':
      return `[=${rest}]`;
    case 'k': {
      const keys = Object.entries(JSON.parse(rest) as JsonObject);
      return `[${keys.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(',')}]`;
    }
    default:
      return `[${rest}]`;
  }
}

function readNode(value: Json): FieldSet | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const object = value as JsonObject;
  const result: Record<string, FieldSet> = {};
  for (const key in object) {
    const element = canonicalElement(key);
    if (element === undefined) return undefined;
    if (element === '') continue;
    const node = element === '.' ? leaf : readNode(object[key] as Json);
    if (node === undefined) return undefined;
    result[element] = node;
  }
  return result;
}

/** The element as we write it; empty for a kind that we do not know, undefined for what is none. */
function canonicalElement(text: string): string | undefined {
  if (text === '.' || text.startsWith('f:')) return text;
  if (text[1] !== ':') return undefined;
  if (text.startsWith('i:')) return /^i:-?\d+$/.test(text) ? text : undefined;
  if (!text.startsWith('k:') && !text.startsWith('v:')) return '';
  try {
    const value = JSON.parse(text.slice(2)) as Json;
    if (text.startsWith('v:')) return valueElement(value);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    return keyElement(Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) as JsonObject);
  } catch {
    // What is no JSON is no element: the caller decides what becomes of the whole set.
    return undefined;
  }
}
