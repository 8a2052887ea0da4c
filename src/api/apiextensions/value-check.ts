import { deepEqual } from '#base/deep-equal.ts';
import { encodeJson } from '../machinery/json.ts';
import { isDNS1035Label } from '../machinery/names.ts';
import { Report, type FieldError } from '../machinery/validation.ts';
import { correlatedItems } from './correlation.ts';
import { isOfFormat } from './formats.ts';
import { matcherOf } from './pattern.ts';
import type { JSONSchemaProps } from './v1/custom-resource-definition.ts';
import { OnDemand } from '../machinery/on-demand.ts';
import type { RuleTree } from './rules.ts';
import { hasRules, schemaIn } from './v1/schema-parts.ts';

/** Holds the values of an object against a schema, in upstream's words. What is as it was in `old` is not judged again. */
export type ValueCheck = (value: unknown, report: Report, old?: unknown) => void;

const rulesOnDemand = new OnDemand(() => import('./rules.ts'));

/** To be waited for before values of the schema are checked: rules take more than most definitions need. */
export function beforeValueCheck(root: JSONSchemaProps): Promise<void> | undefined {
  return hasRules(root) ? rulesOnDemand.load() : undefined;
}

/** What a schema says of values, and its rules. Metadata is judged elsewhere, as for every kind. */
export function valueCheckOf(root: JSONSchemaProps, isRoot = true): ValueCheck {
  let check: Check | undefined;
  // Rules are compiled when there is something to judge: most definitions are never used at all.
  let rules: { readonly tree: RuleTree | undefined } | undefined;
  return (value, report, old) => {
    const found: FieldError[] = [];
    check ??= compile(root);
    check(value, '', found, old);
    found.push(...listProblems(root, value, old));
    report.errors.push(...found);
    if (!hasRules(root)) return;
    if (found.some(({ type }) => blocking.has(type))) {
      report
        .within('')
        .invalid(
          null,
          'some validation rules were not checked because the object was invalid; correct the existing errors to complete validation',
        );
      return;
    }
    const { checkRules, ruleTreeOf } = rulesOnDemand.module;
    rules ??= { tree: ruleTreeOf(root, isRoot) };
    if (rules.tree) checkRules(rules.tree, value, old, old !== undefined, report);
  };
}

/** Lists of an object that had items twice before may have them still. */
function listProblems(root: JSONSchemaProps, value: unknown, old: unknown): readonly FieldError[] {
  const found: FieldError[] = [];
  checkLists(root, value, '', found);
  if (found.length === 0 || old === undefined) return found;
  const before: FieldError[] = [];
  checkLists(root, old, '', before);
  return before.length === 0 ? found : [];
}

/** `path` is how messages name the place: `spec.containers[0]`, or nothing for the whole. */
type Check = (value: unknown, path: string, errors: FieldError[], old?: unknown) => void;

const blocking = new Set<string>([
  'FieldValueNotSupported',
  'FieldValueRequired',
  'FieldValueTooLong',
  'FieldValueTooMany',
  'FieldValueTypeInvalid',
]);

function compile(schema: JSONSchemaProps): Check {
  const type = typeCheck(schema);
  const enums = [...enumChecks(schema)];
  const checks = [
    ...(type ? [type] : []),
    ...combinationChecks(schema),
    ...textChecks(schema),
    ...numberChecks(schema),
    ...listChecks(schema),
    ...enums,
    ...objectChecks(schema),
  ];
  // Of null only the type and the enumeration say something.
  const ofNull = [...(type ? [type] : []), ...enums];
  return (value, path, errors, old) => {
    if (old !== undefined && deepEqual(value, old)) return;
    for (const check of value === null ? ofNull : checks) check(value, path, errors, old);
  };
}

function typeCheck(schema: JSONSchemaProps): Check | undefined {
  const { format, nullable = false } = schema;
  const isIntOrString = schema['x-kubernetes-int-or-string'] === true;
  const wanted = isIntOrString ? 'integer,string' : (schema.type ?? '');
  if (wanted === '') return undefined;
  return (value, path, errors) => {
    const actual = typeOf(value);
    if (actual === 'null' && nullable) return;
    const fits = isIntOrString
      ? actual === 'integer' || actual === 'string'
      : actual === wanted || (actual === 'integer' && wanted === 'number');
    if (!fits) wrongType(path, wanted, actual, errors);
    else if (typeof value === 'string' && format !== undefined && !isOfFormat(format, value))
      wrongType(path, format, value, errors);
  };
}

function wrongType(path: string, wanted: string, actual: string, errors: FieldError[]): void {
  new Report(path, errors).typeInvalid(actual, `${path} in body must be of type ${wanted}: ${JSON.stringify(actual)}`);
}

function typeOf(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'bigint') return 'integer';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

function* textChecks({ minLength, maxLength, pattern }: JSONSchemaProps): Generator<Check> {
  if (maxLength !== undefined)
    yield ofText((value, path, errors) => {
      if (lengthOf(value) > Number(maxLength)) new Report(path, errors).tooLong(Number(maxLength));
    });
  if (minLength !== undefined)
    yield ofText((value, path, errors) => {
      if (lengthOf(value) < Number(minLength)) should(value, path, `be at least ${minLength} chars long`, errors);
    });
  if (pattern === undefined || pattern === '') return;
  const matches = matcherOf(pattern);
  yield ofText((value, path, errors) => {
    if (!matches(value)) should(value, path, `match '${pattern}'`, errors);
  });
}

function ofText(check: (value: string, path: string, errors: FieldError[]) => void): Check {
  return (value, path, errors) => {
    if (typeof value === 'string') check(value, path, errors);
  };
}

/** In characters, not in halves of surrogate pairs. */
function lengthOf(text: string): number {
  let length = 0;
  for (const _ of text) length++;
  return length;
}

function* numberChecks(schema: JSONSchemaProps): Generator<Check> {
  const { minimum, maximum, exclusiveMinimum = false, exclusiveMaximum = false, multipleOf, format, type } = schema;
  if (type === 'integer' && format === 'int32')
    yield ofNumber((value, path, errors) => {
      if (typeof value === 'bigint' || value !== (value | 0))
        new Report('', errors).invalid('', `Checked value must be of type integer with format int32 in ${path}`);
    });
  if (multipleOf !== undefined)
    yield ofNumber((value, path, errors) => {
      if (!isMultiple(value, multipleOf)) should(value, path, `be a multiple of ${multipleOf}`, errors);
    });
  if (maximum !== undefined)
    yield ofNumber((value, path, errors) => {
      if (exclusiveMaximum ? value >= maximum : value > maximum)
        should(value, path, `be less than ${exclusiveMaximum ? '' : 'or equal to '}${maximum}`, errors);
    });
  if (minimum !== undefined)
    yield ofNumber((value, path, errors) => {
      if (exclusiveMinimum ? value <= minimum : value < minimum)
        should(value, path, `be greater than ${exclusiveMinimum ? '' : 'or equal to '}${minimum}`, errors);
    });
}

function ofNumber(check: (value: number | bigint, path: string, errors: FieldError[]) => void): Check {
  return (value, path, errors) => {
    if (typeof value === 'number' || typeof value === 'bigint') check(value, path, errors);
  };
}

function isMultiple(value: number | bigint, factor: number): boolean {
  if (typeof value === 'bigint') return Number.isInteger(factor) && value % BigInt(factor) === 0n;
  const quotient = value / factor;
  return Math.abs(quotient - Math.round(quotient)) < 1e-9;
}

function should(value: unknown, path: string, what: string, errors: FieldError[]): void {
  new Report(path, errors).invalid(value, `${path} in body should ${what}`);
}

function* listChecks(schema: JSONSchemaProps): Generator<Check> {
  const { minItems, maxItems, uniqueItems } = schema;
  const items = schemaIn(schema.items);
  const checkItem = items && compile(items);
  if (minItems === undefined && maxItems === undefined && uniqueItems !== true && !checkItem) return;
  yield (value, path, errors, old) => {
    if (!Array.isArray(value)) return;
    const before = old === undefined ? undefined : correlatedItems(schema, old);
    if (checkItem)
      for (let index = 0; index < value.length; index++)
        checkItem(value[index], `${path}[${index}]`, errors, before?.(value[index]));
    if (minItems !== undefined && value.length < Number(minItems))
      should(value, path, `have at least ${minItems} items`, errors);
    if (maxItems !== undefined && value.length > Number(maxItems))
      new Report(path, errors).tooMany(value.length, Number(maxItems));
    if (uniqueItems === true && new Set(value.map(canonical)).size < value.length)
      new Report(path, errors).invalid(value, `${path} in body shouldn't contain duplicates`);
  };
}

function* enumChecks({ enum: allowed }: JSONSchemaProps): Generator<Check> {
  if (!allowed || allowed.length === 0) return;
  const listed = allowed.map(each => (typeof each === 'string' ? each : encodeJson(each)));
  yield (value, path, errors) => {
    if (!allowed.some(each => deepEqual(each, value))) new Report(path, errors).notSupported(value, listed);
  };
}

function* objectChecks(schema: JSONSchemaProps): Generator<Check> {
  const { minProperties, maxProperties, required = [] } = schema;
  const properties = new Map(Object.entries(schema.properties ?? {}).map(([name, each]) => [name, compile(each)]));
  const values = schemaIn(schema.additionalProperties);
  const checkValue = values && compile(values);
  const isResource = schema['x-kubernetes-embedded-resource'] === true;
  if (
    properties.size === 0 &&
    !checkValue &&
    !isResource &&
    required.length === 0 &&
    minProperties === undefined &&
    maxProperties === undefined
  )
    return;
  yield (value, path, errors, old) => {
    if (!isObject(value)) return;
    const object = value;
    const before = isObject(old) ? old : undefined;
    const under = path === '' ? '' : `${path}.`;
    const names = Object.keys(object);
    if (minProperties !== undefined && names.length < Number(minProperties))
      should(value, path, `have at least ${minProperties} properties`, errors);
    if (maxProperties !== undefined && names.length > Number(maxProperties))
      new Report(path, errors).tooMany(names.length, Number(maxProperties));
    if (isResource) checkTypeMeta(object, under, errors);
    for (const name of required)
      if (!Object.hasOwn(object, name) || object[name] === undefined) new Report(`${under}${name}`, errors).required();
    for (const name of names) {
      const each = object[name];
      if (each !== undefined)
        (properties.get(name) ?? checkValue)?.(each, `${under}${name}`, errors, memberOf(before, name));
    }
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An object within an object says what it is. */
function checkTypeMeta(object: Readonly<Record<string, unknown>>, under: string, errors: FieldError[]): void {
  for (const name of ['apiVersion', 'kind']) {
    const value = memberOf(object, name);
    const report = new Report(`${under}${name}`, errors);
    if (value === undefined) report.required();
    else if (typeof value !== 'string') report.invalid(value, 'must be a string');
    else if (value === '') report.invalid(value, 'must not be empty');
    else if (name === 'kind') {
      const messages = isDNS1035Label(value.toLowerCase());
      if (messages.length > 0)
        report.invalid(value, `may have mixed case, but should otherwise match: ${messages.join(',')}`);
    }
  }
}

function memberOf(object: unknown, name: string): unknown {
  return isObject(object) && Object.hasOwn(object, name) ? object[name] : undefined;
}

function* combinationChecks({ allOf = [], anyOf = [], oneOf = [], not }: JSONSchemaProps): Generator<Check> {
  if (anyOf.length > 0) {
    const checks = anyOf.map(compile);
    yield (value, path, errors) => {
      const found = checks.map(check => errorsOf(check, value, path));
      if (found.some(each => each.length === 0)) return;
      whole(errors, `${JSON.stringify(path)} must validate at least one schema (anyOf)`);
      errors.push(...fewest(found));
    };
  }
  if (oneOf.length > 0) {
    const checks = oneOf.map(compile);
    yield (value, path, errors) => {
      const found = checks.map(check => errorsOf(check, value, path));
      const valid = found.filter(each => each.length === 0).length;
      if (valid === 1) return;
      const count = valid === 0 ? 'Found none valid' : `Found ${valid} valid alternatives`;
      whole(errors, `${JSON.stringify(path)} must validate one and only one schema (oneOf). ${count}`);
      if (valid === 0) errors.push(...fewest(found));
    };
  }
  if (allOf.length > 0) {
    const checks = allOf.map(compile);
    yield (value, path, errors) => {
      const found = checks.map(check => errorsOf(check, value, path));
      const valid = found.filter(each => each.length === 0).length;
      errors.push(...found.flat());
      if (valid === found.length) return;
      const none = valid === 0 ? '. None validated' : '';
      whole(errors, `${JSON.stringify(path)} must validate all the schemas (allOf)${none}`);
    };
  }
  if (not) {
    const check = compile(not);
    yield (value, path, errors) => {
      if (errorsOf(check, value, path).length === 0)
        whole(errors, `${JSON.stringify(path)} must not validate the schema (not)`);
    };
  }
}

function errorsOf(check: Check, value: unknown, path: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  check(value, path, errors);
  return errors;
}

/** What came nearest to being valid. */
function fewest(found: readonly (readonly FieldError[])[]): readonly FieldError[] {
  return found.reduce((best, each) => (each.length < best.length ? each : best), found[0] ?? []);
}

/** Upstream says these of no field. */
function whole(errors: FieldError[], what: string): void {
  new Report('', errors).invalid('', what);
}

/** Lists that are sets or maps have no item twice. */
function checkLists(schema: JSONSchemaProps, value: unknown, path: string, errors: FieldError[]): void {
  if (Array.isArray(value)) {
    const items = schemaIn(schema.items);
    const keys = schema['x-kubernetes-list-map-keys'] ?? [];
    const listType = schema['x-kubernetes-list-type'];
    if (listType === 'set' || listType === 'map') {
      const seen = new Set<string>();
      for (const [index, item] of value.entries()) {
        const identity = listType === 'set' ? item : identityOf(item, keys);
        const text = canonical(identity);
        if (seen.has(text)) new Report(`${path}[${index}]`, errors).duplicate(identity);
        seen.add(text);
      }
    }
    if (items && hasLists(items))
      for (const [index, item] of value.entries()) checkLists(items, item, `${path}[${index}]`, errors);
    return;
  }
  if (!isObject(value) || !hasLists(schema)) return;
  const values = schemaIn(schema.additionalProperties);
  for (const [name, each] of Object.entries(value)) {
    const property = schema.properties && Object.hasOwn(schema.properties, name) ? schema.properties[name] : values;
    const under = property === values ? `${path}[${name}]` : path === '' ? name : `${path}.${name}`;
    if (property) checkLists(property, each, under, errors);
  }
}

function identityOf(item: unknown, keys: readonly string[]): unknown {
  if (typeof item !== 'object' || item === null) return item;
  const fields = item as Readonly<Record<string, unknown>>;
  return Object.fromEntries(keys.filter(key => Object.hasOwn(fields, key)).map(key => [key, fields[key]]));
}

const withLists = new WeakMap<JSONSchemaProps, boolean>();

function hasLists(schema: JSONSchemaProps): boolean {
  const known = withLists.get(schema);
  if (known !== undefined) return known;
  const listType = schema['x-kubernetes-list-type'];
  const has = listType === 'set' || listType === 'map' || partsOf(schema).some(hasLists);
  withLists.set(schema, has);
  return has;
}

function partsOf(schema: JSONSchemaProps): readonly JSONSchemaProps[] {
  return [
    ...Object.values(schema.properties ?? {}),
    ...[schemaIn(schema.additionalProperties), schemaIn(schema.items)].filter(each => each !== undefined),
  ];
}

/** The same text for the same value, whatever the order of its keys. */
function canonical(value: unknown): string {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const fields = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  return `{${fields.map(([name, each]) => `${JSON.stringify(name)}:${canonical(each)}`).join(',')}}`;
}
