import { object, string, time, type TypeOf } from '../../machinery/schema.ts';

export const DeviceTaint = object('io.k8s.api.resource.v1beta2.DeviceTaint', {
  effect: string(3, { required: true, always: true, enum: ['NoExecute', 'NoSchedule', 'None'] }),
  key: string(1, { required: true, always: true }),
  timeAdded: time(4),
  value: string(2),
});
export type DeviceTaint = TypeOf<typeof DeviceTaint>;
