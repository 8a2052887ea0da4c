import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fieldsOf, parseJsonPath } from './json-path.ts';

const value = {
  spec: {
    'a.b': 1,
    items: [
      { n: 'x', v: 1 },
      { n: 'y', v: 2 },
    ],
    names: ['p', 'q', 'r'],
  },
  status: {
    conditions: [
      { type: 'Ready', status: 'True' },
      { type: 'Other', status: 'False' },
    ],
  },
};

test('paths find what they name', () => {
  const cases: [string, unknown[]][] = [
    ['.spec.names[0]', ['p']],
    ['.spec.names[-1]', ['r']],
    ['.spec.names[1:]', ['q', 'r']],
    ['.spec.names[0,2]', ['p', 'r']],
    ['.spec.items[*].n', ['x', 'y']],
    [".spec['a.b']", [1]],
    ['.spec.a\\.b', [1]],
    ['.status.conditions[?(@.type=="Ready")].status', ['True']],
    ["{.status.conditions[?(@.type=='Other')].status}", ['False']],
    ['.spec.items[?(@.v>1)].n', ['y']],
    ['..n', ['x', 'y']],
    ['.spec.missing.more', []],
    ['.spec.toString', []],
  ];
  for (const [path, expected] of cases) assert.deepEqual(parseJsonPath(path)(value), expected, path);
});

test('what cannot be read is said', () => {
  assert.throws(() => parseJsonPath('.spec[abc'), /cannot read the JSON path/);
  assert.throws(() => parseJsonPath('.spec[abc]'), /cannot read the JSON path/);
});

test('simple paths are fields', () => {
  assert.deepEqual(fieldsOf(".spec['a.b'].c"), ['spec', 'a.b', 'c']);
  assert.equal(fieldsOf('.spec.a[0]'), undefined);
});
