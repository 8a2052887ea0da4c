import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { WorkQueueObserver } from '#client/workqueue.ts';

const seconds = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10];

/** Upstream's metrics of work queues, by the name of the queue. */
export function workqueueMetrics(registry: Registry): (queue: string) => WorkQueueObserver {
  const labelNames = ['name'];
  const registers = [registry];
  const depth = new Gauge({
    name: 'workqueue_depth',
    help: 'Current depth of workqueue',
    labelNames,
    registers,
  });
  const adds = new Counter({
    name: 'workqueue_adds_total',
    help: 'Total number of adds handled by workqueue',
    labelNames,
    registers,
  });
  const retries = new Counter({
    name: 'workqueue_retries_total',
    help: 'Total number of retries handled by workqueue',
    labelNames,
    registers,
  });
  const waited = new Histogram({
    name: 'workqueue_queue_duration_seconds',
    help: 'How long in seconds an item stays in workqueue before being requested.',
    labelNames,
    buckets: seconds,
    registers,
  });
  const worked = new Histogram({
    name: 'workqueue_work_duration_seconds',
    help: 'How long in seconds processing an item from workqueue takes.',
    labelNames,
    buckets: seconds,
    registers,
  });
  return name => {
    const labels = { name };
    // Looking a child up by its labels costs more than counting.
    const own = { depth: depth.labels(labels), adds: adds.labels(labels), retries: retries.labels(labels) };
    const times = { waited: waited.labels(labels), worked: worked.labels(labels) };
    return {
      added(length) {
        own.adds.inc();
        own.depth.set(length);
      },
      taken(waitedMs, length) {
        own.depth.set(length);
        times.waited.observe(waitedMs / 1000);
      },
      done: workedMs => times.worked.observe(workedMs / 1000),
      retried: () => own.retries.inc(),
    };
  };
}
