import assert from 'node:assert/strict';
import { test } from 'node:test';
import { celEnvironment } from './environment.ts';
import { type Schema, schemaDecl } from './schema.ts';

/*
 * What rules cost is part of the API: it decides which definitions and objects are taken. The figures are upstream's, of
 * celcoststability_test.go and of the libraries' own tables.
 */

const text: Schema = { type: 'string' };
const whole: Schema = { type: 'integer' };

function object(properties: Readonly<Record<string, Schema>>): Schema {
  return { type: 'object', properties };
}

function list(items: Schema, more: Schema = {}): Schema {
  return { type: 'array', items, ...more };
}

function compile(rule: string, schema: Schema) {
  const self = schemaDecl(schema, { root: true });
  assert.ok(self);
  const compiled = celEnvironment({ variables: { self, oldSelf: self } }).compile(rule);
  if (compiled.issues !== undefined) assert.fail(compiled.issues);
  return compiled;
}

const shapes: Readonly<Record<string, { schema: Schema; data: unknown }>> = {
  strings: { schema: object({ a: text, b: text }), data: { a: 'Rook takes 👑', b: 'Rook takes 👑' } },
  numbers: { schema: object({ i: whole, n: { type: 'number' } }), data: { i: 5, n: 10 } },
  array: { schema: object({ array: list(whole) }), data: { array: [1, 1, 2, 2, 3, 3, 4, 5] } },
  map: { schema: object({ val: { type: 'object', additionalProperties: whole } }), data: { val: { b: 1, d: 2 } } },
  sets: {
    schema: object({
      a: list(text, { 'x-kubernetes-list-type': 'set' }),
      b: list(text, { 'x-kubernetes-list-type': 'set' }),
    }),
    data: { a: ['a', 'b', 'c'], b: ['a', 'c', 'b'] },
  },
  entries: {
    schema: object({
      entries: list(object({ k: text, v: text, v2: text }), {
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['k'],
      }),
    }),
    data: {
      entries: [
        { k: 'a1', v: 'b1' },
        { k: 'a2', v: 'b2' },
        { k: 'a3', v: 'b3', v2: 'z' },
      ],
    },
  },
  optionals: {
    schema: object({
      o: object({ field: text, absent: text }),
      m: { type: 'object', additionalProperties: text },
      l: list(text),
    }),
    data: { o: { field: 'a' }, m: { k: 'v' }, l: ['a'] },
  },
  intOrString: { schema: object({ s: { 'x-kubernetes-int-or-string': true } }), data: { s: '25%' } },
};

const actual: readonly (readonly [shape: string, rule: string, cost: number])[] = [
  ['strings', 'self.a == self.b', 6],
  ['strings', "self.a.startsWith('Rook')", 3],
  ['strings', "self.a.matches('^[^0-9]*$')", 8],
  ['strings', 'size(self.a) == 12', 4],
  ['strings', "self.a.replace(' ', 'x') == 'Rookxtakesx👑'", 7],
  ['strings', "self.a.split(' ') == ['Rook', 'takes', '👑']", 6],
  ['strings', 'self.a.lowerAscii() == self.a.lowerAscii()', 10],
  ['strings', "'%o %o %o'.format([7, 8, 9]) == '7 10 11'", 2],
  ['numbers', 'double(self.i) < self.n', 6],
  ['numbers', 'double(5) < 10.0', 1],
  ['array', '2 in self.array', 10],
  ['array', '3 in [1, 2, 3]', 0],
  ['array', 'self.array.all(e, e > 0)', 43],
  ['array', 'self.array.exists(e, e > 2)', 36],
  ['array', 'self.array.exists_one(e, e > 4)', 22],
  ['array', '!self.array.all(e, e < 2)', 21],
  ['array', 'size(self.array.filter(e, e%2 == 0)) == 3', 68],
  ['array', 'self.array.map(e, e * 20).filter(e, e > 50).exists(e, e == 60)', 194],
  ['array', 'self.array.transformList(i, e, e > 2, e * 2).size() > 0', 77],
  ['map', "'b' in self.val", 3],
  ['map', 'has(self.val.b)', 2],
  ['map', 'self.val.all(k, self.val[k] > 0)', 17],
  ['map', 'self.val.existsOne(k, v, v == 2)', 10],
  ['map', 'self.val.transformMap(k, v, v + 1).size() == 2', 15],
  ['map', "self.val.transformMapEntry(k, v, {k + '2': v + 1}).size() == 2", 77],
  ['sets', 'self.a == self.b', 5],
  ['sets', "sets.equivalent(self.a, ['a', 'b', 'c'])", 21],
  ['sets', "self.a + ['c', 'd'] == ['a', 'b', 'c', 'd']", 4],
  ['entries', "self.entries.all(m, m.k.startsWith('a'))", 21],
  ['entries', "self.entries.all(m, !has(m.v2) || m.v2 == 'z')", 21],
  ['entries', "self.entries.exists(m, m.v2 == 'z')", 24],
  ['entries', "self.entries.map(m, m.v).exists(v, v == 'b1')", 55],
  ['optionals', "optional.of('a').optMap(v, v == 'a').hasValue()", 8],
  ['intOrString', "type(self.s) == int ? self.s == 1 : self.s == '25%'", 7],
  ['intOrString', "self.s == '25%' || self.s == 1", 3],
];

test('an evaluation costs what it costs upstream', () => {
  for (const [shape, rule, cost] of actual) {
    const { schema, data } = shapes[shape] as { schema: Schema; data: unknown };
    const result = compile(rule, schema).evaluate({ self: data, oldSelf: data });
    assert.deepEqual({ rule, value: result.value, cost: result.cost }, { rule, value: true, cost });
  }
});

const limited = object({
  listOfMap: list({ type: 'object', additionalProperties: text, maxProperties: 10 }, { maxItems: 10 }),
  mapOfList: { type: 'object', additionalProperties: list(text, { maxItems: 10 }), maxProperties: 10 },
  name: { type: 'string', maxLength: 20 },
  phase: { type: 'string', enum: ['Pending', 'Bound'] },
});

const estimated: readonly (readonly [schema: Schema, rule: string, maximum: number])[] = [
  [limited, "self.mapOfList['l'][0] == 'e'", 5],
  [limited, 'self.listOfMap.map(e, e).map(e, e).size() == 1', 286],
  [limited, 'self.listOfMap.map(e, e.map(m, m)).size() == 1', 1555],
  [limited, 'self.mapOfList.map(k, self.mapOfList[k].map(l, l)).size() == 1', 1585],
  [limited, "self.name.startsWith('x') && self.phase == 'Bound'", 6],
  [object({ s: text }), 'isQuantity(self.s)', 314_575],
  [object({ s: text, t: text }), 'quantity(self.s).isLessThan(quantity(self.t))', 629_151],
  [object({ array: list(whole) }), 'self.array.map(e, e * 20).filter(e, e > 50).exists(e, e == 60)', 53_477_367],
  [object({ i: whole }), 'type(self.i) == int', 4],
  [object({ i: whole }), "optional.of('a') != optional.of('b')", 2 ** 64 / 10],
  [object({ l: list(text) }), "self.l[?0].optMap(v, v == 'a').hasValue()", 22],
];

test('the worst case is what upstream takes it for', () => {
  for (const [schema, rule, maximum] of estimated) {
    const cost = compile(rule, schema).estimateCost().maximum;
    assert.ok(Math.abs(cost - maximum) <= maximum * 1e-9, `${rule}: ${cost} and not ${maximum}`);
  }
});

const ranges: readonly (readonly [expression: string, minimum: number, maximum: number])[] = [
  ['[1, 2, 3, 4, 5].sum()', 15, 15],
  ["url('https:://kubernetes.io/').getHost()", 4, 4],
  ["url('https:://kubernetes.io/') == url('https:://kubernetes.io/')", 7, 9],
  ["ip('192.168.0.1').family()", 3, 3],
  ["cidr('192.168.0.0/16').containsIP('192.169.0.1')", 5, 8],
  ['{"a": 1, "b": 2}.all(k, v, v > 0)', 37, 41],
  ['[1, 2].transformList(i, v, v < 5, v + 1)', 27, 53],
  ['sets.equivalent([1, 1], [1])', 25, 25],
  ['semver("1.0.0").compareTo(semver("1.2.3"))', 3, 3],
];

test('estimates have both ends', () => {
  for (const [expression, minimum, maximum] of ranges) {
    assert.deepEqual(
      { expression, ...compile(expression, object({})).estimateCost() },
      { expression, minimum, maximum },
    );
  }
});

test('an evaluation over its limit ends with an error that nothing forgives', () => {
  const compiled = compile('self.array.all(x, self.array.all(y, x != y)) || true', object({ array: list(whole) }));
  const result = compiled.evaluate({ self: { array: Array.from({ length: 50 }, (_, index) => index) } });
  assert.equal(result.error, undefined);
  const long = { array: Array.from({ length: 5_000 }, () => 1) };
  const over = compile('self.array.exists(x, self.array.exists(y, x != y)) || true', object({ array: list(whole) }));
  const { error, cost } = over.evaluate({ self: long });
  assert.equal(error?.message, 'operation cancelled: actual cost limit exceeded');
  assert.equal(error.costExceeded, true);
  assert.ok(cost > 1_000_000 && cost < 1_100_000);
  assert.equal(over.evaluate({ self: long }, { costLimit: 10 }).error?.costExceeded, true);
});
