import assert from 'node:assert/strict';
import { test } from 'node:test';
import { schemaInGo, setFieldsInGo } from './schema-go-form.ts';

/** What a schema without anything is printed as, but for what is said otherwise. */
function printed(schema: Parameters<typeof schemaInGo>[0]): Readonly<Record<string, unknown>> {
  const unset = schemaInGo({}) as Readonly<Record<string, unknown>>;
  const entries = Object.entries(schemaInGo(schema));
  return Object.fromEntries(entries.filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(unset[name])));
}

test('a schema is printed whole, in the order of Go’s struct', () => {
  const names = Object.keys(schemaInGo({}));
  assert.deepEqual(names.slice(0, 8), ['ID', 'Schema', 'Ref', 'Description', 'Type', 'Nullable', 'Format', 'Title']);
  assert.equal(names.at(-1), 'XValidations');
  assert.equal(names.length, 44);
});

test('what may be a schema or something else has a struct of its own', () => {
  assert.deepEqual(printed({ additionalProperties: false }), { AdditionalProperties: { Allows: false, Schema: null } });
  assert.deepEqual(printed({ items: [] }), { Items: { Schema: null, JSONSchemas: null } });
  assert.deepEqual(printed({ dependencies: { a: ['b'] } }), {
    Dependencies: { a: { Schema: null, Property: ['b'] } },
  });
  assert.deepEqual(Object.keys(printed({ properties: { b: {}, a: {} } })['Properties'] as object), ['a', 'b']);
  assert.equal(JSON.stringify(printed({ default: { z: 1, a: 2 } })), '{"Default":{"a":2,"z":1}}');
});

test('an empty text is set where Go has a pointer', () => {
  assert.deepEqual(setFieldsInGo({ $ref: '', type: '', nullable: false, 'x-kubernetes-map-type': '' }), [
    'Ref',
    'XMapType',
  ]);
});
