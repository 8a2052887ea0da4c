import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Evaluation } from './contract.ts';
import { declDyn, declInt, declList, declMap, declObject, declOptional, declString } from './declarations.ts';
import { celEnvironment } from './environment.ts';
import { escapeName, unescapeName } from './names.ts';
import { type Schema, schemaDecl } from './schema.ts';
import { CelError, CelList, type CelValue, Double, LazyObject } from './values.ts';

const self = declObject(
  'Self',
  new Map([
    ['name', { property: 'name', type: declString(10) }],
    ['replicas', { property: 'replicas', type: declInt }],
    ['items', { property: 'items', type: declList(declInt, 5) }],
    ['labels', { property: 'labels', type: declMap(declString()) }],
    ['a__dash__b', { property: 'a-b', type: declString() }],
    ['__namespace__', { property: 'namespace', type: declString() }],
  ]),
);
const environment = celEnvironment({ variables: { self, object: declDyn } });

function issuesOf(text: string): string {
  return environment.compile(text).issues ?? '';
}

function evaluate(text: string, bindings: Readonly<Record<string, unknown>> = {}) {
  const compiled = environment.compile(text);
  if (compiled.issues !== undefined) assert.fail(`${text}: ${compiled.issues}`);
  return compiled.evaluate(bindings);
}

const operand =
  "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

const broken: readonly (readonly [text: string, ...issues: string[]])[] = [
  ['x', "1:1: undeclared reference to 'x' (in container '')"],
  ['foo(1)', "1:4: undeclared reference to 'foo' (in container '')"],
  ['self.nam == 1', "1:5: undefined field 'nam'"],
  ['self.replicas.x', "1:14: type 'int' does not support field selection"],
  ["self.replicas + 'a'", "1:15: found no matching overload for '_+_' applied to '(int, string)'"],
  ['self.name.startsWith(1)', "1:21: found no matching overload for 'startsWith' applied to 'string.(int)'"],
  ['self.replicas && true', "1:5: expected type 'bool' but found 'int'"],
  ['[1, "a"]', "1:5: expected type 'int' but found 'string'"],
  ['{1: 2, "a": 3}', "1:8: expected type 'int' but found 'string'"],
  [
    'self.replicas.all(x, x)',
    "1:5: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
  ],
  ["duration('x')", '1:10: invalid duration argument'],
  ["timestamp('x')", '1:11: invalid timestamp argument'],
  ["'a'.matches(')')", '1:13: invalid matches argument'],
  [
    "'%d'.format(['a'])",
    '1:14: error during formatting: decimal clause can only be used on integers, was given string',
  ],
  ["'%d'.format([1, 2])", '1:12: too many arguments supplied to string.format (expected 1, got 2)'],
  ['has(self)', '1:5: invalid argument to has() macro'],
  ['self.items.map(x.y, 1)', '1:17: argument is not an identifier'],
  ['self.items.all(1, true)', '1:16: argument must be a simple name'],
  ['self.items.all(i, i, true)', '1:19: duplicate variable name: i'],
  ['namespace == 1', '1:1: reserved identifier: namespace'],
  ['99999999999999999999', '1:1: invalid int literal'],
  ['1 +', `1:4: Syntax error: mismatched input '<EOF>' expecting ${operand}`],
  ['1 2', "1:3: Syntax error: extraneous input '2' expecting <EOF>"],
  ['(1', "1:3: Syntax error: missing ')' at '<EOF>'"],
  ['[1', "1:3: Syntax error: mismatched input '<EOF>' expecting {']', ','}"],
  ['self.true', "1:6: Syntax error: mismatched input 'true' expecting IDENTIFIER"],
  ['{"a": 1}."a"', `1:10: Syntax error: no viable alternative at input '."a"'`],
  [
    '1 + $',
    "1:5: Syntax error: token recognition error at: '$'",
    `1:6: Syntax error: mismatched input '<EOF>' expecting ${operand}`,
  ],
];

test('issues are in the form and the words of upstream', () => {
  for (const [text, ...expected] of broken) {
    const found = issuesOf(text)
      .split('\n')
      .filter(line => line.startsWith('ERROR: <input>:'))
      .map(line => line.slice('ERROR: <input>:'.length));
    assert.deepEqual({ text, found }, { text, found: expected });
  }
});

test('an issue shows the line and marks the place', () => {
  const lines = ["ERROR: <input>:2:9: undeclared reference to 'x' (in container '')", ' |  "é" == x', ' | ..．.....^'];
  assert.equal(issuesOf('true &&\n\t"é" == x'), lines.join('\n'));
});

const limits: readonly (readonly [what: string, text: string, issue: RegExp])[] = [
  ['parentheses', `${'('.repeat(300)}1${')'.repeat(300)}`, /-1:0: expression recursion limit exceeded: 250/],
  ['operations', `1${' + 1'.repeat(300)}`, /-1:0: max recursion depth exceeded/],
  ['selections', `object${'.a'.repeat(300)}`, /-1:0: max recursion depth exceeded/],
  ['open parentheses', '('.repeat(90_000), /recursion limit exceeded/],
  ['characters', `"${'👑'.repeat(100_000)}"`, /expression code point size exceeds limit: size: 100002, limit 100000/],
  ['issues', `[${'x, '.repeat(150)}1]`, /50 more errors were truncated/],
];

test('deep and long expressions are refused before they do harm', () => {
  for (const [what, text, issue] of limits) assert.match(issuesOf(text), issue, what);
});

test('long chains of && and || are no deep expressions', () => {
  const chain = Array.from({ length: 9_000 }, () => 'true').join(' && ');
  assert.equal(evaluate(chain).value, true);
});

test('fields are reached by their escaped names, reserved words by themselves', () => {
  const data = { 'a-b': 'x', namespace: 'n' };
  assert.equal(
    evaluate("self.a__dash__b == 'x' && self.namespace == 'n' && self.__namespace__ == 'n'", { self: data }).value,
    true,
  );
  for (const property of ['a.b', 'a-b/c', '__x', 'in', 'a__b', 'plain', '_x']) {
    assert.equal(unescapeName(escapeName(property) as string), property);
  }
  for (const property of ['', '1a', 'a b', 'é', 'a:b']) assert.equal(escapeName(property), undefined);
});

test('numbers are of the type that is declared, and whole where none is', () => {
  const schema: Schema = { type: 'object', properties: { d: { type: 'number' }, i: { type: 'integer' } } };
  const decl = schemaDecl(schema);
  assert.ok(decl);
  const typed = celEnvironment({ variables: { self: decl, object: declDyn } });
  const compiled = typed.compile(
    'type(self.d) == double && type(self.i) == int && type(object.d) == int && object.f == 1.5',
  );
  assert.ok(compiled.issues === undefined);
  assert.equal(compiled.evaluate({ self: { d: 1, i: 1 }, object: { d: 1, f: 1.5 } }).value, true);
});

const arithmetic: readonly (readonly [expression: string, result: string])[] = [
  ['9223372036854775807 + 1', 'integer overflow'],
  ['-9223372036854775808 - 1', 'integer overflow'],
  ['9007199254740991 + 1', '9007199254740992'],
  ['9007199254740992 + 1 - 1', '9007199254740992'],
  ['3037000500 * 3037000500', 'integer overflow'],
  ['94906267 * 94906267', '9007199515875289'],
  ['-9223372036854775808 / -1', 'integer overflow'],
  ['-7 / 2', '-3'],
  ['-7 % 2', '-1'],
  ['0 / -5', '0'],
  ['1 / 0', 'division by zero'],
  ['1 % 0', 'modulus by zero'],
  ['18446744073709551615u + 1u', 'unsigned integer overflow'],
  ['0u - 1u', 'unsigned integer overflow'],
  ['int(9223372036854775807.0)', 'integer overflow'],
  ['uint(-1)', 'unsigned integer overflow'],
  ["int('9223372036854775807')", '9223372036854775807'],
];

test('ints have 64 bits, beyond what a number can hold', () => {
  for (const [expression, result] of arithmetic) {
    const { value, error } = evaluate(expression);
    assert.deepEqual({ expression, result: error?.message ?? String(value) }, { expression, result });
  }
});

test('ints of data are exact, whether they came as number or bigint', () => {
  const data = { replicas: 9007199254740993n };
  assert.equal(evaluate('self.replicas == 9007199254740993', { self: data }).value, true);
  assert.equal(
    evaluate('object.i + 1 == 9007199254740994 && object.j == 1', { object: { i: data.replicas, j: 1n } }).value,
    true,
  );
});

test('names that JavaScript knows are names like others', () => {
  const labels = JSON.parse('{"__proto__": "a", "constructor": "b"}');
  const rule =
    "self.labels['__proto__'] == 'a' && self.labels.constructor == 'b' && !('toString' in self.labels) && " +
    "!has(self.labels.hasOwnProperty) && self.labels.size() == 2 && {'__proto__': 1}['__proto__'] == 1";
  assert.equal(evaluate(rule, { self: { labels } }).value, true);
  assert.equal(evaluate('object.constructor', { object: {} }).error?.message, 'no such key: constructor');
  assert.equal(evaluate('object.__proto__', { object: {} }).error?.message, 'no such key: __proto__');
  const decl = declObject('S', new Map([['constructor', { property: 'constructor', type: declString() }]]));
  const compiled = celEnvironment({ variables: { self: decl } }).compile('has(self.constructor)');
  assert.ok(compiled.issues === undefined);
  assert.equal(compiled.evaluate({ self: {} }).value, false);
});

test('&& and || forgive an error on either side, a loop over them too', () => {
  for (const expression of [
    '1 / 0 == 1 || true',
    'true || 1 / 0 == 1',
    '!(false && 1 / 0 == 1)',
    '[1, 0].exists(x, 1 / x == 1)',
  ]) {
    assert.equal(evaluate(expression).value, true, expression);
  }
  assert.equal(evaluate('[0, 1].all(x, 1 / x == 1)').error?.message, 'division by zero');
  assert.equal(evaluate('true ? 1 / 0 : 2').error?.message, 'division by zero');
});

test('data that does not fit its declaration is an error of the evaluation', () => {
  const cases: readonly (readonly [string, unknown, string])[] = [
    ['self.replicas == 1', { replicas: 'a' }, 'invalid data, expected int, got string'],
    ['self.name == ""', { name: 1 }, 'invalid data, expected string, got int64'],
    ['self.items[0] == 1', { items: [null] }, 'invalid data, got null for schema with nullable=false'],
    ['self.replicas == 1', {}, 'no such key: replicas'],
    ['self.replicas == 1', { replicas: null }, 'no such key: replicas'],
    ['self.items[7] == 1', { items: [1] }, 'index out of bounds: 7'],
  ];
  for (const [expression, data, message] of cases)
    assert.equal(evaluate(expression, { self: data }).error?.message, message);
  assert.equal(evaluate('self.replicas == 1').error?.message, 'no such attribute(s): self');
});

test('catastrophic patterns take linear time', () => {
  const started = performance.now();
  assert.equal(evaluate(`self.name.matches('(a+)+$')`, { self: { name: `${'a'.repeat(5_000)}b` } }).value, false);
  assert.equal(evaluate(`self.name.find('(x+x+)+y')`, { self: { name: 'x'.repeat(3_000) } }).value, '');
  assert.ok(performance.now() - started < 2_000);
});

test('an optional variable, a lazy object and constants of the caller', () => {
  const old = celEnvironment({ variables: { oldSelf: declOptional(self) } });
  const compiled = old.compile('oldSelf.hasValue() ? oldSelf.value().replicas : -1');
  assert.ok(compiled.issues === undefined);
  assert.deepEqual(
    [compiled.evaluate({ oldSelf: null }).value, compiled.evaluate({ oldSelf: { replicas: 3 } }).value],
    [-1, 3],
  );
  assert.deepEqual([...compiled.references], ['oldSelf']);

  let computed = 0;
  const variables = declObject(
    'Variables',
    new Map([
      ['x', { property: 'x', type: declInt }],
      ['y', { property: 'y', type: declInt }],
    ]),
  );
  const lazy = new LazyObject(
    variables.type,
    new Map<string, () => CelValue | CelError>([
      ['x', () => ++computed],
      ['y', () => new CelError('broken')],
    ]),
  );
  const uses = celEnvironment({ variables: { variables } }).compile(
    'variables.x == 1 && variables.x == 1 || variables.y == 1',
  );
  assert.ok(uses.issues === undefined);
  assert.equal(uses.evaluate({ variables: lazy }).value, true);
  assert.equal(computed, 1);
});

test('lists of sets and maps are compared and joined by their keys', () => {
  const schema: Schema = {
    type: 'object',
    properties: {
      a: { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' },
      m: {
        type: 'array',
        items: { type: 'object', properties: { k: { type: 'string' }, v: { type: 'integer' } } },
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['k'],
      },
    },
  };
  const decl = schemaDecl(schema);
  assert.ok(decl);
  const typed = celEnvironment({ variables: { self: decl, oldSelf: decl } });
  const one = {
    a: ['x', 'y'],
    m: [
      { k: 'a', v: 1 },
      { k: 'b', v: 2 },
    ],
  };
  const other = {
    a: ['y', 'x'],
    m: [
      { k: 'b', v: 2 },
      { k: 'a', v: 1 },
    ],
  };
  for (const rule of [
    'self.a == oldSelf.a && self.m == oldSelf.m && self == oldSelf',
    "self.a + ['z', 'x'] == ['z', 'y', 'x'] && (self.m + oldSelf.m).size() == 2",
    'self.m[0].v == 1 && self.m != [self.m[0]]',
  ]) {
    const compiled = typed.compile(rule);
    assert.ok(compiled.issues === undefined);
    const result = compiled.evaluate({ self: one, oldSelf: other });
    assert.deepEqual(
      { rule, value: result.value, error: result.error?.message },
      { rule, value: true, error: undefined },
    );
  }
});

test('formats of strings become values of the language', () => {
  const decl = schemaDecl({
    type: 'object',
    properties: {
      time: { type: 'string', format: 'date-time' },
      day: { type: 'string', format: 'date' },
      wait: { type: 'string', format: 'duration' },
      data: { type: 'string', format: 'byte' },
    },
  });
  assert.ok(decl);
  const typed = celEnvironment({ variables: { self: decl } });
  const rule =
    "self.time.getHours() == 18 && string(self.time) == '2011-08-18T19:03:37+01:00' && self.day == timestamp('2011-08-18T00:00:00Z')" +
    " && self.wait == duration('1h30m') && self.data == b'AB' && self.time.getHours('America/New_York') == 14";
  const compiled = typed.compile(rule);
  assert.ok(compiled.issues === undefined);
  const data = { time: '2011-08-18T19:03:37+01:00', day: '2011-08-18', wait: '1h30m', data: 'QUI=' };
  assert.equal(compiled.evaluate({ self: data }).value, true);
  assert.match(
    compiled.evaluate({ self: { ...data, time: 'x' } }).error?.message ?? '',
    /Invalid date-time formatted string x/,
  );
});

test('what an expression gives can be read', () => {
  const { value } = evaluate('[1.5, 2.0].map(x, x + 1.0)');
  assert.ok(value instanceof CelList);
  assert.deepEqual([value.size, value.get(0)], [2, new Double(2.5)]);
});

const long = 'a'.repeat(100_000);
const longList = Array.from({ length: 100_000 }, (_, index) => index);
const lists = (): string[][] =>
  Array.from({ length: 1000 }, () => Array.from({ length: 100 }, (_, index) => `v${index}`));
const longMap = Object.fromEntries(longList.slice(0, 20_000).map(index => [`k${index}`, index]));
const doubled = '[object].map(a, [a, a])' + '.map(a, [a, a])'.repeat(40);

const bombs: readonly (readonly [text: string, object: unknown])[] = [
  [`${doubled} == ${doubled}`, 1],
  [`'%s'.format(${doubled}) == ''`, 1],
  ["object.replace('', object).size() > 0", long],
  ["object.l.map(x, object.s).join(',').size() > 0", { l: longList, s: long }],
  ['object.l.map(x, string(x)).distinct().size() > 0', { l: longList }],
  ['object.l.all(x, size(object.s) > 0)', { l: longList, s: long.repeat(30) }],
  ['object.l.all(x, object.a == object.b)', { l: longList, a: lists(), b: lists() }],
  ['object.l.all(x, object.m == object.n)', { l: longList, m: longMap, n: { ...longMap } }],
  ["object.l.all(x, object.s.charAt(1) == 'a')", { l: longList, s: `${long.repeat(5)}é` }],
  ['object.l.all(x, !isQuantity(object.s))', { l: longList, s: long.repeat(5) }],
  ['object.l.all(x, x in object.l)', { l: longList }],
  ['object.l.all(x, size(object.m) > 0)', { l: longList, m: longMap }],
];

test('work that costs little by upstream rules ends too', () => {
  for (const [text, object] of bombs) {
    const before = process.cpuUsage();
    const { error } = evaluate(text, { object });
    assert.equal(error?.message, 'operation cancelled: actual cost limit exceeded', text);
    const { user } = process.cpuUsage(before);
    assert.ok(user < 10_000_000, `${text}: ${user} µs`);
  }
});

test('macros and types that double themselves are refused or forgotten', () => {
  assert.match(issuesOf(`optional.of(1)${'.optMap(a, a + a)'.repeat(40)}`), /too large with its macros expanded/);
  assert.match(
    evaluate(`[1]${'.map(a, {a: a})'.repeat(60)} == []`).error?.message ?? '',
    /unsupported key type: map\(dyn, dyn\)/,
  );
});

test('an evaluation that was stopped leaves nothing behind', () => {
  const large = celEnvironment({ variables: { object: declDyn } }).compile('object.all(x, x < object[0] || true)');
  assert.ok(large.issues === undefined);
  for (let round = 0; round < 3; round++) {
    const stopped: Evaluation = large.evaluate({ object: Array.from({ length: 2000 }, () => long) });
    assert.equal(stopped.error?.message, 'operation cancelled: actual cost limit exceeded');
    assert.equal(evaluate(`size('${'é'.repeat(500)}') == 500`).value, true);
  }
});
