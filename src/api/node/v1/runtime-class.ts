import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, map, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { Toleration } from '../../core/v1/toleration.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const Overhead = object('io.k8s.api.node.v1.Overhead', {
  podFixed: map(1, types.quantity),
});
export type Overhead = TypeOf<typeof Overhead>;

export const Scheduling = object('io.k8s.api.node.v1.Scheduling', {
  nodeSelector: map(1, types.string, { mapType: 'atomic' }),
  tolerations: list(2, Toleration, { listType: 'atomic' }),
});
export type Scheduling = TypeOf<typeof Scheduling>;

export const RuntimeClass = defineKind({
  group: 'node.k8s.io',
  version: 'v1',
  kind: 'RuntimeClass',
  plural: 'runtimeclasses',
  namespaced: false,
  type: 'io.k8s.api.node.v1.RuntimeClass',
  fields: {
    handler: string(2, { required: true, always: true }),
    metadata: struct(1, ObjectMeta, { required: true }),
    overhead: struct(3, Overhead),
    scheduling: struct(4, Scheduling),
  },
});
export type RuntimeClass = ObjectOf<typeof RuntimeClass>;
