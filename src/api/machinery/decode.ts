import { DecodeFailure, TypeMismatch } from './decode-failure.ts';
import { ApiError, errors } from './errors.ts';
import { setOwn } from './json.ts';
import { canonicalQuantity, quantityError, roundedToMilli } from './quantity.ts';
import {
  resolve,
  types,
  type Field,
  type Json,
  type ListSchema,
  type MapSchema,
  type ObjectSchema,
  type ScalarSchema,
  type ScalarType,
  type Schema,
} from './schema.ts';
import { canonicalMicroTime, canonicalTime } from './time.ts';
import { zeroOf } from './zero.ts';

/** An object that may still be changed. */
export type JsonDraft = Record<string, Json | undefined>;

export interface Decoded {
  readonly object: JsonDraft;
  /** What strict decoding reports, as upstream spells it: `unknown field "spec.foo"`. Only filled with `report`. */
  readonly unknown: string[];
}

/**
 * Turns freshly parsed JSON into an object of the schema, in place: checks types, drops what the schema does not know
 * and what Go would not write back (null, zero values, empty lists), and writes times and quantities in their canonical
 * form. Throws an ApiError (400) in upstream's words.
 */
export function decodeObject(
  schema: ObjectSchema,
  value: Json,
  options: { readonly unknown: 'drop' | 'report' },
): Decoded {
  const paths: string[] | undefined = options.unknown === 'report' ? [] : undefined;
  try {
    const object = decoderOf(schema)(value, paths) as JsonDraft;
    return { object, unknown: paths?.map(path => `unknown field ${JSON.stringify(path.slice(1))}`) ?? [] };
  } catch (error) {
    if (!(error instanceof DecodeFailure)) throw error;
    throw refusal(schema, error);
  }
}

function refusal(schema: ObjectSchema, failure: DecodeFailure): ApiError {
  const [version = '', kind = ''] = schema.name.split('.').slice(-2);
  return errors.badRequest(
    `${kind} in version ${JSON.stringify(version)} cannot be handled as a ${kind}: ${failure.text}`,
  );
}

/** What is wrong with the value, without what it was to be. */
export function problemOf(error: ApiError): string {
  return error.message.replace(/^.* cannot be handled as an? \w+: /, '');
}

/** Takes a value and answers with its decoded form; undefined leaves it out. Unknown paths go into the list, if there is one. */
type Decoder = (value: Json, unknown: string[] | undefined) => Json | undefined;

const decoders = new WeakMap<Schema, Decoder>();

function decoderOf(schema: Schema): Decoder {
  const known = decoders.get(schema);
  if (known) return known;
  const decoder = compile(schema);
  decoders.set(schema, decoder);
  return decoder;
}

function compile(schema: Schema): Decoder {
  switch (schema.type) {
    case 'lazy':
      // Compiled when first used: the type holds itself.
      return (value, unknown) => decoderOf(resolve(schema))(value, unknown);
    case 'object':
      return compileObject(schema);
    case 'list':
      return compileList(schema);
    case 'map':
      return compileMap(schema);
    default:
      if (schema.of) return eitherDecoder(schema.of, schema.either ?? 'boolean');
      return schema.roundsToMilli ? decodeResourceQuantity : scalarDecoders[schema.type];
  }
}

/** How one field is decoded. Scalars are named so that the loop over an object's keys needs no call for most of them. */
interface FieldDecoder {
  readonly type: ScalarType | 'object' | 'list' | 'map' | 'custom';
  readonly decode: Decoder;
  /** Zero stays: a pointer upstream. */
  readonly keepsZero: boolean;
  /** An empty list is not an absent one: managedFields, which an empty list clears. */
  readonly keepsEmpty: boolean;
  /** Null is what the field is when it is empty: lists, maps and times that Go always prints. */
  readonly keepsNull: boolean;
}

const typeMetaField: FieldDecoder = {
  type: 'string',
  decode: decodeString,
  keepsZero: false,
  keepsEmpty: false,
  keepsNull: false,
};

function compileObject(schema: ObjectSchema): Decoder {
  const owner = schema.name.split('.').at(-1) ?? '';
  const fields = new Map<string, FieldDecoder>();
  let ready = false;
  const prepare = () => {
    ready = true;
    fields.set('apiVersion', typeMetaField).set('kind', typeMetaField);
    for (const [name, field] of Object.entries(schema.fields)) fields.set(name, fieldDecoder(field));
    if (!schema.isKind && !topLevel.has(owner)) {
      for (const name of ['apiVersion', 'kind']) if (!Object.hasOwn(schema.fields, name)) fields.delete(name);
    }
  };
  const decodeFields = (object: JsonDraft, unknown: string[] | undefined): JsonDraft => {
    let target = object;
    let dropped = false;
    for (const name in object) {
      const field = fields.get(name);
      const value = object[name] as Json;
      let decoded: Json | undefined;
      if (field === undefined) {
        if (schema.preserveUnknown) continue;
        unknown?.push(`.${name}`);
      } else if (field.type === 'string' && typeof value === 'string') {
        if (value !== '' || field.keepsZero) continue;
      } else if (value === null && field.keepsNull) {
        continue;
      } else {
        decoded = decodeField(name, field, value, unknown, schema);
        if (decoded === value && value !== undefined) continue;
      }
      if (target === object && Object.isFrozen(object)) target = copied(object);
      target[name] = decoded;
      if (decoded === undefined) dropped = true;
    }
    return dropped ? compacted(target) : target;
  };
  return (value, unknown) => {
    if (!ready) prepare();
    if (value === null) return undefined;
    if (typeof value !== 'object' || Array.isArray(value)) throw new TypeMismatch(value, schema);
    return decodeFields(value as JsonDraft, unknown);
  };
}

/** Types that are bodies of their own although no kind is defined for them. */
const topLevel = new Set([
  'DeleteOptions',
  'Status',
  'WatchEvent',
  'List',
  'APIGroup',
  'APIGroupList',
  'APIResourceList',
  'APIVersions',
]);

function fieldDecoder(field: Field): FieldDecoder {
  const resolved = resolve(field.schema);
  // A CRD's fields are checked by its validation, not here; its objects lose unknown fields all the same.
  if (field.tag === 0 && !isTyped(resolved)) {
    const keepsNull = field.schema.nullable === true;
    return { type: 'custom', decode: prunerOf(field.schema), keepsZero: true, keepsEmpty: true, keepsNull };
  }
  return {
    type: resolved.type,
    decode: decoderOf(field.schema),
    keepsZero: field.pointer === true || field.always === true,
    keepsEmpty: field.pointer === true,
    keepsNull: field.always === true && zeroOf(resolved) === null,
  };
}

function decodeField(
  name: string,
  field: FieldDecoder,
  value: Json,
  unknown: string[] | undefined,
  owner: ObjectSchema,
): Json | undefined {
  const known = unknown?.length ?? 0;
  let decoded: Json | undefined;
  try {
    // What code of ours has left undefined is not there, as in JSON.
    decoded = value === null || value === undefined ? undefined : field.decode(value, unknown);
  } catch (error) {
    // The metadata of a custom object is read by itself.
    throw error instanceof DecodeFailure && owner.fields[name]?.tag !== 0 ? error.under(name, owner) : error;
  }
  if (unknown !== undefined && unknown.length > known) prefix(unknown, known, `.${name}`);
  if (decoded === undefined || field.keepsEmpty) return decoded;
  if (isEmptyCollectionOf(field, decoded)) return undefined;
  return !field.keepsZero && (decoded === 0 || decoded === false || decoded === '') ? undefined : decoded;
}

function isEmptyCollectionOf(field: FieldDecoder, value: Json): boolean {
  if (field.type === 'list') return (value as readonly Json[]).length === 0;
  if (field.type !== 'map') return false;
  for (const _ in value as object) return false;
  return true;
}

/** Paths of what was found below get the name of where it was found. */
function prefix(unknown: string[], from: number, text: string): void {
  for (let index = from; index < unknown.length; index++) unknown[index] = text + unknown[index];
}

/** Parts of stored objects may come back in new ones; they are frozen, and copied where they have to change. */
function copied(object: JsonDraft): JsonDraft {
  const copy: JsonDraft = {};
  for (const name in object) setOwn(copy, name, object[name]);
  return copy;
}

/** The object without what was dropped. A new one: deleting keys would make the object slow for good. */
function compacted(object: JsonDraft): JsonDraft {
  const copy: JsonDraft = {};
  for (const name in object) {
    const value = object[name];
    if (value !== undefined) setOwn(copy, name, value);
  }
  return copy;
}

function compileList(schema: ListSchema): Decoder {
  const { items } = schema;
  const itemType = resolve(items).type;
  let decodeItem: Decoder | undefined;
  return (value, unknown) => {
    decodeItem ??= decoderOf(items);
    if (!Array.isArray(value)) throw new TypeMismatch(value, schema);
    let list = value as Json[];
    if (itemType === 'string' && list.every(item => typeof item === 'string')) return list;
    for (let index = 0; index < list.length; index++) {
      const known = unknown?.length ?? 0;
      const item = list[index] as Json;
      // Go reads null as the zero value of the item's type.
      const decoded = item === null ? zeroOf(items) : (decodeItem(item, unknown) ?? zeroOf(items));
      if (unknown !== undefined && unknown.length > known) prefix(unknown, known, `[${index}]`);
      if (decoded === item) continue;
      if (Object.isFrozen(list)) list = [...list];
      list[index] = decoded;
    }
    return list;
  };
}

function compileMap(schema: MapSchema): Decoder {
  const { values } = schema;
  const valueType = resolve(values).type;
  // A list without items is a message without fields on the wire, so null and empty are one.
  const zero = () => (valueType === 'bytes' ? '' : valueType === 'list' ? [] : zeroOf(values));
  const isString = valueType === 'string';
  let decodeValue: Decoder | undefined;
  return (value, unknown) => {
    decodeValue ??= decoderOf(values);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeMismatch(value, schema);
    let map = value as JsonDraft;
    for (const key in map) {
      const each = map[key] as Json;
      if (isString && typeof each === 'string') continue;
      const known = unknown?.length ?? 0;
      const decoded = each === null ? zero() : (decodeValue(each, unknown) ?? zero());
      if (decoded !== each) {
        if (Object.isFrozen(map)) map = copied(map);
        map[key] = decoded;
      }
      if (unknown !== undefined && unknown.length > known) prefix(unknown, known, `.${key}`);
    }
    return map;
  };
}

/**
 * Either an object of the type, or what else may stand there: a boolean, or a list of such objects or of texts. Where a
 * list may stand upstream reads everything unexpected as an empty one, and validation refuses that. Of unknown fields inside
 * upstream says nothing.
 */
function eitherDecoder(of: () => Schema, either: NonNullable<ScalarSchema['either']>): Decoder {
  const decodeItems = compileList({ type: 'list', items: either === 'list' ? { type: 'lazy', of } : types.string });
  return value => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return decoderOf(resolve(of()))(value, undefined);
    if (either === 'boolean') return typeof value === 'boolean' ? value : fail('boolean or JSON schema expected');
    return Array.isArray(value) ? decodeItems(value, undefined) : [];
  };
}

const decodeResourceQuantity: Decoder = (value, unknown) =>
  roundedToMilli(scalarDecoders.quantity(value, unknown) as string);

const scalarDecoders: Readonly<Record<ScalarType, Decoder>> = {
  string: decodeString,
  int32: value => {
    if (typeof value === 'number' && value === (value | 0)) return value;
    throw new TypeMismatch(value, types.int32);
  },
  int64: value => {
    if (typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value))) return value;
    throw new TypeMismatch(value, types.int64);
  },
  double: value => {
    if (typeof value === 'number') return value;
    if (typeof value === 'bigint') return Number(value);
    throw new TypeMismatch(value, types.double);
  },
  boolean: value => {
    if (typeof value === 'boolean') return value;
    throw new TypeMismatch(value, types.boolean);
  },
  bytes: decodeBytes,
  quantity: value => {
    const text = typeof value === 'object' ? '{}' : String(value);
    const canonical = canonicalQuantity(text) ?? canonicalQuantity(text.trim());
    if (canonical !== undefined) return canonical;
    throw new DecodeFailure(quantityError(text.trim()));
  },
  time: value => {
    if (typeof value !== 'string') throw new TypeMismatch(value, types.time);
    return canonicalTime(value, fail);
  },
  microTime: value => {
    if (typeof value !== 'string') throw new TypeMismatch(value, types.microTime);
    return canonicalMicroTime(value, fail);
  },
  intOrString: value => {
    if (typeof value === 'string' || (typeof value === 'number' && value === (value | 0))) return value;
    throw new TypeMismatch(value, types.intOrString);
  },
  rawExtension: value => value,
  fieldsV1: value => value,
  json: value => value,
};

function decodeString(value: Json): Json {
  if (typeof value === 'string') return value;
  throw new TypeMismatch(value, types.string);
}

const base64 = /^[A-Za-z0-9+/]*={0,2}$/;

function decodeBytes(value: Json): Json {
  if (typeof value !== 'string') throw new TypeMismatch(value, types.bytes);
  const text = value.includes('\n') || value.includes('\r') ? value.replace(/[\r\n]/g, '') : value;
  if (text.length % 4 === 0 && base64.test(text)) return text;
  const at = /[^A-Za-z0-9+/]/.exec(text)?.index ?? text.length - (text.length % 4);
  throw new DecodeFailure(`illegal base64 data at input byte ${at}`);
}

function fail(message: string): never {
  throw new DecodeFailure(message);
}

function isTyped(schema: Schema): boolean {
  return schema.type === 'object' && schema.name !== '';
}

/** For CRDs: drops unknown fields, checks no types. */
function prunerOf(schema: Schema): Decoder {
  const known = pruners.get(schema);
  if (known) return known;
  const pruner = compilePruner(schema);
  pruners.set(schema, pruner);
  return pruner;
}

const pruners = new WeakMap<Schema, Decoder>();

function compilePruner(schema: Schema): Decoder {
  switch (schema.type) {
    case 'lazy':
      return (value, unknown) => prunerOf(resolve(schema))(value, unknown);
    case 'object': {
      const decode = decoderOf(schema);
      return (value, unknown) => (isObject(value) ? decode(value, unknown) : value);
    }
    case 'list': {
      const prune = prunerOf(schema.items);
      return (value, unknown) => {
        if (!Array.isArray(value)) return value;
        let list = value as Json[];
        for (let index = 0; index < list.length; index++) {
          const found = unknown?.length ?? 0;
          const item = list[index] as Json;
          const pruned = prune(item, unknown) as Json;
          if (pruned !== item) {
            if (Object.isFrozen(list)) list = [...list];
            list[index] = pruned;
          }
          if (unknown !== undefined && unknown.length > found) prefix(unknown, found, `[${index}]`);
        }
        return list;
      };
    }
    case 'map': {
      const prune = prunerOf(schema.values);
      const keepsNull = schema.values.nullable === true;
      return (value, unknown) => {
        if (!isObject(value)) return value;
        let map = value as JsonDraft;
        let dropped = false;
        for (const key in map) {
          const found = unknown?.length ?? 0;
          const each = map[key] as Json;
          const pruned = each === null && !keepsNull ? undefined : prune(each, unknown);
          if (pruned !== each) {
            if (Object.isFrozen(map)) map = copied(map);
            setOwn(map, key, pruned);
            if (pruned === undefined) dropped = true;
          }
          if (unknown !== undefined && unknown.length > found) prefix(unknown, found, `.${key}`);
        }
        return dropped ? compacted(map) : map;
      };
    }
    default:
      return value => value;
  }
}

function isObject(value: Json): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
