import { Job, type JobCondition, type JobStatus } from '#api/batch/v1/job.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { Partly } from '#api/machinery/kind.ts';
import { compileLabelSelector } from '#api/machinery/selector.ts';
import { create, event, patch, remove, updateStatus, wake, type Action } from '../actions.ts';
import { claim } from '../claims.ts';
import { conditionOf, withCondition } from '../conditions.ts';
import { defineController } from '../controller.ts';
import { podFromTemplate } from '../core/pod-from-template.ts';
import { isActive, isReady, isTerminal } from '../core/pod-state.ts';
import { leastValuableFirst } from '../core/pod-worth.ts';
import { claimable } from '../reads.ts';
import { sameApartFromZeros } from '../same.ts';
import { timeMs, timeText } from '../time.ts';
import { formatIndexes, indexAnnotation, indexOf, parseIndexes } from './job-indexes.ts';
import { judgeFailure } from './pod-failure-policy.ts';

/** Held by pods whose end has not been counted yet. */
export const trackingFinalizer = 'batch.kubernetes.io/job-tracking';
/** On the pods of a job whose indexes have a limit each: how often the index had failed before. */
const failureCountAnnotation = 'batch.kubernetes.io/job-index-failure-count';
const ownController = 'kubernetes.io/job-controller';
const podsPerDecisionMax = 500;
/** Ends that are counted in one write of the status. */
const uncountedMax = 500;
const backoffInitialMs = 10_000;
const backoffMaxMs = 600_000;

/**
 * Runs pods until enough of them have succeeded. Every end is counted exactly once: it is written down by uid, then the
 * pod's finalizer goes, then it becomes a number.
 */
export const jobController = defineController({
  name: 'job-controller',
  reconciles: Job,
  concerns: job => (job.spec?.managedBy ?? ownController) === ownController,
  reads: { pods: claimable<Job, Pod>(Pod, job => job.spec?.selector) },
  writes: [Job, Pod],
  decide(job, { pods, nowMs }) {
    if (!job.spec) return [];
    const { claimed, actions } = claim(Job, job, Pod, compileLabelSelector(job.spec.selector), pods);
    if (isFinished(job) || job.metadata.deletionTimestamp !== undefined) return [...actions, ...released(claimed)];
    return [...actions, ...work(job, claimed, nowMs)];
  },
});

export function isFinished({ status }: Job): boolean {
  return (['Complete', 'Failed'] as const).some(type => conditionOf(status?.conditions, type)?.status === 'True');
}

/** What one look at a job found and counts. */
interface Count {
  readonly active: readonly Pod[];
  readonly terminating: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly succeededIndexes: ReadonlySet<number> | undefined;
  /** Indexes that have failed for good; only where each index has a limit of its own. */
  readonly failedIndexes: ReadonlySet<number> | undefined;
  readonly uncounted: { readonly succeeded: readonly string[]; readonly failed: readonly string[] };
  /** Pods whose end is written down, so that their finalizer may go. */
  readonly releasable: readonly Pod[];
  readonly failure: Ending | undefined;
}

interface Ending {
  readonly reason: string;
  readonly message: string;
}

function work(job: Job, pods: readonly Pod[], nowMs: number): readonly Action[] {
  const count = countOf(job, pods);
  const suspended = job.spec?.suspend ?? false;
  const failing = suspended ? undefined : failureOf(job, pods, count, nowMs);
  const interim = interimOf(job, failing, count);
  const startTime = startTimeOf(job, suspended, nowMs);
  const scaling = interim
    ? count.active.map(pod => deleted(job, pod))
    : suspended
      ? count.active.map(pod => deleted(job, pod))
      : scale(job, pods, count, nowMs);
  const left = scaling.filter(action => action.do === 'delete').length;
  const status = statusOf(job, count, interim, startTime, suspended, nowMs);
  const done = interim !== undefined && count.active.length === 0 && count.terminating === 0 && isSettled(count);
  const final = done ? finished(status, interim, nowMs) : status;
  const deadlineMs = deadlineOf(job, startTime);
  return [
    ...released(count.releasable),
    ...statusWritten(job, final),
    ...conditionEvents(job, final),
    ...(scaling.length > 0 ? [{ do: 'batch', actions: scaling } as const] : []),
    ...(left > 0 || deadlineMs === undefined || interim ? [] : [wake(deadlineMs)]),
    ...backoffWake(job, pods, count, interim !== undefined || suspended, nowMs),
  ];
}

function countOf(job: Job, pods: readonly Pod[]): Count {
  const { status, spec } = job;
  const indexed = spec?.completionMode === 'Indexed';
  const written = status?.uncountedTerminatedPods ?? {};
  const byUid = new Map(pods.map(pod => [pod.metadata.uid ?? '', pod]));
  const isHeld = (uid: string) => byUid.get(uid)?.metadata.finalizers?.includes(trackingFinalizer) ?? false;
  const stillSucceeded = (written.succeeded ?? []).filter(isHeld);
  const stillFailed = (written.failed ?? []).filter(isHeld);
  const known = new Set([...(written.succeeded ?? []), ...(written.failed ?? [])]);
  const succeededIndexes = indexed ? parseIndexes(status?.completedIndexes, spec?.completions ?? 0) : undefined;
  const limitPerIndex = spec?.backoffLimitPerIndex;
  const failedIndexes =
    limitPerIndex === undefined ? undefined : parseIndexes(status?.failedIndexes, spec?.completions ?? 0);
  const before = succeededIndexes?.size ?? 0;
  const freshSucceeded: string[] = [];
  const freshFailed: string[] = [];
  const releasable: Pod[] = pods.filter(pod => known.has(pod.metadata.uid ?? ''));
  let failure: Ending | undefined;
  for (const pod of pods) {
    const { uid = '', finalizers = [] } = pod.metadata;
    if (known.has(uid) || !finalizers.includes(trackingFinalizer)) continue;
    if (freshSucceeded.length + freshFailed.length >= uncountedMax) break;
    if (pod.status?.phase === 'Succeeded') {
      const index = indexOf(pod);
      if (!succeededIndexes) freshSucceeded.push(uid);
      else if (index !== undefined && index < (spec?.completions ?? 0)) {
        // An index counts once; so its pod is let go when the index is written down.
        if (succeededIndexes.has(index) && parseIndexes(status?.completedIndexes, spec?.completions ?? 0).has(index))
          releasable.push(pod);
        succeededIndexes.add(index);
      } else releasable.push(pod);
    } else if (hasFailed(job, pod)) {
      const verdict = judgeFailure(job, pod);
      if (verdict.action === 'FailJob') failure ??= { reason: 'PodFailurePolicy', message: verdict.message };
      const index = indexOf(pod);
      const spent = verdict.action === 'FailIndex' || failuresOf(pod) > (limitPerIndex ?? Number.POSITIVE_INFINITY);
      if (verdict.action !== 'Ignore' && spent && index !== undefined) failedIndexes?.add(index);
      if (verdict.action === 'Ignore') releasable.push(pod);
      else freshFailed.push(uid);
    }
  }
  const moved = (all: readonly string[] | undefined, still: readonly string[]) => (all?.length ?? 0) - still.length;
  const uncounted = { succeeded: [...stillSucceeded, ...freshSucceeded], failed: [...stillFailed, ...freshFailed] };
  return {
    active: pods.filter(isActive),
    terminating: pods.filter(pod => pod.metadata.deletionTimestamp !== undefined && !isTerminal(pod)).length,
    succeeded: succeededIndexes
      ? Math.max(before, succeededIndexes.size)
      : (status?.succeeded ?? 0) + moved(written.succeeded, stillSucceeded),
    failed: (status?.failed ?? 0) + moved(written.failed, stillFailed),
    succeededIndexes,
    failedIndexes,
    uncounted,
    releasable,
    failure,
  };
}

/** How often the pod's index has failed, this pod included. */
function failuresOf({ metadata }: Pod): number {
  const before = Number(metadata.annotations?.[failureCountAnnotation] ?? 0);
  return (Number.isSafeInteger(before) ? before : 0) + 1;
}

/** A pod that is going counts as failed at once, unless its replacement has to wait for its end. */
function hasFailed({ spec }: Job, pod: Pod): boolean {
  if (pod.status?.phase === 'Failed') return true;
  return pod.metadata.deletionTimestamp !== undefined && spec?.podReplacementPolicy !== 'Failed';
}

function isSettled({ uncounted, releasable }: Count): boolean {
  return uncounted.succeeded.length + uncounted.failed.length + releasable.length === 0;
}

/** Why the job cannot go on. */
function failureOf(job: Job, pods: readonly Pod[], count: Count, nowMs: number): Ending | undefined {
  const { spec, status } = job;
  const target = conditionOf(status?.conditions, 'FailureTarget');
  if (target?.status === 'True') return { reason: target.reason ?? '', message: target.message ?? '' };
  if (count.failure) return count.failure;
  const limit = spec?.backoffLimit ?? 6;
  const failed = count.failed + count.uncounted.failed.length;
  if (failed > limit || restartsBeyond(job, pods, limit))
    return { reason: 'BackoffLimitExceeded', message: 'Job has reached the specified backoff limit' };
  const { failedIndexes, succeededIndexes } = count;
  if (failedIndexes && failedIndexes.size > (spec?.maxFailedIndexes ?? Number.POSITIVE_INFINITY))
    return {
      reason: 'MaxFailedIndexesExceeded',
      message: 'Job has exceeded the specified maximal number of failed indexes',
    };
  if (failedIndexes?.size && failedIndexes.size + (succeededIndexes?.size ?? 0) >= (spec?.completions ?? 0))
    return { reason: 'FailedIndexes', message: 'Job has failed indexes' };
  const deadlineMs = deadlineOf(job, status?.startTime);
  if (deadlineMs !== undefined && nowMs >= deadlineMs)
    return { reason: 'DeadlineExceeded', message: 'Job was active longer than specified deadline' };
  return undefined;
}

/** Pods that restart in place do not fail; their restarts count instead. */
function restartsBeyond({ spec }: Job, pods: readonly Pod[], limit: number): boolean {
  if (spec?.template.spec?.restartPolicy !== 'OnFailure') return false;
  let restarts = 0;
  for (const { status } of pods) {
    if (status?.phase !== 'Running' && status?.phase !== 'Pending') continue;
    for (const each of [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])])
      restarts += each.restartCount;
  }
  return limit === 0 ? restarts > 0 : restarts >= limit;
}

function deadlineOf({ spec }: Job, startTime: string | undefined): number | undefined {
  if (spec?.activeDeadlineSeconds === undefined || startTime === undefined || spec.suspend) return undefined;
  return timeMs(startTime) + spec.activeDeadlineSeconds * 1000;
}

interface Interim extends Ending {
  readonly failed: boolean;
}

/** The job has come to its end, and only its pods have to. */
function interimOf(job: Job, failing: Ending | undefined, count: Count): Interim | undefined {
  if (failing) return { ...failing, failed: true };
  const { spec, status } = job;
  const met = conditionOf(status?.conditions, 'SuccessCriteriaMet');
  if (met?.status === 'True') return { reason: met.reason ?? '', message: met.message ?? '', failed: false };
  // What the policy says comes first, also when everything has succeeded.
  const policy = successPolicyMet(job, count);
  if (policy) return policy;
  const succeeded = count.succeeded + count.uncounted.succeeded.length;
  const complete =
    spec?.completions === undefined ? succeeded > 0 && count.active.length === 0 : succeeded >= spec.completions;
  return complete
    ? { reason: 'CompletionsReached', message: 'Reached expected number of succeeded pods', failed: false }
    : undefined;
}

function successPolicyMet({ spec }: Job, { succeededIndexes }: Count): Interim | undefined {
  if (!spec?.successPolicy || !succeededIndexes) return undefined;
  for (const [number, rule] of spec.successPolicy.rules.entries()) {
    const among =
      rule.succeededIndexes === undefined ? undefined : parseIndexes(rule.succeededIndexes, spec.completions ?? 0);
    const matching = [...succeededIndexes].filter(index => among === undefined || among.has(index)).length;
    const needed = rule.succeededCount ?? among?.size ?? Number.POSITIVE_INFINITY;
    if (matching >= needed)
      return { reason: 'SuccessPolicy', message: `Matched rules at index ${number}`, failed: false };
  }
  return undefined;
}

function startTimeOf({ status }: Job, suspended: boolean, nowMs: number): string | undefined {
  if (suspended) return undefined;
  return status?.startTime ?? timeText(nowMs);
}

function scale(job: Job, pods: readonly Pod[], count: Count, nowMs: number): readonly Action[] {
  const { spec } = job;
  const parallelism = spec?.parallelism ?? 1;
  const { active, terminating } = count;
  const succeeded = count.succeeded + count.uncounted.succeeded.length;
  const wanted =
    spec?.completions === undefined
      ? succeeded > 0
        ? Math.min(active.length, parallelism)
        : parallelism
      : Math.min(spec.completions - succeeded - (count.failedIndexes?.size ?? 0), parallelism);
  if (active.length > wanted)
    return active
      .toSorted(leastValuableFirst(nowMs, () => 0))
      .slice(0, Math.min(podsPerDecisionMax, active.length - Math.max(0, wanted)))
      .map(pod => deleted(job, pod));
  const occupied = active.length + (spec?.podReplacementPolicy === 'Failed' ? terminating : 0);
  const missing = Math.min(podsPerDecisionMax, wanted - occupied);
  const ownBackoffs = backoffsByIndex(job, pods);
  if (missing <= 0 || (!ownBackoffs && backoffUntilMs(job, pods) > nowMs)) return [];
  if (!count.succeededIndexes) return Array.from({ length: missing }, () => created(job, undefined));
  const taken = new Set([...count.succeededIndexes, ...(count.failedIndexes ?? [])]);
  const failures = new Map<number, number>();
  for (const pod of pods) {
    const held = isActive(pod) || (spec?.podReplacementPolicy === 'Failed' && !isTerminal(pod));
    const index = indexOf(pod);
    if (index === undefined) continue;
    if (held) taken.add(index);
    else if (judgeFailure(job, pod).action !== 'Ignore')
      failures.set(index, Math.max(failures.get(index) ?? 0, failuresOf(pod)));
  }
  const indexes: number[] = [];
  for (let index = 0; index < (spec?.completions ?? 0) && indexes.length < missing; index++)
    if (!taken.has(index) && (ownBackoffs?.get(index) ?? 0) <= nowMs) indexes.push(index);
  return indexes.map(index => created(job, index, failures.get(index)));
}

function created(job: Job, index: number | undefined, failures = 0): Action {
  const { spec } = job;
  if (!spec) throw new TypeError('cannot create a pod: the job has no spec');
  const base = podFromTemplate(Job, job, spec.template);
  const pod: Partly<Pod> = {
    ...base,
    metadata: { ...base.metadata, finalizers: [...(base.metadata?.finalizers ?? []), trackingFinalizer] },
    spec: { ...base.spec },
  };
  return create(Pod, index === undefined ? pod : withIndex(job, pod, index, failures), {
    succeeded: made => event(job, 'Normal', 'SuccessfulCreate', `Created pod: ${made.metadata.name}`),
    failed: error => event(job, 'Warning', 'FailedCreate', `Error creating: ${error.message}`),
  });
}

function withIndex(job: Job, pod: Partly<Pod>, index: number, failures: number): Partly<Pod> {
  const name = 'JOB_COMPLETION_INDEX';
  const variable = { name, valueFrom: { fieldRef: { fieldPath: `metadata.labels['${indexAnnotation}']` } } };
  type Containers = NonNullable<NonNullable<Partly<Pod>['spec']>['containers']>;
  const informed = (containers: Containers | undefined) =>
    containers?.map(container =>
      container.env?.some(each => each.name === name)
        ? container
        : { ...container, env: [...(container.env ?? []), variable] },
    );
  const { metadata, spec } = pod;
  const initContainers = informed(spec?.initContainers as Containers | undefined);
  return {
    ...pod,
    metadata: {
      ...metadata,
      generateName: `${job.metadata.name}-${index}-`,
      labels: { ...metadata?.labels, [indexAnnotation]: String(index) },
      annotations: {
        ...metadata?.annotations,
        [indexAnnotation]: String(index),
        ...(job.spec?.backoffLimitPerIndex !== undefined && { [failureCountAnnotation]: String(failures) }),
      },
    },
    spec: {
      ...spec,
      hostname: `${job.metadata.name}-${index}`,
      containers: informed(spec?.containers) ?? [],
      ...(initContainers && { initContainers }),
    },
  };
}

function deleted(job: Job, pod: Pod): Action {
  return remove(Pod, pod, {
    succeeded: () => event(job, 'Normal', 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`),
    failed: error => event(job, 'Warning', 'FailedDelete', `Error deleting: ${error.message}`),
  });
}

function released(pods: readonly Pod[]): Action[] {
  const held = pods.filter(({ metadata }) => metadata.finalizers?.includes(trackingFinalizer));
  if (held.length === 0) return [];
  const actions = held.map(pod =>
    patch(Pod, pod, {
      metadata: { uid: pod.metadata.uid, '$deleteFromPrimitiveList/finalizers': [trackingFinalizer] },
    }),
  );
  return [{ do: 'batch', actions }];
}

/** New pods wait longer with each failure in a row. */
function backoffUntilMs(job: Job, pods: readonly Pod[]): number {
  const ends = pods
    .filter(pod => isTerminal(pod) || hasFailed(job, pod))
    .map(pod => ({ ok: pod.status?.phase === 'Succeeded', atMs: endOf(pod) }))
    .toSorted((a, b) => a.atMs - b.atMs);
  const failures = ends.slice(ends.findLastIndex(({ ok }) => ok) + 1);
  const last = failures.at(-1);
  return last ? last.atMs + Math.min(backoffMaxMs, backoffInitialMs * 2 ** (failures.length - 1)) : 0;
}

/** With a limit for each index each waits for itself, by its own failures; `undefined`: the job waits as a whole. */
export function backoffsByIndex(job: Job, pods: readonly Pod[]): ReadonlyMap<number, number> | undefined {
  if (job.spec?.backoffLimitPerIndex === undefined) return undefined;
  const untilMs = new Map<number, number>();
  for (const pod of pods) {
    const index = indexOf(pod);
    if (index === undefined || pod.status?.phase === 'Succeeded' || !(isTerminal(pod) || hasFailed(job, pod))) continue;
    if (judgeFailure(job, pod).action === 'Ignore') continue;
    const failures = Math.max(1, failuresOf(pod));
    const ownMs = endOf(pod) + Math.min(backoffMaxMs, backoffInitialMs * 2 ** (failures - 1));
    untilMs.set(index, Math.max(untilMs.get(index) ?? 0, ownMs));
  }
  return untilMs;
}

function endOf({ status, metadata }: Pod): number {
  const ends = (status?.containerStatuses ?? []).map(({ state }) => timeMs(state.terminated?.finishedAt));
  return Math.max(0, ...ends) || timeMs(metadata.deletionTimestamp) || timeMs(metadata.creationTimestamp);
}

function backoffWake(job: Job, pods: readonly Pod[], count: Count, stopped: boolean, nowMs: number): Action[] {
  if (stopped || count.active.length >= (job.spec?.parallelism ?? 1)) return [];
  const ownBackoffs = backoffsByIndex(job, pods);
  const allMs = ownBackoffs ? [...ownBackoffs.values()] : [backoffUntilMs(job, pods)];
  const next = Math.min(...allMs.filter(untilMs => untilMs > nowMs));
  return Number.isFinite(next) ? [wake(next)] : [];
}

function statusOf(
  job: Job,
  count: Count,
  interim: Interim | undefined,
  startTime: string | undefined,
  suspended: boolean,
  nowMs: number,
): JobStatus {
  const { active, terminating, succeeded, failed, succeededIndexes, failedIndexes, uncounted } = count;
  const { uncountedTerminatedPods: _, startTime: __, ...old } = job.status ?? {};
  return {
    ...old,
    ...(startTime !== undefined && { startTime }),
    active: active.length,
    ready: active.filter(isReady).length,
    terminating,
    succeeded,
    failed,
    ...(succeededIndexes && { completedIndexes: formatIndexes(succeededIndexes) }),
    ...(failedIndexes && { failedIndexes: formatIndexes(failedIndexes) }),
    uncountedTerminatedPods: {
      ...(uncounted.succeeded.length > 0 && { succeeded: uncounted.succeeded }),
      ...(uncounted.failed.length > 0 && { failed: uncounted.failed }),
    },
    conditions: conditionsOf(job, interim, suspended, nowMs),
  };
}

function conditionsOf(
  { status }: Job,
  interim: Interim | undefined,
  suspended: boolean,
  nowMs: number,
): readonly JobCondition[] {
  const old = status?.conditions ?? [];
  if (interim) return withOnce(old, interim.failed ? 'FailureTarget' : 'SuccessCriteriaMet', interim, nowMs);
  const wasSuspended = conditionOf(old, 'Suspended')?.status === 'True';
  if (suspended === wasSuspended) return old;
  return withCondition<JobCondition>(
    old,
    suspended
      ? condition('Suspended', 'True', { reason: 'JobSuspended', message: 'Job suspended' }, nowMs)
      : condition('Suspended', 'False', { reason: 'JobResumed', message: 'Job resumed' }, nowMs),
  );
}

function withOnce(old: readonly JobCondition[], type: string, why: Ending, nowMs: number): readonly JobCondition[] {
  return conditionOf(old, type)?.status === 'True'
    ? old
    : withCondition<JobCondition>(old, condition(type, 'True', why, nowMs));
}

function condition(type: string, status: string, { reason, message }: Ending, nowMs: number): JobCondition {
  const atText = timeText(nowMs);
  return { type, status, lastProbeTime: atText, lastTransitionTime: atText, reason, message };
}

function finished(status: JobStatus, interim: Interim, nowMs: number): JobStatus {
  const conditions = withOnce(status.conditions ?? [], interim.failed ? 'Failed' : 'Complete', interim, nowMs);
  return { ...status, conditions, ...(!interim.failed && { completionTime: timeText(nowMs) }) };
}

function statusWritten(job: Job, status: JobStatus): Action[] {
  return sameApartFromZeros(status, job.status) ? [] : [updateStatus(Job, { ...job, status })];
}

/** Said once, when the condition that they tell of has been written. */
function conditionEvents(job: Job, status: JobStatus): Action[] {
  const changed = (type: string) => {
    const now = conditionOf(status.conditions, type);
    return now && now.status !== conditionOf(job.status?.conditions, type)?.status ? now : undefined;
  };
  const events: Action[] = [];
  if (changed('Complete')) events.push(event(job, 'Normal', 'Completed', 'Job completed'));
  const failed = changed('Failed');
  if (failed) events.push(event(job, 'Warning', failed.reason ?? '', failed.message ?? ''));
  const suspended = changed('Suspended');
  if (suspended)
    events.push(
      suspended.status === 'True'
        ? event(job, 'Normal', 'Suspended', 'Job suspended')
        : event(job, 'Normal', 'Resumed', 'Job resumed'),
    );
  return events;
}
