import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, list, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { Condition } from '../../meta/v1/condition.ts';
import { ageColumn, nameColumn } from '../../machinery/columns.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { PodGroupResourceClaim } from './pod-group-resource-claim.ts';
import { PodGroupSchedulingConstraints } from './pod-group-scheduling-constraints.ts';
import { PodGroupSchedulingPolicy } from './pod-group-scheduling-policy.ts';

export const WorkloadPodGroupTemplateReference = object(
  'io.k8s.api.scheduling.v1alpha2.WorkloadPodGroupTemplateReference',
  {
    podGroupTemplateName: string(2, { required: true }),
    workloadName: string(1, { required: true }),
  },
);
export type WorkloadPodGroupTemplateReference = TypeOf<typeof WorkloadPodGroupTemplateReference>;

export const PodGroupTemplateReference = object(
  'io.k8s.api.scheduling.v1alpha2.PodGroupTemplateReference',
  {
    workload: struct(1, WorkloadPodGroupTemplateReference),
  },
  { unions: [{ 'fields-to-discriminateBy': { workload: 'Workload' } }] },
);
export type PodGroupTemplateReference = TypeOf<typeof PodGroupTemplateReference>;

export const PodGroupSpec = object('io.k8s.api.scheduling.v1alpha2.PodGroupSpec', {
  disruptionMode: string(5),
  podGroupTemplateRef: struct(1, PodGroupTemplateReference),
  priority: int32(7),
  priorityClassName: string(6),
  resourceClaims: list(4, PodGroupResourceClaim, {
    listType: 'map',
    mapKeys: ['name'],
    patchStrategy: 'merge,retainKeys',
    patchMergeKey: 'name',
  }),
  schedulingConstraints: struct(3, PodGroupSchedulingConstraints),
  schedulingPolicy: struct(2, PodGroupSchedulingPolicy, { required: true }),
});
export type PodGroupSpec = TypeOf<typeof PodGroupSpec>;

export const PodGroupResourceClaimStatus = object('io.k8s.api.scheduling.v1alpha2.PodGroupResourceClaimStatus', {
  name: string(1, { required: true }),
  resourceClaimName: string(2),
});
export type PodGroupResourceClaimStatus = TypeOf<typeof PodGroupResourceClaimStatus>;

export const PodGroupStatus = object('io.k8s.api.scheduling.v1alpha2.PodGroupStatus', {
  conditions: list(1, Condition, { listType: 'map', mapKeys: ['type'], patchStrategy: 'merge', patchMergeKey: 'type' }),
  resourceClaimStatuses: list(2, PodGroupResourceClaimStatus, {
    listType: 'map',
    mapKeys: ['name'],
    patchStrategy: 'merge,retainKeys',
    patchMergeKey: 'name',
  }),
});
export type PodGroupStatus = TypeOf<typeof PodGroupStatus>;

export const PodGroup = defineKind({
  group: 'scheduling.k8s.io',
  version: 'v1alpha2',
  kind: 'PodGroup',
  plural: 'podgroups',
  namespaced: true,
  doc: 'Pods that are scheduled together or not at all.',
  served: false,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.scheduling.v1alpha2.PodGroup',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, PodGroupSpec, { required: true }),
    status: struct(3, PodGroupStatus),
  },
  columns: [nameColumn, ageColumn],
});
export type PodGroup = ObjectOf<typeof PodGroup>;
