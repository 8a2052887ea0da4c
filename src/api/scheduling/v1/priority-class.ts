import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, int32, string, struct } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const PriorityClass = defineKind({
  group: 'scheduling.k8s.io',
  version: 'v1',
  kind: 'PriorityClass',
  plural: 'priorityclasses',
  namespaced: false,
  shortNames: ['pc'],
  type: 'io.k8s.api.scheduling.v1.PriorityClass',
  fields: {
    description: string(4),
    globalDefault: boolean(3),
    metadata: struct(1, ObjectMeta, { required: true }),
    preemptionPolicy: string(5, { pointer: true }),
    value: int32(2, { always: true }),
  },
});
export type PriorityClass = ObjectOf<typeof PriorityClass>;
