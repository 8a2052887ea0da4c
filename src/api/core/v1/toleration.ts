import { int64, object, string, type TypeOf } from '../../machinery/schema.ts';

export const Toleration = object('io.k8s.api.core.v1.Toleration', {
  effect: string(4, { enum: ['NoExecute', 'NoSchedule', 'PreferNoSchedule'] }),
  key: string(1),
  operator: string(2, { enum: ['Equal', 'Exists', 'Gt', 'Lt'] }),
  tolerationSeconds: int64(5, { pointer: true }),
  value: string(3),
});
export type Toleration = TypeOf<typeof Toleration>;
