import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { embedded, int32, list, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { TypedLocalObjectReference } from '../../core/v1/typed-local-object-reference.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ServiceBackendPort = object(
  'io.k8s.api.networking.v1.ServiceBackendPort',
  {
    name: string(1),
    number: int32(2),
  },
  { mapType: 'atomic' },
);
export type ServiceBackendPort = TypeOf<typeof ServiceBackendPort>;

export const IngressServiceBackend = object('io.k8s.api.networking.v1.IngressServiceBackend', {
  name: string(1, { required: true, always: true }),
  port: struct(2, ServiceBackendPort, { always: true }),
});
export type IngressServiceBackend = TypeOf<typeof IngressServiceBackend>;

export const IngressBackend = object('io.k8s.api.networking.v1.IngressBackend', {
  resource: struct(3, TypedLocalObjectReference),
  service: struct(4, IngressServiceBackend),
});
export type IngressBackend = TypeOf<typeof IngressBackend>;

export const HTTPIngressPath = object('io.k8s.api.networking.v1.HTTPIngressPath', {
  backend: struct(2, IngressBackend, { required: true, always: true }),
  path: string(1),
  pathType: string(3, { required: true, pointer: true, always: true }),
});
export type HTTPIngressPath = TypeOf<typeof HTTPIngressPath>;

export const HTTPIngressRuleValue = object('io.k8s.api.networking.v1.HTTPIngressRuleValue', {
  paths: list(1, HTTPIngressPath, { required: true, always: true, listType: 'atomic' }),
});
export type HTTPIngressRuleValue = TypeOf<typeof HTTPIngressRuleValue>;

export const IngressRule = object('io.k8s.api.networking.v1.IngressRule', {
  host: string(1),
  ...embedded(2, { http: struct(1, HTTPIngressRuleValue) }),
});
export type IngressRule = TypeOf<typeof IngressRule>;

export const IngressTLS = object('io.k8s.api.networking.v1.IngressTLS', {
  hosts: list(1, types.string, { listType: 'atomic' }),
  secretName: string(2),
});
export type IngressTLS = TypeOf<typeof IngressTLS>;

export const IngressSpec = object('io.k8s.api.networking.v1.IngressSpec', {
  defaultBackend: struct(1, IngressBackend),
  ingressClassName: string(4, { pointer: true }),
  rules: list(3, IngressRule, { listType: 'atomic' }),
  tls: list(2, IngressTLS, { listType: 'atomic' }),
});
export type IngressSpec = TypeOf<typeof IngressSpec>;

export const IngressPortStatus = object('io.k8s.api.networking.v1.IngressPortStatus', {
  error: string(3, { pointer: true }),
  port: int32(1, { required: true, always: true }),
  protocol: string(2, { required: true, always: true }),
});
export type IngressPortStatus = TypeOf<typeof IngressPortStatus>;

export const IngressLoadBalancerIngress = object('io.k8s.api.networking.v1.IngressLoadBalancerIngress', {
  hostname: string(2),
  ip: string(1),
  ports: list(4, IngressPortStatus, { listType: 'atomic' }),
});
export type IngressLoadBalancerIngress = TypeOf<typeof IngressLoadBalancerIngress>;

export const IngressLoadBalancerStatus = object('io.k8s.api.networking.v1.IngressLoadBalancerStatus', {
  ingress: list(1, IngressLoadBalancerIngress, { listType: 'atomic' }),
});
export type IngressLoadBalancerStatus = TypeOf<typeof IngressLoadBalancerStatus>;

export const IngressStatus = object('io.k8s.api.networking.v1.IngressStatus', {
  loadBalancer: struct(1, IngressLoadBalancerStatus, { always: true }),
});
export type IngressStatus = TypeOf<typeof IngressStatus>;

export const Ingress = defineKind({
  group: 'networking.k8s.io',
  version: 'v1',
  kind: 'Ingress',
  plural: 'ingresses',
  namespaced: true,
  shortNames: ['ing'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.networking.v1.Ingress',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, IngressSpec, { always: true }),
    status: struct(3, IngressStatus, { always: true }),
  },
});
export type Ingress = ObjectOf<typeof Ingress>;
