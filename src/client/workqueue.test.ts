import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { WorkQueue } from './workqueue.ts';

describe('a work queue', () => {
  test('holds a key once, and again after work that it came during', async () => {
    using queue = new WorkQueue<string>({ clock: new ManualClock() });
    queue.add('a');
    queue.add('a');
    queue.add('b');
    assert.equal(queue.length, 2);
    assert.equal(await queue.take(), 'a');
    queue.add('a');
    assert.equal(queue.length, 1, 'a is in work');
    queue.done('a');
    assert.equal(await queue.take(), 'b');
    assert.equal(await queue.take(), 'a');
    queue.done('a');
    queue.done('b');
    assert.equal(queue.idle, true);
  });

  test('gives a key to whoever waits', async () => {
    using queue = new WorkQueue<string>({ clock: new ManualClock() });
    const taken = queue.take();
    queue.add('a');
    assert.equal(await taken, 'a');
    assert.equal(queue.length, 0);
  });

  test('retries later each time until it is forgotten', async () => {
    const clock = new ManualClock();
    using queue = new WorkQueue<string>({ clock, retryInitialMs: 5, retryMaxMs: 15 });
    for (const waitMs of [5, 10, 15, 15]) {
      queue.retry('a');
      await clock.advance(waitMs - 1);
      assert.equal(queue.length, 0);
      await clock.advance(1);
      assert.equal(queue.length, 1);
      queue.done((await queue.take()) ?? '');
    }
    queue.forget('a');
    queue.retry('a');
    await clock.advance(5);
    assert.equal(queue.length, 1);
  });

  test('the shortest of several delays counts', async () => {
    const clock = new ManualClock();
    using queue = new WorkQueue<string>({ clock });
    queue.addAfter('a', 100);
    queue.addAfter('a', 50);
    queue.addAfter('a', 70);
    await clock.advance(50);
    assert.equal(await queue.take(), 'a');
    queue.done('a');
    await clock.advance(100);
    assert.equal(queue.length, 0);
  });

  test('ends for those who wait when it is closed', async () => {
    const queue = new WorkQueue<string>({ clock: new ManualClock() });
    const taken = queue.take();
    queue[Symbol.dispose]();
    assert.equal(await taken, undefined);
    queue.add('a');
    assert.equal(await queue.take(), undefined);
  });
});
