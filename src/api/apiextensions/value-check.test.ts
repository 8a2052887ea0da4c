import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Report } from '../machinery/validation.ts';
import type { JSONSchemaProps } from './v1/custom-resource-definition.ts';
import { valueCheckOf } from './value-check.ts';

/** What is said of `spec.x` with this schema. */
function said(x: JSONSchemaProps, value: unknown, old?: unknown): string[] {
  const report = new Report();
  const root = { type: 'object', properties: { spec: { type: 'object', properties: { x } } } };
  valueCheckOf(root)({ spec: { x: value } }, report, old === undefined ? undefined : { spec: { x: old } });
  return report.errors.map(({ field, message }) => `${field}: ${message}`);
}

const string = { type: 'string' };
const integer = { type: 'integer' };

test('values are refused in the words of upstream', () => {
  const cases: [JSONSchemaProps, unknown, string[]][] = [
    [integer, 'a', ['spec.x: Invalid value: "string": spec.x in body must be of type integer: "string"']],
    [integer, 1.5, ['spec.x: Invalid value: "number": spec.x in body must be of type integer: "number"']],
    [string, null, ['spec.x: Invalid value: "null": spec.x in body must be of type string: "null"']],
    [{ ...string, nullable: true }, null, []],
    [{ type: 'number' }, 3, []],
    [integer, 2n ** 60n, []],
    [{ ...integer, maximum: 10 }, 11, ['spec.x: Invalid value: 11: spec.x in body should be less than or equal to 10']],
    [
      { ...integer, maximum: 10, exclusiveMaximum: true },
      10,
      ['spec.x: Invalid value: 10: spec.x in body should be less than 10'],
    ],
    [{ ...integer, minimum: 1 }, 0, ['spec.x: Invalid value: 0: spec.x in body should be greater than or equal to 1']],
    [
      { ...integer, minimum: 1, exclusiveMinimum: true },
      1,
      ['spec.x: Invalid value: 1: spec.x in body should be greater than 1'],
    ],
    [{ ...integer, multipleOf: 4 }, 6, ['spec.x: Invalid value: 6: spec.x in body should be a multiple of 4']],
    [{ type: 'number', multipleOf: 0.1 }, 0.3, []],
    [{ ...string, minLength: 2 }, 'ä', ['spec.x: Invalid value: "ä": spec.x in body should be at least 2 chars long']],
    [{ ...string, maxLength: 1 }, '😀', []],
    [{ ...string, maxLength: 3 }, 'abcd', ['spec.x: Too long: may not be more than 3 bytes']],
    [
      { ...string, pattern: '^[a-c]+$' },
      'abd',
      ['spec.x: Invalid value: "abd": spec.x in body should match \'^[a-c]+$\''],
    ],
    [{ ...string, pattern: '(?i)^(?P<name>ABC)$' }, 'abc', []],
    [{ ...string, enum: ['a', 'b'] }, 'z', ['spec.x: Unsupported value: "z": supported values: "a", "b"']],
    [
      { ...string, format: 'date' },
      'soon',
      ['spec.x: Invalid value: "soon": spec.x in body must be of type date: "soon"'],
    ],
    [
      { type: 'array', minItems: 1, items: string },
      [],
      ['spec.x: Invalid value: []: spec.x in body should have at least 1 items'],
    ],
    [{ type: 'array', maxItems: 1, items: string }, ['a', 'b'], ['spec.x: Too many: 2: must have at most 1 item']],
    [
      { type: 'array', items: integer },
      [1, 'b'],
      ['spec.x[1]: Invalid value: "string": spec.x[1] in body must be of type integer: "string"'],
    ],
    [
      { type: 'array', uniqueItems: true, items: { type: 'object' } },
      [
        { a: 1, b: 2 },
        { b: 2, a: 1 },
      ],
      [`spec.x: Invalid value: [{"a":1,"b":2},{"b":2,"a":1}]: spec.x in body shouldn't contain duplicates`],
    ],
    [
      {
        type: 'array',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['k'],
        items: { type: 'object' },
      },
      [{ k: 'a', v: 1 }, { k: 'b' }, { k: 'a', v: 2 }],
      ['spec.x[2]: Duplicate value: {"k":"a"}'],
    ],
    [
      { type: 'array', 'x-kubernetes-list-type': 'set', items: string },
      ['a', 'a'],
      ['spec.x[1]: Duplicate value: "a"'],
    ],
    [{ type: 'object', required: ['y'] }, {}, ['spec.x.y: Required value']],
    [{ type: 'object', required: ['toString'] }, {}, ['spec.x.toString: Required value']],
    [
      { type: 'object', additionalProperties: integer },
      { a: 'b' },
      ['spec.x.a: Invalid value: "string": spec.x.a in body must be of type integer: "string"'],
    ],
    [
      { type: 'object', minProperties: 1 },
      {},
      ['spec.x: Invalid value: {}: spec.x in body should have at least 1 properties'],
    ],
    [{ type: 'object', maxProperties: 1 }, { a: 1, b: 2 }, ['spec.x: Too many: 2: must have at most 1 item']],
    [
      { ...string, oneOf: [{ pattern: '^a' }, { pattern: 'b$' }] },
      'ab',
      ['<nil>: Invalid value: "": "spec.x" must validate one and only one schema (oneOf). Found 2 valid alternatives'],
    ],
    [
      { type: 'object', anyOf: [{ required: ['a'] }, { required: ['b'] }] },
      {},
      ['<nil>: Invalid value: "": "spec.x" must validate at least one schema (anyOf)', 'spec.x.a: Required value'],
    ],
    [
      { ...string, not: { pattern: '^a' } },
      'abc',
      ['<nil>: Invalid value: "": "spec.x" must not validate the schema (not)'],
    ],
    [
      { 'x-kubernetes-int-or-string': true },
      true,
      ['spec.x: Invalid value: "boolean": spec.x in body must be of type integer,string: "boolean"'],
    ],
    [
      { type: 'object', 'x-kubernetes-embedded-resource': true },
      { kind: 'Pod' },
      ['spec.x.apiVersion: Required value'],
    ],
    [
      { ...integer, format: 'int32' },
      2 ** 31,
      ['<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.x'],
    ],
  ];
  for (const [schema, value, expected] of cases)
    assert.deepEqual(said(schema, value), expected, JSON.stringify(schema));
});

test('what an update leaves as it was is not judged again', () => {
  assert.deepEqual(said({ ...integer, maximum: 10 }, 11, 11), []);
  assert.equal(said({ ...integer, maximum: 10 }, 12, 11).length, 1);
});

test('a pattern that would explode runs in linear time', () => {
  const before = performance.now();
  assert.equal(said({ ...string, pattern: '^(a+)+$' }, `${'a'.repeat(40)}!`).length, 1);
  assert.ok(performance.now() - before < 1000);
});

test('rules that were not looked at are mentioned', () => {
  const report = new Report();
  const check = valueCheckOf({ type: 'object', required: ['spec'], 'x-kubernetes-validations': [{ rule: 'true' }] });
  check({}, report);
  assert.deepEqual(
    report.errors.map(({ message }) => message),
    [
      'Required value',
      'Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation',
    ],
  );
});
