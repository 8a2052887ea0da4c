import { isCelError, isCelList, isCelMap, isCelUint, run as runOracle } from '@bufbuild/cel';
import { strings } from '@bufbuild/cel/ext';
import type { Random } from '#base/random.ts';
import { celEnvironment, celEnvironmentWith } from '#cel/environment.ts';
import { conformanceLibraries } from '#cel/libraries/libraries.ts';
import { schemaDecl } from '#cel/schema.ts';
import { CelList, CelMap, Double, Uint } from '#cel/values.ts';
import { isDeepStrictEqual } from 'node:util';
import { below, holds, pick, shown, type Target } from '../target.ts';

const decl = schemaDecl({
  type: 'object',
  properties: {
    replicas: { type: 'integer' },
    name: { type: 'string', maxLength: 20 },
    ratio: { type: 'number' },
    items: {
      type: 'array',
      maxItems: 10,
      items: { type: 'object', properties: { k: { type: 'string' }, v: { type: 'integer' } } },
    },
    labels: { type: 'object', additionalProperties: { type: 'string' } },
    port: { 'x-kubernetes-int-or-string': true },
    until: { type: 'string', format: 'date-time' },
  },
});
if (!decl) throw new Error('the schema is not seen by expressions');

const environment = celEnvironment({ variables: { self: decl, oldSelf: decl }, bindings: true });
const value = {
  replicas: 3,
  name: 'abc',
  ratio: 0.5,
  items: [
    { k: 'a', v: 1 },
    { k: 'b', v: 2 },
  ],
  labels: { a: 'x', b: 'y' },
  port: '80%',
  until: '2026-01-01T00:00:00Z',
};

const words =
  '( ) [ ] { } . , ? : + - * / % ! && || == != < <= > >= in has all exists exists_one map filter x y self oldSelf size true false null 1 0 -1 1u 1.5 \'a\' b"c" r\'\\d\' """q""" \' \\ `a` .? [? optional.of optional.none orValue cel.bind matches startsWith split join format("%s") quantity("1Gi") duration("1h") timestamp("2026-01-01T00:00:00Z") url("http://a") ip("10.0.0.1") cidr("10.0.0.0/8") semver("1.2.3") isSorted sum min max indexOf find findAll type int string double bytes dyn sets.contains lists.range math.greatest base64.encode transformList transformMap 9223372036854775807 0x7f 1e309'.split(
    ' ',
  );

const language: Target = {
  name: 'cel',
  form: 'text',
  words: [...words, '// c\n'],
  seeds: () => [
    "self.replicas > 1 && self.name.startsWith('a') || has(self.labels.a)",
    "self.items.all(x, x.v > 0) && self.items.map(x, x.k).join(',') == 'a,b'",
    "self.labels.exists(k, k == 'a') ? quantity('1Gi').isGreaterThan(quantity('1Mi')) : duration('1h') > duration('1m')",
    "self.?name.orValue('none').matches('^[a-c]+$') && oldSelf.replicas <= self.replicas",
    'cel.bind(x, self.items.filter(i, i.v % 2 == 0), x.size() + x[0].v)',
    "[1, 2, 3].map(x, x * 2).sum() == 12 && {'a': 1}['a'] == 1 && dyn(self.port) == '80%'",
    "'%s %d %.2f'.format(['a', 1, 1.5]) + string(timestamp(self.until).getFullYear())",
    'ip("10.0.0.1") in cidr("10.0.0.0/8") || url("http://a/b").getHost() == "a"',
  ],
  generate: random =>
    Array.from({ length: 1 + below(random, 25) }, () => pick(random, words)).join(pick(random, ['', ' '])),
  declares: () => false,
  run(input) {
    const compiled = environment.compile(input.toString());
    if (compiled.issues !== undefined) {
      holds(compiled.issues.startsWith('ERROR: <input>:'), () => `the issues are ${shown(compiled.issues)}`);
      return `issues: ${compiled.issues
        .split('\n')[0]
        ?.replaceAll(/'[^']*'|\d+/g, '…')
        .slice(0, 100)}`;
    }
    const { minimum, maximum } = compiled.estimateCost();
    holds(minimum >= 0 && maximum >= minimum, () => `costs from ${minimum} to ${maximum}`);
    const { error, value: result, cost } = compiled.evaluate({ self: value, oldSelf: value });
    holds((error === undefined) !== (result === undefined), () => 'neither a value nor an error');
    holds(cost >= 0, () => `it cost ${cost}`);
    const again = compiled.evaluate({ self: value, oldSelf: value });
    holds(
      again.cost === cost && (again.error === undefined) === (error === undefined),
      () => 'the second time is not like the first',
    );
    return error === undefined
      ? `value ${typeof result}`
      : `error ${String(error.message).replaceAll(/\d+/g, '0').slice(0, 60)}`;
  },
};

/* Against an implementation of others: only what both have and agree on by the specification. */

const plain = celEnvironmentWith({ homogeneousLiterals: false }, conformanceLibraries);

type Sort = 'int' | 'double' | 'text' | 'bool' | 'ints' | 'texts' | 'map';
type Rule = (make: (sort: Sort) => string, random: Random) => string;

const operators = { sums: ['+', '-', '*', '/', '%'], orders: ['<', '<=', '>', '>=', '==', '!='] };
const rules: Readonly<Record<Sort, { readonly leaves: readonly string[]; readonly rules: readonly Rule[] }>> = {
  int: {
    leaves: ['0', '1', '-2', '7', '9223372036854775807', '-9223372036854775807', '9007199254740993'],
    rules: [
      (make, random) => `(${make('int')} ${pick(random, operators.sums)} ${make('int')})`,
      make => `-(${make('int')})`,
      (make, random) => `size(${make(pick(random, ['text', 'ints', 'map']))})`,
      make => `(${make('bool')} ? ${make('int')} : ${make('int')})`,
      (make, random) => `${make('ints')}[${below(random, 5) - 1}]`,
      (make, random) => `${make('map')}['${pick(random, ['a', 'b', 'z'])}']`,
      make => `int(${make('double')})`,
    ],
  },
  double: {
    leaves: ['0.5', '-1.25', '3.0', '1e10'],
    rules: [
      (make, random) => `(${make('double')} ${pick(random, ['+', '-', '*'])} ${make('double')})`,
      (_make, random) => `double(${below(random, 19) - 9})`,
    ],
  },
  text: {
    leaves: ["'a'", "''", "'tacocat'", "'é'", "'12'", "'A b'"],
    rules: [
      make => `(${make('text')} + ${make('text')})`,
      (make, random) => `string(${make(pick(random, ['int', 'bool']))})`,
      (make, random) => `${make('text')}.substring(${below(random, 5)})`,
      make => `${make('text')}.replace('a', ${make('text')})`,
      make => `${make('text')}.lowerAscii()`,
      make => `${make('texts')}.join('-')`,
    ],
  },
  bool: {
    leaves: ['true', 'false'],
    rules: [
      (make, random) => `(${make('int')} ${pick(random, operators.orders)} ${make('int')})`,
      (make, random) => `(${make('double')} ${pick(random, ['<', '>=', '=='])} ${make('double')})`,
      (make, random) => `(${make('text')} ${pick(random, ['<', '>', '==', '!='])} ${make('text')})`,
      (make, random) => `(${make('bool')} ${pick(random, ['&&', '||'])} ${make('bool')})`,
      make => `!(${make('bool')})`,
      make => `(${make('int')} in ${make('ints')})`,
      make => `(${make('ints')} == ${make('ints')})`,
      (make, random) =>
        `${make('ints')}.${pick(random, ['all', 'exists', 'exists_one'])}(x, x ${pick(random, ['<', '>', '=='])} ${make('int')})`,
      (make, random) => `${make('text')}.${pick(random, ['startsWith', 'endsWith', 'contains'])}(${make('text')})`,
      (make, random) => `('${pick(random, ['a', 'b', 'z'])}' in ${make('map')})`,
      make => `has(${make('map')}.a)`,
    ],
  },
  ints: {
    leaves: ['[1, 2, 3]', '[0]', '[-1, 9223372036854775807]'],
    rules: [
      make => `(${make('ints')} + ${make('ints')})`,
      make => `${make('ints')}.map(x, x + ${make('int')})`,
      make => `${make('ints')}.filter(x, x > ${make('int')})`,
      make => `[${make('int')}, ${make('int')}]`,
    ],
  },
  texts: {
    leaves: ["['a', 'b']"],
    rules: [make => `[${make('text')}, ${make('text')}]`, make => `${make('text')}.split('a')`],
  },
  map: {
    leaves: ["{'a': 1}"],
    rules: [make => `{'a': ${make('int')}}`, make => `{'a': ${make('int')}, 'b': ${make('int')}}`],
  },
};

function expression(random: Random): string {
  const make = (sort: Sort, depth: number): string => {
    const { leaves, rules: forms } = rules[sort];
    return depth <= 0 || random.next() < 0.25
      ? pick(random, leaves)
      : pick(random, forms)(each => make(each, depth - 1), random);
  };
  return make(pick(random, ['int', 'bool', 'text', 'ints', 'double'] as const), 4);
}

const differential: Target = {
  name: 'cel-differential',
  form: 'text',
  isGenerated: true,
  seeds: () => [],
  generate: expression,
  declares: () => false,
  run(input) {
    const text = input.toString();
    const compiled = plain.compile(text);
    holds(compiled.issues === undefined, () => `${text}: ${compiled.issues}`);
    const { error, value: result } = compiled.evaluate({});
    const ours = error === undefined ? ourPlain(result) : 'error';
    const oracle = runOracle(text, {}, { funcs: strings });
    const theirs = isCelError(oracle) ? 'error' : theirPlain(oracle);
    holds(
      isDeepStrictEqual(ours, theirs),
      () => `${text} is ${shown(ours)} here and ${shown(theirs)} in @bufbuild/cel`,
    );
    return typeof ours;
  },
};

function ourPlain(each: unknown): unknown {
  if (typeof each === 'number') return BigInt(each);
  if (each instanceof Double) return `double ${each.value}`;
  if (each instanceof Uint) return `uint ${each.value}`;
  if (each instanceof CelList) return Array.from({ length: each.size }, (_, index) => ourPlain(each.get(index)));
  if (each instanceof CelMap) return each.keys().map(key => [ourPlain(key), ourPlain(each.find(key))]);
  return each;
}

function theirPlain(each: unknown): unknown {
  if (typeof each === 'number') return `double ${each}`;
  if (isCelUint(each)) return `uint ${each.value}`;
  if (isCelList(each)) return Array.from(each, theirPlain);
  if (isCelMap(each)) return Array.from(each, ([key, inner]) => [theirPlain(key), theirPlain(inner)]);
  return each;
}

export const celTargets: readonly Target[] = [language, differential];
