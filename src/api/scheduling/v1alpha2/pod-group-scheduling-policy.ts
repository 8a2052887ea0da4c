import { int32, object, struct, type TypeOf } from '../../machinery/schema.ts';

export const BasicSchedulingPolicy = object('io.k8s.api.scheduling.v1alpha2.BasicSchedulingPolicy', {});
export type BasicSchedulingPolicy = TypeOf<typeof BasicSchedulingPolicy>;

export const GangSchedulingPolicy = object('io.k8s.api.scheduling.v1alpha2.GangSchedulingPolicy', {
  minCount: int32(1, { required: true }),
});
export type GangSchedulingPolicy = TypeOf<typeof GangSchedulingPolicy>;

export const PodGroupSchedulingPolicy = object(
  'io.k8s.api.scheduling.v1alpha2.PodGroupSchedulingPolicy',
  {
    basic: struct(1, BasicSchedulingPolicy),
    gang: struct(2, GangSchedulingPolicy),
  },
  { unions: [{ 'fields-to-discriminateBy': { basic: 'Basic', gang: 'Gang' } }] },
);
export type PodGroupSchedulingPolicy = TypeOf<typeof PodGroupSchedulingPolicy>;
