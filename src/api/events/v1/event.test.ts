import assert from 'node:assert/strict';
import { test } from 'node:test';
import { created } from '../../kind-checks.ts';
import type { Kind } from '../../machinery/kind.ts';
import { Event as EventKind } from './event.ts';

const Event = EventKind as unknown as Kind;

test('an event of the newer group is stored as one of the older, and comes back as it was', () => {
  const event = created(Event, {
    metadata: { name: 'web.1', namespace: 'default' },
    eventTime: '2026-01-01T00:00:00.000000Z',
    action: 'Start',
    reason: 'Started',
    note: 'It runs.',
    type: 'Normal',
    regarding: { kind: 'Pod', name: 'web', namespace: 'default' },
    reportingController: 'example.com/agent',
    reportingInstance: 'agent-1',
  });
  assert.ok(Event.toStored && Event.fromStored);
  const stored = Event.toStored(event as never) as unknown as Record<string, unknown>;
  assert.deepEqual([stored['message'], (stored['involvedObject'] as { name: string }).name], ['It runs.', 'web']);
  const back = Event.fromStored(stored as never) as unknown as Record<string, unknown>;
  for (const name of ['note', 'regarding', 'reason', 'action', 'type', 'reportingController']) {
    assert.deepEqual(back[name], event[name], name);
  }
});
