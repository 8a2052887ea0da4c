import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import {
  boolean,
  int32,
  intOrString,
  list,
  map,
  object,
  string,
  struct,
  types,
  type TypeOf,
} from '../../machinery/schema.ts';
import { ageColumn, formatLabels, nameColumn, text, wide } from '../../machinery/columns.ts';
import { isDNS1035Label } from '../../machinery/names.ts';
import { defaultService, isHeadless, prepareService, prepareServiceUpdate } from './service-strategy.ts';
import { validateLoadBalancerStatus, validateService, validateServiceUpdate } from './service-validation.ts';
import { Condition } from '../../meta/v1/condition.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ClientIPConfig = object('io.k8s.api.core.v1.ClientIPConfig', {
  timeoutSeconds: int32(1, { pointer: true }),
});
export type ClientIPConfig = TypeOf<typeof ClientIPConfig>;

export const PortStatus = object('io.k8s.api.core.v1.PortStatus', {
  error: string(3, { pointer: true }),
  port: int32(1, { required: true, always: true }),
  protocol: string(2, { required: true, always: true, enum: ['SCTP', 'TCP', 'UDP'] }),
});
export type PortStatus = TypeOf<typeof PortStatus>;

export const LoadBalancerIngress = object('io.k8s.api.core.v1.LoadBalancerIngress', {
  hostname: string(2),
  ip: string(1),
  ipMode: string(3, { pointer: true }),
  ports: list(4, PortStatus, { listType: 'atomic' }),
});
export type LoadBalancerIngress = TypeOf<typeof LoadBalancerIngress>;

export const LoadBalancerStatus = object('io.k8s.api.core.v1.LoadBalancerStatus', {
  ingress: list(1, LoadBalancerIngress, { listType: 'atomic' }),
});
export type LoadBalancerStatus = TypeOf<typeof LoadBalancerStatus>;

export const ServicePort = object('io.k8s.api.core.v1.ServicePort', {
  appProtocol: string(6, { pointer: true, doc: 'What is spoken, for proxies that can use it.' }),
  name: string(1, { doc: 'Name of the port; needed where there are several.' }),
  nodePort: int32(5, { doc: 'Port of every node that leads here.' }),
  port: int32(3, { required: true, always: true, doc: 'Port of the service.' }),
  protocol: string(2, { enum: ['SCTP', 'TCP', 'UDP'], default: 'TCP' }),
  targetPort: intOrString(4, { doc: 'Number or name of the port of the pods; default is `port`.' }),
});
export type ServicePort = TypeOf<typeof ServicePort>;

export const SessionAffinityConfig = object('io.k8s.api.core.v1.SessionAffinityConfig', {
  clientIP: struct(1, ClientIPConfig),
});
export type SessionAffinityConfig = TypeOf<typeof SessionAffinityConfig>;

export const ServiceSpec = object('io.k8s.api.core.v1.ServiceSpec', {
  allocateLoadBalancerNodePorts: boolean(20, { pointer: true }),
  clusterIP: string(3, { doc: 'Address inside of the cluster; `None` for a headless service.' }),
  clusterIPs: list(18, types.string, { listType: 'atomic' }),
  externalIPs: list(5, types.string, { listType: 'atomic', doc: 'Addresses of nodes that lead here as well.' }),
  externalName: string(10, { doc: 'The DNS name this service is another name for.' }),
  externalTrafficPolicy: string(11, {
    enum: ['Cluster', 'Local'],
    doc: 'Whether traffic from outside stays on the node it came to.',
  }),
  healthCheckNodePort: int32(12),
  internalTrafficPolicy: string(22, { pointer: true, enum: ['Cluster', 'Local'] }),
  ipFamilies: list(19, types.string, { listType: 'atomic' }),
  ipFamilyPolicy: string(17, { pointer: true, enum: ['PreferDualStack', 'RequireDualStack', 'SingleStack'] }),
  loadBalancerClass: string(21, { pointer: true }),
  loadBalancerIP: string(8),
  loadBalancerSourceRanges: list(9, types.string, { listType: 'atomic' }),
  ports: list(1, ServicePort, {
    doc: 'Ports of the service and where they lead.',
    listType: 'map',
    mapKeys: ['port', 'protocol'],
    patchStrategy: 'merge',
    patchMergeKey: 'port',
  }),
  publishNotReadyAddresses: boolean(13),
  selector: map(2, types.string, { mapType: 'atomic', doc: 'Labels of the pods behind the service.' }),
  sessionAffinity: string(7, {
    enum: ['ClientIP', 'None'],
    default: 'None',
    doc: 'Whether a client always gets to the same pod.',
  }),
  sessionAffinityConfig: struct(14, SessionAffinityConfig),
  trafficDistribution: string(23, { pointer: true }),
  type: string(4, {
    enum: ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'],
    default: 'ClusterIP',
    doc: 'From where the service can be reached.',
  }),
});
export type ServiceSpec = TypeOf<typeof ServiceSpec>;

export const ServiceStatus = object('io.k8s.api.core.v1.ServiceStatus', {
  conditions: list(2, Condition, { listType: 'map', mapKeys: ['type'], patchStrategy: 'merge', patchMergeKey: 'type' }),
  loadBalancer: struct(1, LoadBalancerStatus, { always: true }),
});
export type ServiceStatus = TypeOf<typeof ServiceStatus>;

export const Service = defineKind({
  group: '',
  version: 'v1',
  kind: 'Service',
  plural: 'services',
  namespaced: true,
  shortNames: ['svc'],
  doc: 'One address for a changing set of pods.',
  categories: ['all'],
  subresources: {
    proxy: {
      verbs: ['create', 'delete', 'get', 'patch', 'update'],
      kind: { group: '', version: 'v1', kind: 'ServiceProxyOptions' },
    },
    status: { verbs: ['get', 'patch', 'update'] },
  },
  type: 'io.k8s.api.core.v1.Service',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, ServiceSpec, { always: true }),
    status: struct(3, ServiceStatus, { always: true }),
  },
  metadataChecks: { update: ['changed'] },
  columns: [
    nameColumn,
    text('Type', 'From where it can be reached.', ({ spec }) => spec.type),
    text('Cluster-IP', 'Address inside of the cluster.', ({ spec }) => spec.clusterIPs?.[0] ?? '<none>'),
    text('External-IP', 'Addresses for the outside.', ({ spec, status }) => externalAddresses(spec, status)),
    text('Port(s)', 'Ports, with the port of the nodes behind the colon.', ({ spec }) => portsOf(spec)),
    ageColumn,
    wide(text('Selector', 'Labels of the pods behind it.', ({ spec }) => formatLabels(spec.selector))),
  ],
  fieldSelectors: {
    'spec.clusterIP': ({ spec }) => spec.clusterIP ?? '',
    'spec.type': ({ spec }) => spec.type,
  },
  validateName: isDNS1035Label,
  createOnUpdate: true,
  returnsDeleted: true,
  hasGeneration: false,
  default({ spec, status }) {
    defaultService(spec);
    if (spec.type !== 'LoadBalancer') return;
    for (const ingress of status.loadBalancer.ingress ?? []) if (ingress.ip) ingress.ipMode ??= 'VIP';
  },
  prepareForCreate({ spec }) {
    prepareService(spec);
  },
  prepareForUpdate({ spec }, old) {
    prepareServiceUpdate(spec, old.spec);
  },
  validate(service, report) {
    validateService(service, report);
  },
  validateUpdate(service, old, report) {
    validateServiceUpdate(service, old, report);
  },
  validateStatusUpdate({ spec, status }, old, report) {
    validateLoadBalancerStatus(status.loadBalancer, old.status.loadBalancer, spec, report.at('status', 'loadBalancer'));
  },
  warnings: ({ metadata, spec }) => [
    ...(metadata.annotations?.['service.kubernetes.io/topology-aware-hints'] === undefined
      ? []
      : [
          'annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead',
        ]),
    ...(spec.type === 'ClusterIP' && isHeadless(spec) ? headlessWarnings(spec) : []),
    ...(spec.type !== 'ExternalName' && !isHeadless(spec) && (spec.externalIPs ?? []).length > 0
      ? ['spec.externalIPs is deprecated and may no longer be implemented in some clusters']
      : []),
    ...(spec.type === 'ExternalName' && (spec.externalIPs ?? []).length > 0
      ? ['spec.externalIPs is ignored when spec.type is "ExternalName"']
      : []),
    ...(spec.type !== 'ExternalName' && spec.externalName
      ? ['spec.externalName is ignored when spec.type is not "ExternalName"']
      : []),
    ...(spec.trafficDistribution === 'PreferClose'
      ? ['spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"']
      : []),
  ],
});
export type Service = ObjectOf<typeof Service>;

function headlessWarnings({ loadBalancerIP, externalIPs = [], sessionAffinity }: ServiceSpec): readonly string[] {
  const ignored = {
    'spec.loadBalancerIP': loadBalancerIP,
    'spec.externalIPs': externalIPs.length > 0,
    'spec.SessionAffinity': sessionAffinity !== 'None',
  };
  return Object.entries(ignored).flatMap(([name, given]) =>
    given ? [`${name} is ignored for headless services`] : [],
  );
}

function externalAddresses(spec: ServiceSpec, status: ServiceStatus): string {
  const external = spec.externalIPs ?? [];
  switch (spec.type) {
    case 'ClusterIP':
    case 'NodePort':
      return external.join(',') || '<none>';
    case 'LoadBalancer': {
      const given = (status.loadBalancer.ingress ?? []).map(({ ip, hostname }) => ip || hostname || '');
      const balancers = [...new Set(given.filter(Boolean))].sort();
      return [...balancers, ...external].join(',') || '<pending>';
    }
    case 'ExternalName':
      return spec.externalName ?? '';
    default:
      return '<unknown>';
  }
}

function portsOf({ ports = [] }: ServiceSpec): string {
  const shown = ports.map(({ port, nodePort, protocol }) => `${port}${nodePort ? `:${nodePort}` : ''}/${protocol}`);
  return shown.join(',') || '<none>';
}
