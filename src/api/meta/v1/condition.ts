import { int64, object, string, time, type TypeOf } from '../../machinery/schema.ts';

export const Condition = object('io.k8s.apimachinery.pkg.apis.meta.v1.Condition', {
  lastTransitionTime: time(4, { required: true, always: true }),
  message: string(6, { required: true, always: true }),
  observedGeneration: int64(3),
  reason: string(5, { required: true, always: true }),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type Condition = TypeOf<typeof Condition>;
