import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPooled, pooled, pooledText } from './field-set-pool.ts';
import { unionOf } from './field-set.ts';

const ownerOf = (image: string) => ({ 'f:spec': { 'f:containers': { [`k:{"name":"${image}"}`]: { '.': {} } } } });

test('who owns the same fields shares one set, which nobody can change', () => {
  const one = pooled(ownerOf('web'));
  assert.equal(pooled(ownerOf('web')), one);
  assert.notEqual(pooled(ownerOf('db')), one);
  assert.throws(() => Object.assign(one['f:spec'] as object, { 'f:other': {} }), TypeError);
  assert.equal(pooledText(one), JSON.stringify(ownerOf('web')));
});

test("fields are written in upstream's order, in whatever order they came", () => {
  const wanted =
    '{"f:metadata":{},"f:spec":{".":{},"f:a":{},"f:b":{},"k:{\\"n\\":1}":{},"v:\\"x\\"":{},"i:2":{},"i:10":{}}}';
  const spec = { 'i:10': {}, 'v:"x"': {}, 'f:b': {}, 'i:2': {}, 'k:{"n":1}': {}, 'f:a': {}, '.': {} };
  const one = pooled({ 'f:spec': spec, 'f:metadata': {} });
  assert.equal(pooledText(one), wanted);
  assert.equal(pooled(JSON.parse(wanted) as typeof one), one);
  assert.equal(pooled({ 'f:metadata': {}, 'f:spec': { ...spec } }), one);
});

test('what comes out of an operation is a set of its own', () => {
  const union = unionOf(pooled(ownerOf('web')), pooled(ownerOf('db')));
  assert.equal(isPooled(union), false);
  assert.deepEqual(pooled(union), union);
  assert.equal(isPooled(pooled(union)), true);
});

test('sets that are too long to be shared stay as they are', () => {
  const long = ownerOf('x'.repeat(20_000));
  assert.equal(pooled(long), long);
  assert.equal(isPooled(long), false);
  assert.equal(Object.isFrozen(long), false);
});
