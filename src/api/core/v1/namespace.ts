import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, object, string, struct, time, types, type TypeOf } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const NamespaceSpec = object('io.k8s.api.core.v1.NamespaceSpec', {
  finalizers: list(1, types.string, { listType: 'atomic' }),
});
export type NamespaceSpec = TypeOf<typeof NamespaceSpec>;

export const NamespaceCondition = object('io.k8s.api.core.v1.NamespaceCondition', {
  lastTransitionTime: time(4),
  message: string(6),
  reason: string(5),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type NamespaceCondition = TypeOf<typeof NamespaceCondition>;

export const NamespaceStatus = object('io.k8s.api.core.v1.NamespaceStatus', {
  conditions: list(2, NamespaceCondition, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
  phase: string(1, { enum: ['Active', 'Terminating'] }),
});
export type NamespaceStatus = TypeOf<typeof NamespaceStatus>;

export const Namespace = defineKind({
  group: '',
  version: 'v1',
  kind: 'Namespace',
  plural: 'namespaces',
  namespaced: false,
  shortNames: ['ns'],
  verbs: ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'],
  subresources: { finalize: { verbs: ['update'] }, status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.core.v1.Namespace',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, NamespaceSpec, { always: true }),
    status: struct(3, NamespaceStatus, { always: true }),
  },
});
export type Namespace = ObjectOf<typeof Namespace>;
