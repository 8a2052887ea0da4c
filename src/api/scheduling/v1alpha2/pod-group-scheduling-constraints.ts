import { list, object, string, type TypeOf } from '../../machinery/schema.ts';

export const TopologyConstraint = object('io.k8s.api.scheduling.v1alpha2.TopologyConstraint', {
  key: string(1, { required: true }),
});
export type TopologyConstraint = TypeOf<typeof TopologyConstraint>;

export const PodGroupSchedulingConstraints = object('io.k8s.api.scheduling.v1alpha2.PodGroupSchedulingConstraints', {
  topology: list(1, TopologyConstraint, { listType: 'atomic' }),
});
export type PodGroupSchedulingConstraints = TypeOf<typeof PodGroupSchedulingConstraints>;
