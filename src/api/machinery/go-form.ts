import type { Field, ObjectSchema, Schema } from './schema.ts';
import { zeroOf } from './zero.ts';

/**
 * A value as messages of upstream print it where they print a whole struct: its internal types have no JSON names, so that
 * every field is there under its name in Go, with its zero value when it is not set. The fields stand in the order of their
 * tags. Types of meta/v1 have no internal form: they are printed as JSON.
 */
export function goForm(schema: Schema, value: unknown): unknown {
  if (value === undefined || value === null) return null;
  switch (schema.type) {
    case 'lazy':
      return goForm(schema.of(), value);
    case 'list':
      return (value as readonly unknown[]).map(each => goForm(schema.items, each));
    case 'map':
      return Object.fromEntries(
        Object.entries(value)
          .toSorted(([left], [right]) => (left < right ? -1 : 1))
          .map(([key, each]) => [key, goForm(schema.values, each)]),
      );
    case 'object':
      return isOfMeta(schema) ? jsonOf(schema, value as Fields) : structOf(schema, value as Fields);
    default:
      return value;
  }
}

/** A field of a struct: its zero value when it is not set. */
export function goField(field: Field, value: unknown): unknown {
  return value === undefined || value === null ? unset(field) : goForm(field.schema, value);
}

type Fields = Readonly<Record<string, unknown>>;

/** With its names in JSON, without what is not set. */
function jsonOf({ fields }: ObjectSchema, value: Fields): object {
  return Object.fromEntries(
    Object.entries<Field>(fields)
      .toSorted(([, left], [, right]) => byTag(left, right))
      .filter(([name, { always, required }]) => always || required || value[name] !== undefined)
      .map(([name, field]) => [name, goField(field, value[name])]),
  );
}

function structOf({ fields }: ObjectSchema, value: Fields): object {
  return Object.fromEntries(
    Object.entries<Field>(fields)
      .toSorted(([, left], [, right]) => byTag(left, right))
      .flatMap(([name, field]) => {
        const set = Object.hasOwn(value, name) ? value[name] : undefined;
        // Metadata is embedded.
        if (name === 'metadata') return Object.entries(goForm(field.schema, set ?? {}) as Fields);
        return [[goName(name), goField(field, set)] as const];
      }),
  );
}

/** Fields of an embedded struct stand where it stands. */
function byTag(left: Field, right: Field): number {
  const [outer, other] = [left.within?.[0] ?? left.tag, right.within?.[0] ?? right.tag];
  return outer - other || left.tag - right.tag;
}

function unset({ schema, pointer, always, required }: Field): unknown {
  if (pointer) return null;
  if (schema.type !== 'object') return zeroOf(schema);
  return always || required ? goForm(schema, {}) : null;
}

function isOfMeta({ name }: ObjectSchema): boolean {
  return name.startsWith('io.k8s.apimachinery.pkg.apis.meta.');
}

/** `apiGroup` → `APIGroup`, `nonResourceURLs` → `NonResourceURLs` */
function goName(name: string): string {
  const initials = initialism.exec(name)?.[0] ?? name.charAt(0);
  return initials.toUpperCase() + name.slice(initials.length);
}

const initialism =
  /^(?:api|aws|cel|cidr|cpu|csi|fc|fs|gce|id|ip|iqn|iscsi|json|nfs|pd|rbd|tls|uid|url)(?=s?(?:[A-Z]|$))/;
