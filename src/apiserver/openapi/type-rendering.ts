import { resolve, type Field, type ObjectSchema, type Schema, type ScalarType } from '#api/machinery/schema.ts';
import { nameOf, type Definition } from './definitions.ts';
import { renderPublished } from './published.ts';

type Json = Record<string, unknown>;

/** In which the two versions of OpenAPI differ. */
export interface Dialect {
  readonly version: 2 | 3;
  readonly refPrefix: string;
}

export const swagger2: Dialect = { version: 2, refPrefix: '#/definitions/' };
export const openapi3: Dialect = { version: 3, refPrefix: '#/components/schemas/' };

/** A named type as it stands under definitions or schemas. */
export function renderDefinition({ schema, isKind, gvks, doc }: Definition, dialect: Dialect): Json {
  const resolved = resolve(schema);
  const body =
    resolved.type === 'object'
      ? resolved.published
        ? renderPublished(resolved.published, dialect)
        : renderObject(resolved, dialect, isKind)
      : renderType({ ...resolved, name: '' } as Schema, dialect, true);
  return {
    ...(doc !== undefined && { description: doc }),
    ...body,
    ...(gvks.length > 0 && { 'x-kubernetes-group-version-kind': gvks }),
  };
}

function renderObject(schema: ObjectSchema, dialect: Dialect, isKind: boolean): Json {
  const fields: [string, Field][] = Object.entries(schema.fields);
  const properties: Json = Object.create(null) as Json;
  for (const [name, field] of [...(isKind ? typeFields(fields) : []), ...fields].sort(([left], [right]) =>
    left < right ? -1 : 1,
  ))
    properties[name] = renderField(field, dialect);
  // Objects that are kinds have metadata; upstream never says so.
  const required = fields
    .filter(([name, field]) => field.required && !(isKind && name === 'metadata'))
    .map(([name]) => name);
  return {
    ...(schema.doc !== undefined && { description: schema.doc }),
    type: 'object',
    ...(Object.keys(properties).length > 0 && { properties }),
    ...(required.length > 0 && { required: required.sort() }),
    ...(schema.mapType && { 'x-kubernetes-map-type': schema.mapType }),
    ...(schema.unions && { 'x-kubernetes-unions': schema.unions }),
    ...(schema.preserveUnknown && { 'x-kubernetes-preserve-unknown-fields': true }),
  };
}

/** What is said of the fields that all kinds have. The first words are those that the official conformance tests look for. */
export const typeDocs = {
  apiVersion: 'APIVersion defines the group and version that this object is written in, such as apps/v1.',
  kind: 'Kind is what the object is, such as Deployment.',
  metadata: "Standard object's metadata: name, namespace, labels and what the server keeps of it.",
};

/** apiVersion and kind, which the schemas of kinds leave out. */
function typeFields(fields: readonly [string, Field][]): [string, Field][] {
  const schema: Schema = { type: 'string' };
  const own: [string, Field][] = [
    ['apiVersion', { schema, tag: 0, doc: typeDocs.apiVersion }],
    ['kind', { schema, tag: 0, doc: typeDocs.kind }],
  ];
  return own.filter(([name]) => !fields.some(([present]) => present === name));
}

function renderField(field: Field, dialect: Dialect): Json {
  const type = renderType(field.schema, dialect);
  const extras: Json = {
    ...(field.doc !== undefined && { description: field.doc }),
    ...(dialect.version === 3 && field.default !== undefined && { default: field.default }),
    ...(dialect.version === 3 && field.enum && { enum: field.enum }),
    ...(field.patchStrategy && { 'x-kubernetes-patch-strategy': field.patchStrategy }),
  };
  // Beside a $ref nothing else may stand in OpenAPI 3.0.
  if ('$ref' in type && dialect.version === 3 && Object.keys(extras).length > 0) return { allOf: [type], ...extras };
  return { ...type, ...extras };
}

function renderType(schema: Schema, dialect: Dialect, inPlace = false): Json {
  const resolved = resolve(schema);
  const name = nameOf(resolved);
  if (name !== '' && !inPlace) return { $ref: `${dialect.refPrefix}${name}` };
  switch (resolved.type) {
    case 'object':
      return renderObject(resolved, dialect, false);
    case 'list':
      return {
        type: 'array',
        items: renderType(resolved.items, dialect),
        ...(resolved.listType && { 'x-kubernetes-list-type': resolved.listType }),
        ...(resolved.mapKeys && { 'x-kubernetes-list-map-keys': resolved.mapKeys }),
        ...(resolved.patchMergeKey && { 'x-kubernetes-patch-merge-key': resolved.patchMergeKey }),
        ...(resolved.patchStrategy && { 'x-kubernetes-patch-strategy': resolved.patchStrategy }),
      };
    case 'map':
      return {
        type: 'object',
        additionalProperties: renderType(resolved.values, dialect),
        ...(resolved.mapType && { 'x-kubernetes-map-type': resolved.mapType }),
      };
    default:
      return renderScalar(resolved.type, resolved.format, dialect);
  }
}

function renderScalar(type: ScalarType, format: string | undefined, { version }: Dialect): Json {
  switch (type) {
    case 'string':
      return { type: 'string', ...(format !== undefined && { format }) };
    case 'boolean':
      return { type: 'boolean' };
    case 'int32':
    case 'int64':
      return { type: 'integer', format: format ?? type };
    case 'double':
      return { type: 'number', format: format ?? 'double' };
    case 'bytes':
      return { type: 'string', format: 'byte' };
    case 'quantity':
      return version === 2 ? { type: 'string' } : { oneOf: [{ type: 'string' }, { type: 'number' }] };
    case 'time':
    case 'microTime':
      return { type: 'string', format: 'date-time' };
    case 'intOrString':
      return version === 2
        ? { type: 'string', format: 'int-or-string' }
        : { format: 'int-or-string', oneOf: [{ type: 'integer' }, { type: 'string' }] };
    case 'rawExtension':
    case 'fieldsV1':
      return { type: 'object' };
    case 'json':
      return {};
  }
}
