import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, struct } from '../../machinery/schema.ts';
import { ageColumn, nameColumn } from '../../machinery/columns.ts';
import { isPathSegmentName } from '../../machinery/names.ts';
import {
  bindingColumns,
  defaultBinding,
  subjectColumns,
  validateBinding,
  validateBindingUpdate,
} from './rbac-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { RoleRef } from './role-ref.ts';
import { Subject } from './subject.ts';

export const ClusterRoleBinding = defineKind({
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  kind: 'ClusterRoleBinding',
  plural: 'clusterrolebindings',
  namespaced: false,
  doc: 'Gives a role to users, groups and service accounts everywhere.',
  type: 'io.k8s.api.rbac.v1.ClusterRoleBinding',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    roleRef: struct(3, RoleRef, { required: true, always: true, doc: 'The role; cannot be changed.' }),
    subjects: list(2, Subject, { listType: 'atomic', doc: 'Who gets it.' }),
  },
  columns: [nameColumn, ...bindingColumns, ageColumn, ...subjectColumns],
  validateName: isPathSegmentName,
  createOnUpdate: true,
  default(binding) {
    defaultBinding(binding);
  },
  validate(binding, report) {
    validateBinding(binding, false, report);
  },
  validateUpdate(binding, old, report) {
    validateBindingUpdate(binding, old, report);
  },
});
export type ClusterRoleBinding = ObjectOf<typeof ClusterRoleBinding>;
