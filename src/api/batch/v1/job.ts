import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, list, object, string, struct, time, types, type TypeOf } from '../../machinery/schema.ts';
import { JobSpec } from './job-spec.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const JobCondition = object('io.k8s.api.batch.v1.JobCondition', {
  lastProbeTime: time(3),
  lastTransitionTime: time(4),
  message: string(6),
  reason: string(5),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type JobCondition = TypeOf<typeof JobCondition>;

export const UncountedTerminatedPods = object('io.k8s.api.batch.v1.UncountedTerminatedPods', {
  failed: list(2, types.string, { listType: 'set' }),
  succeeded: list(1, types.string, { listType: 'set' }),
});
export type UncountedTerminatedPods = TypeOf<typeof UncountedTerminatedPods>;

export const JobStatus = object('io.k8s.api.batch.v1.JobStatus', {
  active: int32(4),
  completedIndexes: string(7),
  completionTime: time(3),
  conditions: list(1, JobCondition, { listType: 'atomic', patchStrategy: 'merge', patchMergeKey: 'type' }),
  failed: int32(6),
  failedIndexes: string(10, { pointer: true }),
  ready: int32(9, { pointer: true }),
  startTime: time(2),
  succeeded: int32(5),
  terminating: int32(11, { pointer: true }),
  uncountedTerminatedPods: struct(8, UncountedTerminatedPods),
});
export type JobStatus = TypeOf<typeof JobStatus>;

export const Job = defineKind({
  group: 'batch',
  version: 'v1',
  kind: 'Job',
  plural: 'jobs',
  namespaced: true,
  categories: ['all'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.batch.v1.Job',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, JobSpec, { always: true }),
    status: struct(3, JobStatus, { always: true }),
  },
});
export type Job = ObjectOf<typeof Job>;
