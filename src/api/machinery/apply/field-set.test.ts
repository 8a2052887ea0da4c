import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  differenceOf,
  type FieldSet,
  formatPath,
  intersectionOf,
  leaf,
  nodeOf,
  pathsOf,
  readFieldSet,
  recursiveDifferenceOf,
  unionOf,
} from './field-set.ts';

const element = fc.constantFrom('f:a', 'f:b', 'k:{"name":"x"}', 'v:1', 'i:0');
const path = fc.array(element, { minLength: 1, maxLength: 4 });

/** The set of some paths, built one by one. */
function setOf(paths: readonly (readonly string[])[]): FieldSet {
  return paths.map(single).reduce(unionOf, {});
}

function single(path: readonly string[]): FieldSet {
  return path.reduceRight<FieldSet>((below, each) => ({ [each]: below }), leaf);
}

const names = (set: FieldSet) => new Set([...pathsOf(set)].map(each => each.join(' ')));
const paths = fc.array(path, { maxLength: 8 });
const textsOf = (list: readonly (readonly string[])[]) => new Set(list.map(each => each.join(' ')));

test('the algebra is that of sets of paths', () => {
  fc.assert(
    fc.property(paths, paths, (one, other) => {
      const [a, b] = [setOf(one), setOf(other)];
      assert.deepEqual(names(a), textsOf(one));
      assert.deepEqual(names(unionOf(a, b)), textsOf(one).union(textsOf(other)));
      assert.deepEqual(names(differenceOf(a, b)), textsOf(one).difference(textsOf(other)));
      assert.deepEqual(names(intersectionOf(a, b)), textsOf(one).intersection(textsOf(other)));
      const below = one.filter(each => !other.some(prefix => prefix.every((step, index) => step === each[index])));
      assert.deepEqual(names(recursiveDifferenceOf(a, b)), textsOf(below));
      assert.deepEqual(names(readFieldSet(JSON.parse(JSON.stringify(a))) as FieldSet), textsOf(one));
      assert.deepEqual(names(a), textsOf(one), 'sets are not changed');
    }),
    { numRuns: 1_000 },
  );
});

test('nothing to do gives the same set', () => {
  fc.assert(
    fc.property(paths, list => {
      const a = setOf(list);
      assert.equal(unionOf(a, a), a);
      assert.equal(differenceOf(a, { 'f:other': leaf }), a);
    }),
  );
});

test('elements are read into our spelling', () => {
  assert.deepEqual(readFieldSet({ 'k:{"b":1,"a":"\\u003c"}': {}, 'x:unknown': {} }), { 'k:{"a":"<","b":1}': {} });
  assert.equal(readFieldSet({ bad: {} }), undefined);
  assert.equal(readFieldSet({ 'f:a': 1 }), undefined);
  assert.equal(readFieldSet({ 'k:nope': {} }), undefined);
  assert.equal(formatPath(['f:spec', 'k:{"name":"a","port":1}', 'v:"x"', 'i:2']), '.spec[name="a",port=1][="x"][2]');
  assert.equal(nodeOf(false, undefined), undefined);
});
