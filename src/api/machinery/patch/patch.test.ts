import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Deployment } from '../../apps/v1/deployment.ts';
import { Pod } from '../../core/v1/pod.ts';
import { Service } from '../../core/v1/service.ts';
import { ApiError } from '../errors.ts';
import type { Json, JsonObject, Schema } from '../schema.ts';
import { applyJsonPatch } from './json-patch.ts';
import { applyMergePatch } from './merge-patch.ts';
import { applyStrategicMergePatch } from './strategic-merge-patch.ts';

function frozen<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value;
  for (const each of Object.values(value)) frozen(each);
  return Object.freeze(value);
}

const codeOf = (run: () => unknown): number => {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    return error.code;
  }
  return 200;
};

const json = (object: Json, ...operations: Json[]) => applyJsonPatch(frozen(object), frozen(operations));

test('JSON patch: the operations', () => {
  const object = { a: { b: [1, 2, 3] }, 'x/y~z': 1 };
  assert.deepEqual(json(object, { op: 'add', path: '/a/b/1', value: 9 }), { ...object, a: { b: [1, 9, 2, 3] } });
  assert.deepEqual(json(object, { op: 'add', path: '/a/b/-', value: 9 }), { ...object, a: { b: [1, 2, 3, 9] } });
  assert.deepEqual(json(object, { op: 'remove', path: '/a/b/0' }), { ...object, a: { b: [2, 3] } });
  assert.deepEqual(json(object, { op: 'replace', path: '/x~1y~0z', value: null }), { ...object, 'x/y~z': null });
  assert.deepEqual(json(object, { op: 'move', from: '/a/b', path: '/c' }), { a: {}, 'x/y~z': 1, c: [1, 2, 3] });
  assert.deepEqual(json(object, { op: 'copy', from: '/a', path: '/c' }, { op: 'add', path: '/c/b/-', value: 4 }), {
    ...object,
    c: { b: [1, 2, 3, 4] },
  });
  assert.deepEqual(json(object, { op: 'test', path: '/a', value: { b: [1, 2, 3] } }), object);
  assert.deepEqual(json(object, { op: 'test', path: '/none', value: null }), object);
  assert.deepEqual(json({}, { op: 'replace', path: '', value: { a: 1 } }), { a: 1 });
  assert.deepEqual(json({}, { op: 'replace', path: '/a', value: 1 }), { a: 1 });
});

test('JSON patch: what does not apply', () => {
  const object = { a: [1], b: 'x' };
  const failing: Json[] = [
    { op: 'add', path: '/a/2', value: 1 },
    { op: 'add', path: '/a/01', value: 1 },
    { op: 'add', path: '/a/1e0', value: 1 },
    { op: 'add', path: '/a/-1', value: 1 },
    { op: 'add', path: '/a/', value: 1 },
    { op: 'remove', path: '/a/-' },
    { op: 'remove', path: '/c' },
    { op: 'replace', path: '/c/d', value: 1 },
    { op: 'add', path: '', value: {} },
    { op: 'add', path: '/c/d', value: 1 },
    { op: 'add', path: '/b/d', value: 1 },
    { op: 'add', path: 'b', value: 1 },
    { op: 'add', path: '/b' },
    { op: 'add', path: '/~2', value: 1 },
    { op: 'test', path: '/b', value: 'y' },
    { op: 'test', path: '/c/d', value: null },
    { op: 'move', from: '/a', path: '/a/0' },
    { op: 'copy', from: '/c', path: '/d' },
    { op: 'walk', path: '/b' },
    { path: '/b' },
  ];
  for (const operation of failing)
    assert.equal(
      codeOf(() => json(object, operation)),
      422,
      JSON.stringify(operation),
    );
  assert.equal(
    codeOf(() => applyJsonPatch(object, {})),
    400,
  );
  assert.equal(
    codeOf(() => json(object, 1)),
    400,
  );
  const many = Array.from({ length: 10_001 }, () => ({ op: 'test', path: '/b', value: 'x' }));
  assert.equal(
    codeOf(() => json(object, ...many)),
    413,
  );
});

test('JSON patch: a chain of copies is bounded', () => {
  const doubling = Array.from({ length: 30 }, () => ({ op: 'copy', from: '/a', path: '/a/-' }));
  assert.equal(
    codeOf(() => json({ a: ['x'.repeat(1_000)] }, ...doubling)),
    422,
  );
});

test('prototype names are plain keys in every patch', () => {
  const patched = json({ __proto__: null } as never, { op: 'add', path: '/constructor', value: { prototype: 1 } });
  assert.deepEqual(Object.keys(patched as object), ['constructor']);
  assert.equal(
    codeOf(() => json({}, { op: 'add', path: '/__proto__/x', value: 1 })),
    422,
  );
  assert.equal(
    codeOf(() => json({}, { op: 'add', path: '/constructor/prototype/x', value: 1 })),
    422,
  );
  const patch = JSON.parse('{"__proto__":{"x":1}}') as JsonObject;
  for (const result of [applyMergePatch({}, patch), applyStrategicMergePatch(Pod.schema, {}, patch)]) {
    assert.deepEqual(Object.keys(result as object), ['__proto__']);
    assert.equal((result as { x?: unknown }).x, undefined);
  }
  assert.equal(({} as { x?: unknown }).x, undefined);
});

test('merge patch', () => {
  const merge = (target: Json, patch: Json) => applyMergePatch(frozen(target), frozen(patch));
  assert.deepEqual(merge({ a: { b: 1, c: 2 }, d: [1] }, { a: { b: null, e: 3 }, d: [2] }), {
    a: { c: 2, e: 3 },
    d: [2],
  });
  assert.deepEqual(merge({ a: 'x' }, { a: { b: { c: null, d: 1 } } }), { a: { b: { d: 1 } } });
  assert.deepEqual(merge({}, { a: { b: null } }), { a: {} });
  assert.deepEqual(merge({ a: 1 }, [1]), [1]);
  const target = frozen({ a: { x: 1 }, b: { y: 2 } });
  assert.equal((merge(target, { b: { y: 3 } }) as typeof target).a, target.a);
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (one, other) => {
      const result = merge(one as Json, other as Json);
      assert.deepEqual(merge(result, other as Json), result);
    }),
  );
});

const strategic = (schema: Schema, target: JsonObject, patch: JsonObject) =>
  applyStrategicMergePatch(schema, frozen(target), frozen(patch));
const podOf = (spec: JsonObject): JsonObject => ({ spec });

test('strategic merge: lists merge by key, others are replaced', () => {
  const pod = podOf({
    containers: [
      { name: 'a', image: '1', args: ['x'] },
      { name: 'b', image: '1' },
    ],
  });
  assert.deepEqual(
    strategic(Pod.schema, pod, podOf({ containers: [{ name: 'b', image: '2' }, { name: 'c' }] })),
    podOf({ containers: [{ name: 'a', image: '1', args: ['x'] }, { name: 'b', image: '2' }, { name: 'c' }] }),
  );
  assert.deepEqual(
    strategic(Pod.schema, pod, podOf({ containers: [{ name: 'a', args: ['y'] }] })),
    podOf({
      containers: [
        { name: 'a', image: '1', args: ['y'] },
        { name: 'b', image: '1' },
      ],
    }),
  );
});

test('strategic merge: directives', () => {
  const pod = podOf({ containers: [{ name: 'a' }, { name: 'b' }], nodeSelector: { x: '1', y: '2' }, hostname: 'h' });
  assert.deepEqual(
    strategic(Pod.schema, pod, podOf({ containers: [{ name: 'a', $patch: 'delete' }], hostname: null })),
    podOf({ containers: [{ name: 'b' }], nodeSelector: { x: '1', y: '2' } }),
  );
  assert.deepEqual(
    strategic(
      Pod.schema,
      pod,
      podOf({ containers: [{ $patch: 'replace' }, { name: 'c' }], nodeSelector: { $patch: 'replace', z: '3' } }),
    ),
    podOf({ containers: [{ name: 'c' }], nodeSelector: { z: '3' }, hostname: 'h' }),
  );
  assert.deepEqual(strategic(Pod.schema, pod, { spec: { $patch: 'delete' } }), podOf({}));
  const finalizers = { metadata: { finalizers: ['a', 'b', 'c'] } };
  assert.deepEqual(strategic(Pod.schema, finalizers, { metadata: { '$deleteFromPrimitiveList/finalizers': ['b'] } }), {
    metadata: { finalizers: ['a', 'c'] },
  });
  assert.deepEqual(strategic(Pod.schema, finalizers, { metadata: { finalizers: ['d', 'a'] } }), {
    metadata: { finalizers: ['d', 'a', 'b', 'c'] },
  });
});

test('strategic merge: retainKeys', () => {
  const deployment = { spec: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } } };
  assert.deepEqual(
    strategic(Deployment.schema, deployment, { spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } }),
    { spec: { strategy: { type: 'Recreate' } } },
  );
  assert.equal(
    codeOf(() => strategic(Deployment.schema, deployment, { spec: { strategy: { $retainKeys: [], type: 'x' } } })),
    400,
  );
});

test('strategic merge: setElementOrder', () => {
  const pod = podOf({ containers: [{ name: 'a' }, { name: 'b' }, { name: 'server' }] });
  const patch = podOf({
    '$setElementOrder/containers': [{ name: 'b' }, { name: 'c' }, { name: 'a' }],
    containers: [{ name: 'c', image: 'i' }],
  });
  assert.deepEqual(
    strategic(Pod.schema, pod, patch),
    podOf({ containers: [{ name: 'b' }, { name: 'c', image: 'i' }, { name: 'a' }, { name: 'server' }] }),
  );
  const wrong = podOf({ '$setElementOrder/containers': [{ name: 'a' }], containers: [{ name: 'c' }] });
  assert.equal(
    codeOf(() => strategic(Pod.schema, pod, wrong)),
    500,
  );
});

test('strategic merge: ports of a Service merge by port', () => {
  const service = {
    spec: {
      ports: [
        { port: 80, name: 'a' },
        { port: 443, name: 'b' },
      ],
    },
  };
  assert.deepEqual(strategic(Service.schema, service, { spec: { ports: [{ port: 80, name: 'x' }] } }), {
    spec: {
      ports: [
        { port: 80, name: 'x' },
        { port: 443, name: 'b' },
      ],
    },
  });
});

test('strategic merge: what is refused', () => {
  const pod = podOf({ containers: [{ name: 'a' }] });
  assert.equal(
    codeOf(() => strategic(Pod.schema, pod, podOf({ containers: [{ image: 'x' }] }))),
    500,
  );
  assert.equal(
    codeOf(() => strategic(Pod.schema, pod, { spec: { $patch: 'what' } })),
    500,
  );
  assert.equal(
    codeOf(() => strategic(Pod.schema, pod, podOf({ containers: [[]] }))),
    422,
  );
  assert.equal(
    codeOf(() => strategic(Pod.schema, pod, podOf({ $deleteFromPrimitiveList: ['x'] }))),
    400,
  );
  assert.equal(
    codeOf(() => strategic(Pod.schema, pod, podOf({ $setElementOrderX: [] }))),
    400,
  );
});

test('strategic merge: what is new has no nulls and no directives', () => {
  assert.deepEqual(
    strategic(
      Pod.schema,
      {},
      podOf({ containers: [{ name: 'a', image: null, env: [{ name: 'x', $patch: 'delete' }] }] }),
    ),
    podOf({ containers: [{ name: 'a', env: [] }] }),
  );
});
