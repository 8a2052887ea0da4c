import assert from 'node:assert/strict';
import { Event as CoreEvent } from '#api/core/v1/event.ts';
import { Event } from '#api/events/v1/event.ts';
import type { ApiObject, Kind, Partly } from '#api/machinery/kind.ts';
import { conformance, type Trial } from '../conformance.ts';
import { untilGone } from '../waiting.ts';

conformance(it => {
  it('[sig-instrumentation] Events should manage the lifecycle of an event [Conformance]', t =>
    lifecycle(t, CoreEvent, coreEvent, { message: 'patched' }));
  it('[sig-instrumentation] Events should delete a collection of events [Conformance]', t =>
    collection(t, CoreEvent, coreEvent));
  it('[sig-instrumentation] Events API should ensure that an event can be fetched, patched, deleted, and listed [Conformance]', t =>
    lifecycle(t, Event, newEvent, { series: { count: 2, lastObservedTime } }));
  it('[sig-instrumentation] Events API should delete a collection of events [Conformance]', t =>
    collection(t, Event, newEvent));
});

const lastObservedTime = '2026-11-20T12:00:00.000000Z';

function coreEvent(namespace: string): object {
  return {
    message: 'This is a test event',
    reason: 'Test',
    type: 'Normal',
    count: 1,
    involvedObject: { kind: 'Pod', namespace, name: 'some-pod', apiVersion: 'v1' },
  };
}

function newEvent(namespace: string): object {
  return {
    eventTime: new Date().toISOString().replace('Z', '000Z'),
    note: 'This is a test event',
    reason: 'Test',
    type: 'Normal',
    action: 'Do',
    reportingController: 'test-controller',
    reportingInstance: 'test-node',
    regarding: { kind: 'Pod', namespace, name: 'some-pod', apiVersion: 'v1' },
  };
}

async function lifecycle<Type extends ApiObject>(
  t: Trial,
  kind: Kind<Type>,
  event: (namespace: string) => object,
  change: object,
): Promise<void> {
  const { client, namespace } = t;
  const label = t.unique('testevent');
  const name = 'lived';
  const object = { metadata: { name, labels: { testevent: label } }, ...event(namespace) };
  await client.create<Type>(kind, object as Partly<Type>, { namespace });
  const everywhere = await client.list(kind, { labelSelector: `testevent=${label}` });
  assert.deepEqual(
    everywhere.items.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`),
    [`${namespace}/${name}`],
  );
  const patched = await client.patch(kind, name, { type: 'strategic', patch: change }, { namespace });
  assert.partialDeepStrictEqual(patched, change);
  const series = { count: 100, lastObservedTime };
  const again = (await client.update(kind, { ...patched, series } as Type, { namespace })) as { series?: unknown };
  assert.deepEqual(again.series, series);
  await client.delete(kind, name, { namespace });
  await untilGone(t, kind, name);
}

async function collection<Type extends ApiObject>(
  t: Trial,
  kind: Kind<Type>,
  event: (namespace: string) => object,
): Promise<void> {
  const { client, namespace } = t;
  const labelSelector = 'testevent-set=true';
  for (const name of ['one', 'two', 'three'])
    await client.create<Type>(
      kind,
      { metadata: { name, labels: { 'testevent-set': 'true' } }, ...event(namespace) } as Partly<Type>,
      { namespace },
    );
  assert.equal((await client.list(kind, { namespace, labelSelector })).items.length, 3);
  await client.deleteCollection(kind, { namespace, labelSelector });
  assert.equal((await client.list(kind, { namespace, labelSelector })).items.length, 0);
}
