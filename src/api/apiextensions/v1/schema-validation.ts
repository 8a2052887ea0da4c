import type { Report } from '../../machinery/validation.ts';
import type { JSONSchemaProps } from './custom-resource-definition.ts';
import { schemaPathOf } from '../field-path.ts';
import { validateDefaults } from './default-validation.ts';
import { OnDemand } from '../../machinery/on-demand.ts';
import { beforeValueCheck } from '../value-check.ts';
import type { RuleContext } from './rule-validation.ts';
import { schemaInGo, setFieldsInGo } from './schema-go-form.ts';
import { hasRules, schemaIn, schemasIn, subschemas } from './schema-parts.ts';
import { isStructurable, validateStructure } from './structural-validation.ts';

/** The fields the root may have when the resource has a status subresource, by their names in Go. */
const rootFields = [
  'Description',
  'Type',
  'Format',
  'Title',
  'Maximum',
  'ExclusiveMaximum',
  'Minimum',
  'ExclusiveMinimum',
  'MaxLength',
  'MinLength',
  'Pattern',
  'MaxItems',
  'MinItems',
  'UniqueItems',
  'MultipleOf',
  'Required',
  'Items',
  'Properties',
  'ExternalDocs',
  'Example',
  'XPreserveUnknownFields',
  'XValidations',
];

const rulesOnDemand = new OnDemand(() => import('./rule-validation.ts'));

/** To be waited for before a schema is validated: its rules have to be compiled. */
export async function beforeSchemaValidation(schema: JSONSchemaProps): Promise<void> {
  if (!hasRules(schema)) return;
  await rulesOnDemand.load();
  await beforeValueCheck(schema);
}

function ruleContext(schema: JSONSchemaProps, wasAccepted: boolean): RuleContext {
  const { RuleContext, RuleFindings } = rulesOnDemand.module;
  return new RuleContext(schema, new RuleFindings(wasAccepted));
}

/**
 * The rules for a whole schema, reported at `….openAPIV3Schema`. `wasAccepted`: this very schema is in force already, so
 * what its rules cost is not asked again.
 */
export function validateRootSchema(
  schema: JSONSchemaProps,
  hasStatus: boolean,
  report: Report,
  wasAccepted = false,
): void {
  const before = report.errors.length;
  if (hasStatus) validateRootWithStatus(schema, report);
  if (schema.nullable === true) report.at('nullable').forbidden('nullable cannot be true at the root');
  const problem = isStructurable(schema);
  let context: RuleContext | undefined;
  if (problem === undefined) {
    const sound = report.errors.length;
    validateStructure(schema, report);
    if (report.errors.length === sound) validateDefaults(schema, report);
    // Expressions of a schema that is none would only confuse.
    if (report.errors.length === sound && hasRules(schema)) context = ruleContext(schema, wasAccepted);
  }
  validateSchema(schema, report, { isRoot: true }, context);
  if (problem !== undefined && report.errors.length === before) report.invalid('', problem);
  if (!context) return;
  report.errors.push(...context.findings.errors);
  context.findings.conclude(report);
}

/** The first that is wrong is told. */
function validateRootWithStatus(schema: JSONSchemaProps, report: Report): void {
  const { type = '' } = schema;
  const wrong = setFieldsInGo(schema).find(name => (name === 'Type' ? type !== 'object' : !rootFields.includes(name)));
  if (wrong === undefined) return;
  const where = 'at the root of the schema if the status subresource is enabled';
  if (wrong === 'Type') report.at('type').invalid(type, `only "object" is allowed as the type ${where}`);
  else report.invalid(schemaInGo(schema), `only [${rootFields.join(' ')}] fields are allowed ${where}`);
}

const metaFields = new Set(['metadata', 'kind', 'apiVersion']);
const types = ['array', 'boolean', 'integer', 'number', 'object', 'string'];

interface Place {
  readonly isRoot?: boolean;
  /** Set where no default may stand, with the place in words. */
  readonly noDefaults?: string | undefined;
  readonly isInMeta?: boolean;
  /** What rules below cannot be compared with what was there before, because of this place. */
  readonly uncorrelatable?: string | undefined;
}

function validateSchema(schema: JSONSchemaProps, report: Report, place: Place, context: RuleContext | undefined): void {
  const before = report.errors.length;
  validateStandard(schema, report, place);
  const { isRoot = false, ...inner } = place;
  if (schema.uniqueItems === true) {
    const why = 'uniqueItems cannot be set to true since the runtime complexity becomes quadratic';
    report.at('uniqueItems').forbidden(why);
  }
  const { properties = {}, additionalProperties } = schema;
  if (additionalProperties !== undefined && additionalProperties !== null) {
    if (Object.keys(properties).length > 0 && additionalProperties !== true) {
      report.at('additionalProperties').forbidden('additionalProperties and properties are mutual exclusive');
    }
    const noDefaults = inner.isInMeta === true ? 'inside additionalProperties applying to object metadata' : undefined;
    const values = schemaIn(additionalProperties);
    const at = report.at('additionalProperties');
    if (values !== undefined)
      validateSchema(values, at, { ...inner, noDefaults: noDefaults ?? inner.noDefaults }, context?.element(values));
  }
  for (const [name, property] of Object.entries(properties)) {
    let where: Place = inner;
    if ((isRoot || schema['x-kubernetes-embedded-resource'] === true) && metaFields.has(name)) {
      where = { ...inner, isInMeta: true, noDefaults: isRoot ? `in top-level ${name}` : inner.noDefaults };
    }
    validateSchema(property, report.at('properties').key(name), where, context?.property(name, property));
  }
  const items = schemaIn(schema.items);
  for (const [part, at] of subschemas(schema, report)) {
    // Only items of lists of type map can be told to be the same.
    const isAlone = part === items && schema['x-kubernetes-list-type'] !== 'map';
    const uncorrelatable = inner.uncorrelatable ?? (isAlone ? report.path : undefined);
    const within = part === items ? { ...inner, uncorrelatable } : inner;
    validateSchema(part, at, within, part === items ? context?.element(part) : undefined);
  }
  validateExtensions(schema, report);
  if (context && (schema['x-kubernetes-validations'] ?? []).length > 0 && report.errors.length === before)
    rulesOnDemand.module.validateRuleExpressions(context, report.path, place.uncorrelatable);
}

function validateStandard(schema: JSONSchemaProps, report: Report, { noDefaults, isInMeta }: Place): void {
  const { type = '' } = schema;
  if (type !== '' && !types.includes(type)) report.at('type').notSupported(type, types);
  if (schema.default !== undefined && noDefaults !== undefined) {
    report.at('default').forbidden(`must not be set ${noDefaults}`);
  }
  const refused = {
    id: (schema.id ?? '') !== '',
    additionalItems: schema.additionalItems !== undefined,
    patternProperties: Object.keys(schema.patternProperties ?? {}).length > 0,
    definitions: Object.keys(schema.definitions ?? {}).length > 0,
    dependencies: schema.dependencies !== undefined,
    $ref: schema.$ref !== undefined,
  };
  for (const [name, isSet] of Object.entries(refused)) {
    if (isSet) report.at(name).forbidden(`${name} is not supported`);
  }
  if (type === 'null') report.at('type').forbidden('type cannot be set to null, use nullable as an alternative');
  if (schemasIn(schema.items).length > 0) {
    report.at('items').forbidden('items must be a schema object and not an array');
  }
  if (isInMeta === true && schema['x-kubernetes-embedded-resource'] === true) {
    report.at('x-kubernetes-embedded-resource').forbidden('must not be used inside of resource meta');
  }
}

function validateExtensions(schema: JSONSchemaProps, report: Report): void {
  const keeps = schema['x-kubernetes-preserve-unknown-fields'];
  if (keeps === false) {
    report.at('x-kubernetes-preserve-unknown-fields').invalid(false, 'must be true or undefined');
  }
  const mapType = schema['x-kubernetes-map-type'];
  if (mapType !== undefined) {
    checkType(schema, 'object', 'x-kubernetes-map-type', report);
    if (mapType !== 'atomic' && mapType !== 'granular') {
      report.at('x-kubernetes-map-type').notSupported(mapType, ['atomic', 'granular']);
    }
  }
  validateListType(schema, report);
  validateRules(schema, report);
}

function checkType(schema: JSONSchemaProps, wanted: string, extension: string, report: Report): void {
  const { type = '' } = schema;
  const detail = `must be ${wanted} if ${extension} is specified`;
  if (type === '') report.at('type').required(detail);
  else if (type !== wanted) report.at('type').invalid(type, detail);
}

const listTypes = ['atomic', 'set', 'map'];

function validateListType(schema: JSONSchemaProps, report: Report): void {
  const listType = schema['x-kubernetes-list-type'];
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  const items = schemaIn(schema.items);
  const at = report.at('x-kubernetes-list-type');
  if (listType !== undefined) {
    checkType(schema, 'array', 'x-kubernetes-list-type', report);
    if (schema.type === 'array' && listType === 'set' && items !== undefined) validateSetItems(items, report);
    if (!listTypes.includes(listType)) at.notSupported(listType, listTypes);
  }
  if (keys.length > 0) {
    const mustBeMap = 'must be map if x-kubernetes-list-map-keys is non-empty';
    if (listType === undefined) at.required(mustBeMap);
    else if (listType !== 'map') at.invalid(listType, mustBeMap);
  }
  if (listType === 'map') validateMapList(schema, keys, report);
  if ((listType === 'map' || listType === 'set') && items !== undefined) {
    if (items.nullable === true) {
      report.at('items', 'nullable').forbidden(`cannot be nullable when x-kubernetes-list-type is ${listType}`);
    }
    if (listType === 'map') validateMapKeys(items, keys, report.at('items', 'properties'));
  }
}

function validateSetItems(items: JSONSchemaProps, report: Report): void {
  const detail = 'must be atomic as item of a list with x-kubernetes-list-type=set';
  const listType = items['x-kubernetes-list-type'];
  const mapType = items['x-kubernetes-map-type'];
  if (items.type === 'array' && (listType ?? 'atomic') !== 'atomic') {
    report.at('items', 'x-kubernetes-list-type').invalid(listType, detail);
  }
  if (items.type === 'object' && mapType !== 'atomic') {
    report.at('items', 'x-kubernetes-map-type').invalid(listType, detail);
  }
}

function validateMapList(schema: JSONSchemaProps, keys: readonly string[], report: Report): void {
  const atKeys = report.at('x-kubernetes-list-map-keys');
  if (keys.length === 0) atKeys.required('must not be empty if x-kubernetes-list-type is map');
  const at = report.at('items');
  if (schema.items === undefined || schema.items === null) {
    at.required('must have a schema if x-kubernetes-list-type is map');
    return;
  }
  const items = schemaIn(schema.items);
  if (items === undefined) {
    at.invalid(schema.items, 'must only have a single schema if x-kubernetes-list-type is map');
    return;
  }
  if (items.type !== 'object') {
    at.at('type').invalid(items.type ?? '', "must be object if parent array's x-kubernetes-list-type is map");
    return;
  }
  const seen = new Set<string>();
  for (const key of keys) {
    const property = items.properties?.[key];
    if (property === undefined) atKeys.invalid(keys, 'entries must all be names of item properties');
    else if (property.type === 'array' || property.type === 'object') {
      const detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
      at.at('properties').key(key).at('type').invalid(items.type, detail);
    }
    if (seen.has(key)) atKeys.invalid(keys, 'must not contain duplicate entries');
    seen.add(key);
  }
}

function validateMapKeys(items: JSONSchemaProps, keys: readonly string[], report: Report): void {
  for (const key of keys) {
    const property = items.properties?.[key];
    if (property === undefined) continue;
    const at = report.key(key);
    const why = 'this property is in x-kubernetes-list-map-keys, so it';
    if (items.required?.includes(key) !== true && property.default === undefined) {
      at.at('default').required(`${why} must have a default or be a required property`);
    }
    if (property.nullable === true) at.at('nullable').forbidden(`${why} cannot be nullable`);
  }
}

const reasons = ['FieldValueDuplicate', 'FieldValueForbidden', 'FieldValueInvalid', 'FieldValueRequired'];

/** The texts around the rules. */
function validateRules(schema: JSONSchemaProps, report: Report): void {
  for (const [position, rule] of (schema['x-kubernetes-validations'] ?? []).entries()) {
    const at = report.at('x-kubernetes-validations').index(position);
    const { message = '', messageExpression = '', fieldPath = '', reason } = rule;
    const text = rule.rule.trim();
    if (text === '') at.at('rule').required('rule is not specified');
    else if (message !== '' && message.trim() === '') {
      at.at('message').invalid(message, 'must be non-empty if specified');
    } else if (hasNewline(message.trim())) at.at('message').invalid(message, 'must not contain line breaks');
    else if (hasNewline(text) && message.trim() === '') {
      at.at('message').required('message must be specified if rule contains line breaks');
    }
    if (messageExpression !== '' && messageExpression.trim() === '') {
      at.at('messageExpression').required('messageExpression must be non-empty if specified');
    }
    if (reason !== undefined && !reasons.includes(reason)) at.at('reason').notSupported(reason, reasons);
    if (fieldPath !== '' && fieldPath.trim() === '') {
      at.at('fieldPath').invalid(fieldPath, 'must be non-empty if specified');
    }
    if (hasNewline(fieldPath)) at.at('fieldPath').invalid(fieldPath, 'must not contain line breaks');
    if (fieldPath !== '' && !leadsSomewhere(fieldPath, schema))
      at.at('fieldPath').invalid(fieldPath, 'must be a valid path');
  }
}

function leadsSomewhere(path: string, schema: JSONSchemaProps): boolean {
  try {
    schemaPathOf(path, schema);
    return true;
  } catch {
    // The reason is not told: upstream says only that it is none.
    return false;
  }
}

function hasNewline(text: string): boolean {
  return /[\r\n]/.test(text);
}
