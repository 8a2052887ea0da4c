import { int64, object, string, type TypeOf } from '../../machinery/schema.ts';

export const DeviceToleration = object('io.k8s.api.resource.v1.DeviceToleration', {
  effect: string(4, { enum: ['NoExecute', 'NoSchedule', 'None'] }),
  key: string(1),
  operator: string(2, { enum: ['Equal', 'Exists'], default: 'Equal' }),
  tolerationSeconds: int64(5, { pointer: true }),
  value: string(3),
});
export type DeviceToleration = TypeOf<typeof DeviceToleration>;
