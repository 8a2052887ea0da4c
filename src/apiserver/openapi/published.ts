import { schemaIn } from '#api/apiextensions/v1/schema-parts.ts';
import type { JSONSchemaProps } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { ObjectMeta } from '#api/meta/v1/object-meta.ts';
import type { Json, JsonObject } from '#api/machinery/schema.ts';
import { typeDocs, type Dialect } from './type-rendering.ts';

/** A definition's own schema as it is published: with what every object has, and for v2 without what v2 cannot say. */
export function renderPublished(schema: JsonObject, { version, refPrefix }: Dialect): Record<string, unknown> {
  // Whatever else were said, older clients would refuse what it does not name.
  if (version === 2 && schema['x-kubernetes-preserve-unknown-fields'] === true) return { type: 'object' };
  const root = version === 2 ? withoutCombinations(schema as JSONSchemaProps) : schema;
  const meta = { $ref: `${refPrefix}${ObjectMeta.name}` };
  const properties = {
    ...(root['properties'] as JsonObject | undefined),
    apiVersion: { type: 'string', description: typeDocs.apiVersion },
    kind: { type: 'string', description: typeDocs.kind },
    metadata: { ...(version === 2 ? meta : { allOf: [meta] }), description: typeDocs.metadata },
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
