import { object, struct, type TypeOf } from '../../machinery/schema.ts';
import { PodSpec } from './pod-spec.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const PodTemplateSpec = object('io.k8s.api.core.v1.PodTemplateSpec', {
  metadata: struct(1, ObjectMeta, { doc: 'Labels and annotations of the pods.' }),
  spec: struct(2, PodSpec, { always: true, doc: 'What the pods run.' }),
});
export type PodTemplateSpec = TypeOf<typeof PodTemplateSpec>;
