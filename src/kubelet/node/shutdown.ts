import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { isCritical } from '../eviction/decide.ts';
import type { PodWorker } from '../pods/worker.ts';

export interface ShutdownOptions {
  readonly workers: ReadonlyMap<string, PodWorker>;
  readonly clock: Clock;
  readonly log: Log;
  /** All pods together get this long, and of it the critical ones the end. */
  readonly graceMs: number;
  readonly criticalGraceMs: number;
}

/** What is said of pods that the machine takes along, in upstream's words. */
const terminated = {
  reason: 'Terminated',
  message: 'Pod was terminated in response to imminent node shutdown.',
  disruption: 'TerminationByKubelet',
};

export const shutdownRefusal = { reason: 'NodeShutdown', message: 'Pod was rejected as the node is shutting down.' };

/** Ends all pods in order because the machine goes down: first the others, then the critical ones. */
export async function endPods(options: ShutdownOptions): Promise<void> {
  const { workers, graceMs, criticalGraceMs } = options;
  const alive = [...workers.values()].filter(each => !each.isOver);
  await endAll(
    options,
    alive.filter(({ pod }) => !isCritical(pod)),
    graceMs - criticalGraceMs,
  );
  await endAll(
    options,
    alive.filter(({ pod }) => isCritical(pod)),
    criticalGraceMs,
  );
}

async function endAll({ clock, log }: ShutdownOptions, workers: readonly PodWorker[], graceMs: number): Promise<void> {
  if (workers.length === 0) return;
  const graceSeconds = Math.floor(graceMs / 1000);
  const timer = new AbortController();
  const cancel = clock.after(graceMs, () => timer.abort(new Error('the grace period is over')));
  for (const worker of workers)
    worker.fail(terminated, Math.min(graceSeconds, worker.pod.spec?.terminationGracePeriodSeconds ?? graceSeconds));
  await Promise.all(workers.map(worker => ended(worker, timer.signal)));
  cancel();
  if (timer.signal.aborted) log.warn('not every pod has ended before the machine goes down');
}

async function ended(worker: PodWorker, signal: AbortSignal): Promise<void> {
  while (!worker.isOver && !signal.aborted) await worker.changed(signal);
  // What became of it is to be heard.
  if (!signal.aborted) await worker.written();
}
