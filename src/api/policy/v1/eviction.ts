import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { struct } from '../../machinery/schema.ts';
import { DeleteOptions } from '../../meta/v1/delete-options.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const Eviction = defineKind({
  group: 'policy',
  version: 'v1',
  kind: 'Eviction',
  plural: '',
  namespaced: true,
  doc: 'Asks for a pod to be taken away, within its budgets.',
  verbs: [],
  type: 'io.k8s.api.policy.v1.Eviction',
  fields: {
    deleteOptions: struct(2, DeleteOptions),
    metadata: struct(1, ObjectMeta, { required: true }),
  },
  hasGeneration: false,
});
export type Eviction = ObjectOf<typeof Eviction>;
