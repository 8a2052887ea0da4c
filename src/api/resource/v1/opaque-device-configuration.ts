import { object, rawExtension, string, type TypeOf } from '../../machinery/schema.ts';

export const OpaqueDeviceConfiguration = object('io.k8s.api.resource.v1.OpaqueDeviceConfiguration', {
  driver: string(1, { required: true, always: true }),
  parameters: rawExtension(2, { required: true, always: true }),
});
export type OpaqueDeviceConfiguration = TypeOf<typeof OpaqueDeviceConfiguration>;
