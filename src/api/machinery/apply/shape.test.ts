import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Service } from '../../core/v1/service.ts';
import { Pod } from '../../core/v1/pod.ts';
import type { Json, JsonObject } from '../schema.ts';
import { compareObjects } from './compare.ts';
import { fieldSetOf } from './merge.ts';
import { hasShape, shapeOf } from './shape.ts';
import { structureOf } from './structure.ts';

/** Odd values too: what a schema would refuse is owned as well. */
const odd = fc.constantFrom<Json>(null, '', 'x', 0, 1, false, {}, [], [null], { a: 1 }, { a: undefined as never }, [
  'x',
]);
const port = fc.record(
  { name: odd, containerPort: fc.constantFrom<Json>(80, 81), protocol: fc.constantFrom<Json>('TCP', 'UDP') },
  { requiredKeys: [] },
);
const container = fc.record(
  {
    name: fc.constantFrom<Json>('a', 'b'),
    image: odd,
    args: odd,
    ports: fc.oneof(odd, fc.array(port, { maxLength: 3 })),
    resources: fc.oneof(odd, fc.record({ limits: fc.dictionary(fc.constantFrom('cpu', '__proto__'), odd) })),
  },
  { requiredKeys: [] },
);
const pod = fc.record(
  {
    metadata: fc.record(
      { labels: fc.oneof(odd, fc.dictionary(fc.constantFrom('a', 'b'), odd)), finalizers: odd },
      { requiredKeys: [] },
    ),
    spec: fc.oneof(
      odd,
      fc.record(
        { containers: fc.oneof(odd, fc.array(container, { maxLength: 2 })), nodeName: odd, unknown: odd },
        { requiredKeys: [] },
      ),
    ),
    status: odd,
  },
  { requiredKeys: [] },
);

/** The same object with some other values in it. */
function otherwise(value: Json, pick: () => number): Json {
  if (Array.isArray(value)) return value.map(each => otherwise(each as Json, pick));
  if (typeof value !== 'object' || value === null) {
    const values: readonly Json[] = [null, '', 'x', 0, {}, []];
    const picked = pick();
    return picked < values.length ? (values[picked] as Json) : value;
  }
  const entries = Object.entries(value).map(([name, each]) => [name, otherwise(each as Json, pick)] as const);
  return pick() === 0 ? {} : Object.fromEntries(entries);
}

for (const [name, schema, zero] of [
  ['a pod', Pod.schema, { metadata: { creationTimestamp: null }, spec: { containers: null }, status: {} }],
  ['nothing', Service.schema, {}],
] as const)
  test(`objects of one shape beside ${name} give the same fields to their creator`, () => {
    const structure = structureOf(schema);
    const fieldsOf = (object: unknown) =>
      JSON.stringify(compareObjects(structure, zero as JsonObject, object as JsonObject).changed);
    const appliedFieldsOf = (configuration: unknown) => {
      try {
        return JSON.stringify(fieldSetOf(structure, configuration as Json, 'refused'));
      } catch (error) {
        return String(error).replace(/: .*/, '');
      }
    };
    let alike = 0;
    const check = (one: unknown, other: unknown) => {
      const shape = shapeOf(structure, zero as JsonObject, one as Json);
      if (!shape) return;
      assert.ok(hasShape(shape, one as Json), 'it has its own shape');
      if (!hasShape(shape, other as Json)) return;
      alike++;
      assert.equal(fieldsOf(other), fieldsOf(one));
      if (Object.keys(zero).length === 0) assert.equal(appliedFieldsOf(other), appliedFieldsOf(one));
    };
    const picks = fc.infiniteStream(fc.nat(11));
    fc.assert(
      fc.property(pod, picks, (one, each) =>
        check(
          one,
          otherwise(one as Json, () => each.next().value as number),
        ),
      ),
      { numRuns: 3_000 },
    );
    assert.ok(alike > 20, `${alike} pairs of one shape`);
  });
