import { propertyNames } from './property-names.ts';
import { reservedWords } from './names.ts';
import {
  boolType,
  type CelType,
  doubleType,
  dynType,
  intType,
  listOf,
  mapOf,
  optionalOf,
  stringType,
  structOf,
} from './types.ts';
import {
  type Adapt,
  CelError,
  CelList,
  CelMap,
  CelObject,
  type CelValue,
  Double,
  integerOf,
  JsonMap,
  type ListKeys,
  none,
  Optional,
  type Result,
} from './values.ts';

/** The shape of data: what the checker sees, how big it can be, and how JSON is read as it. */
export interface DeclType {
  readonly type: CelType;
  /** Of an object: by the (escaped) name that expressions use. */
  readonly fields?: ReadonlyMap<string, DeclField>;
  /** Of an object: a field that is not in `fields` is dyn. For `Object{…}` of mutations. */
  readonly open?: boolean;
  /** Of a map. */
  readonly key?: DeclType;
  /** Of a map or list. */
  readonly element?: DeclType;
  /** Entries, items, or characters (for `bytes`: bytes) at most; 0 where that has no meaning. */
  readonly elementsMax: number;
  /** The shortest JSON that can hold it, in bytes. */
  readonly serializedSizeMin: number;
  readonly adapt: Adapt;
}

export interface DeclField {
  /** The property of the JSON object. */
  readonly property: string;
  readonly type: DeclType;
}

/** The field that a name means; one that is named like a reserved word is found under the word, too. */
export function fieldOf(decl: DeclType, name: string): DeclField | undefined {
  return decl.fields?.get(name) ?? (reservedWords.has(name) ? decl.fields?.get(`__${name}__`) : undefined);
}

/** Sizes that nobody bounded. */
export const unbounded = Number.MAX_SAFE_INTEGER;

export const declDyn: DeclType = scalar(dynType, adaptDyn, 1);
export const declBool: DeclType = scalar(boolType, adaptBool, 4);
export const declInt: DeclType = scalar(intType, adaptInt, 1);
export const declDouble: DeclType = scalar(doubleType, adaptDouble, 1);

/** Lengths in characters. */
export function declString(lengthMax = unbounded): DeclType {
  return scalar(stringType, adaptString, 2, lengthMax);
}

export function declList(element: DeclType, itemsMax = unbounded, keys?: ListKeys): DeclType {
  return {
    type: listOf(element.type),
    element,
    elementsMax: itemsMax,
    serializedSizeMin: 2,
    adapt: raw =>
      Array.isArray(raw)
        ? new CelList(raw, element.adapt, keys)
        : adaptOther(raw, CelList, 'invalid data, expected an array for the provided schema with type=array'),
  };
}

export function declMap(element: DeclType, entriesMax = unbounded, key: DeclType = declString(0)): DeclType {
  return {
    type: mapOf(key.type, element.type),
    key,
    element,
    elementsMax: entriesMax,
    serializedSizeMin: 2,
    adapt: raw =>
      isPlainObject(raw)
        ? new JsonMap(raw, element.adapt)
        : adaptOther(raw, CelMap, 'invalid data, expected a map for the provided schema with type=object'),
  };
}

/** An object type with its full name; fields by escaped name (`escapeName`). */
export function declObject(
  name: string,
  fields: ReadonlyMap<string, DeclField>,
  serializedSizeMin = 2,
  open = false,
): DeclType {
  const type = structOf(name);
  const decl: DeclType = {
    type,
    fields,
    open,
    elementsMax: 0,
    serializedSizeMin,
    adapt: raw =>
      isPlainObject(raw)
        ? new JsonObject(decl, raw)
        : adaptOther(raw, CelObject, 'invalid data, expected a map for the provided schema with type=object'),
  };
  return decl;
}

/** A value that may be missing: undefined or null is `optional.none()`. */
export function declOptional(inner: DeclType): DeclType {
  return {
    ...inner,
    type: optionalOf(inner.type),
    adapt: raw => {
      if (raw === undefined || raw === null) return none;
      if (raw instanceof Optional) return raw;
      const value = inner.adapt(raw);
      return value instanceof CelError ? value : new Optional(value);
    },
  };
}

/** A value of the language that is bound as it is: an authorizer, a quantity. */
export function declValue(type: CelType): DeclType {
  return scalar(type, raw => raw as Result, 1);
}

/** Null where the schema says nullable. */
export function declNullable(inner: DeclType): DeclType {
  return { ...inner, adapt: raw => (raw === null ? null : inner.adapt(raw)) };
}

export function scalar(type: CelType, adapt: Adapt, serializedSizeMin: number, elementsMax = 0): DeclType {
  return { type, adapt, elementsMax, serializedSizeMin };
}

/** A JSON object with declared fields. */
export class JsonObject extends CelObject {
  readonly decl: DeclType;
  readonly object: Readonly<Record<string, unknown>>;

  constructor(decl: DeclType, object: Readonly<Record<string, unknown>>) {
    super();
    this.decl = decl;
    this.object = object;
  }

  get type(): CelType {
    return this.decl.type;
  }

  /** A null is as if the property were not there. */
  field(name: string): Result | undefined {
    const field = fieldOf(this.decl, name);
    if (field === undefined) return this.decl.open ? this.#open(name) : undefined;
    const raw = Object.hasOwn(this.object, field.property) ? this.object[field.property] : undefined;
    return raw === undefined || raw === null ? undefined : field.type.adapt(raw);
  }

  names(): string[] {
    const names: string[] = [];
    for (const [name, field] of this.decl.fields ?? [])
      if (Object.hasOwn(this.object, field.property)) names.push(name);
    return names;
  }

  override get size(): number {
    return propertyNames(this.object).length;
  }

  override hidden(): readonly (readonly [property: string, value: unknown])[] {
    const { fields } = this.decl;
    const declared = new Set(Array.from(fields?.values() ?? [], ({ property }) => property));
    return Object.entries(this.object).filter(([property]) => !declared.has(property));
  }

  #open(name: string): Result | undefined {
    return Object.hasOwn(this.object, name) ? adaptDyn(this.object[name]) : undefined;
  }
}

/** Data without schema: JSON's own types. A whole number is an int. */
export function adaptDyn(raw: unknown): Result {
  switch (typeof raw) {
    case 'string':
    case 'boolean':
      return raw;
    case 'number':
      return Number.isSafeInteger(raw) ? raw + 0 : Number.isInteger(raw) ? wholeNumber(raw) : new Double(raw);
    case 'bigint':
      return integerOf(raw);
    case 'undefined':
      return null;
  }
  if (raw === null) return null;
  if (Array.isArray(raw)) return new CelList(raw, adaptDyn);
  if (isPlainObject(raw)) return new JsonMap(raw, adaptDyn);
  return raw as Result;
}

function wholeNumber(raw: number): Result {
  const value = BigInt(raw);
  return value === BigInt.asIntN(64, value) ? value : new Double(raw);
}

function adaptBool(raw: unknown): Result {
  return typeof raw === 'boolean' ? raw : unexpected('bool', raw);
}

export function adaptInt(raw: unknown): Result {
  if (typeof raw === 'number') return Number.isSafeInteger(raw) ? raw + 0 : unexpectedNumber(raw);
  return typeof raw === 'bigint' ? integerOf(raw) : unexpected('int', raw);
}

function unexpectedNumber(raw: number): Result {
  const whole = adaptDyn(raw);
  return typeof whole === 'bigint' ? whole : unexpected('int', raw);
}

export function adaptDouble(raw: unknown): Result {
  if (typeof raw === 'number') return new Double(raw);
  if (typeof raw === 'bigint') return new Double(Number(raw));
  return raw instanceof Double ? raw : unexpected('float', raw);
}

export function adaptString(raw: unknown): Result {
  return typeof raw === 'string' ? raw : unexpected('string', raw);
}

export function unexpected(expected: string, raw: unknown): CelError {
  if (raw === null || raw === undefined) {
    return new CelError('invalid data, got null for schema with nullable=false');
  }
  return new CelError(`invalid data, expected ${expected}, got ${goType(raw)}`);
}

function adaptOther(raw: unknown, wanted: abstract new (...args: never[]) => CelValue, message: string): Result {
  if (raw instanceof wanted) return raw;
  return raw === null || raw === undefined ? unexpected('', raw) : new CelError(message);
}

function goType(raw: unknown): string {
  switch (typeof raw) {
    case 'string':
      return 'string';
    case 'boolean':
      return 'bool';
    case 'bigint':
      return 'int64';
    case 'number':
      return Number.isInteger(raw) ? 'int64' : 'float64';
  }
  return Array.isArray(raw) ? '[]interface {}' : 'map[string]interface {}';
}

/** JSON data, and not a value of the language. */
export function isPlainObject(raw: unknown): raw is Readonly<Record<string, unknown>> {
  if (typeof raw !== 'object' || raw === null) return false;
  // Nearly always so, and much faster to see; no JSON can have this value under the key.
  if (raw.constructor === Object) return true;
  const prototype = Object.getPrototypeOf(raw);
  return prototype === Object.prototype || prototype === null;
}
