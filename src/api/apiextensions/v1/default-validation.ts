import { sameValue } from '../../machinery/checks.ts';
import { Report } from '../../machinery/validation.ts';
import { valueCheckOf } from '../value-check.ts';
import type { JSONSchemaProps } from './custom-resource-definition.ts';
import { schemaIn } from './schema-parts.ts';

/** Defaults are held against the schema of their place as objects will be: types, bounds, rules, and nothing unknown. */
export function validateDefaults(schema: JSONSchemaProps, report: Report): void {
  if (schema.default !== undefined && schema.default !== null) validateDefault(schema, report.at('default'));
  const items = schemaIn(schema.items);
  if (items !== undefined) validateDefaults(items, report.at('items'));
  for (const [name, property] of Object.entries(schema.properties ?? {}))
    validateDefaults(property, report.at('properties').key(name));
}

function validateDefault(schema: JSONSchemaProps, report: Report): void {
  const value = schema.default;
  if (!sameValue(pruned(schema, value), value)) report.invalid(value, 'must not have unknown fields');
  const { default: _, ...place } = schema;
  const found = new Report();
  const check = valueCheckOf(place, false);
  check(value, found);
  // Rules that compare with what was there have to hold for what stays, too.
  if (found.errors.length === 0) check(value, found, value);
  for (const { field, ...error } of found.errors) {
    const within = field === '<nil>' ? report.path : `${report.path}${field.startsWith('[') ? '' : '.'}${field}`;
    report.errors.push({ ...error, field: within });
  }
}

/** A value without what its schema does not know. */
function pruned(schema: JSONSchemaProps, value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = schemaIn(schema.items);
    return items ? value.map(each => pruned(items, each)) : value;
  }
  if (typeof value !== 'object' || value === null) return value;
  const values = schemaIn(schema.additionalProperties);
  const keeps = schema['x-kubernetes-preserve-unknown-fields'] === true || schema.additionalProperties === true;
  const isResource = schema['x-kubernetes-embedded-resource'] === true;
  const kept: [string, unknown][] = [];
  for (const [name, each] of Object.entries(value)) {
    const property = schema.properties && Object.hasOwn(schema.properties, name) ? schema.properties[name] : values;
    if (property) kept.push([name, pruned(property, each)]);
    else if (keeps || (isResource && typeMeta.has(name))) kept.push([name, each]);
  }
  return Object.fromEntries(kept);
}

const typeMeta = new Set(['apiVersion', 'kind', 'metadata']);
