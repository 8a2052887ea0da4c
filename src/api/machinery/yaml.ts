import {
  DEFAULT_SCALAR_STYLE_RULES,
  defineMappingTag,
  defineScalarTag,
  dump,
  FAILSAFE_SCHEMA,
  loadAll,
  mergeTag,
  NOT_RESOLVED,
  SCALAR_STYLE,
  Schema,
  seqTag,
  strTag,
  visit,
  YAMLException,
  type ScalarStyleRule,
} from 'js-yaml';
import { limits } from '#base/limits.ts';
import { decodeJson, duplicateKeys, integerOf, setOwn } from './json.ts';
import type { Json } from './schema.ts';

/** Parses the first document as sigs.k8s.io/yaml does: YAML 1.1 words for booleans, merge keys, times as strings. */
export function decodeYaml(source: Uint8Array | string): Json {
  return jsonObject(source)?.value ?? load(source, false)[0] ?? null;
}

/** All documents of a stream; empty ones are null. */
export function decodeYamlDocuments(source: Uint8Array | string): Json[] {
  return load(source, false);
}

/** What strict decoding has against the text: upstream's sentence about a key that stands twice. */
export function duplicateYamlKeys(source: Uint8Array | string): string[] {
  if (jsonObject(source)?.value && duplicateKeys(source).length === 0) return [];
  try {
    load(source, true);
    return [];
  } catch (error) {
    return [(error as Error).message.replace(yamlErrorPrefix, '')];
  }
}

/** YAML as Go writes it: keys sorted, lists not indented. */
export function encodeYaml(value: unknown): string {
  return dump(value, {
    schema: goSchema,
    seqNoIndent: true,
    noRefs: true,
    skipInvalid: true,
    lineWidth: -1,
    scalarStyleRules: [quoteAmbiguous, ...Object.values(DEFAULT_SCALAR_STYLE_RULES)],
    transform: documents => {
      visit(documents, node => {
        if (node.kind === 'mapping') node.items.sort((a, b) => compareKeys(keyOf(a.key), keyOf(b.key)));
      });
    },
  });
}

/** JSON is YAML, and is read ten times as fast; clients that apply often send it. What is no JSON object: undefined. */
function jsonObject(source: Uint8Array | string): { readonly value: Json } | undefined {
  const isOpen = typeof source === 'string' ? source.startsWith('{') : source[0] === 0x7b;
  if (!isOpen) return undefined;
  try {
    return { value: decodeJson(source) };
  } catch {
    // A flow mapping of YAML, or a mistake that YAML's own words name.
    return undefined;
  }
}

const yamlErrorPrefix = 'error converting YAML to JSON: ';

/** Nodes that aliases may add to a document. A bomb of aliases grows exponentially; honest documents stay far below. */
const aliasNodesMax = 100_000;

function load(source: Uint8Array | string, strict: boolean): Json[] {
  const text = typeof source === 'string' ? source : new TextDecoder().decode(source);
  let documents: Json[];
  try {
    documents = loadAll(text, { schema: goSchema, json: !strict, maxDepth: limits.documentDepthMax }) as Json[];
  } catch (error) {
    if (error instanceof YAMLException) throw new Error(yamlErrorPrefix + describe(error), { cause: error });
    throw error;
  }
  // Aliases share objects, but whoever decodes changes them in place.
  return text.includes('*')
    ? documents.map(document => unshared(document, { left: aliasNodesMax, seen: new Set(), open: new Set() }))
    : documents;
}

function describe(error: YAMLException): string {
  const line = error.mark ? `line ${error.mark.line + 1}: ` : '';
  if (error.reason === 'duplicated mapping key') {
    return `yaml: unmarshal errors:\n  ${line}key ${JSON.stringify(duplicated)} already set in map`;
  }
  return `yaml: ${line}${error.reason}`;
}

interface AliasBudget {
  left: number;
  readonly seen: Set<unknown>;
  /** What is around the node: an anchor may stand in itself, and aliases nest deeper than the text does. */
  readonly open: Set<unknown>;
}

function unshared(value: Json, budget: AliasBudget): Json {
  if (typeof value !== 'object' || value === null) return value;
  const { open } = budget;
  if (open.has(value)) throw new Error(`${yamlErrorPrefix}yaml: anchor value contains itself`);
  if (open.size >= limits.documentDepthMax)
    throw new Error(`${yamlErrorPrefix}yaml: exceeded max depth of ${limits.documentDepthMax}`);
  if (budget.seen.has(value)) {
    if (--budget.left < 0) throw new Error(`${yamlErrorPrefix}yaml: document contains excessive aliasing`);
  } else {
    budget.seen.add(value);
  }
  open.add(value);
  const copy: Json[] | Record<string, Json> = Array.isArray(value) ? value.map(each => unshared(each, budget)) : {};
  if (!Array.isArray(copy))
    for (const [key, each] of Object.entries(value)) setOwn(copy, key, unshared(each as Json, budget));
  open.delete(value);
  return copy;
}

/** The key that js-yaml complains about, which its error does not name. */
let duplicated = '';

const mapTag = defineMappingTag<Record<string, unknown>>('tag:yaml.org,2002:map', {
  create: () => ({}),
  identify: value => typeof value === 'object' && value !== null && !Array.isArray(value),
  represent: value => new Map(Object.entries(value as object).filter(([, each]) => each !== undefined)),
  addPair(map, key, value) {
    if (key === null) return 'Unsupported map key of type: <nil>, key: <nil>';
    if (typeof key === 'object') return 'invalid map key';
    setOwn(map, String(key), value);
    return '';
  },
  has(map, key) {
    if (!Object.hasOwn(map, String(key))) return false;
    duplicated = String(key);
    return true;
  },
  keys: map => Object.keys(map),
  get: (map, key) => map[String(key)],
});

const words = new Map<string, boolean | null>([
  ...['y', 'Y', 'yes', 'Yes', 'YES', 'true', 'True', 'TRUE', 'on', 'On', 'ON'].map(word => [word, true] as const),
  ...['n', 'N', 'no', 'No', 'NO', 'false', 'False', 'FALSE', 'off', 'Off', 'OFF'].map(word => [word, false] as const),
  ...['', '~', 'null', 'Null', 'NULL'].map(word => [word, null] as const),
]);

const boolTag = defineScalarTag<boolean>('tag:yaml.org,2002:bool', {
  implicit: true,
  implicitFirstChars: [...'yYtToOnNfF'],
  resolve: source => words.get(source) ?? NOT_RESOLVED,
  identify: value => typeof value === 'boolean',
});

const nullTag = defineScalarTag<null>('tag:yaml.org,2002:null', {
  implicit: true,
  implicitFirstChars: ['', '~', 'n', 'N'],
  resolve: source => (words.get(source) === null ? null : NOT_RESOLVED),
  identify: value => value === null,
  represent: () => 'null',
});

const intTag = defineScalarTag<number | bigint>('tag:yaml.org,2002:int', {
  implicit: true,
  implicitFirstChars: [...'-+0123456789'],
  resolve: source => integerIn(source) ?? NOT_RESOLVED,
  identify: value => typeof value === 'bigint' || isPrintedAsInteger(value),
});

const floatTag = defineScalarTag<number>('tag:yaml.org,2002:float', {
  implicit: true,
  implicitFirstChars: [...'-+.0123456789'],
  resolve(source) {
    const plain = source.replaceAll('_', '');
    if (!/^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$/.test(plain)) return NOT_RESOLVED;
    const value = Number(plain);
    return Number.isFinite(value) ? value : NOT_RESOLVED;
  },
  identify: value => typeof value === 'number' && !isPrintedAsInteger(value),
});

/** Bytes become text, as Go converts them. */
const binaryTag = defineScalarTag<string>('tag:yaml.org,2002:binary', {
  resolve: source => Buffer.from(source, 'base64').toString('utf8'),
  identify: () => false,
});

/** Times stay as they are written. */
const timestampTag = defineScalarTag<string>('tag:yaml.org,2002:timestamp', {
  resolve: source => source,
  identify: () => false,
});

const goSchema = new Schema([
  ...FAILSAFE_SCHEMA.tags.filter(tag => tag.tagName === strTag.tagName || tag.tagName === seqTag.tagName),
  mapTag,
  nullTag,
  boolTag,
  intTag,
  floatTag,
  binaryTag,
  timestampTag,
  mergeTag,
]);

function isPrintedAsInteger(value: unknown): boolean {
  return Number.isInteger(value) && Math.abs(value as number) < 1e21;
}

/** Go's strconv.ParseInt with base 0: decimal, 0x, 0o, 0b and a leading 0 for octal. */
function integerIn(source: string): number | bigint | undefined {
  const match = /^([-+]?)(0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+|[0-9][0-9_]*)$/.exec(source);
  if (!match) return undefined;
  const [, sign, digits] = match as unknown as [string, string, string];
  const plain = digits.replaceAll('_', '');
  if (/^(0|[1-9][0-9]*)$/.test(plain)) return integerOf(sign === '-' ? `-${plain}` : plain);
  if (/^0[0-9]/.test(plain) && /[89]/.test(plain)) return undefined;
  // Nothing of 64 bits has more digits; the cost of reading them grows faster than their number.
  if (plain.length > 70) return undefined;
  const wide = BigInt(/^0[0-9]/.test(plain) ? `0o${plain.slice(1)}` : plain.toLowerCase());
  if (wide >= 2n ** 64n) return undefined;
  return integerOf((sign === '-' ? -wide : wide).toString());
}

/** Go quotes with double quotes what would be read as something else than a string, and YAML 1.1's sexagesimals. */
const quoteAmbiguous: ScalarStyleRule = layout => {
  if (layout.style !== SCALAR_STYLE.PLAIN || layout.node.tag !== strTag.tagName) return;
  const { value } = layout.node;
  const resolved = goSchema.resolveImplicitScalarTag(value).tag;
  if (resolved.tagName !== strTag.tagName || sexagesimal.test(value) || timestamp.test(value))
    layout.style = SCALAR_STYLE.DOUBLE_QUOTED;
};

const sexagesimal = /^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$/;
const timestamp = /^\d{4}-\d{1,2}-\d{1,2}([Tt ]|$)/;

function keyOf(node: { readonly kind: string; readonly value?: unknown }): string {
  return typeof node.value === 'string' ? node.value : '';
}

/** The order of keys that Go's YAML uses: letters behind other characters, runs of digits by value. */
function compareKeys(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let index = 0; index < shorter; index++) {
    const one = a[index] as string;
    const other = b[index] as string;
    if (one === other) continue;
    const oneLetter = /\p{L}/u.test(one);
    const otherLetter = /\p{L}/u.test(other);
    if (oneLetter && otherLetter) return one < other ? -1 : 1;
    if (oneLetter || otherLetter) return otherLetter ? -1 : 1;
    return compareNumbersAt(a, b, index);
  }
  return a.length - b.length;
}

function compareNumbersAt(a: string, b: string, index: number): number {
  const digitsBefore = /[0-9]*$/.exec(a.slice(0, index))?.[0] ?? '';
  const within = (a[index] === '0' || b[index] === '0') && /[1-9]/.test(digitsBefore) ? '1' : '';
  const one = /^[0-9]*/.exec(a.slice(index))?.[0] ?? '';
  const other = /^[0-9]*/.exec(b.slice(index))?.[0] ?? '';
  const difference = BigInt(within + one || '0') - BigInt(within + other || '0');
  if (difference !== 0n) return difference < 0n ? -1 : 1;
  if (one.length !== other.length) return one.length - other.length;
  return (a[index] as string) < (b[index] as string) ? -1 : 1;
}
