import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, int32, int64, list, object, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { JobSpec } from './job-spec.ts';
import { ObjectReference } from '../../core/v1/object-reference.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const JobTemplateSpec = object('io.k8s.api.batch.v1.JobTemplateSpec', {
  metadata: struct(1, ObjectMeta),
  spec: struct(2, JobSpec, { always: true }),
});
export type JobTemplateSpec = TypeOf<typeof JobTemplateSpec>;

export const CronJobSpec = object('io.k8s.api.batch.v1.CronJobSpec', {
  concurrencyPolicy: string(3, { enum: ['Allow', 'Forbid', 'Replace'] }),
  failedJobsHistoryLimit: int32(7, { pointer: true }),
  jobTemplate: struct(5, JobTemplateSpec, { required: true, always: true }),
  schedule: string(1, { required: true, always: true }),
  startingDeadlineSeconds: int64(2, { pointer: true }),
  successfulJobsHistoryLimit: int32(6, { pointer: true }),
  suspend: boolean(4, { pointer: true }),
  timeZone: string(8, { pointer: true }),
});
export type CronJobSpec = TypeOf<typeof CronJobSpec>;

export const CronJobStatus = object('io.k8s.api.batch.v1.CronJobStatus', {
  active: list(1, ObjectReference, { listType: 'atomic' }),
  lastScheduleTime: time(4),
  lastSuccessfulTime: time(5),
});
export type CronJobStatus = TypeOf<typeof CronJobStatus>;

export const CronJob = defineKind({
  group: 'batch',
  version: 'v1',
  kind: 'CronJob',
  plural: 'cronjobs',
  namespaced: true,
  shortNames: ['cj'],
  categories: ['all'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.batch.v1.CronJob',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, CronJobSpec, { required: true, always: true }),
    status: struct(3, CronJobStatus, { always: true }),
  },
});
export type CronJob = ObjectOf<typeof CronJob>;
