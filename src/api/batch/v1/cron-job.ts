import { type Column, defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, int32, int64, list, object, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { JobSpec } from './job-spec.ts';
import { ObjectReference } from '../../core/v1/object-reference.ts';
import { checkNonNegative, checkRequiredOneOf } from '../../machinery/checks.ts';
import { ageColumn, boolean as booleanColumn, integer, nameColumn, text } from '../../machinery/columns.ts';
import { isTimeZone, parseCron } from '../../machinery/cron.ts';
import { formatAge } from '../../machinery/duration.ts';
import { isDNS1123Label } from '../../machinery/names.ts';
import { Report } from '../../machinery/validation.ts';
import { defaultPodTemplate } from '../../core/v1/pod-spec-defaults.ts';
import { changedTemplateWarnings } from '../../core/v1/pod-warnings.ts';
import { containersColumn, imagesColumn, selectorColumn } from '../../core/v1/workload-columns.ts';
import { validateJobSpec } from './job-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const JobTemplateSpec = object('io.k8s.api.batch.v1.JobTemplateSpec', {
  metadata: struct(1, ObjectMeta),
  spec: struct(2, JobSpec, { always: true }),
});
export type JobTemplateSpec = TypeOf<typeof JobTemplateSpec>;

export const CronJobSpec = object('io.k8s.api.batch.v1.CronJobSpec', {
  concurrencyPolicy: string(3, {
    enum: ['Allow', 'Forbid', 'Replace'],
    default: 'Allow',
    doc: 'What happens when a job is due while the last one runs.',
  }),
  failedJobsHistoryLimit: int32(7, { pointer: true, default: 1, doc: 'How many failed jobs are kept.' }),
  jobTemplate: struct(5, JobTemplateSpec, { required: true, always: true, doc: 'What its jobs look like.' }),
  schedule: string(1, { required: true, always: true, doc: 'When jobs start: minute, hour, day, month, weekday.' }),
  startingDeadlineSeconds: int64(2, { pointer: true, doc: 'How late a job may still start.' }),
  successfulJobsHistoryLimit: int32(6, { pointer: true, default: 3, doc: 'How many successful jobs are kept.' }),
  suspend: boolean(4, { pointer: true, default: false, doc: 'Starts no jobs while it is true.' }),
  timeZone: string(8, { pointer: true, doc: 'Time zone of the schedule, by its IANA name.' }),
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
  doc: 'Starts jobs at set times.',
  shortNames: ['cj'],
  categories: ['all'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.batch.v1.CronJob',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, CronJobSpec, { required: true, always: true }),
    status: struct(3, CronJobStatus, { always: true }),
  },
  metadataChecks: { update: ['changed'], status: [] },
  columns: [
    nameColumn,
    text('Schedule', 'When it starts jobs, in the form of cron.', ({ spec }) => spec.schedule),
    text('Timezone', 'Time zone of the schedule.', ({ spec }) => spec.timeZone ?? '<none>'),
    booleanColumn('Suspend', 'Whether it starts none for now.', ({ spec }) => spec.suspend),
    integer('Active', 'Jobs that run.', ({ status }) => (status.active ?? []).length),
    text('Last Schedule', 'Time since it last started one.', ({ status }, nowMs) =>
      status.lastScheduleTime ? formatAge(status.lastScheduleTime, nowMs) : '<none>',
    ),
    ageColumn,
    podColumn(containersColumn),
    podColumn(imagesColumn),
    podColumn(selectorColumn),
  ],
  default({ spec }) {
    defaultPodTemplate(spec.jobTemplate.spec.template);
  },
  validate({ spec }, report) {
    validateCronJobSpec(spec, report.at('spec'));
  },
  validateCreate({ metadata }, report) {
    if ((metadata.name ?? '').length <= nameLengthMax) return;
    report.at('metadata', 'name').invalid(metadata.name, `must be no more than ${nameLengthMax} characters`);
  },
  warnings(job, old) {
    const { metadata, spec } = job;
    const messages = isDNS1123Label(metadata.name ?? '');
    const surprise = "this is used in Job names and in the Pod's hostname, which can result in surprising behavior";
    return [
      ...(messages.length === 0
        ? []
        : [`metadata.name: ${surprise}; a DNS label is recommended: [${messages.join(' ')}]`]),
      ...changedTemplateWarnings(job, old, spec.jobTemplate.spec.template, 'spec.jobTemplate.spec.template'),
      ...(/TZ/.test(spec.schedule)
        ? [
            'CRON_TZ or TZ used in spec.schedule is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details',
          ]
        : []),
    ];
  },
});
export type CronJob = ObjectOf<typeof CronJob>;

/** Jobs are named after it, with eleven characters more, and must stay within 63. */
const nameLengthMax = 52;
const policies = ['Allow', 'Forbid', 'Replace'];

/** A column of a job's pods, taken from the template. */
function podColumn<Type>(column: Column<Type>): Column<{ readonly spec: { readonly jobTemplate: unknown } }> {
  return { ...column, cell: ({ spec }, nowMs) => column.cell(spec.jobTemplate as Type, nowMs) };
}

function validateCronJobSpec(spec: CronJobSpec, report: Report): void {
  const { schedule, timeZone } = spec;
  if (schedule === '') report.at('schedule').required();
  else validateSchedule(schedule, timeZone, report.at('schedule'));
  checkNonNegative(spec.startingDeadlineSeconds, report.at('startingDeadlineSeconds'));
  if (timeZone !== undefined) validateTimeZone(timeZone, report.at('timeZone'));
  checkRequiredOneOf(spec.concurrencyPolicy, policies, report.at('concurrencyPolicy'));
  validateJobTemplate(spec.jobTemplate, report.at('jobTemplate'));
  checkNonNegative(spec.successfulJobsHistoryLimit, report.at('successfulJobsHistoryLimit'));
  checkNonNegative(spec.failedJobsHistoryLimit, report.at('failedJobsHistoryLimit'));
}

function validateSchedule(schedule: string, timeZone: string | undefined, report: Report): void {
  try {
    parseCron(schedule);
  } catch (error) {
    report.invalid(schedule, (error as Error).message);
  }
  if (!schedule.includes('TZ')) return;
  if (timeZone === undefined) {
    report.invalid(schedule, 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead');
  } else report.invalid(schedule, 'cannot use both timeZone field and TZ or CRON_TZ in schedule');
}

function validateTimeZone(timeZone: string, report: Report): void {
  if (timeZone === '') report.invalid(timeZone, 'timeZone must be nil or non-empty string');
  else if (timeZone.toLowerCase() === 'local') {
    report.invalid(timeZone, 'timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones');
  } else if (!isTimeZone(timeZone)) report.invalid(timeZone, `unknown time zone ${timeZone}`);
}

function validateJobTemplate({ spec }: JobTemplateSpec, report: Report): void {
  const at = report.at('spec');
  validateJobSpec(spec, at);
  if (spec.selector !== undefined) at.at('selector').invalid(spec.selector, '`selector` will be auto-generated');
  if (spec.manualSelector === true) at.at('manualSelector').notSupported(true, ['nil', 'false']);
}
