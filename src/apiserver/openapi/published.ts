import { schemaIn } from '#api/apiextensions/v1/schema-parts.ts';
import type { JSONSchemaProps } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { ObjectMeta } from '#api/meta/v1/object-meta.ts';
import type { Json, JsonObject } from '#api/machinery/schema.ts';
import type { Dialect } from './type-rendering.ts';

/** A definition's own schema as it is published: with what every object has, and for v2 without what v2 cannot say. */
export function renderPublished(schema: JsonObject, { version, refPrefix }: Dialect): Record<string, unknown> {
  const root = version === 2 ? withoutCombinations(schema as JSONSchemaProps) : schema;
  const meta = { $ref: `${refPrefix}${ObjectMeta.name}` };
  const properties = {
    ...(root['properties'] as JsonObject | undefined),
    apiVersion: { type: 'string', description: 'The group and version of this object, such as apps/v1.' },
    kind: { type: 'string', description: 'The kind of this object, such as Deployment.' },
    metadata: version === 2 ? meta : { allOf: [meta], description: 'What all objects have.' },
  };
  return { ...root, type: 'object', properties };
}

const onlyInV3 = new Set(['nullable', 'default', 'allOf', 'anyOf', 'oneOf', 'not']);
/** What a value may be is left open where null or anything else may stand: older clients would refuse it. */
const closed = new Set(['type', 'properties', 'items', 'additionalProperties', 'required', 'format']);

function withoutCombinations(schema: JSONSchemaProps): JsonObject {
  const isOpen = schema.nullable === true || schema['x-kubernetes-preserve-unknown-fields'] === true;
  const kept = Object.entries(schema).filter(([name]) => !onlyInV3.has(name) && !(isOpen && closed.has(name)));
  return Object.fromEntries(kept.map(([name, value]) => [name, inner(name, value as Json)]));
}

function inner(name: string, value: Json): Json {
  const schema = schemaIn(value);
  if (!schema) return value;
  if (name === 'items' || name === 'additionalProperties') return withoutCombinations(schema);
  if (name !== 'properties') return value;
  return Object.fromEntries(
    Object.entries(value as JsonObject).map(([property, each]) => [
      property,
      withoutCombinations(each as JSONSchemaProps),
    ]),
  );
}
