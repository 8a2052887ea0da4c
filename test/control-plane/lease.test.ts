import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { ManualClock, systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { seededRandom } from '#base/random.ts';
import { Lease } from '#api/coordination/v1/lease.ts';
import { leadWhileHolding } from '#client/lease.ts';
import { WorkQueue } from '#client/workqueue.ts';
import { workqueueMetrics } from '#controllers/metrics.ts';
import { startControlPlane, type ControlPlane } from './control-plane.ts';

const timeout = 20_000;

/** A candidate with times a hundred times as short as upstream's. */
function candidate(plane: ControlPlane, identity: string) {
  const stop = new AbortController();
  const leads = Promise.withResolvers<AbortSignal>();
  const running = leadWhileHolding(
    {
      client: plane.client,
      namespace: 'kube-system',
      name: 'election',
      identity,
      clock: systemClock,
      random: seededRandom(identity.length),
      log: silentLog,
      leaseDurationMs: 1_000,
      renewDeadlineMs: 600,
      retryPeriodMs: 50,
    },
    signal => {
      leads.resolve(signal);
      return new Promise(resolve => signal.addEventListener('abort', () => resolve()));
    },
    stop.signal,
  );
  return { stop, leads: leads.promise, running };
}

const holder = (plane: ControlPlane, identity: string) =>
  plane.until(Lease, leases => {
    const lease = leases.get('kube-system/election');
    return lease?.spec?.holderIdentity === identity && lease;
  });

test('one candidate leads, and the next one when it leaves', { timeout }, async () => {
  await using plane = await startControlPlane({ only: [] });
  const first = candidate(plane, 'first');
  await first.leads;
  const second = candidate(plane, 'the second');
  await holder(plane, 'first');
  first.stop.abort();
  await first.running;
  await second.leads;
  const lease = await holder(plane, 'the second');
  assert.equal(lease.spec?.leaseTransitions, 1);
  second.stop.abort();
  await second.running;
  await holder(plane, '');
});

test('whose lease is taken stops leading and says so', { timeout }, async () => {
  await using plane = await startControlPlane({ only: [] });
  const only = candidate(plane, 'first');
  const signal = await only.leads;
  const lost = assert.rejects(only.running, /cannot renew lease election: the deadline has passed/);
  const lease = await holder(plane, 'first');
  // Somebody holds it for an hour, in a way that the next renewal cannot miss.
  const taken = { spec: { holderIdentity: 'thief', leaseDurationSeconds: 3_600, renewTime: lease.spec?.renewTime } };
  await plane.client.patch(Lease, 'election', { type: 'merge', patch: taken }, { namespace: 'kube-system' });
  await lost;
  assert.equal(signal.aborted, true);
});

test('queues are measured under upstream’s names', async () => {
  const registry = new Registry();
  const clock = new ManualClock();
  using queue = new WorkQueue<string>({ clock, observer: workqueueMetrics(registry)('deployment') });
  queue.add('a');
  queue.add('b');
  await clock.advance(2_000);
  queue.done((await queue.take()) ?? '');
  queue.retry('c');
  const text = await registry.metrics();
  for (const line of [
    'workqueue_depth{name="deployment"} 1',
    'workqueue_adds_total{name="deployment"} 2',
    'workqueue_retries_total{name="deployment"} 1',
    'workqueue_queue_duration_seconds_sum{name="deployment"} 2',
    'workqueue_work_duration_seconds_count{name="deployment"} 1',
  ])
    assert.ok(text.includes(line), line);
});
