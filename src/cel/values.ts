import { propertyNames } from './property-names.ts';
import {
  boolType,
  bytesType,
  type CelType,
  doubleType,
  durationType,
  dynType,
  intType,
  listOf,
  mapOf,
  nullType,
  optionalOf,
  stringType,
  timestampType,
  typeOf,
  uintType,
} from './types.ts';

/**
 * A value of the language. An int is a number where it is safe and a bigint where it is not; the other numbers are boxed,
 * so that the kind of a value can always be told. JSON data is not converted: `CelList`, `CelMap` and `CelObject` look at
 * it where it is.
 */
export type CelValue =
  | null
  | boolean
  | string
  | number
  | bigint
  | Uint
  | Double
  | Uint8Array
  | Timestamp
  | Duration
  | TypeValue
  | Optional
  | CelList
  | CelMap
  | CelObject
  | Opaque;

/** What an operation comes to. Errors are values, because `&&` and `||` forgive them and throwing is slow. */
export type Result = CelValue | CelError;

/** How a value of JSON becomes a value of the language. */
export type Adapt = (raw: unknown) => Result;

export class CelError {
  readonly message: string;
  /** The evaluation was stopped because it cost too much. */
  readonly costExceeded: boolean;

  constructor(message: string, costExceeded = false) {
    this.message = message;
    this.costExceeded = costExceeded;
  }
}

/** Thrown when an evaluation costs too much; nothing within the language forgives it. */
export class CostExceeded {}

export class Uint {
  readonly value: bigint;

  constructor(value: bigint) {
    this.value = value;
  }
}

export class Double {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

export class Duration {
  readonly nanoseconds: bigint;

  constructor(nanoseconds: bigint) {
    this.nanoseconds = nanoseconds;
  }
}

export class Timestamp {
  /** Since the epoch. */
  readonly seconds: number;
  /** 0 to 999,999,999, added to the seconds also before the epoch. */
  readonly nanoseconds: number;
  /** East of UTC, as it was written; only the text shows it. */
  readonly offsetSeconds: number;

  constructor(seconds: number, nanoseconds: number, offsetSeconds = 0) {
    this.seconds = seconds;
    this.nanoseconds = nanoseconds;
    this.offsetSeconds = offsetSeconds;
  }
}

export class TypeValue {
  readonly type: CelType;

  constructor(type: CelType) {
    this.type = type;
  }
}

export class Optional {
  readonly value: CelValue | undefined;

  constructor(value: CelValue | undefined) {
    this.value = value;
  }
}

export const none = new Optional(undefined);

export function same(raw: unknown): Result {
  return raw as Result;
}

export class CelList {
  readonly items: readonly unknown[];
  readonly adapt: Adapt;
  /** Of a `set` or `map` list (x-kubernetes-list-type): elements are told apart by key, their order does not count. */
  readonly keys: ListKeys | undefined;
  readonly size: number;
  /** Of a long list that was put together: nothing is copied, and `items` is empty. */
  readonly parts: readonly [CelList, CelList] | undefined;

  constructor(items: readonly unknown[], adapt: Adapt = same, keys?: ListKeys, parts?: readonly [CelList, CelList]) {
    this.items = items;
    this.adapt = adapt;
    this.keys = keys;
    this.parts = parts;
    this.size = parts === undefined ? items.length : parts[0].size + parts[1].size;
  }

  get(index: number): Result {
    if (this.parts !== undefined) return elementOfParts(this, index);
    const item = this.items[index];
    return this.adapt === same ? (item as Result) : this.adapt(item);
  }
}

function elementOfParts(list: CelList, index: number): Result {
  let place = index;
  let current = list;
  while (current.parts !== undefined) {
    const [left, right] = current.parts;
    if (place < left.size) current = left;
    else {
      place -= left.size;
      current = right;
    }
  }
  return current.get(place);
}

/** `set` lists compare whole elements; `map` lists the named properties (escaped names). */
export type ListKeys = 'set' | readonly string[];

/** What has entries: `JsonMap`, a map of the language, an object with declared fields. */
export abstract class CelMap {
  abstract readonly size: number;
  /** Undefined when there is no such key. */
  abstract find(key: CelValue): Result | undefined;
  abstract keys(): readonly CelValue[];
}

/** A JSON object read as a map. */
export class JsonMap extends CelMap {
  readonly object: Readonly<Record<string, unknown>>;
  readonly adapt: Adapt;
  #names: readonly string[] | undefined;

  constructor(object: Readonly<Record<string, unknown>>, adapt: Adapt) {
    super();
    this.object = object;
    this.adapt = adapt;
  }

  get size(): number {
    return this.#keys().length;
  }

  find(key: CelValue): Result | undefined {
    if (typeof key !== 'string' || !Object.hasOwn(this.object, key)) return undefined;
    return this.adapt(this.object[key]);
  }

  keys(): readonly CelValue[] {
    return this.#keys();
  }

  #keys(): readonly string[] {
    return (this.#names ??= propertyNames(this.object));
  }
}

/** A map made by an expression. Keys that are equal numbers are one key, whatever their type. */
export class EntryMap extends CelMap {
  readonly entries: Map<string | number | bigint | boolean, readonly [CelValue, CelValue]>;

  constructor(entries: Map<string | number | bigint | boolean, readonly [CelValue, CelValue]> = new Map()) {
    super();
    this.entries = entries;
  }

  get size(): number {
    return this.entries.size;
  }

  find(key: CelValue): Result | undefined {
    const canonical = canonicalKey(key);
    return canonical === undefined ? undefined : this.entries.get(canonical)?.[1];
  }

  keys(): readonly CelValue[] {
    return Array.from(this.entries.values(), ([key]) => key);
  }
}

/** The form under which a key is looked up; undefined when no map can have it. */
export function canonicalKey(key: CelValue): string | number | bigint | boolean | undefined {
  switch (typeof key) {
    case 'string':
    case 'number':
    case 'bigint':
    case 'boolean':
      return key;
  }
  if (key instanceof Uint) return integerOf(key.value);
  if (key instanceof Double) {
    return Number.isSafeInteger(key.value)
      ? key.value + 0
      : Number.isInteger(key.value)
        ? BigInt(key.value)
        : undefined;
  }
  return undefined;
}

/** An int in its one representation. */
export function integerOf(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** A value with declared fields, over a JSON object or over values that an expression gave. */
export abstract class CelObject {
  abstract readonly type: CelType;
  /** Undefined when the field is not set. */
  abstract field(name: string): Result | undefined;
  /** The fields that are set, by the names that expressions use. */
  abstract names(): string[];

  /** How many properties there are, with those that expressions do not see. */
  get size(): number {
    return this.names().length;
  }

  /** Properties that expressions do not see, but which count when objects are compared. */
  hidden(): readonly (readonly [property: string, value: unknown])[] {
    return [];
  }
}

/** A value without visible parts: URL, quantity, IP address, authorizer … */
export abstract class Opaque {
  abstract readonly type: CelType;
  /** For the cost of what goes through it; 1 unless it has a length. */
  readonly size: number | undefined;
  abstract equals(other: Opaque): boolean;
}

/** An object that an expression made: `Object.spec{replicas: 1}`. */
export class MadeObject extends CelObject {
  readonly type: CelType;
  readonly fields: ReadonlyMap<string, CelValue>;

  constructor(type: CelType, fields: ReadonlyMap<string, CelValue>) {
    super();
    this.type = type;
    this.fields = fields;
  }

  field(name: string): Result | undefined {
    return this.fields.get(name);
  }

  names(): string[] {
    return [...this.fields.keys()];
  }
}

/** An object whose fields are computed when they are first asked for: `variables`. */
export class LazyObject extends CelObject {
  readonly type: CelType;
  readonly #compute: ReadonlyMap<string, () => Result>;
  readonly #computed = new Map<string, Result>();

  constructor(type: CelType, compute: ReadonlyMap<string, () => Result>) {
    super();
    this.type = type;
    this.#compute = compute;
  }

  field(name: string): Result | undefined {
    let value = this.#computed.get(name);
    if (value !== undefined) return value;
    value = this.#compute.get(name)?.();
    if (value !== undefined) this.#computed.set(name, value);
    return value;
  }

  names(): string[] {
    return [...this.#compute.keys()];
  }
}

/** The type that `type(value)` shows. */
export function typeOfValue(value: CelValue): CelType {
  switch (typeof value) {
    case 'boolean':
      return boolType;
    case 'string':
      return stringType;
    case 'number':
    case 'bigint':
      return intType;
  }
  if (value === null) return nullType;
  if (value instanceof Double) return doubleType;
  if (value instanceof Uint) return uintType;
  if (value instanceof Uint8Array) return bytesType;
  if (value instanceof Timestamp) return timestampType;
  if (value instanceof Duration) return durationType;
  if (value instanceof CelList) return listOfDyn;
  if (value instanceof CelMap) return mapOfDyn;
  if (value instanceof TypeValue) return typeType;
  if (value instanceof Optional) return optionalOfDyn;
  return value.type;
}

const listOfDyn = listOf(dynType);
const mapOfDyn = mapOf(dynType, dynType);
const typeType = typeOf();
const optionalOfDyn = optionalOf(dynType);
