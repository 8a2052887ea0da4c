/**
 * A type of the API as a value. Everything generic is a function over it: type checks, pruning, defaulting, JSON, YAML
 * and protobuf codecs, strategic merge, apply ownership, OpenAPI and `explain`. Built-in types are written with the
 * builders below; CRDs become the same values at run time.
 *
 * `Value` exists only for TypeScript: the shape of a decoded object.
 */
export type Schema<Value = unknown> = (
  | ScalarSchema
  | ListSchema
  | MapSchema
  | ObjectSchema
  | { readonly type: 'lazy'; readonly of: () => Schema }
) & {
  readonly [shape]?: Value;
  /** Null is a value of its own, not the absence of one. For CRDs. */
  readonly nullable?: boolean;
};

declare const shape: unique symbol;

export type TypeOf<S> = S extends { readonly [shape]?: infer Value } ? Exclude<Value, undefined> : never;

/** The scalar types, named as upstream names them. All of them are JSON strings, numbers or booleans in memory. */
export type ScalarType =
  | 'string'
  | 'int32'
  | 'int64'
  | 'double'
  | 'boolean'
  /** Base64 in JSON and in memory, bytes in protobuf. */
  | 'bytes'
  | 'quantity'
  /** RFC 3339, seconds. */
  | 'time'
  /** RFC 3339, microseconds. */
  | 'microTime'
  | 'intOrString'
  /** Any JSON object that carries its own apiVersion and kind; raw JSON bytes in protobuf. */
  | 'rawExtension'
  /** The field set of a managedFields entry; raw JSON bytes in protobuf. */
  | 'fieldsV1'
  /** Any JSON value; raw JSON bytes in protobuf. */
  | 'json';

export interface ScalarSchema {
  readonly type: ScalarType;
  /** The definition's name in OpenAPI, for types that have one (`io.k8s.apimachinery.pkg.api.resource.Quantity`). */
  readonly name?: string;
  /** OpenAPI format where it is not implied by the type (`byte`, `date-time`, or a CRD's own). */
  readonly format?: string;
  /** For quantities: finer than a thousandth is rounded up. */
  readonly roundsToMilli?: true;
  /** For `json` that is either an object of the type `of`, or this. Has messages of its own in protobuf. */
  readonly either?: 'boolean' | 'list' | 'stringList';
  readonly of?: () => Schema;
}

export interface ListSchema {
  readonly type: 'list';
  readonly items: Schema;
  readonly listType?: 'atomic' | 'set' | 'map';
  /** x-kubernetes-list-map-keys */
  readonly mapKeys?: readonly string[];
  /** x-kubernetes-patch-strategy: `merge`, `retainKeys`, `merge,retainKeys`, `replace` */
  readonly patchStrategy?: string;
  readonly patchMergeKey?: string;
  /** A message of its own in protobuf, around the items: a named slice in Go. Lists in maps always are. */
  readonly wrapped?: true;
}

export interface MapSchema {
  readonly type: 'map';
  readonly values: Schema;
  readonly mapType?: 'atomic' | 'granular';
}

export interface ObjectSchema<Fields extends FieldTable = FieldTable> {
  readonly type: 'object';
  /** The definition's name in OpenAPI: `io.k8s.api.core.v1.Container`. Empty for a CRD's inner objects. */
  readonly name: string;
  readonly fields: Fields;
  readonly mapType?: 'atomic' | 'granular';
  /** x-kubernetes-unions as upstream publishes them. */
  readonly unions?: readonly unknown[];
  /** Keeps unknown fields (x-kubernetes-preserve-unknown-fields). */
  readonly preserveUnknown?: boolean;
  /** A kind of its own: has apiVersion and kind beside its fields, wherever it stands. */
  readonly isKind?: boolean;
  /** One sentence for `kubectl explain`. */
  readonly doc?: string;
  /** What OpenAPI says in place of what the fields say: a CRD's own schema, whole. */
  readonly published?: JsonObject;
}

export type FieldTable = Readonly<Record<string, Field>>;

/** One field of an object. `Present` says whether a decoded and defaulted object always has it. */
export interface Field<Value = unknown, Present extends boolean = boolean> {
  readonly schema: Schema<Value>;
  /** Protobuf field number; for fields of an embedded Go struct the number inside of it. 0 for CRDs. */
  readonly tag: number;
  /** Tags of the embedded messages around this field, outermost first. */
  readonly within?: readonly number[];
  readonly required?: boolean;
  /** Filled in when the field is absent. Dynamic defaults are in the kind's `default`. */
  readonly default?: unknown;
  /** Zero differs from absent (a pointer upstream). Other scalars leave protobuf's zero out of JSON. */
  readonly pointer?: boolean;
  /** Part of every answer, empty when unset (`{}`, `null`, `""`, `0`): upstream's type has no omitempty here. */
  readonly always?: boolean;
  /** x-kubernetes-map-type on the field, patch strategy of an object field (`retainKeys`), … */
  readonly patchStrategy?: string;
  /** The values that validation accepts, for `explain` and for the message of a wrong one. */
  readonly enum?: readonly string[];
  /** One sentence for `kubectl explain`. */
  readonly doc?: string;
  readonly [present]?: Present;
}

declare const present: unique symbol;

export interface FieldOptions {
  readonly required?: true;
  readonly default?: unknown;
  readonly pointer?: true;
  readonly always?: true;
  readonly patchStrategy?: string;
  readonly enum?: readonly string[];
  readonly doc?: string;
}

export interface ListOptions extends FieldOptions {
  readonly listType?: 'atomic' | 'set' | 'map';
  readonly mapKeys?: readonly string[];
  readonly patchMergeKey?: string;
  readonly wrapped?: true;
}

export interface MapOptions extends FieldOptions {
  readonly mapType?: 'atomic' | 'granular';
}

/** Required or defaulted: a stored object has it. Objects that are `always` there are filled in as `{}`. */
type PresentBy<Options> = Options extends { readonly required: true }
  ? true
  : Options extends { readonly default: unknown }
    ? true
    : false;

type ShapeOf<Fields> = Simplify<
  {
    readonly [Name in keyof Fields as Fields[Name] extends Field<unknown, true> ? Name : never]: ValueOf<Fields[Name]>;
  } & {
    readonly [Name in keyof Fields as Fields[Name] extends Field<unknown, true> ? never : Name]?:
      | ValueOf<Fields[Name]>
      | undefined;
  }
>;
type ValueOf<F> = F extends Field<infer Value> ? Value : never;
type Simplify<T> = { [Key in keyof T]: T[Key] } & {};

/** Scalars as values, for items of lists and maps: `list(3, types.string)`. */
export const types = {
  string: { type: 'string' } as Schema<string>,
  int32: { type: 'int32' } as Schema<number>,
  int64: { type: 'int64' } as Schema<number>,
  double: { type: 'double' } as Schema<number>,
  boolean: { type: 'boolean' } as Schema<boolean>,
  bytes: { type: 'bytes', format: 'byte' } as Schema<string>,
  quantity: { type: 'quantity', name: 'io.k8s.apimachinery.pkg.api.resource.Quantity' } as Schema<string>,
  /** Of lists of resources, that once could not hold anything finer than a thousandth. */
  resourceQuantity: {
    type: 'quantity',
    name: 'io.k8s.apimachinery.pkg.api.resource.Quantity',
    roundsToMilli: true,
  } as Schema<string>,
  time: { type: 'time', name: 'io.k8s.apimachinery.pkg.apis.meta.v1.Time' } as Schema<string>,
  microTime: { type: 'microTime', name: 'io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime' } as Schema<string>,
  intOrString: { type: 'intOrString', name: 'io.k8s.apimachinery.pkg.util.intstr.IntOrString' } as Schema<
    number | string
  >,
  rawExtension: { type: 'rawExtension', name: 'io.k8s.apimachinery.pkg.runtime.RawExtension' } as Schema<JsonObject>,
  fieldsV1: { type: 'fieldsV1', name: 'io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1' } as Schema<JsonObject>,
  json: { type: 'json' } as Schema<Json>,
} as const;

export type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json | undefined;
}

type ScalarBuilder<Value> = <const Options extends FieldOptions = Record<never, never>>(
  tag: number,
  options?: Options,
) => Field<Value, PresentBy<Options>>;

export const string: ScalarBuilder<string> = scalar(types.string);
export const int32: ScalarBuilder<number> = scalar(types.int32);
export const int64: ScalarBuilder<number> = scalar(types.int64);
export const double: ScalarBuilder<number> = scalar(types.double);
export const boolean: ScalarBuilder<boolean> = scalar(types.boolean);
export const bytes: ScalarBuilder<string> = scalar(types.bytes);
export const quantity: ScalarBuilder<string> = scalar(types.quantity);
export const time: ScalarBuilder<string> = scalar(types.time);
export const microTime: ScalarBuilder<string> = scalar(types.microTime);
export const intOrString: ScalarBuilder<number | string> = scalar(types.intOrString);
export const rawExtension: ScalarBuilder<JsonObject> = scalar(types.rawExtension);
export const fieldsV1: ScalarBuilder<JsonObject> = scalar(types.fieldsV1);
export const json: ScalarBuilder<Json> = scalar(types.json);

/** A field that holds an object of another type. */
export function struct<S extends Schema, const Options extends FieldOptions = Record<never, never>>(
  tag: number,
  schema: S,
  options?: Options,
): Field<TypeOf<S>, Options extends { readonly always: true } ? true : PresentBy<Options>> {
  return { tag, schema: schema as Schema<TypeOf<S>>, ...options };
}

export function list<S extends Schema, const Options extends ListOptions = Record<never, never>>(
  tag: number,
  items: S,
  options?: Options,
): Field<readonly TypeOf<S>[], PresentBy<Options>> {
  const { listType, mapKeys, patchMergeKey, patchStrategy, wrapped, ...field } = (options ?? {}) as ListOptions;
  const schema: ListSchema = {
    type: 'list',
    items,
    ...(listType && { listType }),
    ...(mapKeys && { mapKeys }),
    ...(patchMergeKey && { patchMergeKey }),
    ...(patchStrategy && { patchStrategy }),
    ...(wrapped && { wrapped }),
  };
  return { tag, schema: schema as Schema<readonly TypeOf<S>[]>, ...field };
}

export function map<S extends Schema, const Options extends MapOptions = Record<never, never>>(
  tag: number,
  values: S,
  options?: Options,
): Field<Readonly<Record<string, TypeOf<S>>>, PresentBy<Options>> {
  const { mapType, ...field } = (options ?? {}) as MapOptions;
  const schema: MapSchema = { type: 'map', values, ...(mapType && { mapType }) };
  return { tag, schema: schema as Schema<Readonly<Record<string, TypeOf<S>>>>, ...field };
}

/** Fields of an embedded Go struct: inline in JSON, a message of its own in protobuf. */
export function embedded<const Fields extends FieldTable>(tag: number, fields: Fields): Fields {
  const outer = Object.entries(fields).map(([name, field]) => [
    name,
    { ...field, within: [tag, ...(field.within ?? [])] },
  ]);
  return Object.fromEntries(outer) as Fields;
}

export interface ObjectOptions {
  readonly mapType?: 'atomic' | 'granular';
  readonly unions?: readonly unknown[];
  readonly preserveUnknown?: boolean;
  readonly isKind?: boolean;
  readonly doc?: string;
}

export function object<const Fields extends FieldTable>(
  name: string,
  fields: Fields,
  options?: ObjectOptions,
): ObjectSchema<Fields> & { readonly [shape]?: ShapeOf<Fields> } {
  return { type: 'object', name, fields, ...options };
}

/** A list as a value, for lists in lists and for maps of lists. */
export function listOf<S extends Schema>(items: S, options?: ListOptions): Schema<readonly TypeOf<S>[]> {
  return list(0, items, options).schema as Schema<readonly TypeOf<S>[]>;
}

/** A type that is used before it is defined: `JSONSchemaProps` holds itself. */
export function lazy<Value>(of: () => Schema<Value>): Schema<Value> {
  return { type: 'lazy', of };
}

/** Either an object of a type, or a boolean or list: how CRD schemas say `items` and `additionalProperties`. */
export function eitherOr(name: string, either: NonNullable<ScalarSchema['either']>, of: () => Schema): Schema<Json> {
  return { type: 'json', name, either, of };
}

/** Follows `lazy`. */
export function resolve(schema: Schema): Exclude<Schema, { readonly type: 'lazy' }> {
  let at: Schema = schema;
  while (at.type === 'lazy') at = at.of();
  return at as Exclude<Schema, { readonly type: 'lazy' }>;
}

function scalar<Value>(schema: Schema<Value>): ScalarBuilder<Value> {
  return (tag, options) => ({ tag, schema, ...options }) as Field<Value, never>;
}
