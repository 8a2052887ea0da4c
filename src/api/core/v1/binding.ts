import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { struct } from '../../machinery/schema.ts';
import { ObjectReference } from './object-reference.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const Binding = defineKind({
  group: '',
  version: 'v1',
  kind: 'Binding',
  plural: 'bindings',
  namespaced: true,
  verbs: ['create'],
  type: 'io.k8s.api.core.v1.Binding',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    target: struct(2, ObjectReference, { required: true, always: true }),
  },
});
export type Binding = ObjectOf<typeof Binding>;
