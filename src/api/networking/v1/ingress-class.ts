import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const IngressClassParametersReference = object('io.k8s.api.networking.v1.IngressClassParametersReference', {
  apiGroup: string(1, { pointer: true }),
  kind: string(2, { required: true, always: true }),
  name: string(3, { required: true, always: true }),
  namespace: string(5, { pointer: true }),
  scope: string(4, { pointer: true, always: true }),
});
export type IngressClassParametersReference = TypeOf<typeof IngressClassParametersReference>;

export const IngressClassSpec = object('io.k8s.api.networking.v1.IngressClassSpec', {
  controller: string(1),
  parameters: struct(2, IngressClassParametersReference),
});
export type IngressClassSpec = TypeOf<typeof IngressClassSpec>;

export const IngressClass = defineKind({
  group: 'networking.k8s.io',
  version: 'v1',
  kind: 'IngressClass',
  plural: 'ingressclasses',
  namespaced: false,
  type: 'io.k8s.api.networking.v1.IngressClass',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, IngressClassSpec, { always: true }),
  },
});
export type IngressClass = ObjectOf<typeof IngressClass>;
