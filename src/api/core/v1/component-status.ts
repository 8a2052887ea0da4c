import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ComponentCondition = object('io.k8s.api.core.v1.ComponentCondition', {
  error: string(4),
  message: string(3),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type ComponentCondition = TypeOf<typeof ComponentCondition>;

export const ComponentStatus = defineKind({
  group: '',
  version: 'v1',
  kind: 'ComponentStatus',
  plural: 'componentstatuses',
  namespaced: false,
  shortNames: ['cs'],
  verbs: ['get', 'list'],
  type: 'io.k8s.api.core.v1.ComponentStatus',
  fields: {
    conditions: list(2, ComponentCondition, {
      listType: 'map',
      mapKeys: ['type'],
      patchStrategy: 'merge',
      patchMergeKey: 'type',
    }),
    metadata: struct(1, ObjectMeta, { required: true }),
  },
});
export type ComponentStatus = ObjectOf<typeof ComponentStatus>;
