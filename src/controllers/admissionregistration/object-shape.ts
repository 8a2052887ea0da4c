import { schemaDecl } from '#cel/schema.ts';
import type { DeclType } from '#cel/declarations.ts';
import { resolve, type Schema } from '#api/machinery/schema.ts';

type CelSchema = Parameters<typeof schemaDecl>[0];

/** The objects of a kind as expressions see them. `name` is what messages call their type. */
export function objectShapeOf(schema: Schema, name: string): DeclType | undefined {
  return schemaDecl(celSchemaOf(schema, []), { root: true, name });
}

/** A type within itself, as JSONSchemaProps has one, is anything from there on. */
function celSchemaOf(schema: Schema, around: readonly Schema[]): CelSchema {
  const of = resolve(schema);
  if (around.includes(of)) return anything;
  switch (of.type) {
    case 'object': {
      const within = [...around, of];
      const own = Object.entries(of.fields).map(([field, { schema: below }]) => [field, celSchemaOf(below, within)]);
      const typed = of.isKind ? [...own, ['apiVersion', text], ['kind', text]] : own;
      return {
        type: 'object',
        properties: Object.fromEntries(typed) as Record<string, CelSchema>,
        ...(of.preserveUnknown === true && { 'x-kubernetes-preserve-unknown-fields': true }),
      };
    }
    case 'map':
      return { type: 'object', additionalProperties: celSchemaOf(of.values, around) };
    case 'list':
      return {
        type: 'array',
        items: celSchemaOf(of.items, around),
        ...(of.listType && { 'x-kubernetes-list-type': of.listType }),
        ...(of.mapKeys && { 'x-kubernetes-list-map-keys': of.mapKeys }),
      };
    case 'string':
      return text;
    case 'bytes':
      return { type: 'string', format: 'byte' };
    case 'time':
    case 'microTime':
      return { type: 'string', format: 'date-time' };
    case 'int32':
    case 'int64':
      return { type: 'integer' };
    case 'double':
      return { type: 'number' };
    case 'boolean':
      return { type: 'boolean' };
    default:
      return anything;
  }
}

const text: CelSchema = { type: 'string' };
/** Dyn, in the words of a schema. */
const anything: CelSchema = { 'x-kubernetes-int-or-string': true };
