import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, bytes, int32, list, object, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ServiceReference = object('io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.ServiceReference', {
  name: string(2),
  namespace: string(1),
  port: int32(3, { pointer: true }),
});
export type ServiceReference = TypeOf<typeof ServiceReference>;

export const APIServiceSpec = object('io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceSpec', {
  caBundle: bytes(5),
  group: string(2),
  groupPriorityMinimum: int32(7, { required: true, always: true }),
  insecureSkipTLSVerify: boolean(4),
  service: struct(1, ServiceReference),
  version: string(3),
  versionPriority: int32(8, { required: true, always: true }),
});
export type APIServiceSpec = TypeOf<typeof APIServiceSpec>;

export const APIServiceCondition = object('io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceCondition', {
  lastTransitionTime: time(3),
  message: string(5),
  reason: string(4),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type APIServiceCondition = TypeOf<typeof APIServiceCondition>;

export const APIServiceStatus = object('io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceStatus', {
  conditions: list(1, APIServiceCondition, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
});
export type APIServiceStatus = TypeOf<typeof APIServiceStatus>;

export const APIService = defineKind({
  group: 'apiregistration.k8s.io',
  version: 'v1',
  kind: 'APIService',
  plural: 'apiservices',
  namespaced: false,
  categories: ['api-extensions'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, APIServiceSpec, { always: true }),
    status: struct(3, APIServiceStatus, { always: true }),
  },
});
export type APIService = ObjectOf<typeof APIService>;
