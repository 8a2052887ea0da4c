import {
  type DeclField,
  type DeclType,
  declBool,
  declDouble,
  declInt,
  declList,
  declMap,
  declNullable,
  declObject,
  declString,
  scalar,
  unexpected,
} from './declarations.ts';
import { requestSizeBytesMax } from './limits.ts';
import { escapeName } from './names.ts';
import { parseDuration, parseTimestamp } from './time.ts';
import { bytesType, dynType, durationType, timestampType } from './types.ts';
import { type Adapt, CelError, Duration, type ListKeys, Timestamp } from './values.ts';

/** An OpenAPI v3 schema as CustomResourceDefinitions and the served documents have it; references are not followed. */
export interface Schema {
  readonly type?: string;
  readonly format?: string;
  readonly nullable?: boolean;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly required?: readonly string[];
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-embedded-resource'?: boolean;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-list-type'?: string;
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
}

/**
 * The declaration of data in the schema; undefined where expressions cannot see it. At the root of a resource `apiVersion`,
 * `kind` and `metadata.name` are there even if the schema does not say so. `name` is of the outermost object type.
 */
export function schemaDecl(
  schema: Schema,
  options: { readonly root?: boolean; readonly name?: string } = {},
): DeclType | undefined {
  return declOf(schema, options.root ?? false, options.name ?? 'object');
}

function declOf(schema: Schema, root: boolean, name: string): DeclType | undefined {
  if (schema['x-kubernetes-int-or-string']) return nullable(schema, intOrString(schema));
  const typed = root ? withTypeAndMeta(schema) : schema;
  const decl = typedDecl(typed, name);
  return decl && nullable(schema, decl);
}

function nullable(schema: Schema, decl: DeclType): DeclType {
  return schema.nullable ? declNullable(decl) : decl;
}

function typedDecl(schema: Schema, name: string): DeclType | undefined {
  switch (schema.type) {
    case 'array':
      return listDecl(schema, name);
    case 'object':
      return typeof schema.additionalProperties === 'object'
        ? mapDecl(schema, schema.additionalProperties, name)
        : objectDecl(schema, name);
    case 'string':
      return stringDecl(schema);
    case 'boolean':
      return declBool;
    case 'number':
      return declDouble;
    case 'integer':
      return declInt;
  }
  return undefined;
}

function listDecl(schema: Schema, name: string): DeclType | undefined {
  const { items } = schema;
  const element = items && declOf(items, items['x-kubernetes-embedded-resource'] ?? false, `${name}.@idx`);
  if (element === undefined) return undefined;
  const itemsMax = schema.maxItems ?? Math.trunc((requestSizeBytesMax - 2) / (element.serializedSizeMin + 1));
  return declList(element, Math.max(0, itemsMax), listKeys(schema));
}

function listKeys(schema: Schema): ListKeys | undefined {
  switch (schema['x-kubernetes-list-type']) {
    case 'set':
      return 'set';
    case 'map':
      return schema['x-kubernetes-list-map-keys']?.map(key => escapeName(key) ?? key);
  }
  return undefined;
}

function mapDecl(schema: Schema, values: Schema, name: string): DeclType | undefined {
  const element = declOf(values, values['x-kubernetes-embedded-resource'] ?? false, `${name}.@elem`);
  if (element === undefined) return undefined;
  const entriesMax = schema.maxProperties ?? Math.trunc((requestSizeBytesMax - 2) / (element.serializedSizeMin + 6));
  return declMap(element, Math.max(0, entriesMax), declString(0));
}

function objectDecl(schema: Schema, name: string): DeclType {
  const required = new Set(schema.required);
  const fields = new Map<string, DeclField>();
  let serializedSizeMin = 2;
  for (const [property, part] of Object.entries(schema.properties ?? {})) {
    const escaped = escapeName(property);
    const type = declOf(part, part['x-kubernetes-embedded-resource'] ?? false, `${name}.${escaped ?? property}`);
    if (type === undefined) continue;
    if (escaped !== undefined) fields.set(escaped, { property, type });
    if (required.has(property) && part.default === undefined) {
      serializedSizeMin += Buffer.byteLength(property) + type.serializedSizeMin + 4;
    }
  }
  return declObject(name, fields, serializedSizeMin);
}

const stringSchema: Schema = { type: 'string' };

function withTypeAndMeta(schema: Schema): Schema {
  const { metadata } = schema.properties ?? {};
  const known = metadata?.properties?.['name'] && metadata.properties['generateName'];
  if (known && schema.properties?.['kind'] && schema.properties['apiVersion']) return schema;
  return {
    ...schema,
    properties: {
      ...schema.properties,
      kind: stringSchema,
      apiVersion: stringSchema,
      metadata: { type: 'object', properties: { name: stringSchema, generateName: stringSchema } },
    },
  };
}

const durationLengthMax = 32;
const dateTimeLengthMax = 32;
const dateLength = 12;

function stringDecl(schema: Schema): DeclType {
  switch (schema.format) {
    case 'byte':
      return scalar(
        bytesType,
        adaptBytes,
        2,
        schema.maxLength === undefined ? requestSizeBytesMax - 2 : Math.max(0, schema.maxLength),
      );
    case 'duration':
      return scalar(durationType, adaptDuration, 3, durationLengthMax);
    case 'date':
      return scalar(timestampType, adaptDate, dateLength, dateLength);
    case 'date-time':
      return scalar(timestampType, adaptDateTime, 21, dateTimeLengthMax);
  }
  if (schema.maxLength !== undefined) return declString(Math.max(0, schema.maxLength) * 4);
  if ((schema.enum?.length ?? 0) > 0) return declString(longest(schema.enum as readonly unknown[]));
  return declString(requestSizeBytesMax - 2);
}

function longest(values: readonly unknown[]): number {
  return Math.max(0, ...values.map(each => (typeof each === 'string' ? Buffer.byteLength(each) : 0)));
}

function intOrString(schema: Schema): DeclType {
  const lengthMax = schema.maxLength === undefined ? requestSizeBytesMax - 2 : Math.max(0, schema.maxLength) * 4;
  return scalar(dynType, adaptIntOrString, 1, lengthMax);
}

const adaptIntOrString: Adapt = raw => {
  if (typeof raw === 'string') return raw;
  const value = declInt.adapt(raw);
  if (!(value instanceof CelError)) return value;
  if (raw === null || raw === undefined) return value;
  return new CelError('invalid data, expected XIntOrString value to be either a string or integer');
};

const adaptBytes: Adapt = raw => {
  if (typeof raw !== 'string') return raw instanceof Uint8Array ? raw : unexpected('string', raw);
  const base64 = /^[A-Za-z0-9+/]*={0,2}$/.test(raw) && raw.length % 4 === 0;
  if (!base64) return new CelError(`Invalid byte formatted string ${raw}: illegal base64 data at input byte 0`);
  return new Uint8Array(Buffer.from(raw, 'base64'));
};

const adaptDuration: Adapt = raw => {
  if (typeof raw !== 'string') return raw instanceof Duration ? raw : unexpected('string', raw);
  return (
    parseDuration(raw) ??
    wordyDuration(raw) ??
    new CelError(`Invalid duration ${raw}: unable to parse ${raw} as duration`)
  );
};

/** `3 days` and their like, which upstream's formats take too. */
function wordyDuration(text: string): Duration | undefined {
  const match = /^\s*([0-9]+)\s*([a-zµ]+)\s*$/i.exec(text);
  const unit = match === null ? undefined : wordyUnits.get((match[2] as string).toLowerCase().replace(/s$/, ''));
  return unit === undefined ? undefined : new Duration(BigInt((match as RegExpExecArray)[1] as string) * unit);
}

const second = 1_000_000_000n;
const wordyUnits: ReadonlyMap<string, bigint> = new Map([
  ['nanosecond', 1n],
  ['nano', 1n],
  ['microsecond', 1_000n],
  ['micro', 1_000n],
  ['millisecond', 1_000_000n],
  ['milli', 1_000_000n],
  ['second', second],
  ['sec', second],
  ['minute', 60n * second],
  ['min', 60n * second],
  ['hour', 3_600n * second],
  ['hr', 3_600n * second],
  ['day', 86_400n * second],
  ['d', 86_400n * second],
  ['week', 604_800n * second],
  ['wk', 604_800n * second],
  ['w', 604_800n * second],
]);

const adaptDate: Adapt = raw => {
  if (typeof raw !== 'string') return raw instanceof Timestamp ? raw : unexpected('string', raw);
  return (
    parseTimestamp(`${raw}T00:00:00Z`) ??
    new CelError(`Invalid date formatted string ${raw}: cannot parse it as a date`)
  );
};

const adaptDateTime: Adapt = raw => {
  if (typeof raw !== 'string') return raw instanceof Timestamp ? raw : unexpected('string', raw);
  const parsed = parseTimestamp(raw.replace(/^(\S{10})t/, '$1T').replace(/z$/, 'Z'));
  return parsed ?? new CelError(`Invalid date-time formatted string ${raw}: cannot parse it as a date and time`);
};
