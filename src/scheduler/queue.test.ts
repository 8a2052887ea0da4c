import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { podInfo } from './pod-info.ts';
import { SchedulingQueue, type QueuedPod } from './queue.ts';

test('A pod that once fitted nowhere waits for its backoff when a later binding fails', async () => {
  const clock = new ManualClock();
  const queue = new SchedulingQueue(clock);
  const info = podInfo({
    metadata: { name: 'a', namespace: 'default', uid: '1' },
    spec: { containers: [{ name: 'main', image: 'image' }] },
  } as unknown as Pod);
  queue.add(info);
  queue.park(queue.pop() as QueuedPod);
  await clock.advance(60_000);
  queue.retry(() => true);
  await clock.advance(1);
  assert.ok(queue.pop(), 'the wait since it was refused counts as its backoff');
  queue.requeue(info.key);
  await clock.advance(1);
  assert.equal(queue.pop(), undefined, 'it is tried again at once');
  await clock.advance(2_000);
  assert.ok(queue.pop());
});
