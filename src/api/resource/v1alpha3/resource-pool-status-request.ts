import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, int64, list, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { Condition } from '../../meta/v1/condition.ts';
import { ageColumn, nameColumn } from '../../machinery/columns.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const PoolStatus = object('io.k8s.api.resource.v1alpha3.PoolStatus', {
  allocatedDevices: int32(5, { pointer: true }),
  availableDevices: int32(6, { pointer: true }),
  driver: string(1, { required: true }),
  generation: int64(9, { required: true, always: true }),
  nodeName: string(3, { pointer: true }),
  poolName: string(2, { required: true }),
  resourceSliceCount: int32(8, { pointer: true }),
  totalDevices: int32(4, { pointer: true }),
  unavailableDevices: int32(7, { pointer: true }),
  validationError: string(10, { pointer: true }),
});
export type PoolStatus = TypeOf<typeof PoolStatus>;

export const ResourcePoolStatusRequestSpec = object('io.k8s.api.resource.v1alpha3.ResourcePoolStatusRequestSpec', {
  driver: string(1, { required: true, always: true }),
  limit: int32(3, { pointer: true, default: 100 }),
  poolName: string(2, { pointer: true }),
});
export type ResourcePoolStatusRequestSpec = TypeOf<typeof ResourcePoolStatusRequestSpec>;

export const ResourcePoolStatusRequestStatus = object('io.k8s.api.resource.v1alpha3.ResourcePoolStatusRequestStatus', {
  conditions: list(3, Condition, { listType: 'map', mapKeys: ['type'], patchStrategy: 'merge', patchMergeKey: 'type' }),
  poolCount: int32(6, { required: true, pointer: true }),
  pools: list(2, PoolStatus, { listType: 'atomic' }),
});
export type ResourcePoolStatusRequestStatus = TypeOf<typeof ResourcePoolStatusRequestStatus>;

export const ResourcePoolStatusRequest = defineKind({
  group: 'resource.k8s.io',
  version: 'v1alpha3',
  kind: 'ResourcePoolStatusRequest',
  plural: 'resourcepoolstatusrequests',
  namespaced: false,
  doc: 'Asks how much of a pool of devices is free.',
  returnsDeleted: true,
  served: false,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.resource.v1alpha3.ResourcePoolStatusRequest',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, ResourcePoolStatusRequestSpec, { required: true, always: true }),
    status: struct(3, ResourcePoolStatusRequestStatus),
  },
  columns: [nameColumn, ageColumn],
});
export type ResourcePoolStatusRequest = ObjectOf<typeof ResourcePoolStatusRequest>;
