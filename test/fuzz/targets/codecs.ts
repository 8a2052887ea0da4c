import { isDeepStrictEqual } from 'node:util';
import protobuf from 'protobufjs';
import { parseAllDocuments } from 'yaml';
import { decodeObject, type JsonDraft } from '#api/machinery/decode.ts';
import { applyDefaults } from '#api/machinery/defaults.ts';
import { ApiError } from '#api/machinery/errors.ts';
import { decodeJson, duplicateKeys, encodeJson } from '#api/machinery/json.ts';
import { decodeMessage, decodeProtobuf, encodeMessage, encodeProtobuf } from '#api/machinery/protobuf.ts';
import { type Json, type ObjectSchema, resolve, type Schema } from '#api/machinery/schema.ts';
import { decodeYaml, decodeYamlDocuments, duplicateYamlKeys, encodeYaml } from '#api/machinery/yaml.ts';
import { difference, holds, shown, type Target } from '../target.ts';
import { goldenObjects, kindOf, samples } from './samples.ts';

const jsonWords = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  '"a":',
  'null',
  'true',
  'false',
  '1',
  '-',
  '1e',
  '1E+5',
  '0.',
  '\\',
  '\\u',
  '\\ud800',
  '9007199254740993',
  '12345678901234567890',
];

function isError(error: unknown): boolean {
  return error instanceof Error && error.constructor === Error;
}

/** Whether a number of the text would lose digits in a double, so that JSON.parse may differ. */
function sameButForIntegers(ours: unknown, theirs: unknown): boolean {
  if (typeof ours === 'bigint') return ours === theirs || (typeof theirs === 'number' && Number(ours) === theirs);
  if (typeof ours !== 'object' || ours === null) return Object.is(ours, theirs) || ours === theirs;
  if (typeof theirs !== 'object' || theirs === null || Array.isArray(ours) !== Array.isArray(theirs)) return false;
  const keys = Object.keys(ours);
  return (
    keys.length === Object.keys(theirs).length &&
    keys.every(
      key =>
        Object.hasOwn(theirs, key) &&
        sameButForIntegers((ours as Json[])[key as never], (theirs as Json[])[key as never]),
    )
  );
}

function attempt<Value>(make: () => Value): { readonly value: Value } | { readonly error: unknown } {
  try {
    return { value: make() };
  } catch (error) {
    return { error };
  }
}

const json: Target = {
  name: 'json',
  form: 'text',
  words: jsonWords,
  seeds: () => [
    ...samples.map(each => JSON.stringify(each)),
    '[1.5,-0,9223372036854775807,"\\u0041\\n",{"__proto__":1}]',
  ],
  declares: isError,
  run(input) {
    const ours = attempt(() => decodeJson(input));
    // Half of a surrogate pair is U+FFFD in Go, and stays half a pair in JSON.parse.
    const theirs = attempt(() => JSON.parse(input.toString()) as unknown);
    if ('error' in ours) {
      holds(
        'error' in theirs || /exceeded max depth|cannot unmarshal number|out of range/.test(String(ours.error)),
        () => `only we refuse: ${String(ours.error)}`,
      );
      throw ours.error;
    }
    holds(!('error' in theirs), () => 'only we accept it');
    if (!/\\u[dD]/.test(input.toString()))
      holds(sameButForIntegers(ours.value, theirs.value), () => `read as ${shown(ours.value)}`);
    const again = decodeJson(encodeJson(ours.value));
    holds(sameButForIntegers(again, ours.value), () => `written as ${shown(encodeJson(ours.value))}`);
    return `${typeof ours.value} ${duplicateKeys(input).length > 0 ? 'with duplicates' : ''}`;
  },
};

const yamlSeeds = [
  'a: 1\nb:\n- x\n- "y"\nc: {d: [1, 2]}\n',
  'base: &base\n  a: 1\nother:\n  <<: *base\n  b: 2\n',
  '---\na: |\n  text\n  more\n---\nb: >-\n  folded\n  text\n',
  'yes: no\non: off\nn: ~\nt: 2020-01-01\nf: .inf\no: 0o17\nh: 0x1f\n',
  "? complex\n: value\n\"quoted \\n\": 'single''s'\n",
  '- &a [*a]\n',
  '%YAML 1.1\n---\n!!str 1\n...\n',
];

const yaml: Target = {
  name: 'yaml',
  form: 'text',
  words: [
    ': ',
    '- ',
    '\n',
    '  ',
    '&a ',
    '*a',
    '<<: ',
    '|',
    '>-',
    '---\n',
    '...\n',
    '!!str ',
    '!!binary ',
    '? ',
    "'",
    '"',
    '{',
    '}',
    '[',
    ']',
    '#',
    '~',
    'yes',
    '0x1',
    '1_000',
    '.nan',
    '1e3',
    '2020-01-01',
    '%YAML 1.2\n',
    '\t',
  ],
  seeds: () => [
    ...yamlSeeds,
    ...samples.map(each => encodeYaml(each)),
    ...goldenObjects('yaml').filter(each => each.length < 16_384),
  ],
  declares: isError,
  run(input) {
    duplicateYamlKeys(input);
    const documents = decodeYamlDocuments(input);
    for (const document of documents) {
      const written = encodeYaml(document);
      const again = decodeYaml(written);
      holds(
        sameButForIntegers(document, again),
        () => `${shown(document)} is written as ${shown(written)} and read as ${shown(again)}`,
      );
    }
    return `${documents.length} ${documents
      .map(each => (Array.isArray(each) ? 'list' : typeof each))
      .join(' ')
      .slice(0, 80)}`;
  },
};

/** What we write must be read by somebody else as what it was. */
const yamlWritten: Target = {
  name: 'yaml-written',
  form: 'json',
  words: [
    'yes',
    'no',
    '~',
    'null',
    '1e3',
    '0x1',
    '0o7',
    '012',
    '.5',
    '=',
    '<<',
    '!',
    '- a',
    'a: b',
    ' a',
    'a ',
    '#',
    '\n',
    'a\nb',
    '\ta',
    '2020-01-01',
    '1:30',
    '*a',
    '&a',
    '|',
    '>',
    '%',
    '@',
    '`',
    '"',
    "'",
    '{',
    '[',
    ',',
    '?',
    ':',
    '---',
  ],
  seeds: () => [...samples.map(each => JSON.stringify(each)), '{"a":"x\\ny","b":["yes","1"," "],"c":{"~":"\\u0007"}}'],
  declares: error => error instanceof SyntaxError || isError(error),
  run(input) {
    const value = decodeJson(input);
    const text = encodeYaml(value);
    const ours = decodeYaml(text);
    holds(
      isDeepStrictEqual(ours, value) || sameButForIntegers(value, ours),
      () => `written as ${shown(text)}, read by us as ${shown(ours)}`,
    );
    const [document] = parseAllDocuments(text, {
      version: '1.1',
      schema: 'yaml-1.1',
      intAsBigInt: false,
      merge: false,
      uniqueKeys: false,
    }) as { errors: unknown[]; toJS(options: object): unknown }[];
    holds(
      document !== undefined && document.errors.length === 0,
      () => `written as ${shown(text)}, refused: ${String(document?.errors[0])}`,
    );
    const theirs: unknown = document.toJS({ mapAsMap: true });
    holds(sameAsMaps(value, theirs), () => `written as ${shown(text)}, read by "yaml" as ${shown(theirs)}`);
    return 'written';
  },
};

/** Maps, so that `__proto__` and keys that are no texts are seen. */
function sameAsMaps(ours: unknown, theirs: unknown): boolean {
  if (typeof ours === 'bigint') return Number(ours) === theirs;
  if (Array.isArray(ours))
    return (
      Array.isArray(theirs) &&
      ours.length === theirs.length &&
      ours.every((each, index) => sameAsMaps(each, theirs[index]))
    );
  // What looks like a number beyond all doubles, or like an exponent alone, is a text to Go, and is written without quotes.
  if (typeof ours === 'string' && typeof theirs === 'number' && !Number.isFinite(theirs)) return true;
  if (typeof ours !== 'object' || ours === null) return ours === theirs;
  if (!(theirs instanceof Map)) return false;
  const keys = Object.keys(ours);
  return (
    keys.length === theirs.size &&
    keys.every(key => theirs.has(key) && sameAsMaps((ours as Record<string, unknown>)[key], theirs.get(key)))
  );
}

const messages: Target = {
  name: 'protobuf',
  form: 'bytes',
  seeds: () => [
    ...samples.map(each =>
      encodeProtobuf(
        kindOf(each),
        decodeObject(kindOf(each).schema, structuredClone(each), { unknown: 'drop' }).object,
      ),
    ),
    ...goldenObjects('pb').filter(each => each.length < 16_384),
  ],
  declares: error => isError(error) || error instanceof ApiError,
  run(input) {
    const { apiVersion, kind, raw } = decodeProtobuf(input);
    const { schema } = kindOf({ apiVersion, kind });
    const object = decodeMessage(schema, raw);
    // What Go always writes is there from the second time on.
    const once = decodeMessage(schema, encodeMessage(schema, object));
    const twice = decodeMessage(schema, encodeMessage(schema, once));
    holds(isDeepStrictEqual(twice, once), () => `the second time it differs at ${difference(once, twice)}`);
    applyDefaults(schema, object);
    applyDefaults(schema, once);
    holds(isDeepStrictEqual(once, object), () => `it differs at ${difference(object, once)}`);
    return `${kind} ${Object.keys(object).join()}`;
  },
};

/** JSON of any kind becomes an object or a refusal; the object is the same again through JSON and through a foreign protobuf. */
const objects: Target = {
  name: 'objects',
  form: 'json',
  words: [
    'spec',
    'status',
    'data',
    'containers',
    'name',
    'env',
    'ports',
    'labels',
    'annotations',
    'managedFields',
    'fieldsV1',
    'f:metadata',
    'limits',
    'creationTimestamp',
    'maxSurge',
    'kind',
    'apiVersion',
  ],
  seeds: () => [
    ...samples.map(each => JSON.stringify(each)),
    ...goldenObjects('json').filter(each => each.length < 16_384),
  ],
  declares: error => isError(error) || (error instanceof ApiError && error.code === 400),
  run(input) {
    const value = decodeJson(input);
    const { schema } = kindOf(value);
    const { object } = decodeObject(schema, value, { unknown: 'report' });
    const second = decodeObject(schema, decodeJson(encodeJson(object)), { unknown: 'report' });
    holds(
      isDeepStrictEqual(second.object, object),
      () => `read again it differs at ${difference(object, second.object)}`,
    );
    const { apiVersion: _, kind: __, ...fields } = object;
    const bytes = encodeMessage(schema, fields);
    const ours = decodeMessage(schema, bytes);
    const foreign = typeFor(schema);
    const theirs = decodeMessage(schema, foreign.encode(foreign.decode(bytes)).finish());
    holds(isDeepStrictEqual(theirs, ours), () => `through protobufjs it differs at ${difference(ours, theirs)}`);
    const [ourDefaults, defaulted] = [ours, object].map(each => withDefaults(schema, each));
    holds(
      isDeepStrictEqual(withoutType(ourDefaults), withoutType(defaulted)),
      () => `out of protobuf it differs at ${difference(withoutType(ourDefaults), withoutType(defaulted))}`,
    );
    return Object.keys(object).join();
  },
};

function withDefaults(schema: ObjectSchema, object: JsonDraft): JsonDraft {
  const copy = decodeJson(encodeJson(object)) as JsonDraft;
  applyDefaults(schema, copy);
  return copy;
}

function withoutType({ apiVersion: _, kind: __, metadata, ...rest }: JsonDraft = {}): JsonDraft {
  // An empty list of owners is a word of its own (forget all), which protobuf cannot say.
  const { managedFields, ...meta } = (metadata ?? {}) as JsonDraft;
  const owned = Array.isArray(managedFields) && managedFields.length > 0 ? { managedFields } : {};
  return { ...rest, ...(metadata !== undefined && { metadata: { ...meta, ...owned } as Json }) };
}

/* Our schemas as protobufjs' types. */

const known = new Map<Schema, protobuf.Type>();
let count = 0;

function typeFor(schema: ObjectSchema): protobuf.Type {
  const found = known.get(schema);
  if (found) return found;
  const type = new protobuf.Type(`T${count++}`);
  known.set(schema, type);
  root.add(type);
  const embedded = new Map<string, protobuf.Type>();
  for (const [name, field] of Object.entries(schema.fields)) {
    let owner = type;
    let path = '';
    for (const tag of field.within ?? []) {
      path += `_${tag}`;
      const inner = embedded.get(path) ?? new protobuf.Type(`T${count++}`);
      if (!embedded.has(path)) {
        embedded.set(path, inner);
        root.add(inner);
        owner.add(new protobuf.Field(`within${path}`, tag, inner.name));
      }
      owner = inner;
    }
    addField(owner, name, field.tag, field.schema);
  }
  return type;
}

const root = new protobuf.Root();
for (const [name, fields] of Object.entries({
  Quantity: [['string', 'string']],
  Time: [
    ['seconds', 'int64'],
    ['nanos', 'int32'],
  ],
  IntOrString: [
    ['type', 'int64'],
    ['intVal', 'int32'],
    ['strVal', 'string'],
  ],
  Raw: [['raw', 'bytes']],
})) {
  const type = new protobuf.Type(name);
  for (const [index, [field, scalar]] of fields.entries())
    type.add(new protobuf.Field(field as string, index + 1, scalar as string));
  root.add(type);
}

function addField(owner: protobuf.Type, name: string, tag: number, lazySchema: Schema): void {
  const schema = resolve(lazySchema);
  if (schema.type === 'list' && !schema.wrapped)
    owner.add(new protobuf.Field(name, tag, typeName(resolve(schema.items)), 'repeated', undefined, { packed: false }));
  else if (schema.type === 'map')
    owner.add(new protobuf.MapField(name, tag, 'string', typeName(resolve(schema.values))));
  else owner.add(new protobuf.Field(name, tag, typeName(schema)));
}

function typeName(schema: Exclude<Schema, { readonly type: 'lazy' }>): string {
  switch (schema.type) {
    case 'object':
      return typeFor(schema).name;
    case 'list': {
      const found = known.get(schema);
      if (found) return found.name;
      const type = new protobuf.Type(`T${count++}`);
      known.set(schema, type);
      root.add(type);
      addField(type, 'items', 1, { ...schema, wrapped: undefined } as unknown as Schema);
      return type.name;
    }
    case 'quantity':
      return 'Quantity';
    case 'time':
    case 'microTime':
      return 'Time';
    case 'intOrString':
      return 'IntOrString';
    case 'rawExtension':
    case 'fieldsV1':
    case 'json':
      return 'Raw';
    case 'boolean':
      return 'bool';
    default:
      return schema.type;
  }
}

export const codecTargets: readonly Target[] = [json, yaml, yamlWritten, messages, objects];
