import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export type AttemptResult = 'scheduled' | 'unschedulable' | 'error';
export type PendingPods = Readonly<Record<'active' | 'backoff' | 'unschedulable' | 'gated', number>>;

/** What the scheduler tells of itself. */
export interface SchedulerMetrics {
  attempted(profile: string, result: AttemptResult, seconds: number): void;
  preempted(victims: number): void;
  /** How long one search for a node took. */
  searched(seconds: number): void;
  /** A pod has its node: after so many attempts, and so long after it was first seen. */
  placed(attempts: number, seconds: number): void;
  /** A pod came into a queue, and why. */
  queued(queue: 'active' | 'backoff' | 'unschedulable' | 'gated', event: string): void;
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
  const searches = new Histogram({
    name: 'scheduler_scheduling_algorithm_duration_seconds',
    help: 'Scheduling algorithm latency in seconds',
    buckets: Array.from({ length: 15 }, (_, index) => 0.001 * 2 ** index),
    registers,
  });
  const tries = new Histogram({
    name: 'scheduler_pod_scheduling_attempts',
    help: 'Number of attempts to successfully schedule a pod.',
    buckets: [1, 2, 4, 8, 16],
    registers,
  });
  const waits = new Histogram({
    name: 'scheduler_pod_scheduling_sli_duration_seconds',
    help: 'E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might involve multiple scheduling attempts.',
    labelNames: ['attempts'],
    buckets: Array.from({ length: 20 }, (_, index) => 0.01 * 2 ** index),
    registers,
  });
  const incoming = new Counter({
    name: 'scheduler_queue_incoming_pods_total',
    help: 'Number of pods added to scheduling queues by event and queue type.',
    labelNames: ['queue', 'event'],
    registers,
  });
  const incomings = new Map<string, Counter.Internal>();
  return {
    searched: seconds => searches.observe(seconds),
    placed(count, seconds) {
      tries.observe(count);
      waits.observe({ attempts: count >= 15 ? '15+' : `${count}` }, seconds);
    },
    queued(queue, event) {
      // Looking a child up by its labels costs more than counting.
      const id = `${queue} ${event}`;
      const child = incomings.get(id) ?? incoming.labels({ queue, event });
      incomings.set(id, child);
      child.inc();
    },
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
