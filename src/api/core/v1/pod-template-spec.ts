import { object, struct, type TypeOf } from '../../machinery/schema.ts';
import { PodSpec } from './pod-spec.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const PodTemplateSpec = object('io.k8s.api.core.v1.PodTemplateSpec', {
  metadata: struct(1, ObjectMeta),
  spec: struct(2, PodSpec, { always: true }),
});
export type PodTemplateSpec = TypeOf<typeof PodTemplateSpec>;
