import { resolve, type Json, type JsonObject, type ObjectSchema, type Schema } from '../schema.ts';
import { keyElement, valueElement } from './field-set.ts';
import { zeroOf } from '../zero.ts';

/**
 * How ownership sees a type: as one leaf (scalars, atomic lists and objects), or as something whose parts are owned one
 * by one.
 */
export type Structure =
  | {
      readonly type: 'leaf';
      /** A list or an object that has one owner, not a scalar. */
      readonly atomic?: true;
    }
  /** managedFields themselves: nobody owns them. */
  | { readonly type: 'ignored' }
  | { readonly type: 'list'; readonly keys: readonly ListKey[] | undefined; readonly item: () => Structure }
  | { readonly type: 'map'; readonly value: () => Structure }
  | {
      readonly type: 'object';
      readonly fields: ReadonlyMap<string, FieldStructure>;
      /** What unknown fields are, where they are kept. */
      readonly unknown: Structure | undefined;
    };

export interface FieldStructure {
  /** `f:name` */
  readonly element: string;
  readonly of: () => Structure;
}

export interface ListKey {
  readonly name: string;
  readonly default: Json | undefined;
}

const leafStructure: Structure = { type: 'leaf' };
const atomicStructure: Structure = { type: 'leaf', atomic: true };
const ignored: Structure = { type: 'ignored' };

/** Values without a schema: objects are owned by key, lists are atomic. */
export const deducedStructure: Structure = {
  type: 'object',
  fields: new Map(),
  get unknown() {
    return deducedStructure;
  },
};

const structures = new WeakMap<Schema, Structure>();

export function structureOf(schema: Schema): Structure {
  const known = structures.get(schema);
  if (known) return known;
  const structure = compile(schema);
  structures.set(schema, structure);
  return structure;
}

function compile(schema: Schema): Structure {
  switch (schema.type) {
    case 'lazy':
      return structureOf(resolve(schema));
    case 'object':
      return schema.mapType === 'atomic' ? atomicStructure : objectStructure(schema);
    case 'map':
      return schema.mapType === 'atomic'
        ? atomicStructure
        : { type: 'map', value: once(() => structureOf(schema.values)) };
    case 'list': {
      const item = once(() => structureOf(schema.items));
      if (schema.listType === 'set') return { type: 'list', keys: undefined, item };
      if (schema.listType !== 'map') return atomicStructure;
      return { type: 'list', keys: listKeys(schema.mapKeys ?? [], schema.items), item };
    }
    case 'json':
      return deducedStructure;
    default:
      return leafStructure;
  }
}

function objectStructure(schema: ObjectSchema): Structure {
  const fields = new Map<string, FieldStructure>();
  const scalar = () => leafStructure;
  if (schema.isKind) for (const name of ['apiVersion', 'kind']) fields.set(name, { element: `f:${name}`, of: scalar });
  for (const [name, field] of Object.entries(schema.fields)) {
    const of = name === 'managedFields' ? () => ignored : once(() => structureOf(field.schema));
    fields.set(name, { element: `f:${name}`, of });
  }
  return { type: 'object', fields, unknown: isOpen(schema) ? deducedStructure : undefined };
}

/** An object of which nothing is said may hold anything. */
export function isOpen({ preserveUnknown, fields }: ObjectSchema): boolean {
  return preserveUnknown === true || Object.keys(fields).length === 0;
}

/** Keys in the order of their names, as they stand in a path element. */
function listKeys(names: readonly string[], items: Schema): readonly ListKey[] {
  const of = resolve(items);
  return names.toSorted().map(name => {
    const field = of.type === 'object' && Object.hasOwn(of.fields, name) ? of.fields[name] : undefined;
    // What Go always writes has its zero for a default.
    const fallback = field?.default ?? (field?.always ? zeroOf(field.schema) : undefined);
    return { name, default: fallback as Json | undefined };
  });
}

function once(make: () => Structure): () => Structure {
  let made: Structure | undefined;
  return () => (made ??= make());
}

/** The path element of an item; an Error where it has none. */
export function elementOf(keys: readonly ListKey[] | undefined, item: Json): string {
  if (keys === undefined) {
    if (item === null) throw new Error("associative list without keys has an element that's an explicit null");
    if (typeof item === 'object') throw new Error("associative list without keys has an element that's a map type");
    return valueElement(item);
  }
  if (item === null) throw new Error('associative list with keys may not have a null element');
  if (typeof item !== 'object' || Array.isArray(item))
    throw new Error('associative list with keys may not have non-map elements');
  const found: Record<string, Json> = {};
  let count = 0;
  for (const { name, default: fallback } of keys) {
    const value = Object.hasOwn(item, name) ? (item as JsonObject)[name] : fallback;
    if (value === undefined || value === null) continue;
    found[name] = value;
    count++;
  }
  if (count > 0 || keys.length === 0) return keyElement(found);
  const names = JSON.stringify(keys.map(({ name }) => name)).replaceAll(',', ' ');
  throw new Error(
    `associative list with keys has an element that omits all key fields ${names} (and doesn't have default values for any key fields)`,
  );
}

/** Items without an element cannot be owned; validation refuses most of them. */
export function elementIfAny(keys: readonly ListKey[] | undefined, item: Json): string | undefined {
  try {
    return elementOf(keys, item);
  } catch {
    return undefined;
  }
}

/** The structure of a field or map entry, and its path element; undefined for a field that the type does not have. */
export function memberOf(structure: Structure, name: string): FieldStructure | undefined {
  if (structure.type === 'map') return { element: `f:${name}`, of: structure.value };
  if (structure.type !== 'object') return undefined;
  const field = structure.fields.get(name);
  if (field) return field;
  const { unknown } = structure;
  return unknown && { element: `f:${name}`, of: () => unknown };
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isEmpty(value: Json | undefined): boolean {
  if (value === undefined || value === null) return true;
  if (Array.isArray(value)) return value.length === 0;
  if (typeof value !== 'object') return false;
  for (const key in value) if ((value as JsonObject)[key] !== undefined) return false;
  return true;
}
