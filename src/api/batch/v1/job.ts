import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { formatDuration } from '../../machinery/duration.ts';
import { isDNS1123Label } from '../../machinery/names.ts';
import { defaultPodTemplate } from '../../core/v1/pod-spec-defaults.ts';
import { changedTemplateWarnings } from '../../core/v1/pod-warnings.ts';
import { containersColumn, imagesColumn, selectorColumn } from '../../core/v1/workload-columns.ts';
import {
  controllerUidLabel,
  jobNameLabel,
  legacyControllerUidLabel,
  legacyJobNameLabel,
  validateJob,
  validateJobUpdate,
} from './job-validation.ts';
import { validateJobStatusUpdate } from './job-status-validation.ts';
import { type Draft, defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, list, object, string, struct, time, types, type TypeOf } from '../../machinery/schema.ts';
import { JobSpec } from './job-spec.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const JobCondition = object('io.k8s.api.batch.v1.JobCondition', {
  lastProbeTime: time(3, { always: true }),
  lastTransitionTime: time(4, { always: true }),
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
  doc: 'Runs pods until a number of them has succeeded.',
  namespaced: true,
  categories: ['all'],
  orphansByDefault: true,
  orphanWarning:
    'child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning',
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.batch.v1.Job',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, JobSpec, { always: true }),
    status: struct(3, JobStatus, { always: true }),
  },
  columns: [
    nameColumn,
    text('Status', 'How it ended, or that it runs.', ({ metadata, status }) => stateOf(metadata, status)),
    text('Completions', 'Succeeded pods of those wanted.', ({ spec, status }) => completionsOf(spec, status)),
    text('Duration', 'How long it took, or has been running.', ({ status }, nowMs) => {
      if (!status.startTime) return '';
      const end = status.completionTime ? Date.parse(status.completionTime) : nowMs;
      return formatDuration(end - Date.parse(status.startTime));
    }),
    ageColumn,
    containersColumn,
    imagesColumn,
    selectorColumn,
  ],
  fieldSelectors: { 'status.successful': ({ status }) => String(status.succeeded ?? 0) },
  default(job) {
    defaultJob(job);
  },
  prepareForCreate({ metadata, spec }) {
    generateSelector(metadata, spec);
  },
  validate(job, report) {
    validateJob(job, report);
  },
  validateUpdate(job, old, report) {
    validateJobUpdate(job, old, report);
  },
  validateStatusUpdate(job, old, report) {
    validateJobStatusUpdate(job, old, report);
  },
  warnings(job, old) {
    const { metadata, spec } = job;
    const messages = isDNS1123Label(metadata.name ?? '');
    return [
      ...(messages.length === 0
        ? []
        : [
            `metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [${messages.join(' ')}]`,
          ]),
      ...changedTemplateWarnings(job, old, spec.template, 'spec.template'),
    ];
  },
});
export type Job = ObjectOf<typeof Job>;

interface NewJob {
  readonly metadata: Draft<ObjectMeta>;
  readonly spec: Draft<JobSpec>;
}

function defaultJob({ metadata, spec }: NewJob): void {
  defaultPodTemplate(spec.template);
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : 2_147_483_647;
  spec.completionMode ??= 'NonIndexed';
  spec.suspend ??= false;
  spec.manualSelector ??= false;
  spec.podReplacementPolicy ??= spec.podFailurePolicy ? 'Failed' : 'TerminatingOrFailed';
  labelAsTemplate(metadata, spec);
}

/** A job without labels has those of its pods: the very same, so that it gets the generated ones too. */
function labelAsTemplate(metadata: Draft<ObjectMeta>, spec: Draft<JobSpec>): void {
  const { labels } = spec.template.metadata ?? {};
  if (labels && Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = labels;
}

/** Its uid selects its pods and no others. Needs uid and name. What a user wrote stays, for validation to refuse. */
function generateSelector(metadata: Draft<ObjectMeta>, spec: Draft<JobSpec>): void {
  if (spec.manualSelector) return;
  const { uid = '', name = '' } = metadata;
  const template = (spec.template.metadata ??= {});
  const hasOwnLabels = metadata.labels !== undefined && metadata.labels !== template.labels;
  template.labels = {
    [legacyControllerUidLabel]: uid,
    [legacyJobNameLabel]: name,
    [controllerUidLabel]: uid,
    [jobNameLabel]: name,
    ...template.labels,
  };
  spec.selector = {
    ...spec.selector,
    matchLabels: { [controllerUidLabel]: uid, ...spec.selector?.matchLabels },
  };
  if (!hasOwnLabels) metadata.labels = { ...template.labels };
}

function stateOf(metadata: ObjectMeta, status: JobStatus): string {
  const has = (type: string) => (status.conditions ?? []).find(each => each.type === type)?.status === 'True';
  if (has('Complete')) return 'Complete';
  if (has('Failed')) return 'Failed';
  if (metadata.deletionTimestamp) return 'Terminating';
  return ['Suspended', 'FailureTarget', 'SuccessCriteriaMet'].find(has) ?? 'Running';
}

function completionsOf({ completions, parallelism = 0 }: JobSpec, { succeeded = 0 }: JobStatus): string {
  if (completions !== undefined) return `${succeeded}/${completions}`;
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}
