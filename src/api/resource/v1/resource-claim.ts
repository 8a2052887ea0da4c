import { defineKind, type ObjectOf, statusMetadata } from '../../machinery/kind.ts';
import {
  boolean,
  embedded,
  list,
  map,
  object,
  rawExtension,
  string,
  struct,
  time,
  types,
  type TypeOf,
} from '../../machinery/schema.ts';
import { NodeSelector } from '../../core/v1/node-selector.ts';
import { Condition } from '../../meta/v1/condition.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { checkFixedSpec, claimState, defaultRequests, validateClaim, validateClaimStatus } from './claim-rules.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { DeviceToleration } from './device-toleration.ts';
import { OpaqueDeviceConfiguration } from './opaque-device-configuration.ts';
import { ResourceClaimSpec } from './resource-claim-spec.ts';

export const NetworkDeviceData = object('io.k8s.api.resource.v1.NetworkDeviceData', {
  hardwareAddress: string(3),
  interfaceName: string(1),
  ips: list(2, types.string, { listType: 'atomic' }),
});
export type NetworkDeviceData = TypeOf<typeof NetworkDeviceData>;

export const AllocatedDeviceStatus = object('io.k8s.api.resource.v1.AllocatedDeviceStatus', {
  conditions: list(4, Condition, { always: true, listType: 'map', mapKeys: ['type'] }),
  data: rawExtension(5, { pointer: true }),
  device: string(3, { required: true, always: true }),
  driver: string(1, { required: true, always: true }),
  networkData: struct(6, NetworkDeviceData),
  pool: string(2, { required: true, always: true }),
  shareID: string(7, { pointer: true }),
});
export type AllocatedDeviceStatus = TypeOf<typeof AllocatedDeviceStatus>;

export const DeviceAllocationConfiguration = object('io.k8s.api.resource.v1.DeviceAllocationConfiguration', {
  requests: list(2, types.string, { listType: 'atomic' }),
  source: string(1, { required: true, always: true, enum: ['FromClaim', 'FromClass'] }),
  ...embedded(3, { opaque: struct(1, OpaqueDeviceConfiguration) }),
});
export type DeviceAllocationConfiguration = TypeOf<typeof DeviceAllocationConfiguration>;

export const DeviceRequestAllocationResult = object('io.k8s.api.resource.v1.DeviceRequestAllocationResult', {
  adminAccess: boolean(5, { pointer: true }),
  bindingConditions: list(7, types.string, { listType: 'atomic' }),
  bindingFailureConditions: list(8, types.string, { listType: 'atomic' }),
  consumedCapacity: map(10, types.quantity),
  device: string(4, { required: true, always: true }),
  driver: string(2, { required: true, always: true }),
  pool: string(3, { required: true, always: true }),
  request: string(1, { required: true, always: true }),
  shareID: string(9, { pointer: true }),
  tolerations: list(6, DeviceToleration, { listType: 'atomic' }),
});
export type DeviceRequestAllocationResult = TypeOf<typeof DeviceRequestAllocationResult>;

export const DeviceAllocationResult = object('io.k8s.api.resource.v1.DeviceAllocationResult', {
  config: list(2, DeviceAllocationConfiguration, { listType: 'atomic' }),
  results: list(1, DeviceRequestAllocationResult, { listType: 'atomic' }),
});
export type DeviceAllocationResult = TypeOf<typeof DeviceAllocationResult>;

export const AllocationResult = object('io.k8s.api.resource.v1.AllocationResult', {
  allocationTimestamp: time(5),
  devices: struct(1, DeviceAllocationResult, { always: true }),
  nodeSelector: struct(3, NodeSelector),
});
export type AllocationResult = TypeOf<typeof AllocationResult>;

export const ResourceClaimConsumerReference = object('io.k8s.api.resource.v1.ResourceClaimConsumerReference', {
  apiGroup: string(1),
  name: string(4, { required: true, always: true }),
  resource: string(3, { required: true, always: true }),
  uid: string(5, { required: true, always: true }),
});
export type ResourceClaimConsumerReference = TypeOf<typeof ResourceClaimConsumerReference>;

export const ResourceClaimStatus = object('io.k8s.api.resource.v1.ResourceClaimStatus', {
  allocation: struct(1, AllocationResult),
  devices: list(4, AllocatedDeviceStatus, { listType: 'map', mapKeys: ['driver', 'device', 'pool', 'shareID'] }),
  reservedFor: list(2, ResourceClaimConsumerReference, {
    listType: 'map',
    mapKeys: ['uid'],
    patchStrategy: 'merge',
    patchMergeKey: 'uid',
  }),
});
export type ResourceClaimStatus = TypeOf<typeof ResourceClaimStatus>;

export const ResourceClaim = defineKind({
  group: 'resource.k8s.io',
  version: 'v1',
  kind: 'ResourceClaim',
  plural: 'resourceclaims',
  namespaced: true,
  doc: 'Devices that pods use.',
  returnsDeleted: true,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.resource.v1.ResourceClaim',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, ResourceClaimSpec, { required: true, always: true }),
    status: struct(3, ResourceClaimStatus, { always: true }),
  },
  statusKeeps: statusMetadata,
  columns: [
    nameColumn,
    text('State', 'Whether it has devices, and whether they are used.', ({ metadata, status }) =>
      claimState({ metadata, status }),
    ),
    ageColumn,
  ],
  default({ spec }) {
    defaultRequests(spec);
  },
  validate({ spec }, report) {
    validateClaim(spec, report.at('spec'));
  },
  hasGeneration: false,
  changeRules: 'alone',
  validateUpdate({ spec }, old, report) {
    checkFixedSpec(ResourceClaimSpec, spec, old.spec, report.at('spec'));
  },
  validateStatusUpdate(claim, old, report) {
    validateClaimStatus(claim, old, report.at('status'), AllocationResult);
  },
});
export type ResourceClaim = ObjectOf<typeof ResourceClaim>;
