import { goField, goForm } from '../../machinery/go-form.ts';
import type { Field, ObjectSchema } from '../../machinery/schema.ts';
import {
  CustomResourceDefinitionVersion,
  JSONSchemaProps,
  type CustomResourceDefinitionVersion as Version,
} from './custom-resource-definition.ts';
import { schemaIn, schemasIn } from './schema-parts.ts';

/** A version as messages of upstream print it. */
export function versionInGo(version: Version): object {
  const { schema, ...rest } = version;
  const { Name, Served, Storage, Deprecated, DeprecationWarning, ...others } = goForm(
    CustomResourceDefinitionVersion,
    rest,
  ) as Readonly<Record<string, unknown>>;
  const Schema = orNull(schema, ({ openAPIV3Schema }) => ({ OpenAPIV3Schema: orNull(openAPIV3Schema, schemaInGo) }));
  return { Name, Served, Storage, Deprecated, DeprecationWarning, ...others, Schema };
}

/** A schema as messages of upstream print it. */
export function schemaInGo(schema: JSONSchemaProps): object {
  const { fields } = JSONSchemaProps as ObjectSchema;
  return Object.fromEntries(
    inOrder(fields).map(([name, field]) => [goName(name), fieldInGo(name as keyof JSONSchemaProps, field, schema)]),
  );
}

function fieldInGo(name: keyof JSONSchemaProps, field: Field, schema: JSONSchemaProps): unknown {
  switch (name) {
    case 'items':
      return orNull(schema.items, items => ({
        Schema: orNull(schemaIn(items), schemaInGo),
        JSONSchemas: orNull(filled(schemasIn(items)), schemas => schemas.map(schemaInGo)),
      }));
    case 'additionalItems':
    case 'additionalProperties':
      return orNull(schema[name], either => ({
        Allows: either !== false,
        Schema: orNull(schemaIn(either), schemaInGo),
      }));
    case 'dependencies':
      return orNull(schema.dependencies, dependencies =>
        sorted(dependencies, each => ({
          Schema: Array.isArray(each) ? null : orNull(schemaIn(each as never), schemaInGo),
          Property: Array.isArray(each) ? orNull(filled(each), names => names) : null,
        })),
      );
    case 'properties':
    case 'patternProperties':
    case 'definitions':
      return orNull(schema[name], parts => sorted(parts, schemaInGo));
    case 'allOf':
    case 'anyOf':
    case 'oneOf':
      return orNull(schema[name], parts => parts.map(schemaInGo));
    case 'not':
      return orNull(schema.not, schemaInGo);
    case 'default':
    case 'example':
      return orNull(schema[name], sortedJson);
    case 'enum':
      return orNull(schema.enum, values => values.map(sortedJson));
    default:
      return goField(field, schema[name]);
  }
}

/** The names in Go of the fields that are set, in their order there. */
export function setFieldsInGo(schema: JSONSchemaProps): readonly string[] {
  const { fields } = JSONSchemaProps as ObjectSchema;
  return inOrder(fields).flatMap(([name, { pointer }]) => {
    const value = schema[name as keyof JSONSchemaProps];
    const isSet = value !== undefined && value !== null && (pointer || (value !== '' && value !== false));
    return isSet ? [goName(name)] : [];
  });
}

function inOrder(fields: ObjectSchema['fields']): readonly (readonly [string, Field])[] {
  return Object.entries<Field>(fields).toSorted(([left], [right]) => placeOf(fields, left) - placeOf(fields, right));
}

/** In the order of tags, but for one. */
function placeOf(fields: ObjectSchema['fields'], name: string): number {
  return name === 'nullable' ? placeOf(fields, 'type') + 0.5 : (fields[name]?.tag ?? 0);
}

/** `$ref` → `Ref`, `x-kubernetes-list-map-keys` → `XListMapKeys` */
function goName(name: string): string {
  if (name === 'id') return 'ID';
  return name
    .replace(/^\$|kubernetes-/g, '')
    .split('-')
    .map(word => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');
}

function filled<Value>(list: readonly Value[]): readonly Value[] | undefined {
  return list.length > 0 ? list : undefined;
}

function orNull<Value>(value: Value | null | undefined, map: (value: Value) => unknown): unknown {
  return value === undefined || value === null ? null : map(value);
}

function sorted<Value>(values: Readonly<Record<string, Value>>, map: (value: Value) => unknown): object {
  return Object.fromEntries(
    Object.entries(values)
      .toSorted(([left], [right]) => (left < right ? -1 : 1))
      .map(([key, value]) => [key, map(value)]),
  );
}

function sortedJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortedJson);
  return typeof value === 'object' && value !== null ? sorted(value as Record<string, unknown>, sortedJson) : value;
}
