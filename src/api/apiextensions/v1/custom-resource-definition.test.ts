import assert from 'node:assert/strict';
import { test } from 'node:test';
import { altered, type Body, created, mistakes, updateMistakes } from '../../kind-checks.ts';
import type { Kind } from '../../machinery/kind.ts';
import { CustomResourceDefinition as DefinitionKind } from './custom-resource-definition.ts';

const Definition = DefinitionKind as unknown as Kind;
const withSchema = (properties: Body, more: Body = {}) => ({
  metadata: { name: 'cats.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { plural: 'cats', kind: 'Cat' },
    versions: [
      { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object', properties, ...more } } },
    ],
  },
});
const minimal = withSchema({ spec: { type: 'object' } });

test('a definition gets its defaults', () => {
  const { spec, status } = created(Definition, minimal) as { spec: Body; status: Body };
  assert.deepEqual(spec['names'], { plural: 'cats', kind: 'Cat', singular: 'cat', listKind: 'CatList' });
  assert.deepEqual(spec['conversion'], { strategy: 'None' });
  assert.deepEqual(status['storedVersions'], ['v1']);
});

test('wrong definitions are refused, each for what is wrong', () => {
  const at = 'spec.validation.openAPIV3Schema';
  for (const [body, wanted] of [
    [minimal, []],
    [altered(minimal, 'metadata.name', 'dogs.example.com'), ['metadata.name FieldValueInvalid']],
    [altered(minimal, 'spec.scope', 'Galaxy'), ['spec.scope FieldValueNotSupported']],
    [
      altered(minimal, 'spec.versions', []),
      ['spec.versions FieldValueInvalid', 'status.storedVersions FieldValueInvalid'],
    ],
    [withSchema({ spec: {} }), [`${at}.properties[spec].type FieldValueRequired`]],
    [withSchema({ spec: { type: 'array' } }), [`${at}.properties[spec].items FieldValueRequired`]],
    [withSchema({ spec: { type: 'thing' } }), [`${at}.properties[spec].type FieldValueNotSupported`]],
    [withSchema({ n: { type: 'integer', default: 'x' } }), [`${at}.properties[n].default FieldValueTypeInvalid`]],
    [withSchema({ n: { type: 'integer', minimum: 1, default: 0 } }), [`${at}.properties[n].default FieldValueInvalid`]],
    [
      withSchema({ l: { type: 'array', 'x-kubernetes-list-type': 'map', items: { type: 'object' } } }),
      [`${at}.properties[l].x-kubernetes-list-map-keys FieldValueRequired`],
    ],
    [
      withSchema({ n: { type: 'integer', anyOf: [{ type: 'string' }] } }),
      [`${at}.properties[n].anyOf[0].type FieldValueForbidden`],
    ],
    [withSchema({}, { allOf: [{ properties: { a: { minimum: 1 } } }] }), [`${at}.properties[a] FieldValueRequired`]],
    [withSchema({}, { nullable: true }), [`${at}.nullable FieldValueForbidden`]],
    [withSchema({ a: { type: 'object', $ref: '#/x' } }), [`${at}.properties[a].$ref FieldValueForbidden`]],
    [
      altered(minimal, 'spec.conversion', { strategy: 'Webhook' }),
      [
        'spec.conversion.webhookClientConfig FieldValueRequired',
        'spec.conversion.conversionReviewVersions FieldValueRequired',
      ],
    ],
  ] as const) {
    assert.deepEqual(mistakes(Definition, body), wanted, JSON.stringify(body));
  }
});

test('groups of the community need an approval', () => {
  const body = altered(altered(minimal, 'spec.group', 'x.k8s.io'), 'metadata.name', 'cats.x.k8s.io');
  const at = 'metadata.annotations[api-approved.kubernetes.io]';
  assert.deepEqual(mistakes(Definition, body), [`${at} FieldValueRequired`]);
  const approved = altered(body, 'metadata.annotations', { 'api-approved.kubernetes.io': 'unapproved, a test' });
  assert.deepEqual(mistakes(Definition, approved), []);
});

test('group and plural stay', () => {
  const other = altered(altered(minimal, 'spec.names.plural', 'dogs'), 'metadata.name', 'dogs.example.com');
  assert.deepEqual(updateMistakes(Definition, minimal, other), ['spec.names.plural FieldValueInvalid']);
});
