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
  doc: 'Assigns a pod to a node.',
  verbs: ['create'],
  type: 'io.k8s.api.core.v1.Binding',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    target: struct(2, ObjectReference, { required: true, always: true }),
  },
  hasGeneration: false,
  validate({ target }, report) {
    if (target.kind && target.kind !== 'Node')
      report.at('target', 'kind').notSupported(target.kind, ['Node', '<empty>']);
    if (!target.name) report.at('target', 'name').required();
  },
});
export type Binding = ObjectOf<typeof Binding>;
