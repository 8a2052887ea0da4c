import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run as runOracle } from '@bufbuild/cel';
import { isCelError, isCelList, isCelMap, isCelUint } from '@bufbuild/cel';
import { strings } from '@bufbuild/cel/ext';
import fc from 'fast-check';
import { celEnvironmentWith } from './environment.ts';
import { conformanceLibraries } from './libraries/libraries.ts';
import { CelList, CelMap, Double, Uint } from './values.ts';

/*
 * Expressions made at random, evaluated here and by an implementation of others. Only what both have and agree on by the
 * specification is generated (theirs takes characters apart that are two units).
 */

const environment = celEnvironmentWith({ homogeneousLiterals: false }, conformanceLibraries);

interface Grammar {
  readonly int: string;
  readonly double: string;
  readonly text: string;
  readonly bool: string;
  readonly ints: string;
  readonly texts: string;
  readonly map: string;
}

const number = fc.oneof(
  fc.integer({ min: -5, max: 5 }),
  fc.constantFrom('9223372036854775807', '-9223372036854775807', '4611686018427387904', '9007199254740993'),
);

const expressions = fc.letrec<Grammar>(tie => {
  const [int, double, text, bool, ints, texts, map] = (
    ['int', 'double', 'text', 'bool', 'ints', 'texts', 'map'] as const
  ).map(name => tie(name)) as [
    fc.Arbitrary<string>,
    fc.Arbitrary<string>,
    fc.Arbitrary<string>,
    fc.Arbitrary<string>,
    fc.Arbitrary<string>,
    fc.Arbitrary<string>,
    fc.Arbitrary<string>,
  ];
  const form = (strings_: TemplateStringsArray, ...parts: fc.Arbitrary<unknown>[]): fc.Arbitrary<string> =>
    fc.tuple(...parts).map(values => String.raw({ raw: strings_.raw }, ...values));
  const choice = (first: fc.Arbitrary<string>, ...more: fc.Arbitrary<string>[]) =>
    fc.oneof({ depthSize: 'small', withCrossShrink: true }, first, ...more);
  return {
    int: choice(
      number.map(String),
      form`(${int} ${fc.constantFrom('+', '-', '*', '/', '%')} ${int})`,
      form`-(${int})`,
      form`size(${fc.oneof(text, ints, map)})`,
      form`(${bool} ? ${int} : ${int})`,
      form`${ints}[${fc.integer({ min: -1, max: 3 })}]`,
      form`${map}['${fc.constantFrom('a', 'b', 'z')}']`,
      form`int(${double})`,
      form`int('${number}')`,
    ),
    double: choice(
      fc.constantFrom('0.5', '-1.25', '3.0', '1e10'),
      form`(${double} ${fc.constantFrom('+', '-', '*')} ${double})`,
      form`double(${fc.integer({ min: -9, max: 9 })})`,
    ),
    text: choice(
      fc.constantFrom("'a'", "''", "'tacocat'", "'é'", "'12'", "'A b'"),
      form`(${text} + ${text})`,
      form`string(${fc.oneof(int, bool)})`,
      form`${text}.substring(${fc.integer({ min: 0, max: 4 })})`,
      form`${text}.replace('a', ${text})`,
      form`${text}.lowerAscii()`,
      form`${text}.charAt(${fc.integer({ min: 0, max: 4 })})`,
      form`${texts}.join('-')`,
    ),
    bool: choice(
      fc.constantFrom('true', 'false'),
      form`(${int} ${fc.constantFrom('<', '<=', '>', '>=', '==', '!=')} ${int})`,
      form`(${double} ${fc.constantFrom('<', '>=', '==')} ${double})`,
      form`(${text} ${fc.constantFrom('<', '>', '==', '!=')} ${text})`,
      form`(${bool} ${fc.constantFrom('&&', '||')} ${bool})`,
      form`!(${bool})`,
      form`(${int} in ${ints})`,
      form`(${ints} == ${ints})`,
      form`${ints}.${fc.constantFrom('all', 'exists', 'exists_one')}(x, x ${fc.constantFrom('<', '>', '==')} ${int})`,
      form`${ints}.all(x, 10 / x > 1)`,
      form`${text}.${fc.constantFrom('startsWith', 'endsWith', 'contains')}(${text})`,
      form`${text}.matches('^[a-c]+$')`,
      form`('${fc.constantFrom('a', 'b', 'z')}' in ${map})`,
      form`has(${map}.a)`,
    ),
    ints: choice(
      fc.array(number, { minLength: 1, maxLength: 3 }).map(values => `[${values.join(', ')}]`),
      form`(${ints} + ${ints})`,
      form`${ints}.map(x, x + ${int})`,
      form`${ints}.filter(x, x > ${int})`,
      form`[${int}, ${int}]`,
    ),
    texts: choice(form`[${text}, ${text}]`, form`${text}.split('a')`),
    map: choice(form`{'a': ${int}}`, form`{'a': ${int}, 'b': ${int}}`),
  };
});

test('random expressions come to what they come to elsewhere', () => {
  const anything = fc.oneof(expressions.int, expressions.bool, expressions.text, expressions.ints, expressions.double);
  fc.assert(
    fc.property(anything, expression => {
      assert.deepEqual({ expression, result: here(expression) }, { expression, result: elsewhere(expression) });
    }),
    { numRuns: 1_000 },
  );
});

test('whatever is written, an expression compiles or has issues', () => {
  const words =
    '( ) [ ] { } . , ? : + - ! && || == in x has true 1 1u 1.5 \'a\' b"c" " \' \\ `a` .? [? 0x 1e optional of map';
  const token = fc.constantFrom(...words.split(' '), '// c\n');
  const text = fc.oneof(
    fc.array(token, { maxLength: 30 }).map(tokens => tokens.join(' ')),
    fc.array(token, { maxLength: 30 }).map(tokens => tokens.join('')),
    fc.string({ unit: 'binary', maxLength: 40 }),
  );
  fc.assert(
    fc.property(text, expression => {
      const compiled = environment.compile(expression);
      if (compiled.issues !== undefined) return assert.match(compiled.issues, /^ERROR: <input>:/);
      const { error, value } = compiled.evaluate({});
      assert.ok(error !== undefined || value !== undefined);
      assert.ok(compiled.estimateCost().maximum >= 0);
    }),
    { numRuns: 1_000 },
  );
});

function here(expression: string): unknown {
  const compiled = environment.compile(expression);
  if (compiled.issues !== undefined) assert.fail(compiled.issues);
  const { error, value } = compiled.evaluate({});
  return error === undefined ? plain(value) : 'error';
}

function plain(value: unknown): unknown {
  if (typeof value === 'number') return BigInt(value);
  if (value instanceof Double) return `double ${value.value}`;
  if (value instanceof Uint) return `uint ${value.value}`;
  if (value instanceof CelList) return Array.from({ length: value.size }, (_, index) => plain(value.get(index)));
  if (value instanceof CelMap) return value.keys().map(key => [plain(key), plain(value.find(key))]);
  return value;
}

function elsewhere(expression: string): unknown {
  const result = runOracle(expression, {}, { funcs: strings });
  return isCelError(result) ? 'error' : plainOracle(result);
}

function plainOracle(value: unknown): unknown {
  if (typeof value === 'number') return `double ${value}`;
  if (isCelUint(value)) return `uint ${value.value}`;
  if (isCelList(value)) return Array.from(value, plainOracle);
  if (isCelMap(value)) return Array.from(value, ([key, each]) => [plainOracle(key), plainOracle(each)]);
  return value;
}
