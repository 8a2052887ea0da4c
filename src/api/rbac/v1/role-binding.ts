import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, struct } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { RoleRef } from './role-ref.ts';
import { Subject } from './subject.ts';

export const RoleBinding = defineKind({
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  kind: 'RoleBinding',
  plural: 'rolebindings',
  namespaced: true,
  type: 'io.k8s.api.rbac.v1.RoleBinding',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    roleRef: struct(3, RoleRef, { required: true, always: true }),
    subjects: list(2, Subject, { listType: 'atomic' }),
  },
});
export type RoleBinding = ObjectOf<typeof RoleBinding>;
