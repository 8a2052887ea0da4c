import { deepEqual } from '#base/deep-equal.ts';
import type { Json, JsonObject } from '../schema.ts';
import type { FieldSet } from './field-set.ts';
import {
  deducedStructure,
  elementIfAny,
  isEmpty,
  isObject,
  memberOf,
  type ListKey,
  type Structure,
} from './structure.ts';

/** Sets of fields by the shapes of what has them, the newest first. */
export class KnownShapes {
  readonly #known: KnownShape[] = [];

  find(value: Json): FieldSet | undefined {
    for (let at = 0; at < this.#known.length; at++) {
      const each = this.#known[at] as KnownShape;
      if (!hasShape(each.shape, value)) continue;
      if (at > 0) {
        this.#known.splice(at, 1);
        this.#known.unshift(each);
      }
      return each.fields;
    }
    return undefined;
  }

  add(shape: Shape | undefined, fields: FieldSet): void {
    if (shape && this.#known.unshift({ shape, fields }) > knownMax) this.#known.pop();
  }
}

interface KnownShape {
  readonly shape: Shape;
  readonly fields: FieldSet;
}

const knownMax = 16;

/**
 * Everything about an object that decides which fields its creator owns, or who applies it: which fields it has, by which keys its items are
 * told apart, what is empty. Other values do not count, so objects made of one template have one shape.
 */
export type Shape =
  /** Whatever it is, it is owned as a whole. */
  | { readonly type: 'any' }
  | { readonly type: 'empty'; readonly of: 'nothing' | 'list' | 'object' }
  /** A value without members where some might have been. */
  | { readonly type: 'plain' }
  /** Go prints a zero here: the value is owned when it is another one. */
  | { readonly type: 'printed'; readonly zero: Json; readonly isZero: boolean; readonly isEmpty: boolean }
  | { readonly type: 'object'; readonly names: readonly string[]; readonly members: readonly Shape[] }
  | {
      readonly type: 'list';
      readonly keys: readonly ListKey[] | undefined;
      /** The path element of each item, by the values of its keys. */
      readonly items: readonly { readonly keyValues: readonly Json[]; readonly shape: Shape }[];
    };

const any: Shape = { type: 'any' };
const plain: Shape = { type: 'plain' };

/** The shape of a new object beside what Go has before anything is set; undefined where it cannot be told. */
export function shapeOf(structure: Structure, zero: Json | undefined, value: Json): Shape | undefined {
  if (structure.type === 'ignored') return any;
  const isNothing = isEmpty(value);
  if (structure.type === 'leaf' || isNothing) {
    if (zero === undefined) return structure.type === 'leaf' ? any : { type: 'empty', of: sortOf(value) };
    if (structure.type !== 'leaf' && !isEmpty(zero)) return undefined;
    return { type: 'printed', zero, isZero: deepEqual(zero, value), isEmpty: structure.type !== 'leaf' };
  }
  if (structure.type === 'list') return listShape(structure, zero, value);
  if (isObject(value)) return objectShape(structure, zero, value);
  return zero === undefined ? plain : undefined;
}

function objectShape(structure: Structure, zero: Json | undefined, value: JsonObject): Shape | undefined {
  if (zero !== undefined && zero !== null && !isObject(zero)) return undefined;
  const names: string[] = [];
  const members: Shape[] = [];
  for (const name in value) {
    const each = value[name];
    if (each === undefined) continue;
    const of = memberOf(structure, name)?.of() ?? deducedStructure;
    const shape = shapeOf(of, zero && Object.hasOwn(zero, name) ? zero[name] : undefined, each);
    if (!shape) return undefined;
    names.push(name);
    members.push(shape);
  }
  return { type: 'object', names, members };
}

function listShape(
  { keys, item }: Structure & { type: 'list' },
  zero: Json | undefined,
  value: Json,
): Shape | undefined {
  if (!Array.isArray(value) || !isEmpty(zero)) return undefined;
  const items = [];
  for (const each of value as readonly Json[]) {
    if (elementIfAny(keys, each) === undefined) return undefined;
    const keyValues = keys ? keys.map(key => keyValueOf(key, each as JsonObject) ?? null) : [each];
    if (keyValues.some(keyValue => typeof keyValue === 'object' && keyValue !== null)) return undefined;
    const shape = keys ? shapeOf(item(), undefined, each) : any;
    if (!shape) return undefined;
    items.push({ keyValues, shape });
  }
  return { type: 'list', keys, items };
}

/** Whether a value has a shape; members stand in the same order. */
export function hasShape(shape: Shape, value: Json | undefined): boolean {
  switch (shape.type) {
    case 'any':
      return value !== undefined;
    case 'empty':
      return value !== undefined && isEmpty(value) && sortOf(value) === shape.of;
    case 'plain':
      return !isObject(value) && !isEmpty(value);
    case 'printed':
      return value !== undefined && (!shape.isEmpty || isEmpty(value)) && deepEqual(shape.zero, value) === shape.isZero;
    case 'object': {
      if (!isObject(value)) return false;
      const { names, members } = shape;
      let at = 0;
      for (const name in value) {
        const each = value[name];
        if (each === undefined) continue;
        if (name !== names[at] || !hasShape(members[at] as Shape, each)) return false;
        at++;
      }
      return at === names.length;
    }
    case 'list':
      return Array.isArray(value) && haveShapes(shape, value as readonly Json[]);
  }
}

function haveShapes({ keys, items }: Shape & { type: 'list' }, list: readonly Json[]): boolean {
  if (list.length !== items.length) return false;
  for (let index = 0; index < list.length; index++) {
    const { keyValues, shape } = items[index] as (typeof items)[number];
    const item = list[index] as Json;
    if (!keys) {
      if (item !== keyValues[0]) return false;
      continue;
    }
    if (!isObject(item)) return false;
    for (let at = 0; at < keys.length; at++)
      if ((keyValueOf(keys[at] as ListKey, item) ?? null) !== keyValues[at]) return false;
    if (!hasShape(shape, item)) return false;
  }
  return true;
}

function sortOf(empty: Json): 'nothing' | 'list' | 'object' {
  if (empty === null) return 'nothing';
  return Array.isArray(empty) ? 'list' : 'object';
}

function keyValueOf({ name, default: fallback }: ListKey, item: JsonObject): Json | undefined {
  return Object.hasOwn(item, name) ? item[name] : fallback;
}
