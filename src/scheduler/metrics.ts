import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export type AttemptResult = 'scheduled' | 'unschedulable' | 'error';
export type PendingPods = Readonly<Record<'active' | 'backoff' | 'unschedulable' | 'gated', number>>;

/** What the scheduler tells of itself. */
export interface SchedulerMetrics {
  attempted(profile: string, result: AttemptResult, seconds: number): void;
  preempted(victims: number): void;
  /** From now on the numbers of pods that wait are asked for here. */
  pendingFrom(count: () => PendingPods): void;
}

/** Upstream's metrics of the scheduler. Made once, however often the scheduler starts anew. */
export function schedulerMetrics(registry: Registry): SchedulerMetrics {
  const registers = [registry];
  let pendingNow: () => PendingPods = () => ({ active: 0, backoff: 0, unschedulable: 0, gated: 0 });
  new Gauge({
    name: 'scheduler_pending_pods',
    help: "Number of pending pods, by the queue type. 'active' means number of pods in activeQ; 'backoff' means number of pods in backoffQ; 'unschedulable' means number of pods in unschedulablePods that the scheduler attempted to schedule and failed; 'gated' is the number of unschedulable pods that the scheduler never attempted to schedule because they are gated.",
    labelNames: ['queue'],
    registers,
    collect() {
      for (const [queue, count] of Object.entries(pendingNow())) this.set({ queue }, count);
    },
  });
  const attempts = new Counter({
    name: 'scheduler_schedule_attempts_total',
    help: "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem.",
    labelNames: ['result', 'profile'],
    registers,
  });
  const durations = new Histogram({
    name: 'scheduler_scheduling_attempt_duration_seconds',
    help: 'Scheduling attempt latency in seconds (scheduling algorithm + binding)',
    labelNames: ['result', 'profile'],
    buckets: Array.from({ length: 15 }, (_, index) => 0.001 * 2 ** index),
    registers,
  });
  const preemptions = new Counter({
    name: 'scheduler_preemption_attempts_total',
    help: 'Total preemption attempts in the cluster till now',
    registers,
  });
  const victims = new Histogram({
    name: 'scheduler_preemption_victims',
    help: 'Number of selected preemption victims',
    buckets: Array.from({ length: 7 }, (_, index) => 2 ** index),
    registers,
  });
  return {
    attempted(profile, result, seconds) {
      attempts.inc({ result, profile });
      durations.observe({ result, profile }, seconds);
    },
    preempted(count) {
      preemptions.inc();
      if (count > 0) victims.observe(count);
    },
    pendingFrom(count) {
      pendingNow = count;
    },
  };
}
