import { CronJob, type CronJobStatus } from '#api/batch/v1/cron-job.ts';
import { Job } from '#api/batch/v1/job.ts';
import type { Partly } from '#api/machinery/kind.ts';
import { isReason } from '#api/machinery/errors.ts';
import { afterwards, create, event, remove, updateStatus, wake, type Action } from '../actions.ts';
import { conditionOf } from '../conditions.ts';
import { defineController } from '../controller.ts';
import { controllerReference } from '../core/pod-from-template.ts';
import { referenceTo } from '#client/events.ts';
import { owned } from '../reads.ts';
import { sameApartFromZeros } from '../same.ts';
import { timeMs, timeText } from '../time.ts';
import { isFinished } from './job.ts';
import { isTimeZone, nextTime, parseSchedule, type Schedule } from './schedule.ts';

/** More missed times than this are a clock that jumped, or a controller that was away. */
const missedMax = 100;
const scheduledAnnotation = 'batch.kubernetes.io/cronjob-scheduled-timestamp';

/** Starts jobs at the times of a schedule. */
export const cronJobController = defineController({
  name: 'cronjob-controller',
  reconciles: CronJob,
  reads: { jobs: owned<CronJob, Job>(Job) },
  writes: [CronJob, Job],
  decide(cronJob, { jobs, nowMs }) {
    const known = trackActive(cronJob, jobs);
    const tidy = cleanUp(cronJob, jobs);
    const plan =
      cronJob.metadata.deletionTimestamp !== undefined || cronJob.spec.suspend
        ? []
        : start(cronJob, jobs, known.status, nowMs);
    return [...known.actions, ...tidy, ...plan];
  },
});

/** What the status says runs, against what runs. */
function trackActive(
  cronJob: CronJob,
  jobs: readonly Job[],
): { readonly status: CronJobStatus; readonly actions: readonly Action[] } {
  const actions: Action[] = [];
  const old = cronJob.status ?? {};
  let active = [...(old.active ?? [])];
  let { lastSuccessfulTime } = old;
  const isListed = (job: Job) => active.some(({ uid }) => uid === job.metadata.uid);
  for (const job of jobs) {
    const finished = isFinished(job);
    if (!finished && !isListed(job)) {
      actions.push(
        event(
          cronJob,
          'Warning',
          'UnexpectedJob',
          `Saw a job that the controller did not create or forgot: ${job.metadata.name}`,
        ),
      );
    } else if (finished && isListed(job)) {
      active = active.filter(({ uid }) => uid !== job.metadata.uid);
      const complete = conditionOf(job.status?.conditions, 'Complete')?.status === 'True';
      const message = `Saw completed job: ${job.metadata.name}, condition: ${complete ? 'Complete' : 'Failed'}`;
      actions.push(event(cronJob, 'Normal', 'SawCompletedJob', message));
    }
    const { completionTime } = job.status ?? {};
    if (completionTime !== undefined && timeMs(completionTime) > timeMs(lastSuccessfulTime))
      lastSuccessfulTime = completionTime;
  }
  for (const reference of active) {
    if (jobs.some(job => job.metadata.uid === reference.uid)) continue;
    active = active.filter(each => each !== reference);
    const message = `Active job went missing: ${reference.name}`;
    actions.push(event(cronJob, 'Normal', 'MissingJob', message));
  }
  const status = { ...old, active, ...(lastSuccessfulTime !== undefined && { lastSuccessfulTime }) };
  return {
    status,
    actions: sameApartFromZeros(status, old) ? [] : [updateStatus(CronJob, { ...cronJob, status }), ...actions],
  };
}

function start(cronJob: CronJob, jobs: readonly Job[], status: CronJobStatus, nowMs: number): readonly Action[] {
  const { spec } = cronJob;
  const { timeZone } = spec;
  if (timeZone !== undefined && !isTimeZone(timeZone))
    return [event(cronJob, 'Warning', 'UnknownTimeZone', `invalid timeZone: ${JSON.stringify(timeZone)}`)];
  let schedule: Schedule;
  try {
    schedule = parseSchedule(spec.schedule);
  } catch (error) {
    const message = `unparseable schedule: ${JSON.stringify(spec.schedule)} : ${(error as Error).message}`;
    return [event(cronJob, 'Warning', 'UnparseableSchedule', message)];
  }
  const { dueMs, missed } = lastMissed(cronJob, schedule, status, nowMs);
  const nextMs = nextTime(schedule, nowMs, timeZone);
  const later = nextMs === undefined ? [] : [wake(nextMs)];
  if (dueMs === undefined) return later;
  const warnings: Action[] = [];
  if (missed > missedMax)
    warnings.push(
      event(
        cronJob,
        'Warning',
        'TooManyMissedTimes',
        'too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew',
      ),
    );
  const { startingDeadlineSeconds, concurrencyPolicy } = spec;
  if (startingDeadlineSeconds !== undefined && dueMs + startingDeadlineSeconds * 1000 < nowMs) {
    const message = `Missed scheduled time to start a job: ${new Date(dueMs).toUTCString()}`;
    return [...warnings, event(cronJob, 'Warning', 'MissSchedule', message), ...later];
  }
  const active = jobs.filter(job => !isFinished(job));
  if (concurrencyPolicy === 'Forbid' && active.length > 0) {
    const message = 'Not starting job because prior execution is running and concurrency policy is Forbid';
    return [...warnings, event(cronJob, 'Normal', 'JobAlreadyActive', message), ...later];
  }
  const replaced = concurrencyPolicy === 'Replace' ? active.map(job => deleted(cronJob, job)) : [];
  return [...warnings, ...replaced, ...started(cronJob, dueMs, status, concurrencyPolicy === 'Replace'), ...later];
}

/** The last time that has passed and was not served, and how many there were. */
function lastMissed(
  cronJob: CronJob,
  schedule: Schedule,
  status: CronJobStatus,
  nowMs: number,
): { readonly dueMs: number | undefined; readonly missed: number } {
  const { timeZone, startingDeadlineSeconds } = cronJob.spec;
  let fromMs = timeMs(status.lastScheduleTime) || timeMs(cronJob.metadata.creationTimestamp);
  if (startingDeadlineSeconds !== undefined) fromMs = Math.max(fromMs, nowMs - startingDeadlineSeconds * 1000);
  let dueMs: number | undefined;
  let missed = 0;
  for (let atMs = nextTime(schedule, fromMs, timeZone); atMs !== undefined && atMs <= nowMs; ) {
    dueMs = atMs;
    missed++;
    // After so many only the last one is of interest; it is looked for from the end.
    if (missed > missedMax) return { dueMs: latestBefore(schedule, atMs, nowMs, timeZone), missed };
    atMs = nextTime(schedule, atMs, timeZone);
  }
  return { dueMs, missed };
}

function latestBefore(schedule: Schedule, knownMs: number, nowMs: number, timeZone: string | undefined): number {
  if (schedule.kind === 'every')
    return knownMs + Math.floor((nowMs - knownMs) / schedule.intervalMs) * schedule.intervalMs;
  for (let backMs = 120_000; ; backMs *= 2) {
    let latestMs: number | undefined;
    const fromMs = Math.max(knownMs, nowMs - backMs);
    for (let atMs = nextTime(schedule, fromMs, timeZone); atMs !== undefined && atMs <= nowMs; )
      atMs = nextTime(schedule, (latestMs = atMs), timeZone);
    if (latestMs !== undefined || fromMs === knownMs) return latestMs ?? knownMs;
  }
}

function started(cronJob: CronJob, dueMs: number, status: CronJobStatus, replace: boolean): Action[] {
  const { namespace, name } = cronJob.metadata;
  const { metadata: template, spec } = cronJob.spec.jobTemplate;
  const job: Partly<Job> = {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      // The time is part of the name, so that one time is served once.
      name: `${name}-${Math.floor(dueMs / 60_000)}`,
      ...(namespace !== undefined && { namespace }),
      labels: template?.labels,
      annotations: { ...template?.annotations, [scheduledAnnotation]: timeInZone(dueMs, cronJob.spec.timeZone) },
      ownerReferences: [controllerReference(CronJob, cronJob)],
    },
    ...(spec && { spec }),
  };
  return [
    create(Job, job, {
      succeeded: made => event(cronJob, 'Normal', 'SuccessfulCreate', `Created job ${made.metadata.name}`),
      failed: error =>
        isReason(error, 'AlreadyExists')
          ? undefined
          : event(cronJob, 'Warning', 'FailedCreate', `Error creating job: ${error.message}`),
    }),
    afterwards(({ failures, objects }) => {
      const failure = failures.find(({ action }) => action.do === 'create');
      if (failure && !isReason(failure.error, 'AlreadyExists')) return [];
      const made = objects.find(
        (each): each is Job => each.kind === 'Job' && each.metadata.name === job.metadata?.name,
      );
      // The newest version: what ran has been written a moment ago.
      const latest = objects.find((each): each is CronJob => each.kind === 'CronJob') ?? cronJob;
      const others = replace ? [] : (status.active ?? []);
      const active = made ? [...others, referenceTo(made, Job)] : [...others];
      const wanted = { ...status, active, lastScheduleTime: timeText(dueMs) };
      return [updateStatus(CronJob, { ...latest, status: wanted })];
    }),
  ];
}

function timeInZone(atMs: number, timeZone: string | undefined): string {
  if (timeZone === undefined || timeZone === '' || timeZone === 'UTC') return timeText(atMs);
  const local = new Date(atMs).toLocaleString('sv-SE', { timeZone }).replace(' ', 'T');
  const offsetMinutes = Math.round((Date.parse(`${local}Z`) - atMs) / 60_000);
  const sign = offsetMinutes < 0 ? '-' : '+';
  const two = (number: number) => String(Math.trunc(number)).padStart(2, '0');
  return `${local}${sign}${two(Math.abs(offsetMinutes) / 60)}:${two(Math.abs(offsetMinutes) % 60)}`;
}

/** Finished jobs beyond the history that is kept. */
function cleanUp(cronJob: CronJob, jobs: readonly Job[]): Action[] {
  const { successfulJobsHistoryLimit, failedJobsHistoryLimit } = cronJob.spec;
  const beyond = (type: string, limit: number | undefined) => {
    if (limit === undefined) return [];
    const finished = jobs
      .filter(job => conditionOf(job.status?.conditions, type)?.status === 'True')
      .toSorted((a, b) => timeMs(a.status?.startTime) - timeMs(b.status?.startTime));
    return finished.slice(0, Math.max(0, finished.length - limit));
  };
  return [...beyond('Complete', successfulJobsHistoryLimit), ...beyond('Failed', failedJobsHistoryLimit)].map(job =>
    deleted(cronJob, job),
  );
}

function deleted(cronJob: CronJob, job: Job): Action {
  return remove(Job, job, {
    propagationPolicy: 'Background',
    succeeded: () => event(cronJob, 'Normal', 'SuccessfulDelete', `Deleted job ${job.metadata.name}`),
    failed: error => event(cronJob, 'Warning', 'FailedDelete', `Deleted job: ${error.message}`),
  });
}
