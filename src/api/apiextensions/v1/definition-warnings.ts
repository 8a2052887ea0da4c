import { Report } from '../../machinery/validation.ts';
import { isKnownFormat } from '../formats.ts';
import type { CustomResourceDefinitionSpec, JSONSchemaProps } from './custom-resource-definition.ts';
import { schemaIn, subschemas } from './schema-parts.ts';

interface Definition {
  readonly spec: CustomResourceDefinitionSpec;
}

/** What is accepted and does not do what its author may think. Of an update only what is new. */
export function definitionWarnings({ spec }: Definition, old: Definition | undefined): readonly string[] {
  const before = new Set(old ? schemasOf(old.spec).flatMap(warningsOf) : []);
  const found = schemasOf(spec).flatMap(warningsOf);
  return [...new Set(found)].filter(each => !before.has(each));
}

function schemasOf({ versions }: CustomResourceDefinitionSpec): readonly JSONSchemaProps[] {
  return (versions ?? []).flatMap(({ schema }) => schema?.openAPIV3Schema ?? []);
}

function warningsOf(schema: JSONSchemaProps): string[] {
  const { type = '', format = '' } = schema;
  const found: string[] = [];
  if (format !== '' && !isKnownFormat(type, format)) found.push(`unrecognized format ${JSON.stringify(format)}`);
  const items = schemaIn(schema.items);
  if (schema['x-kubernetes-list-type'] === 'set' && (items?.type === 'object' || items?.type === 'array'))
    found.push(
      `x-kubernetes-list-type: set for items of type ${JSON.stringify(items.type)} is not supported by server-side apply or CEL validation rules`,
    );
  const parts = [
    ...Object.values(schema.properties ?? {}),
    ...[...subschemas(schema, new Report())].map(([part]) => part),
  ];
  const values = schemaIn(schema.additionalProperties);
  if (values) parts.push(values);
  return [...found, ...parts.flatMap(warningsOf)];
}
