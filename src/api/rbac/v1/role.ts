import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, struct } from '../../machinery/schema.ts';
import { isPathSegmentName } from '../../machinery/names.ts';
import { validateRules } from './rbac-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { PolicyRule } from './policy-rule.ts';

export const Role = defineKind({
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  kind: 'Role',
  plural: 'roles',
  namespaced: true,
  doc: 'Permissions in a namespace.',
  type: 'io.k8s.api.rbac.v1.Role',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    rules: list(2, PolicyRule, { always: true, listType: 'atomic', doc: 'What is allowed.' }),
  },
  validateName: isPathSegmentName,
  createOnUpdate: true,
  validate({ rules }, report) {
    validateRules(rules, true, report.at('rules'));
  },
});
export type Role = ObjectOf<typeof Role>;
