import type { JsonDraft } from './decode.ts';
import type { Draft, Kind } from './kind.ts';
import { resolve, type Field, type Json, type ObjectSchema, type Schema } from './schema.ts';
import { isAlwaysWritten, zeroOf } from './zero.ts';

/** Static defaults, fields that every answer has, then the kind's own defaults. Changes the object. */
export function defaultObject(kind: Kind, draft: JsonDraft): void {
  applyDefaults(kind.schema, draft);
  kind.default?.(draft as Draft<never>);
}

/** Fills in static defaults and, empty, the fields that Go always prints: `{}`, `null` for lists and maps, zero. */
export function applyDefaults(schema: Schema, draft: JsonDraft): void {
  fillerOf(schema)?.(draft);
}

/** Undefined where nothing below ever needs filling. */
type Filler = ((value: Json) => void) | undefined;

const fillers = new WeakMap<Schema, { fill: Filler }>();

function fillerOf(schema: Schema): Filler {
  const known = fillers.get(schema);
  if (known) return known.fill;
  const entry: { fill: Filler } = { fill: undefined };
  fillers.set(schema, entry);
  entry.fill = compile(schema);
  return entry.fill;
}

function compile(schema: Schema): Filler {
  switch (schema.type) {
    case 'lazy': {
      // The type holds itself: whether it needs filling is known only when it is complete.
      let fill: { filler: Filler } | undefined;
      return value => {
        fill ??= { filler: fillerOf(resolve(schema)) };
        fill.filler?.(value);
      };
    }
    case 'object':
      return compileObject(schema);
    case 'list': {
      const fill = fillerOf(schema.items);
      if (!fill) return undefined;
      return value => {
        if (Array.isArray(value)) for (const item of value) fillNested(fill, item as Json);
      };
    }
    case 'map': {
      const fill = fillerOf(schema.values);
      if (!fill) return undefined;
      return value => {
        if (isObject(value)) for (const key in value) fillNested(fill, value[key] as Json);
      };
    }
    default:
      return undefined;
  }
}

interface Filling {
  readonly name: string;
  /** Makes the value of an absent field; undefined when it stays absent. */
  readonly make: (() => Json) | undefined;
  readonly fill: Filler;
  /** Null is absent too, unless that is what the field is empty with. */
  readonly replacesNull: boolean;
  /** Go cannot tell this value from an absent one: no pointer, always written. */
  readonly unset: Json | undefined;
}

function compileObject(schema: ObjectSchema): Filler {
  const fillings = Object.entries(schema.fields)
    .map(([name, field]): Filling => {
      const make = makerOf(field);
      // Go reads null into a struct or scalar as its zero value.
      const replacesNull = make !== undefined && make() !== null && field.schema.nullable !== true;
      return { name, make, fill: fillerOf(field.schema), replacesNull, unset: unsetOf(field) };
    })
    .filter(({ make, fill }) => make !== undefined || fill !== undefined);
  if (fillings.length === 0) return undefined;
  return value => {
    if (!isObject(value)) return;
    const object = value as JsonDraft;
    for (const { name, make, fill, replacesNull, unset } of fillings) {
      let at = object[name];
      if (make !== undefined && (at === undefined || at === unset || (replacesNull && at === null))) {
        at = make();
        object[name] = at;
      }
      if (fill !== undefined && at !== undefined && at !== null) fill(at);
    }
  };
}

function makerOf(field: Field): (() => Json) | undefined {
  if (field.default !== undefined && !isNeverWritten(field)) {
    const value = field.default as Json;
    return typeof value === 'object' && value !== null ? () => copyOf(value) : () => value;
  }
  if (!isAlwaysWritten(field)) return undefined;
  const zero = zeroOf(field.schema);
  return isObject(zero) ? () => ({}) : () => zero;
}

function unsetOf(field: Field): Json | undefined {
  return field.always === true && field.pointer !== true && field.default !== undefined
    ? zeroOf(field.schema)
    : undefined;
}

/** Zero is the default of a field that Go leaves out when it is zero. Custom resources leave nothing out. */
function isNeverWritten(field: Field): boolean {
  const { default: value } = field;
  return field.tag !== 0 && !field.pointer && !field.always && (value === 0 || value === '' || value === false);
}

function fillNested(fill: NonNullable<Filler>, value: Json | undefined): void {
  if (value !== undefined && value !== null) fill(value);
}

function isObject(value: Json | undefined): value is { readonly [key: string]: Json | undefined } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Defaults are small; structuredClone costs more than the object it copies. */
function copyOf(value: Json): Json {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(copyOf);
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, copyOf(each as Json)]));
}
