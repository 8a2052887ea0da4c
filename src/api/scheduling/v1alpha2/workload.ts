import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, list, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { ageColumn, nameColumn } from '../../machinery/columns.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { PodGroupResourceClaim } from './pod-group-resource-claim.ts';
import { PodGroupSchedulingConstraints } from './pod-group-scheduling-constraints.ts';
import { PodGroupSchedulingPolicy } from './pod-group-scheduling-policy.ts';

export const PodGroupTemplate = object('io.k8s.api.scheduling.v1alpha2.PodGroupTemplate', {
  disruptionMode: string(5),
  name: string(1, { required: true }),
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
export type PodGroupTemplate = TypeOf<typeof PodGroupTemplate>;

export const TypedLocalObjectReference = object('io.k8s.api.scheduling.v1alpha2.TypedLocalObjectReference', {
  apiGroup: string(1),
  kind: string(2, { required: true }),
  name: string(3, { required: true }),
});
export type TypedLocalObjectReference = TypeOf<typeof TypedLocalObjectReference>;

export const WorkloadSpec = object('io.k8s.api.scheduling.v1alpha2.WorkloadSpec', {
  controllerRef: struct(1, TypedLocalObjectReference),
  podGroupTemplates: list(2, PodGroupTemplate, { required: true, listType: 'map', mapKeys: ['name'] }),
});
export type WorkloadSpec = TypeOf<typeof WorkloadSpec>;

export const Workload = defineKind({
  group: 'scheduling.k8s.io',
  version: 'v1alpha2',
  kind: 'Workload',
  plural: 'workloads',
  namespaced: true,
  doc: 'What groups of pods an application is made of.',
  served: false,
  type: 'io.k8s.api.scheduling.v1alpha2.Workload',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, WorkloadSpec, { required: true }),
  },
  columns: [nameColumn, ageColumn],
});
export type Workload = ObjectOf<typeof Workload>;
