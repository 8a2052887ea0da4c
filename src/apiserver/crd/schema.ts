import type { JSONSchemaProps, SelectableField } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { schemaIn } from '#api/apiextensions/v1/schema-parts.ts';
import { ObjectMeta } from '#api/meta/v1/object-meta.ts';
import {
  types,
  type Field,
  type JsonObject,
  type ListSchema,
  type MapSchema,
  type ObjectSchema,
  type Schema,
} from '#api/machinery/schema.ts';

/**
 * A custom kind's schema from the structural schema of one of its versions. `name` is the definition's name in OpenAPI.
 * Types of values are left to `validation.ts`: decoding only prunes and fills in defaults, as upstream does.
 */
export function kindSchemaOf(
  name: string,
  root: JSONSchemaProps,
  selectableFields: readonly SelectableField[] = [],
): ObjectSchema {
  const selectable = selectableFields.map(({ jsonPath }) => ({ fieldPath: jsonPath.slice(1) }));
  const { fields, ...schema } = objectOf(root);
  const own = Object.entries(fields).filter(([field]) => !typeMeta.has(field) && field !== 'metadata');
  return {
    ...schema,
    name,
    isKind: true,
    fields: tableOf([['metadata', { schema: ObjectMeta, tag: 0, required: true }], ...own]),
    published: {
      ...(root as unknown as JsonObject),
      ...(selectable.length > 0 && { 'x-kubernetes-selectable-fields': selectable }),
    },
  };
}

const typeMeta = new Set(['apiVersion', 'kind']);

function schemaOf(props: JSONSchemaProps): Schema {
  const schema = typeOf(props);
  return props.nullable === true ? { ...schema, nullable: true } : schema;
}

function typeOf(props: JSONSchemaProps): Schema {
  if (props['x-kubernetes-int-or-string'] === true) return { type: 'intOrString' };
  switch (props.type) {
    case 'object':
      return objectOrMapOf(props);
    case 'array':
      return listOf(props);
    case 'string':
      return { type: 'string', ...(props.format !== undefined && { format: props.format }) };
    case 'integer':
      return { type: props.format === 'int32' ? 'int32' : 'int64' };
    case 'number':
      return types.double;
    case 'boolean':
      return types.boolean;
    default:
      // Without a type it keeps what it does not know, but may still say something about fields.
      return props.properties ? objectOf(props) : types.json;
  }
}

function objectOrMapOf(props: JSONSchemaProps): Schema {
  const values = schemaIn(props.additionalProperties);
  if (!values) return objectOf(props);
  const mapType = mapTypeOf(props);
  return { type: 'map', values: schemaOf(values), ...(mapType && { mapType }) } satisfies MapSchema;
}

function objectOf(props: JSONSchemaProps): ObjectSchema {
  const required = new Set(props.required);
  const fields = Object.entries(props.properties ?? {}).map(([name, property]): [string, Field] => [
    name,
    fieldOf(property, required.has(name)),
  ]);
  const isResource = props['x-kubernetes-embedded-resource'] === true;
  if (isResource) fields.push(['metadata', { schema: embeddedMeta, tag: 0 }]);
  const preserveUnknown = props['x-kubernetes-preserve-unknown-fields'] === true || props.additionalProperties === true;
  const mapType = mapTypeOf(props);
  return {
    type: 'object',
    name: '',
    fields: tableOf(fields),
    ...(preserveUnknown && { preserveUnknown }),
    ...(isResource && { isKind: true }),
    ...(mapType && { mapType }),
  };
}

/** The metadata of an object within an object: nobody fills it in. */
const embeddedMeta: Schema = { type: 'object', name: '', fields: ObjectMeta.fields };

function fieldOf(props: JSONSchemaProps, required: boolean): Field {
  return {
    schema: schemaOf(props),
    tag: 0,
    ...(required && { required }),
    ...(props.default !== undefined && { default: props.default }),
    ...(props.description !== undefined && { doc: props.description }),
  };
}

function listOf(props: JSONSchemaProps): ListSchema {
  const items = schemaIn(props.items);
  const listType = props['x-kubernetes-list-type'] as ListSchema['listType'];
  const mapKeys = props['x-kubernetes-list-map-keys'];
  return {
    type: 'list',
    items: items ? schemaOf(items) : types.json,
    ...(listType && { listType }),
    ...(mapKeys && { mapKeys }),
  };
}

function mapTypeOf(props: JSONSchemaProps): 'atomic' | 'granular' | undefined {
  return props['x-kubernetes-map-type'] as 'atomic' | 'granular' | undefined;
}

/** Names come from users: `__proto__` is one like any other. */
function tableOf(fields: readonly (readonly [string, Field])[]): Readonly<Record<string, Field>> {
  const table = Object.create(null) as Record<string, Field>;
  for (const [name, field] of fields) table[name] = field;
  return table;
}
