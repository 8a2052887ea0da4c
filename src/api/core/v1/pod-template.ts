import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { struct } from '../../machinery/schema.ts';
import { PodTemplateSpec } from './pod-template-spec.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const PodTemplate = defineKind({
  group: '',
  version: 'v1',
  kind: 'PodTemplate',
  plural: 'podtemplates',
  namespaced: true,
  type: 'io.k8s.api.core.v1.PodTemplate',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    template: struct(2, PodTemplateSpec, { always: true }),
  },
});
export type PodTemplate = ObjectOf<typeof PodTemplate>;
