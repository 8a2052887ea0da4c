import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { embedded, int32, list, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { TypedLocalObjectReference } from '../../core/v1/typed-local-object-reference.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { validateIngressSpec, validateIngressStatus } from './ingress-validation.ts';
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
  path: string(1, { doc: 'Path that requests must have.' }),
  pathType: string(3, { required: true, pointer: true, doc: 'How paths are compared.' }),
});
export type HTTPIngressPath = TypeOf<typeof HTTPIngressPath>;

export const HTTPIngressRuleValue = object('io.k8s.api.networking.v1.HTTPIngressRuleValue', {
  paths: list(1, HTTPIngressPath, { required: true, always: true, listType: 'atomic' }),
});
export type HTTPIngressRuleValue = TypeOf<typeof HTTPIngressRuleValue>;

export const IngressRule = object('io.k8s.api.networking.v1.IngressRule', {
  host: string(1, { doc: 'Host name; with `*.` in front for all below.' }),
  ...embedded(2, { http: struct(1, HTTPIngressRuleValue) }),
});
export type IngressRule = TypeOf<typeof IngressRule>;

export const IngressTLS = object('io.k8s.api.networking.v1.IngressTLS', {
  hosts: list(1, types.string, { listType: 'atomic' }),
  secretName: string(2),
});
export type IngressTLS = TypeOf<typeof IngressTLS>;

export const IngressSpec = object('io.k8s.api.networking.v1.IngressSpec', {
  defaultBackend: struct(1, IngressBackend, { doc: 'Where requests lead that no rule is for.' }),
  ingressClassName: string(4, { pointer: true, doc: 'Name of the IngressClass that takes care of it.' }),
  rules: list(3, IngressRule, { listType: 'atomic', doc: 'Which requests lead where.' }),
  tls: list(2, IngressTLS, { listType: 'atomic', doc: 'Certificates for hosts.' }),
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
  doc: 'Leads HTTP from outside to Services, by host and path.',
  shortNames: ['ing'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.networking.v1.Ingress',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, IngressSpec, { always: true }),
    status: struct(3, IngressStatus, { always: true }),
  },
  columns: [
    nameColumn,
    text('Class', 'Who takes care of it.', ({ spec }) => spec.ingressClassName ?? '<none>'),
    text('Hosts', 'Host names it is for.', ({ spec }) => hostsOf(spec.rules ?? [])),
    text('Address', 'Where it can be reached.', ({ status }) => addressesOf(status.loadBalancer.ingress ?? [])),
    text('Ports', 'Ports it listens on.', ({ spec }) => ((spec.tls ?? []).length > 0 ? '80, 443' : '80')),
    ageColumn,
  ],
  validate({ spec }, report) {
    validateIngressSpec(spec, report.at('spec'));
  },
  validateCreate({ metadata, spec }, report) {
    const annotation = metadata.annotations?.[classAnnotation];
    if (annotation !== undefined && spec.ingressClassName !== undefined && annotation !== spec.ingressClassName)
      report
        .at('annotations', classAnnotation)
        .invalid(annotation, 'must match `ingressClassName` when both are specified');
  },
  validateStatusUpdate({ status }, _, report) {
    validateIngressStatus(status.loadBalancer, report.at('status', 'loadBalancer'));
  },
  warnings: ({ metadata }) =>
    metadata.annotations?.[classAnnotation] === undefined
      ? []
      : [`annotation "${classAnnotation}" is deprecated, please use 'spec.ingressClassName' instead`],
});
export type Ingress = ObjectOf<typeof Ingress>;

const classAnnotation = 'kubernetes.io/ingress.class';

function hostsOf(rules: readonly IngressRule[]): string {
  const hosts = rules.slice(0, 3).flatMap(({ host }) => (host ? [host] : []));
  const shown = hosts.join(',') || '*';
  return rules.length > 3 && hosts.length === 3 ? `${shown} + ${rules.length - 3} more...` : shown;
}

function addressesOf(ingress: readonly IngressLoadBalancerIngress[]): string {
  return [...new Set(ingress.map(({ ip, hostname }) => ip || hostname || '').filter(Boolean))].sort().join(',');
}
