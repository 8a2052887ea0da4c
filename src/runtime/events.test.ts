import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ContainerEvents } from './events.ts';
import { type ContainerEvent, isRuntimeError } from './runtime.ts';

const event = (containerId: string): ContainerEvent => ({
  type: 'started',
  containerId,
  podSandboxId: 'pod',
  createdAtMs: 0,
  podSandboxStatus: undefined,
  containersStatuses: [],
});

describe('container events', () => {
  it('reach every reader from the moment it asked, in order', async () => {
    const events = new ContainerEvents();
    const stop = new AbortController();
    events.publish(event('before'));
    const readers = [events.subscribe(stop.signal), events.subscribe(stop.signal)];
    events.publish(event('one'));
    events.publish(event('two'));
    stop.abort();
    for (const reader of readers) {
      const seen: string[] = [];
      for await (const { containerId } of reader) seen.push(containerId);
      assert.deepEqual(seen, ['one', 'two']);
    }
    assert.equal(events.hasReaders, false);
  });

  it('end a reader that stops early', async () => {
    const events = new ContainerEvents();
    const reader = events.subscribe(new AbortController().signal);
    events.publish(event('one'));
    for await (const _ of reader) break;
    assert.equal(events.hasReaders, false);
  });

  it('tell a reader that was too slow to list anew', async () => {
    const events = new ContainerEvents();
    const reader = events.subscribe(new AbortController().signal);
    for (let count = 0; count < 5000; count++) events.publish(event(String(count)));
    let seen = 0;
    await assert.rejects(
      async () => {
        for await (const _ of reader) seen++;
      },
      error => isRuntimeError(error, 'Unavailable'),
    );
    assert.equal(seen, 4096);
  });
});
