import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import {
  boolean,
  int64,
  list,
  map,
  object,
  quantity,
  string,
  struct,
  time,
  types,
  type TypeOf,
} from '../../machinery/schema.ts';
import { NodeSelector } from '../../core/v1/node-selector.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { prepareNewSlice, prepareSlice, validateSlice } from './slice-rules.ts';

export const CapacityRequestPolicyRange = object('io.k8s.api.resource.v1.CapacityRequestPolicyRange', {
  max: quantity(2, { pointer: true }),
  min: quantity(1, { required: true, pointer: true }),
  step: quantity(3, { pointer: true }),
});
export type CapacityRequestPolicyRange = TypeOf<typeof CapacityRequestPolicyRange>;

export const CapacityRequestPolicy = object('io.k8s.api.resource.v1.CapacityRequestPolicy', {
  default: quantity(1, { pointer: true, always: true }),
  validRange: struct(4, CapacityRequestPolicyRange),
  validValues: list(3, types.quantity, { listType: 'atomic' }),
});
export type CapacityRequestPolicy = TypeOf<typeof CapacityRequestPolicy>;

export const Counter = object('io.k8s.api.resource.v1.Counter', {
  value: quantity(1, { required: true, always: true }),
});
export type Counter = TypeOf<typeof Counter>;

export const CounterSet = object('io.k8s.api.resource.v1.CounterSet', {
  counters: map(2, Counter, { required: true }),
  name: string(1, { required: true, always: true }),
});
export type CounterSet = TypeOf<typeof CounterSet>;

export const DeviceAttribute = object('io.k8s.api.resource.v1.DeviceAttribute', {
  bool: boolean(3, { pointer: true }),
  bools: list(7, types.boolean, { listType: 'atomic' }),
  int: int64(2, { pointer: true }),
  ints: list(6, types.int64, { listType: 'atomic' }),
  string: string(4, { pointer: true }),
  strings: list(8, types.string, { listType: 'atomic' }),
  version: string(5, { pointer: true }),
  versions: list(9, types.string, { listType: 'atomic' }),
});
export type DeviceAttribute = TypeOf<typeof DeviceAttribute>;

export const DeviceCapacity = object('io.k8s.api.resource.v1.DeviceCapacity', {
  requestPolicy: struct(2, CapacityRequestPolicy),
  value: quantity(1, { required: true, always: true }),
});
export type DeviceCapacity = TypeOf<typeof DeviceCapacity>;

export const DeviceCounterConsumption = object('io.k8s.api.resource.v1.DeviceCounterConsumption', {
  counterSet: string(1, { required: true, always: true }),
  counters: map(2, Counter, { required: true }),
});
export type DeviceCounterConsumption = TypeOf<typeof DeviceCounterConsumption>;

export const NodeAllocatableResourceMapping = object('io.k8s.api.resource.v1.NodeAllocatableResourceMapping', {
  allocationMultiplier: quantity(2),
  capacityKey: string(1),
});
export type NodeAllocatableResourceMapping = TypeOf<typeof NodeAllocatableResourceMapping>;

export const DeviceTaint = object('io.k8s.api.resource.v1.DeviceTaint', {
  effect: string(3, { required: true, always: true, enum: ['NoExecute', 'NoSchedule', 'None'] }),
  key: string(1, { required: true, always: true }),
  timeAdded: time(4),
  value: string(2),
});
export type DeviceTaint = TypeOf<typeof DeviceTaint>;

export const Device = object('io.k8s.api.resource.v1.Device', {
  allNodes: boolean(7, { pointer: true }),
  allowMultipleAllocations: boolean(12, { pointer: true }),
  attributes: map(2, DeviceAttribute),
  bindingConditions: list(10, types.string, { listType: 'atomic' }),
  bindingFailureConditions: list(11, types.string, { listType: 'atomic' }),
  bindsToNode: boolean(9, { pointer: true }),
  capacity: map(3, DeviceCapacity),
  consumesCounters: list(4, DeviceCounterConsumption, { listType: 'atomic' }),
  name: string(1, { required: true, always: true }),
  nodeAllocatableResourceMappings: map(13, NodeAllocatableResourceMapping),
  nodeName: string(5, { pointer: true }),
  nodeSelector: struct(6, NodeSelector),
  taints: list(8, DeviceTaint, { listType: 'atomic' }),
});
export type Device = TypeOf<typeof Device>;

export const ResourcePool = object('io.k8s.api.resource.v1.ResourcePool', {
  generation: int64(2, { required: true, always: true }),
  name: string(1, { required: true, always: true }),
  resourceSliceCount: int64(3, { required: true, always: true }),
});
export type ResourcePool = TypeOf<typeof ResourcePool>;

export const ResourceSliceSpec = object('io.k8s.api.resource.v1.ResourceSliceSpec', {
  allNodes: boolean(5, { pointer: true }),
  devices: list(6, Device, { listType: 'atomic' }),
  driver: string(1, { required: true, always: true }),
  nodeName: string(3, { pointer: true }),
  nodeSelector: struct(4, NodeSelector),
  perDeviceNodeSelection: boolean(7, { pointer: true }),
  pool: struct(2, ResourcePool, { required: true, always: true }),
  sharedCounters: list(8, CounterSet, { listType: 'atomic' }),
});
export type ResourceSliceSpec = TypeOf<typeof ResourceSliceSpec>;

export const ResourceSlice = defineKind({
  group: 'resource.k8s.io',
  version: 'v1',
  kind: 'ResourceSlice',
  plural: 'resourceslices',
  namespaced: false,
  doc: 'The devices of one driver, on one node or in one pool.',
  returnsDeleted: true,
  type: 'io.k8s.api.resource.v1.ResourceSlice',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, ResourceSliceSpec, { required: true, always: true }),
  },
  metadataChecks: { update: ['changed'] },
  columns: [
    nameColumn,
    text('Node', 'Node whose devices they are.', ({ spec }) => spec.nodeName ?? ''),
    text('Driver', 'Driver that manages them.', ({ spec }) => spec.driver),
    text('Pool', 'Pool they belong to.', ({ spec }) => spec.pool.name),
    ageColumn,
  ],
  validate({ spec }, report) {
    validateSlice(spec, report.at('spec'));
  },
  prepareForCreate: slice => prepareNewSlice(slice),
  prepareForUpdate: slice => prepareSlice(slice),
  changeRules: 'alone',
  validateUpdate({ spec }, old, report) {
    validateSlice(spec, report.at('spec'), old.spec);
  },
  fieldSelectors: { 'spec.nodeName': ({ spec }) => spec.nodeName ?? '', 'spec.driver': ({ spec }) => spec.driver },
});
export type ResourceSlice = ObjectOf<typeof ResourceSlice>;
