import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { Channel } from '#base/queue.ts';
import { seededRandom } from '#base/random.ts';
import { errors } from '#api/machinery/errors.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { openInformer, type Informer } from './informer.ts';
import { clientOver, type WireEvent, type WireRequest } from './wire.ts';

/** A server of the test's own: it hands out one channel for each watch it is asked for. */
function scripted(lists: readonly unknown[] = []) {
  const watches: { readonly query: URLSearchParams; readonly events: Channel<WireEvent> }[] = [];
  const left = [...lists];
  const waiting: (() => void)[] = [];
  const client = clientOver({
    send: () => Promise.resolve(left.shift()),
    watch(request: WireRequest) {
      const events = new Channel<WireEvent>();
      watches.push({ query: request.query, events });
      for (const wake of waiting.splice(0)) wake();
      return events;
    },
    text: () => Promise.reject(new Error('not here')),
    connect: () => Promise.reject(new Error('not here')),
  });
  const nth = async (number: number) => {
    while (watches.length < number) await new Promise<void>(resolve => waiting.push(resolve));
    return watches[number - 1] as (typeof watches)[number];
  };
  return { client, nth, watches };
}

const configMap = (name: string, version: number, more: { uid?: string; labels?: Record<string, string> } = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: {
    namespace: 'default',
    name,
    uid: more.uid ?? `uid-${name}`,
    resourceVersion: String(version),
    ...(more.labels && { labels: more.labels }),
  },
});
const bookmark = (version: number, end = false): WireEvent => ({
  type: 'BOOKMARK',
  object: {
    metadata: {
      resourceVersion: String(version),
      ...(end && { annotations: { 'k8s.io/initial-events-end': 'true' } }),
    },
  },
});

function opened(client: ReturnType<typeof scripted>['client']) {
  const clock = new ManualClock();
  const stop = new AbortController();
  const informer = openInformer(client, ConfigMap, { clock, random: seededRandom(1) }, stop.signal);
  const seen: string[] = [];
  informer.subscribe({
    added: (object, initial) => seen.push(`added ${object.metadata.name}${initial ? ' initial' : ''}`),
    updated: (object, old) =>
      seen.push(`updated ${object.metadata.name} ${old.metadata.resourceVersion}->${object.metadata.resourceVersion}`),
    deleted: object => seen.push(`deleted ${object.metadata.name}`),
  });
  return { clock, informer, seen, [Symbol.dispose]: () => stop.abort(new Error('test ended')) };
}

const names = (informer: Informer<ConfigMap>) => [...informer.objects.keys()];

describe('an informer', () => {
  test('reads the state with a streaming list, then follows', async () => {
    const { client, nth } = scripted();
    using started = opened(client);
    const { informer, seen } = started;
    const first = await nth(1);
    assert.equal(first.query.get('sendInitialEvents'), 'true');
    assert.equal(first.query.get('resourceVersionMatch'), 'NotOlderThan');
    first.events.push({ type: 'ADDED', object: configMap('a', 3) });
    first.events.push({ type: 'ADDED', object: configMap('b', 4) });
    first.events.push(bookmark(5, true));
    await informer.synced;
    assert.deepEqual(names(informer), ['default/a', 'default/b']);
    first.events.push({ type: 'MODIFIED', object: configMap('a', 6) });
    first.events.push({ type: 'DELETED', object: configMap('b', 7) });
    await informer.reached('7');
    assert.deepEqual(seen, ['added a initial', 'added b initial', 'updated a 3->6', 'deleted b']);
  });

  test('resumes where it was when a watch ends', async () => {
    const { client, nth } = scripted();
    using started = opened(client);
    const { informer, clock } = started;
    const first = await nth(1);
    first.events.push(bookmark(5, true));
    await informer.synced;
    first.events.push(bookmark(9));
    await informer.reached('9');
    first.events.close();
    await clock.advance(2_000);
    const second = await nth(2);
    assert.equal(second.query.get('resourceVersion'), '9');
    assert.equal(second.query.get('sendInitialEvents'), null);
  });

  test('reads everything again when its version has expired, and says only what differs', async () => {
    const { client, nth } = scripted();
    using started = opened(client);
    const { informer, clock, seen } = started;
    const first = await nth(1);
    for (const name of ['same', 'changed', 'gone', 'replaced'])
      first.events.push({ type: 'ADDED', object: configMap(name, 2) });
    first.events.push(bookmark(5, true));
    await informer.synced;
    seen.length = 0;
    first.events.push({ type: 'ERROR', object: errors.expired('too old resource version: 5 (90)').status });
    first.events.close();
    await clock.advance(2_000);
    const second = await nth(2);
    assert.equal(second.query.get('sendInitialEvents'), 'true');
    second.events.push({ type: 'ADDED', object: configMap('same', 2) });
    second.events.push({ type: 'ADDED', object: configMap('changed', 50) });
    second.events.push({ type: 'ADDED', object: configMap('replaced', 60, { uid: 'another' }) });
    second.events.push(bookmark(90, true));
    await informer.reached('90');
    assert.deepEqual(seen, ['deleted gone', 'updated changed 2->50', 'deleted replaced', 'added replaced']);
  });

  test('falls back to list and watch where lists cannot be streamed', async () => {
    const { client, nth } = scripted([
      { items: [configMap('a', 3)], metadata: { resourceVersion: '8', continue: 'more' } },
      { items: [configMap('b', 4)], metadata: { resourceVersion: '8' } },
    ]);
    using started = opened(client);
    const { informer } = started;
    const first = await nth(1);
    first.events.push({ type: 'ERROR', object: errors.invalid('meta.k8s.io', 'ListOptions', '', []).status });
    const second = await nth(2);
    assert.equal(second.query.get('resourceVersion'), '8');
    assert.deepEqual(names(informer), ['default/a', 'default/b']);
    assert.equal(informer.hasSynced, true);
  });

  test('keeps indexes through changes', async () => {
    const { client, nth } = scripted();
    using started = opened(client);
    const { informer } = started;
    const byTeam = informer.index('team', object => Object.values(object.metadata.labels ?? {}));
    const first = await nth(1);
    first.events.push({ type: 'ADDED', object: configMap('a', 2, { labels: { team: 'red' } }) });
    first.events.push({ type: 'ADDED', object: configMap('b', 3, { labels: { team: 'red' } }) });
    first.events.push(bookmark(5, true));
    await informer.synced;
    assert.deepEqual([...byTeam.get('red').keys()], ['default/a', 'default/b']);
    first.events.push({ type: 'MODIFIED', object: configMap('a', 6, { labels: { team: 'blue' } }) });
    first.events.push({ type: 'DELETED', object: configMap('b', 7) });
    await informer.reached('7');
    assert.deepEqual([...byTeam.values()], ['blue']);
    assert.deepEqual([...informer.inNamespace('default').keys()], ['default/a']);
  });

  test('tells when an object is gone', async () => {
    const { client, nth } = scripted();
    using started = opened(client);
    const { informer } = started;
    const first = await nth(1);
    first.events.push({ type: 'ADDED', object: configMap('a', 2) });
    first.events.push(bookmark(5, true));
    await informer.synced;
    const gone = informer.gone('default/a', 'uid-a');
    first.events.push({ type: 'DELETED', object: configMap('a', 6) });
    await gone;
    assert.equal(informer.get('a', 'default'), undefined);
    await informer.gone('default/a', 'uid-a');
  });
});
