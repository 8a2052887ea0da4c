import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pod, type PodStatus } from '#api/core/v1/pod.ts';
import { errors } from '#api/machinery/errors.ts';
import type { Client } from '#client/client.ts';
import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { StatusWriter } from './writer.ts';

/** An API that answers when it is told to. */
function open() {
  const patches: { status: PodStatus; answer: (version: string) => void; refuse: (error: Error) => void }[] = [];
  const client = {
    patch: (_kind: unknown, _name: string, { patch }: { patch: { status: PodStatus } }) =>
      new Promise((resolve, reject) => {
        patches.push({
          status: patch.status,
          answer: version => resolve({ metadata: { resourceVersion: version } }),
          refuse: reject,
        });
      }),
  } as unknown as Client;
  const clock = new ManualClock();
  const writer = new StatusWriter(pod('1', status('Pending')), client, clock, silentLog, new AbortController().signal);
  return { patches, clock, writer };
}

function pod(resourceVersion: string, of: PodStatus): Pod {
  return { metadata: { name: 'a', namespace: 'default', uid: 'u', resourceVersion }, status: of } as Pod;
}

function status(phase: string, time = '2026-01-01T00:00:00Z'): PodStatus {
  return { phase, conditions: [{ type: 'Ready', status: 'False', lastTransitionTime: time }] } as PodStatus;
}

const settled = () => new Promise(resolve => setImmediate(resolve));

test('one write is on its way, and of those that wait only the newest goes', async () => {
  const { patches, writer } = open();
  for (const phase of ['Running', 'Failed', 'Succeeded']) writer.write(status(phase));
  await settled();
  patches[0]?.answer('2');
  await settled();
  patches[1]?.answer('3');
  await writer.flushed();
  assert.deepEqual(
    patches.map(each => each.status.phase),
    ['Running', 'Succeeded'],
  );
});

test('what comes in the moment in which a write ends is written, too', async () => {
  const { patches, writer } = open();
  writer.write(status('Running'));
  patches[0]?.answer('2');
  for (let turn = 0; turn < 20; turn++) {
    await Promise.resolve();
    writer.write(status('Failed'));
  }
  await settled();
  patches[1]?.answer('3');
  await writer.flushed();
  assert.equal(patches[1]?.status.phase, 'Failed');
});

test('a change back while a write is on its way is written', async () => {
  const { patches, writer } = open();
  writer.write(status('Running'));
  await settled();
  writer.write(status('Pending'));
  patches[0]?.answer('2');
  await settled();
  assert.equal(patches[1]?.status.phase, 'Pending');
});

test('the next status is made from what is on its way, until the API shows it', async () => {
  const { patches, writer } = open();
  const [old, sent] = [status('Pending'), status('Running', '2026-01-01T00:00:05Z')];
  const gate = { type: 'example.com/gate', status: 'True' as const };
  writer.write(sent);
  await settled();
  const seen = { ...old, conditions: [...(old.conditions ?? []), gate] };
  assert.deepEqual(writer.ahead(pod('1', seen)).status?.conditions, [...(sent.conditions ?? []), gate]);
  patches[0]?.answer('7');
  await writer.flushed();
  assert.equal(writer.ahead(pod('1', old)).status?.phase, 'Running');
  assert.equal(writer.ahead(pod('7', sent)).status, sent);
  assert.equal(writer.ahead(pod('8', old)).status, old);
});

test('a refused write is tried again; a pod that is gone is let go', async () => {
  const { patches, clock, writer } = open();
  writer.write(status('Running'));
  await settled();
  patches[0]?.refuse(new Error('the server is on its way back'));
  await settled();
  await clock.advance(100);
  await settled();
  assert.equal(patches[1]?.status.phase, 'Running');
  patches[1]?.refuse(errors.notFound(Pod, 'a'));
  await settled();
  await clock.advance(60_000);
  assert.equal(patches.length, 2);
});
