import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CustomResourceDefinition } from '../apiextensions/v1/custom-resource-definition.ts';
import { ConfigMap } from '../core/v1/config-map.ts';
import { Pod } from '../core/v1/pod.ts';
import {
  decodeMessage,
  decodeProtobuf,
  encodeListProtobuf,
  encodeMessage,
  encodeProtobuf,
  encodeWatchEvent,
  protobufMagic,
} from './protobuf.ts';
import { boolean, double, int32, int64, list, map, object, string, types } from './schema.ts';
import { Reader } from './wire.ts';

const Sample = object('a.v1.Sample', {
  text: string(1),
  maybe: string(2, { pointer: true }),
  wide: int64(3, { pointer: true }),
  narrow: int32(4, { pointer: true }),
  float: double(5, { pointer: true }),
  on: boolean(6, { pointer: true }),
  numbers: list(7, types.int64),
  map: map(20, types.bytes),
});

test('what is encoded is decoded', () => {
  const value = fc.record(
    {
      text: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 100 }),
      maybe: fc.string(),
      wide: fc.oneof(
        fc.maxSafeInteger(),
        fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }),
        fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) }),
      ),
      narrow: fc.integer(),
      float: fc.double({ noNaN: true }),
      on: fc.boolean(),
      numbers: fc.array(fc.maxSafeInteger(), { minLength: 1 }),
      map: fc.dictionary(
        fc.string(),
        fc.uint8Array().map(bytes => Buffer.from(bytes).toString('base64')),
        { minKeys: 1, noNullPrototype: true },
      ),
    },
    { requiredKeys: [], noNullPrototype: true },
  );
  fc.assert(fc.property(value, each => assert.deepEqual(decodeMessage(Sample, encodeMessage(Sample, each)), each)));
});

test('zero of a pointer is written, zero of the rest comes back as absent', () => {
  assert.equal(Buffer.from(encodeMessage(Sample, {})).toString('hex'), '0a00');
  assert.deepEqual(decodeMessage(Sample, encodeMessage(Sample, { text: '', maybe: '', narrow: 0, on: false })), {
    maybe: '',
    narrow: 0,
    on: false,
  });
});

test('big messages grow the buffer', () => {
  const data = { a: 'x'.repeat(300_000), b: 'é'.repeat(300_000) };
  const bytes = encodeProtobuf(ConfigMap, { data });
  const { kind, apiVersion, raw } = decodeProtobuf(bytes);
  assert.deepEqual([apiVersion, kind], ['v1', 'ConfigMap']);
  assert.deepEqual(decodeMessage(ConfigMap.schema, raw)['data'], data);
});

test('a list is made of item messages', () => {
  const items = ['a', 'b'.repeat(200)].map(name => encodeMessage(ConfigMap.schema, { metadata: { name } }));
  const bytes = encodeListProtobuf(ConfigMap, { resourceVersion: '7', continue: 'c', remainingItemCount: 300 }, items);
  const { kind, raw } = decodeProtobuf(bytes);
  assert.equal(kind, 'ConfigMapList');
  const List = object('a.v1.List', {
    metadata: {
      tag: 1,
      schema: object('m', { resourceVersion: string(2), continue: string(3), remainingItemCount: int64(4) }),
    },
    items: list(2, ConfigMap.schema as never),
  });
  assert.deepEqual(decodeMessage(List, raw), {
    metadata: { resourceVersion: '7', continue: 'c', remainingItemCount: 300 },
    items: [{ metadata: { name: 'a' } }, { metadata: { name: 'b'.repeat(200) } }],
  });
});

test('a watch event is one frame', () => {
  const bytes = encodeProtobuf(Pod, { metadata: { name: 'a' } });
  const frame = Buffer.from(encodeWatchEvent('ADDED', bytes));
  assert.equal(frame.readUInt32BE(0), frame.length - 4);
  const reader = new Reader(frame, 4);
  assert.equal(reader.varint(), 0x0a);
  assert.equal(reader.string(), 'ADDED');
  assert.equal(reader.varint(), 0x12);
  const raw = reader.message();
  assert.equal(raw.varint(), 0x0a);
  assert.deepEqual(Buffer.from(raw.view()), Buffer.from(bytes));
  assert.ok(reader.done);
});

test('the either-or types of CRD schemas', () => {
  const schema = {
    additionalItems: false,
    additionalProperties: { type: 'string' },
    dependencies: { a: ['b', 'c'], d: { type: 'object' } },
    items: { additionalProperties: true, items: [{ type: 'string' }, {}] },
  };
  const crd = { metadata: { name: 'x' }, spec: { versions: [{ name: 'v1', schema: { openAPIV3Schema: schema } }] } };
  const decoded = decodeMessage(CustomResourceDefinition.schema, encodeMessage(CustomResourceDefinition.schema, crd));
  const [version] = (decoded['spec'] as unknown as typeof crd.spec).versions;
  assert.deepEqual(version?.schema.openAPIV3Schema, schema);
});

test('what is no protobuf is refused', () => {
  assert.throws(() => decodeProtobuf(Buffer.from('{}')), /does not appear to be a protobuf message/);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), bytes => {
      try {
        decodeMessage(Pod.schema, bytes);
        decodeProtobuf(Buffer.concat([protobufMagic, bytes]));
      } catch (error) {
        assert.ok(
          error instanceof Error && !(error instanceof TypeError) && !(error instanceof RangeError),
          String(error),
        );
      }
    }),
    { numRuns: 2_000 },
  );
});
