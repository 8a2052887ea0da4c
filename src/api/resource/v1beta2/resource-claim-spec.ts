import {
  boolean,
  embedded,
  int64,
  list,
  map,
  object,
  string,
  struct,
  types,
  type TypeOf,
} from '../../machinery/schema.ts';
import { DeviceSelector } from './device-selector.ts';
import { DeviceToleration } from './device-toleration.ts';
import { OpaqueDeviceConfiguration } from './opaque-device-configuration.ts';

export const CapacityRequirements = object('io.k8s.api.resource.v1beta2.CapacityRequirements', {
  requests: map(1, types.quantity),
});
export type CapacityRequirements = TypeOf<typeof CapacityRequirements>;

export const DeviceClaimConfiguration = object('io.k8s.api.resource.v1beta2.DeviceClaimConfiguration', {
  requests: list(1, types.string, { listType: 'atomic' }),
  ...embedded(2, { opaque: struct(1, OpaqueDeviceConfiguration) }),
});
export type DeviceClaimConfiguration = TypeOf<typeof DeviceClaimConfiguration>;

export const DeviceConstraint = object('io.k8s.api.resource.v1beta2.DeviceConstraint', {
  distinctAttribute: string(3, { pointer: true }),
  matchAttribute: string(2, { pointer: true }),
  requests: list(1, types.string, { listType: 'atomic' }),
});
export type DeviceConstraint = TypeOf<typeof DeviceConstraint>;

export const ExactDeviceRequest = object('io.k8s.api.resource.v1beta2.ExactDeviceRequest', {
  adminAccess: boolean(5, { pointer: true }),
  allocationMode: string(3),
  capacity: struct(7, CapacityRequirements),
  count: int64(4),
  deviceClassName: string(1, { required: true, always: true }),
  selectors: list(2, DeviceSelector, { listType: 'atomic' }),
  tolerations: list(6, DeviceToleration, { listType: 'atomic' }),
});
export type ExactDeviceRequest = TypeOf<typeof ExactDeviceRequest>;

export const DeviceSubRequest = object('io.k8s.api.resource.v1beta2.DeviceSubRequest', {
  allocationMode: string(4),
  capacity: struct(7, CapacityRequirements),
  count: int64(5),
  deviceClassName: string(2, { required: true, always: true }),
  name: string(1, { required: true, always: true }),
  selectors: list(3, DeviceSelector, { listType: 'atomic' }),
  tolerations: list(6, DeviceToleration, { listType: 'atomic' }),
});
export type DeviceSubRequest = TypeOf<typeof DeviceSubRequest>;

export const DeviceRequest = object('io.k8s.api.resource.v1beta2.DeviceRequest', {
  exactly: struct(2, ExactDeviceRequest),
  firstAvailable: list(3, DeviceSubRequest, { listType: 'atomic' }),
  name: string(1, { required: true, always: true }),
});
export type DeviceRequest = TypeOf<typeof DeviceRequest>;

export const DeviceClaim = object('io.k8s.api.resource.v1beta2.DeviceClaim', {
  config: list(3, DeviceClaimConfiguration, { listType: 'atomic' }),
  constraints: list(2, DeviceConstraint, { listType: 'atomic' }),
  requests: list(1, DeviceRequest, { always: true, listType: 'atomic' }),
});
export type DeviceClaim = TypeOf<typeof DeviceClaim>;

export const ResourceClaimSpec = object('io.k8s.api.resource.v1beta2.ResourceClaimSpec', {
  devices: struct(1, DeviceClaim, { always: true }),
});
export type ResourceClaimSpec = TypeOf<typeof ResourceClaimSpec>;
