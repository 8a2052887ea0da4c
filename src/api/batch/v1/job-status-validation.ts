import { checkNonNegative, sameValue } from '../../machinery/checks.ts';
import type { WithSpec } from '../../machinery/kind.ts';
import type { Report } from '../../machinery/validation.ts';
import type { JobSpec } from './job-spec.ts';
import type { JobStatus } from './job.ts';
import { indexIntervals } from './job-validation.ts';

type JobLike = WithSpec<JobSpec, JobStatus>;

/** What may be said of a job's state, after what was said before. Most of it is judged only where it changes. */
export function validateJobStatusUpdate(job: JobLike, old: JobLike, report: Report): void {
  const at = report.at('status');
  const { spec, status } = job;
  const before = old.status;
  const changed = (...fields: (keyof JobStatus)[]) => fields.some(field => !sameValue(status[field], before[field]));
  const turned = (...types: string[]) => types.some(type => isTrue(status, type) !== isTrue(before, type));
  const isComplete = isTrue(status, 'Complete');
  const isFailed = isTrue(status, 'Failed');
  const isTarget = isTrue(status, 'FailureTarget');
  const isMet = isTrue(status, 'SuccessCriteriaMet');
  const isFinished = isComplete || isFailed;
  const hasFinished = isFinished !== (isTrue(before, 'Complete') || isTrue(before, 'Failed'));
  const conditions = at.at('conditions');

  for (const name of ['active', 'succeeded', 'failed', 'ready', 'terminating'] as const)
    checkNonNegative(status[name], at.at(name));
  validateUncounted(status, at.at('uncountedTerminatedPods'));

  if (isComplete && isFailed && turned('Complete', 'Failed'))
    conditions.invalidUnseen('cannot set Complete=True and Failed=true conditions');
  if (isComplete && isTarget && turned('Complete', 'FailureTarget'))
    conditions.invalidUnseen('cannot set Complete=True and FailureTarget=true conditions');
  if (turned('Complete') || changed('completionTime')) {
    const { completionTime } = status;
    if (completionTime !== undefined && !isComplete)
      at.at('completionTime').invalid(
        completionTime,
        'cannot set completionTime when there is no Complete=True condition',
      );
    if (completionTime === undefined && isComplete)
      at.at('completionTime').required('completionTime is required for Complete jobs');
  }
  if (changed('startTime', 'completionTime') && isBefore(status.completionTime, status.startTime))
    at.at('completionTime').invalid(status.completionTime, 'completionTime cannot be set before startTime');
  if (isFailed && !isTarget && turned('Failed', 'FailureTarget'))
    conditions.invalidUnseen('cannot set Failed=True condition without the FailureTarget=true condition');
  if (isComplete && !isMet && turned('Complete', 'SuccessCriteriaMet'))
    conditions.invalidUnseen('cannot set Complete=True condition without the SuccessCriteriaMet=true condition');

  const atEnd = (field: keyof JobStatus) => isFinished && (hasFinished || changed(field));
  const isSuspendedAndEmpty = spec.suspend === true && spec.completions === 0;
  if (atEnd('active') && (status.active ?? 0) > 0)
    at.at('active').invalid(status.active, 'active>0 is invalid for finished job');
  if (atEnd('startTime') && status.startTime === undefined && !isSuspendedAndEmpty)
    at.at('startTime').required('startTime is required for finished job');
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
  if (atEnd('uncountedTerminatedPods') && succeeded.length + failed.length > 0)
    at.at('uncountedTerminatedPods').invalid(
      status.uncountedTerminatedPods,
      'uncountedTerminatedPods needs to be empty for finished job',
    );
  validateIndexes(job, changed, at);
  if (atEnd('terminating') && (status.terminating ?? 0) > 0)
    at.at('terminating').invalid(status.terminating, 'terminating>0 is invalid for finished job');
  if (changed('ready', 'active') && status.ready !== undefined && status.ready > (status.active ?? 0))
    at.at('ready').invalid(status.ready, 'cannot set more ready pods than active');
  if (isMet && isFailed) conditions.invalidUnseen('cannot set SuccessCriteriaMet=True and Failed=true conditions');
  if (isMet && isTarget)
    conditions.invalidUnseen('cannot set SuccessCriteriaMet=True and FailureTarget=true conditions');
  if (spec.successPolicy && isComplete && !isMet)
    conditions.invalidUnseen('cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True');

  for (const type of ['Failed', 'Complete', 'FailureTarget'])
    if (isTrue(before, type) && !isTrue(status, type))
      conditions.invalidUnseen(`cannot disable the terminal ${type}=True condition`);
  // Indexed jobs may shrink together with their parallelism.
  const shrinks = spec.completionMode === 'Indexed' && spec.completions === spec.parallelism;
  for (const name of ['failed', 'succeeded'] as const)
    if ((status[name] ?? 0) < (before[name] ?? 0) && !(name === 'succeeded' && shrinks))
      at.at(name).invalid(status[name] ?? 0, `cannot decrease the ${name} counter`);
  if (before.completionTime !== undefined && status.completionTime !== undefined && changed('completionTime'))
    at.at('completionTime').invalid(status.completionTime, 'field is immutable');
  if (before.startTime !== undefined && changed('startTime') && spec.suspend !== true)
    at.at('startTime').required('startTime cannot be removed for unsuspended job');
  if (isTrue(before, 'SuccessCriteriaMet') && !isMet)
    conditions.invalidUnseen('cannot disable the SuccessCriteriaMet=True condition');
  if (isTrue(before, 'Complete') && !isTrue(before, 'SuccessCriteriaMet') && isMet)
    conditions.invalidUnseen('cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions');
}

function isTrue({ conditions }: JobStatus, type: string): boolean {
  return (conditions ?? []).some(each => each.type === type && each.status === 'True');
}

function isBefore(time: string | undefined, other: string | undefined): boolean {
  return time !== undefined && other !== undefined && Date.parse(time) < Date.parse(other);
}

function validateUncounted({ uncountedTerminatedPods }: JobStatus, report: Report): void {
  const seen = new Set<string>();
  for (const list of ['succeeded', 'failed'] as const)
    for (const [index, uid] of (uncountedTerminatedPods?.[list] ?? []).entries()) {
      const item = report.at(list).index(index);
      if (uid === '') item.invalid(uid, 'must not be empty');
      else if (seen.has(uid)) item.duplicate(uid);
      seen.add(uid);
    }
}

function validateIndexes(
  { spec, status }: JobLike,
  changed: (...fields: (keyof JobStatus)[]) => boolean,
  report: Report,
): void {
  const { completions, backoffLimitPerIndex } = spec;
  const { completedIndexes = '', failedIndexes } = status;
  const completed = report.at('completedIndexes');
  const failed = report.at('failedIndexes');
  const intervalsOf = (text: string) => indexIntervals(text, completions ?? 0);
  if (changed('completedIndexes') && completions !== undefined) {
    const found = intervalsOf(completedIndexes);
    if (typeof found === 'string') completed.invalid(completedIndexes, `error parsing completedIndexes: ${found}`);
  }
  if (
    changed('failedIndexes') &&
    completions !== undefined &&
    backoffLimitPerIndex !== undefined &&
    failedIndexes !== undefined
  ) {
    const found = intervalsOf(failedIndexes);
    if (typeof found === 'string') failed.invalid(failedIndexes, `error parsing failedIndexes: ${found}`);
  }
  if (changed('completedIndexes') && completedIndexes !== '' && spec.completionMode !== 'Indexed')
    completed.invalid(completedIndexes, 'cannot set non-empty completedIndexes when non-indexed completion mode');
  if (changed('failedIndexes') && failedIndexes !== undefined && backoffLimitPerIndex === undefined)
    failed.invalid(failedIndexes, 'cannot set non-null failedIndexes when backoffLimitPerIndex is null');
  if (!changed('failedIndexes', 'completedIndexes') || completions === undefined || failedIndexes === undefined) return;
  const both = overlap(intervalsOf(completedIndexes), intervalsOf(failedIndexes));
  if (both !== undefined) failed.invalid(failedIndexes, `failedIndexes and completedIndexes overlap at index: ${both}`);
}

type Intervals = readonly (readonly [first: number, last: number])[];

/** The first index in both; of lists that cannot be read it is said elsewhere. */
function overlap(some: Intervals | string, others: Intervals | string): number | undefined {
  if (typeof some === 'string' || typeof others === 'string') return undefined;
  for (let left = 0, right = 0; left < some.length && right < others.length; ) {
    const [first, last] = some[left] as [number, number];
    const [otherFirst, otherLast] = others[right] as [number, number];
    if (first <= otherLast && otherFirst <= last) return Math.max(first, otherFirst);
    if (last < otherFirst) left++;
    else right++;
  }
  return undefined;
}
