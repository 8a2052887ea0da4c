import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Event } from '#api/core/v1/event.ts';
import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import type { Client } from './client.ts';
import { correlator, openEventRecorder } from './events.ts';

const event = (message: string, name = 'web'): Event => ({
  metadata: { name: `${name}.1`, namespace: 'default' },
  involvedObject: { kind: 'Pod', namespace: 'default', name, uid: `uid-${name}`, apiVersion: 'v1' },
  reason: 'Failed',
  message,
  source: { component: 'kubelet', host: 'node-1' },
  count: 1,
  type: 'Warning',
  reportingComponent: 'kubelet',
  reportingInstance: 'node-1',
});

describe('the correlator of Events', () => {
  test('counts the same Event on', () => {
    const correlate = correlator();
    assert.deepEqual(pick(correlate.observe(event('no'), 0)), [1, false]);
    assert.deepEqual(pick(correlate.observe(event('no'), 1_000)), [2, true]);
    assert.deepEqual(pick(correlate.observe(event('no', 'other'), 1_000)), [1, false]);
  });

  test('combines Events that differ in the message only, from the tenth on', () => {
    const correlate = correlator();
    for (let number = 1; number <= 9; number++)
      assert.equal(correlate.observe(event(`message ${number}`), number)?.event.message, `message ${number}`);
    const tenth = correlate.observe(event('message 10'), 10);
    assert.equal(tenth?.event.message, '(combined from similar events): message 10');
    assert.deepEqual(pick(tenth), [1, false]);
    assert.deepEqual(pick(correlate.observe(event('message 11'), 11)), [2, true]);
  });

  test('starts anew after ten minutes without a similar one', () => {
    const correlate = correlator();
    for (let number = 1; number <= 10; number++) correlate.observe(event(`message ${number}`), number);
    assert.equal(correlate.observe(event('later'), 700_000)?.event.message, 'later');
  });

  test('silences an object after a burst of 25, and lets one through every five minutes', () => {
    const correlate = correlator();
    const passed = Array.from({ length: 40 }, () => correlate.observe(event('no'), 0)).filter(Boolean);
    assert.equal(passed.length, 25);
    assert.equal(correlate.observe(event('no'), 299_000), undefined);
    // What was silenced counts.
    assert.equal(correlate.observe(event('no'), 301_000)?.event.count, 42);
  });
});

test('a burst is written at once, the rest at a measured pace', async () => {
  const clock = new ManualClock();
  const written: string[] = [];
  const client = {
    create: async (_kind: unknown, { involvedObject }: Event) => void written.push(involvedObject.name ?? ''),
  } as unknown as Client;
  await using events = openEventRecorder({ client, component: 'scheduler', clock, log: silentLog });
  for (let number = 0; number < 150; number++) {
    const about = { apiVersion: 'v1', kind: 'Pod', metadata: { name: `pod-${number}`, namespace: 'default' } };
    events.event(about, 'Normal', 'Scheduled', 'assigned');
  }
  await clock.advance(0);
  assert.equal(written.length, 100);
  await clock.advance(500);
  assert.ok(written.length >= 123 && written.length <= 127, `${written.length} were written`);
  await clock.advance(1_000);
  await events.flushed();
  assert.equal(written.at(-1), 'pod-149');
});

function pick(verdict: { readonly event: Event; readonly repeats: boolean } | undefined) {
  return [verdict?.event.count, verdict?.repeats];
}
