import { sameValue } from '../../machinery/checks.ts';
import { Report } from '../../machinery/validation.ts';
import type { JSONSchemaProps } from './custom-resource-definition.ts';
import { schemaIn, schemasIn, subschemas } from './schema-parts.ts';

/**
 * Structural schemas: every field has one type, stated outside of allOf, anyOf, oneOf and not, which
 * may only narrow values. Only such schemas can prune, default and be published.
 */
export function validateStructure(schema: JSONSchemaProps, report: Report): void {
  const found = new Report(report.path);
  validateNode(schema, 'root', found);
  validateCompleteness(schema, schema, found, found);
  found.errors.sort((a, b) => (lineOf(a) < lineOf(b) ? -1 : 1));
  report.errors.push(...found.errors);
}

function lineOf({ field, message }: { field: string; message: string }): string {
  return `${field}: ${message}`;
}

/** What keeps the schema from being read as a structural one at all, undefined if nothing does. */
export function isStructurable(schema: JSONSchemaProps): string | undefined {
  if (schemasIn(schema.items).length > 0) return "OpenAPIV3Schema 'items' must be a schema, but is an array";
  if (schema['x-kubernetes-preserve-unknown-fields'] === false) {
    return "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined";
  }
  const refused = {
    id: (schema.id ?? '') !== '',
    schema: (schema.$schema ?? '') !== '',
    $ref: (schema.$ref ?? '') !== '',
    patternProperties: Object.keys(schema.patternProperties ?? {}).length > 0,
    dependencies: Object.keys(schema.dependencies ?? {}).length > 0,
    additionalItems: schema.additionalItems !== undefined,
    definitions: Object.keys(schema.definitions ?? {}).length > 0,
  };
  for (const [name, isSet] of Object.entries(refused)) {
    if (isSet) return `OpenAPIV3Schema '${name}' is not supported`;
  }
  const parts = [
    ...Object.values(schema.properties ?? {}),
    ...[...subschemas(schema, new Report())].map(([part]) => part),
  ];
  const values = schemaIn(schema.additionalProperties);
  if (values !== undefined) parts.push(values);
  for (const part of parts) {
    const problem = isStructurable(part);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

type Level = 'root' | 'item' | 'field';

const emptyTypeDetails: Readonly<Record<Level, string>> = {
  root: 'must not be empty at the root',
  item: 'must not be empty for specified array items',
  field: 'must not be empty for specified object fields',
};

function validateNode(schema: JSONSchemaProps, level: Level, report: Report): void {
  const { type = '', properties = {} } = schema;
  const items = schemaIn(schema.items);
  if (type === 'array' && items === undefined) report.at('items').required('must be specified');
  if (items !== undefined) validateNode(items, 'item', report.at('items'));
  for (const [name, property] of Object.entries(properties)) {
    validateNode(property, 'field', report.at('properties').key(name));
  }
  const values = schemaIn(schema.additionalProperties);
  const hasValues = schema.additionalProperties !== undefined && schema.additionalProperties !== null;
  const atValues = report.at('additionalProperties');
  if (hasValues && level === 'root') atValues.forbidden('must not be used at the root');
  if (values !== undefined) validateNode(values, 'field', atValues);
  const isIntOrString = schema['x-kubernetes-int-or-string'] === true;
  const isEmbedded = schema['x-kubernetes-embedded-resource'] === true;
  const keepsUnknown = schema['x-kubernetes-preserve-unknown-fields'] === true;
  const notBoth = 'must be false if x-kubernetes-int-or-string is true';
  if (isIntOrString && keepsUnknown) report.at('x-kubernetes-preserve-unknown-fields').invalid(true, notBoth);
  if (isIntOrString && isEmbedded) report.at('x-kubernetes-embedded-resource').invalid(true, notBoth);
  validateValueRules(
    schema,
    isIntOrStringPattern(schema.anyOf),
    isIntOrStringPattern(schema.allOf?.[0]?.anyOf),
    report,
  );
  validateNodeType(schema, level, report);
  if (isEmbedded && hasValues) atValues.forbidden('must not be used if x-kubernetes-embedded-resource is set');
  if (level === 'root' && type !== '' && type !== 'object')
    report.at('type').invalid(type, 'must be object at the root');
  const isObject = level === 'root' || isEmbedded;
  for (const name of ['kind', 'apiVersion']) {
    const property = properties[name];
    if (!isObject || property === undefined || property.type === 'string') continue;
    report
      .at('properties')
      .key(name)
      .at('type')
      .invalid(property.type ?? '', 'must be string');
  }
  if (properties['metadata'] !== undefined) {
    validateMetadata(properties['metadata'], isObject, level, report.at('properties').key('metadata'));
  }
  if (isEmbedded && !keepsUnknown && Object.keys(properties).length === 0) {
    const unless = 'x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields';
    report.at('properties').required(`must not be empty if ${unless}`);
  }
}

function validateNodeType(schema: JSONSchemaProps, level: Level, report: Report): void {
  const { type = '' } = schema;
  const at = report.at('type');
  if (schema['x-kubernetes-embedded-resource'] === true && type !== 'object') {
    const detail = 'must be object if x-kubernetes-embedded-resource is true';
    if (type === '') at.required(detail);
    else at.invalid(type, detail);
    return;
  }
  const isFree =
    schema['x-kubernetes-int-or-string'] === true || schema['x-kubernetes-preserve-unknown-fields'] === true;
  if (type === '' && !isFree) at.required(emptyTypeDetails[level]);
}

/** Of an object's metadata only the rules for its name are the schema's to state. */
function validateMetadata(schema: JSONSchemaProps, isObject: boolean, level: Level, report: Report): void {
  const { type = '', properties = {}, default: _default, ...rest } = schema;
  if (isObject && type !== 'object') report.at('type').invalid(type, 'must be object');
  if (level !== 'root') return;
  const names = Object.keys(properties).filter(name => name !== 'name' && name !== 'generateName');
  const others = Object.values(rest).filter(value => value !== undefined && value !== '' && value !== false);
  if (names.length === 0 && others.length === 0) return;
  const only = 'must not specify anything other than name and generateName';
  report.forbidden(`${only}, but metadata is implicitly specified`);
}

function isIntOrStringPattern(parts: readonly JSONSchemaProps[] | undefined): boolean {
  return sameValue(parts, [{ type: 'integer' }, { type: 'string' }]);
}

/** The rules about values: what stands in them must not state structure again. */
function validateValueRules(
  schema: JSONSchemaProps,
  skipsAnyOf: boolean,
  skipsFirstAllOf: boolean,
  report: Report,
): void {
  if (!skipsAnyOf) {
    for (const [position, part] of (schema.anyOf ?? []).entries()) {
      validateNested(part, false, report.at('anyOf').index(position));
    }
  }
  for (const [position, part] of (schema.allOf ?? []).entries()) {
    validateNested(part, skipsFirstAllOf && position === 0, report.at('allOf').index(position));
  }
  for (const [position, part] of (schema.oneOf ?? []).entries()) {
    validateNested(part, false, report.at('oneOf').index(position));
  }
  if (schema.not !== undefined) validateNested(schema.not, false, report.at('not'));
  const { pattern = '' } = schema;
  if (pattern !== '' && !isPattern(pattern)) {
    report.at('pattern').invalid(pattern, "must be a valid regular expression, but isn't: error parsing regexp");
  }
}

function isPattern(pattern: string): boolean {
  try {
    // Go's (?i) and the like at the start, and \z, are no part of JavaScript's syntax.
    void new RegExp(pattern.replace(/^\(\?[imsU]+\)/, '').replaceAll(/\\[Az]/g, ''));
    return true;
  } catch {
    // The platform's parser refuses it.
    return false;
  }
}

function validateNested(schema: JSONSchemaProps, skipsAnyOf: boolean, report: Report): void {
  validateValueRules(schema, skipsAnyOf, false, report);
  const items = schemaIn(schema.items);
  if (items !== undefined) validateNested(items, false, report.at('items'));
  for (const [name, part] of Object.entries(schema.properties ?? {})) {
    validateNested(part, false, report.at('properties').key(name));
  }
  const empty = 'must be empty to be structural';
  const absent = 'must be undefined to be structural';
  const unset = 'must be false to be structural';
  const refused: readonly (readonly [string, boolean, string])[] = [
    ['type', (schema.type ?? '') !== '', empty],
    ['additionalProperties', schema.additionalProperties !== undefined, absent],
    ['default', schema.default !== undefined && schema.default !== null, absent],
    ['title', (schema.title ?? '') !== '', empty],
    ['description', (schema.description ?? '') !== '', empty],
    ['nullable', schema.nullable === true, unset],
    ['x-kubernetes-preserve-unknown-fields', schema['x-kubernetes-preserve-unknown-fields'] === true, unset],
    ['x-kubernetes-embedded-resource', schema['x-kubernetes-embedded-resource'] === true, unset],
    ['x-kubernetes-int-or-string', schema['x-kubernetes-int-or-string'] === true, unset],
    ['x-kubernetes-list-map-keys', (schema['x-kubernetes-list-map-keys'] ?? []).length > 0, empty],
    ['x-kubernetes-list-type', schema['x-kubernetes-list-type'] !== undefined, absent],
    ['x-kubernetes-map-type', schema['x-kubernetes-map-type'] !== undefined, absent],
    ['x-kubernetes-validations', (schema['x-kubernetes-validations'] ?? []).length > 0, empty],
  ];
  for (const [name, isSet, detail] of refused) {
    if (isSet) report.at(name).forbidden(detail);
  }
  if (schema.properties?.['metadata'] !== undefined) {
    report.at('properties').key('metadata').forbidden('must not be specified in a nested context');
  }
}

/** Fields and items with rules of values must be declared by the structure itself. */
function validateCompleteness(rules: JSONSchemaProps, schema: JSONSchemaProps, at: Report, rulesAt: Report): void {
  if (rules.not !== undefined) validateNestedCompleteness(rules.not, schema, at, rulesAt.at('not'));
  for (const name of ['allOf', 'anyOf', 'oneOf'] as const) {
    for (const [position, part] of (rules[name] ?? []).entries()) {
      validateNestedCompleteness(part, schema, at, rulesAt.at(name).index(position));
    }
  }
}

function validateNestedCompleteness(
  rules: JSONSchemaProps,
  schema: JSONSchemaProps,
  at: Report,
  rulesAt: Report,
): void {
  validateCompleteness(rules, schema, at, rulesAt);
  const items = schemaIn(rules.items);
  if (items !== undefined) {
    const structure = schemaIn(schema.items);
    const itemsAt = rulesAt.at('items');
    if (structure === undefined) at.at('items').required(`because it is defined in ${itemsAt.path}`);
    else validateNestedCompleteness(items, structure, at.at('items'), itemsAt);
  }
  for (const [name, part] of Object.entries(rules.properties ?? {})) {
    const structure = schema.properties?.[name];
    const propertyAt = at.at('properties').key(name);
    const partAt = rulesAt.at('properties').key(name);
    if (structure === undefined) propertyAt.required(`because it is defined in ${partAt.path}`);
    else validateNestedCompleteness(part, structure, propertyAt, partAt);
  }
}
