import { object, string, struct, type TypeOf } from '../../machinery/schema.ts';

export const CELDeviceSelector = object('io.k8s.api.resource.v1beta1.CELDeviceSelector', {
  expression: string(1, { required: true, always: true }),
});
export type CELDeviceSelector = TypeOf<typeof CELDeviceSelector>;

export const DeviceSelector = object('io.k8s.api.resource.v1beta1.DeviceSelector', {
  cel: struct(1, CELDeviceSelector),
});
export type DeviceSelector = TypeOf<typeof DeviceSelector>;
