import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeYaml, decodeYamlDocuments, duplicateYamlKeys, encodeYaml } from './yaml.ts';

test('scalars resolve as in Go', () => {
  const cases: Record<string, unknown> = {
    yes: true,
    off: false,
    y: true,
    '~': null,
    '': null,
    '0x1F': 31,
    '0o17': 15,
    '017': 15,
    '089': 89,
    '1_000': 1000,
    '-5': -5,
    '1e3': 1000,
    '.5': 0.5,
    '9223372036854775807': 9223372036854775807n,
    '2001-01-01': '2001-01-01',
    '2001-01-01T00:00:00Z': '2001-01-01T00:00:00Z',
    '1:30': '1:30',
    '"yes"': 'yes',
    '!!str 5': '5',
    '!!binary aGk=': 'hi',
    NaN: 'NaN',
  };
  for (const [text, value] of Object.entries(cases)) assert.deepEqual(decodeYaml(text), value, text);
});

test('keys become strings, and prototype names are plain keys', () => {
  assert.deepEqual(decodeYaml('1: a\ntrue: b\n0x10: c'), { 1: 'a', true: 'b', 16: 'c' });
  const value = decodeYaml('__proto__: {x: 1}') as object;
  assert.deepEqual(Object.keys(value), ['__proto__']);
  assert.equal(Object.getPrototypeOf(value), Object.prototype);
});

test('merge keys and aliases give objects of their own', () => {
  const value = decodeYaml('a: &a {x: 1, z: 2}\nb: {<<: *a, z: 3}\nc: *a') as Record<string, Record<string, number>>;
  assert.deepEqual(value, { a: { x: 1, z: 2 }, b: { x: 1, z: 3 }, c: { x: 1, z: 2 } });
  assert.notEqual(value['a'], value['c']);
});

test('an anchor that stands in itself, and aliases that nest too deep, are refused', () => {
  assert.throws(() => decodeYaml('- &a [*a]\n'), { message: /yaml: anchor value contains itself/ });
  assert.throws(() => decodeYaml('a: &a\n  b: {c: *a}\n'), { message: /contains itself/ });
  const nested = (inner: string) => '['.repeat(30) + inner + ']'.repeat(30);
  const chain = Array.from({ length: 40 }, (_, index) => `- &a${index} ${nested(index > 0 ? `*a${index - 1}` : '')}`);
  assert.throws(() => decodeYaml(chain.join('\n')), { message: /exceeded max depth/ });
});

test('numbers that no double and no 64 bits hold are texts', () => {
  assert.deepEqual(decodeYaml(`[1e309, -1e309, 0x${'f'.repeat(17)}, 0b${'1'.repeat(100)}, 0xff]`), [
    '1e309',
    '-1e309',
    `0x${'f'.repeat(17)}`,
    `0b${'1'.repeat(100)}`,
    255,
  ]);
});

test('an alias bomb is refused', () => {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]'];
  for (let level = 1; level < 10; level++) {
    const references = Array.from({ length: 9 }, () => `*a${level - 1}`).join(', ');
    lines.push(`a${level}: &a${level} [${references}]`);
  }
  assert.throws(() => decodeYaml(lines.join('\n')), /excessive aliasing/);
  assert.throws(() => decodeYaml('['.repeat(5_000)), /error converting YAML to JSON/);
});

test('errors name the line', () => {
  assert.throws(() => decodeYaml('a: 1\n b: 2'), /^Error: error converting YAML to JSON: yaml: line 2: /);
  assert.deepEqual(duplicateYamlKeys('a: 1\nb: 2\na: 3'), [
    'yaml: unmarshal errors:\n  line 3: key "a" already set in map',
  ]);
  assert.deepEqual(duplicateYamlKeys('a: 1'), []);
  assert.deepEqual(decodeYaml('a: 1\na: 2'), { a: 2 });
});

test('documents of a stream', () => {
  assert.deepEqual(decodeYamlDocuments('a: 1\n---\n---\nb: 2\n'), [{ a: 1 }, null, { b: 2 }]);
  assert.deepEqual(decodeYamlDocuments(''), []);
});

test('output is what Go writes', () => {
  assert.equal(
    encodeYaml({
      b: ['x', { k: 'v', a: [] }],
      a10: '1',
      a9: 'yes',
      text: 'line 1\nline 2\n',
      colon: 'a: b',
      empty: '',
      object: {},
      none: null,
      missing: undefined,
      time: '2001-01-01T00:00:00Z',
      number: 9223372036854775807n,
    }),
    `a9: "yes"
a10: "1"
b:
- x
- a: []
  k: v
colon: 'a: b'
empty: ""
none: null
number: 9223372036854775807
object: {}
text: |
  line 1
  line 2
time: "2001-01-01T00:00:00Z"
`,
  );
});

test('what we write we read', () => {
  fc.assert(
    fc.property(fc.jsonValue({ noUnicodeString: false } as never), value => {
      assert.deepEqual(decodeYaml(encodeYaml(value)), JSON.parse(JSON.stringify(value)));
    }),
  );
});
