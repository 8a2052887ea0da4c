import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NonResourceAttributes } from '../authorization/v1/non-resource-attributes.ts';
import { RoleRef } from '../rbac/v1/role-ref.ts';
import { Toleration } from '../core/v1/toleration.ts';
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
});
