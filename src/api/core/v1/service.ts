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
  appProtocol: string(6, { pointer: true }),
  name: string(1),
  nodePort: int32(5),
  port: int32(3, { required: true, always: true }),
  protocol: string(2, { enum: ['SCTP', 'TCP', 'UDP'], default: 'TCP' }),
  targetPort: intOrString(4),
});
export type ServicePort = TypeOf<typeof ServicePort>;

export const SessionAffinityConfig = object('io.k8s.api.core.v1.SessionAffinityConfig', {
  clientIP: struct(1, ClientIPConfig),
});
export type SessionAffinityConfig = TypeOf<typeof SessionAffinityConfig>;

export const ServiceSpec = object('io.k8s.api.core.v1.ServiceSpec', {
  allocateLoadBalancerNodePorts: boolean(20, { pointer: true }),
  clusterIP: string(3),
  clusterIPs: list(18, types.string, { listType: 'atomic' }),
  externalIPs: list(5, types.string, { listType: 'atomic' }),
  externalName: string(10),
  externalTrafficPolicy: string(11, { enum: ['Cluster', 'Local'] }),
  healthCheckNodePort: int32(12),
  internalTrafficPolicy: string(22, { pointer: true, enum: ['Cluster', 'Local'] }),
  ipFamilies: list(19, types.string, { listType: 'atomic' }),
  ipFamilyPolicy: string(17, { pointer: true, enum: ['PreferDualStack', 'RequireDualStack', 'SingleStack'] }),
  loadBalancerClass: string(21, { pointer: true }),
  loadBalancerIP: string(8),
  loadBalancerSourceRanges: list(9, types.string, { listType: 'atomic' }),
  ports: list(1, ServicePort, {
    listType: 'map',
    mapKeys: ['port', 'protocol'],
    patchStrategy: 'merge',
    patchMergeKey: 'port',
  }),
  publishNotReadyAddresses: boolean(13),
  selector: map(2, types.string, { mapType: 'atomic' }),
  sessionAffinity: string(7, { enum: ['ClientIP', 'None'] }),
  sessionAffinityConfig: struct(14, SessionAffinityConfig),
  trafficDistribution: string(23, { pointer: true }),
  type: string(4, { enum: ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'] }),
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
});
export type Service = ObjectOf<typeof Service>;
