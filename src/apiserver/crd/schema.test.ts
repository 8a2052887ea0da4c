import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JSONSchemaProps } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { applyDefaults } from '#api/machinery/defaults.ts';
import { decodeObject } from '#api/machinery/decode.ts';
import type { Json } from '#api/machinery/schema.ts';
import { kindSchemaOf } from './schema.ts';

const string = { type: 'string' };

/** The spec as it is kept, and what is unknown in it. */
function decoded(spec: JSONSchemaProps, value: Json) {
  const schema = kindSchemaOf('com.example.v1.Thing', { type: 'object', properties: { spec } });
  const { object, unknown } = decodeObject(schema, { metadata: { name: 'a' }, spec: value }, { unknown: 'report' });
  applyDefaults(schema, object);
  return { spec: object['spec'], unknown };
}

test('unknown fields go, at every depth, and are reported with their path', () => {
  const schema: JSONSchemaProps = {
    type: 'object',
    properties: {
      list: { type: 'array', items: { type: 'object', properties: { a: string } } },
      map: { type: 'object', additionalProperties: { type: 'object', properties: { a: string } } },
      empty: { type: 'object' },
    },
  };
  const { spec, unknown } = decoded(schema, {
    list: [{ a: '1', b: '2' }],
    map: { k: { a: '1', c: 1 } },
    empty: { d: 1 },
    e: 1,
  });
  assert.deepEqual(spec, { list: [{ a: '1' }], map: { k: { a: '1' } }, empty: {} });
  assert.deepEqual(unknown.toSorted(), [
    'unknown field "spec.e"',
    'unknown field "spec.empty.d"',
    'unknown field "spec.list[0].b"',
    'unknown field "spec.map.k.c"',
  ]);
});

test('what is to be preserved stays, with its known parts pruned', () => {
  const schema: JSONSchemaProps = {
    type: 'object',
    'x-kubernetes-preserve-unknown-fields': true,
    properties: { known: { type: 'object', properties: { a: string } } },
  };
  const { spec, unknown } = decoded(schema, { anything: { deep: [1] }, known: { a: '1', b: 2 } });
  assert.deepEqual(spec, { anything: { deep: [1] }, known: { a: '1' } });
  assert.deepEqual(unknown, ['unknown field "spec.known.b"']);
});

test('an embedded resource keeps its type and metadata', () => {
  const schema: JSONSchemaProps = {
    type: 'object',
    properties: { template: { type: 'object', 'x-kubernetes-embedded-resource': true, properties: { spec: string } } },
  };
  const template = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', labels: { a: 'b' } }, spec: 's' };
  assert.deepEqual(decoded(schema, { template: { ...template, more: 1 } }).spec, { template });
});

test('defaults fill what is absent; null stays only where it is a value', () => {
  const schema: JSONSchemaProps = {
    type: 'object',
    properties: {
      a: { ...string, default: 'x' },
      b: { ...string, default: 'x', nullable: true },
      c: string,
      zero: { type: 'integer', default: 0 },
      deep: { type: 'object', default: {}, properties: { d: { type: 'boolean', default: false } } },
      map: { type: 'object', additionalProperties: string },
    },
  };
  assert.deepEqual(decoded(schema, { a: null, b: null, c: null, map: { k: null } }).spec, {
    a: 'x',
    b: null,
    zero: 0,
    deep: { d: false },
    map: {},
  });
  assert.deepEqual(decoded(schema, { a: '', c: '', zero: 0 }).spec, {
    a: '',
    b: 'x',
    c: '',
    zero: 0,
    deep: { d: false },
  });
});

test('names of JavaScript are names like any other', () => {
  const schema: JSONSchemaProps = { type: 'object', properties: { constructor: string as never } };
  const { spec, unknown } = decoded(schema, JSON.parse('{"constructor": "a", "__proto__": {"b": 1}, "toString": 2}'));
  assert.deepEqual(JSON.stringify(spec), '{"constructor":"a"}');
  assert.equal(unknown.length, 2);
});
