import { Job } from '#api/batch/v1/job.ts';
import { remove, wake } from '../actions.ts';
import { conditionOf } from '../conditions.ts';
import { defineController } from '../controller.ts';
import { timeMs } from '../time.ts';
import { isFinished } from './job.ts';

/** Removes finished jobs when their time to live is over. */
export const ttlAfterFinishedController = defineController({
  name: 'ttl-after-finished-controller',
  reconciles: Job,
  concerns: job =>
    job.spec?.ttlSecondsAfterFinished !== undefined && isFinished(job) && job.metadata.deletionTimestamp === undefined,
  reads: {},
  writes: [Job],
  decide(job, { nowMs }) {
    const condition = conditionOf(job.status?.conditions, 'Complete') ?? conditionOf(job.status?.conditions, 'Failed');
    const expiresMs = timeMs(condition?.lastTransitionTime) + (job.spec?.ttlSecondsAfterFinished ?? 0) * 1000;
    if (expiresMs > nowMs) return [wake(expiresMs)];
    const { resourceVersion } = job.metadata;
    const preconditions = resourceVersion === undefined ? {} : { resourceVersion };
    return [remove(Job, job, { propagationPolicy: 'Foreground', preconditions })];
  },
});
