import type { Json } from '../../machinery/schema.ts';
import { Report } from '../../machinery/validation.ts';
import type { JSONSchemaProps } from './custom-resource-definition.ts';

/** The schema in a field that may also hold a boolean or a list. */
export function schemaIn(value: Json | undefined): JSONSchemaProps | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return value as JSONSchemaProps;
}

/** The schemas where `items` is written as a list of them. */
export function schemasIn(value: Json | undefined): readonly JSONSchemaProps[] {
  return Array.isArray(value) ? (value as readonly JSONSchemaProps[]) : [];
}

/** The schemas below one other than its properties and values, each with its place. */
export function* subschemas(schema: JSONSchemaProps, report: Report): Generator<[JSONSchemaProps, Report]> {
  if (schema.not !== undefined) yield [schema.not, report.at('not')];
  for (const name of ['allOf', 'oneOf', 'anyOf'] as const) {
    for (const [position, part] of (schema[name] ?? []).entries()) yield [part, report.at(name).index(position)];
  }
  for (const [name, part] of Object.entries(schema.definitions ?? {})) yield [part, report.at('definitions').key(name)];
  const items = schemaIn(schema.items);
  if (items !== undefined) yield [items, report.at('items')];
  for (const [position, part] of schemasIn(schema.items).entries()) yield [part, report.at('items').index(position)];
  for (const [name, value] of Object.entries(schema.dependencies ?? {})) {
    const part = schemaIn(value);
    if (part !== undefined) yield [part, report.at('dependencies').key(name)];
  }
}

/** Whether a schema states defaults anywhere. */
export function hasDefaults(schema: JSONSchemaProps): boolean {
  const values = schemaIn(schema.additionalProperties);
  return (
    schema.default !== undefined ||
    Object.values(schema.properties ?? {}).some(hasDefaults) ||
    (values !== undefined && hasDefaults(values)) ||
    [...subschemas(schema, new Report())].some(([part]) => hasDefaults(part))
  );
}

const withRules = new WeakMap<JSONSchemaProps, boolean>();

/** Whether a schema states rules anywhere. */
export function hasRules(schema: JSONSchemaProps): boolean {
  const known = withRules.get(schema);
  if (known !== undefined) return known;
  const has =
    (schema['x-kubernetes-validations'] ?? []).length > 0 ||
    [
      ...Object.values(schema.properties ?? {}),
      ...[schemaIn(schema.additionalProperties), schemaIn(schema.items)].filter(each => each !== undefined),
    ].some(hasRules);
  withRules.set(schema, has);
  return has;
}
