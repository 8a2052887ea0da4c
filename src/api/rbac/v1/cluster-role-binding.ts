import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, struct } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { RoleRef } from './role-ref.ts';
import { Subject } from './subject.ts';

export const ClusterRoleBinding = defineKind({
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  kind: 'ClusterRoleBinding',
  plural: 'clusterrolebindings',
  namespaced: false,
  type: 'io.k8s.api.rbac.v1.ClusterRoleBinding',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    roleRef: struct(3, RoleRef, { required: true, always: true }),
    subjects: list(2, Subject, { listType: 'atomic' }),
  },
});
export type ClusterRoleBinding = ObjectOf<typeof ClusterRoleBinding>;
