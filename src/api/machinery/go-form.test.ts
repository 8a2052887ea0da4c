import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NonResourceAttributes } from '../authorization/v1/non-resource-attributes.ts';
import { RoleRef } from '../rbac/v1/role-ref.ts';
import { Toleration } from '../core/v1/toleration.ts';
import { PersistentVolumeSpec } from '../core/v1/persistent-volume-spec.ts';
import { LabelSelector } from '../meta/v1/label-selector.ts';
import { ResourceClaimTemplateSpec } from '../resource/v1/resource-claim-template.ts';
import { encodeJson } from './json.ts';
import { goForm } from './go-form.ts';

test('a struct is printed whole, under Go’s names', () => {
  const printed = (schema: Parameters<typeof goForm>[0], value: unknown) => encodeJson(goForm(schema, value));
  assert.equal(printed(NonResourceAttributes, { verb: 'get' }), '{"Path":"","Verb":"get"}');
  assert.equal(printed(RoleRef, { kind: 'Role', name: 'a' }), '{"APIGroup":"","Kind":"Role","Name":"a"}');
  assert.equal(
    printed(Toleration, { key: 'a' }),
    '{"Key":"a","Operator":"","Value":"","Effect":"","TolerationSeconds":null}',
  );
  assert.equal(printed(NonResourceAttributes, undefined), 'null');
  const volume = Object.keys(goForm(PersistentVolumeSpec, { rbd: {} }) as object);
  assert.deepEqual(volume.slice(0, 3), ['Capacity', 'GCEPersistentDisk', 'AWSElasticBlockStore']);
  assert.equal(volume.at(-1), 'VolumeAttributesClassName');
});

test('types of meta/v1 are printed as JSON, sorted; metadata is embedded', () => {
  const printed = (schema: Parameters<typeof goForm>[0], value: unknown) => encodeJson(goForm(schema, value));
  const selector = { matchExpressions: [{ operator: 'Exists', key: 'a' }], matchLabels: { b: '1', a: '2' } };
  assert.equal(
    printed(LabelSelector, selector),
    '{"matchLabels":{"a":"2","b":"1"},"matchExpressions":[{"key":"a","operator":"Exists"}]}',
  );
  assert.match(
    printed(ResourceClaimTemplateSpec, { metadata: { labels: { a: 'b' } } }),
    /^{"labels":{"a":"b"},"Spec":/,
  );
});
