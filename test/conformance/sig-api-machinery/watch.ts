import assert from 'node:assert/strict';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { eventsUntil } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';

conformance(it => {
  it('[sig-api-machinery] Watchers should observe add, update, and delete watch notifications on configmaps [Conformance]', async t => {
    const resourceVersion = await revision(t);
    const watch = (labelSelector: string, count: number) =>
      eventsUntil(t, ConfigMap, { labelSelector, resourceVersion }, ({ length }) => length === count);
    const watches = Promise.all([watch('watched=a', 4), watch('watched=b', 2), watch('watched in (a,b)', 6)]);
    await create(t, 'one', { watched: 'a' });
    await change(t, 'one', { data: { mutation: '1' } });
    await change(t, 'one', { data: { mutation: '2' } });
    await remove(t, 'one');
    await create(t, 'two', { watched: 'b' });
    await remove(t, 'two');
    const ofA = ['ADDED one', 'MODIFIED one', 'MODIFIED one', 'DELETED one'];
    const ofB = ['ADDED two', 'DELETED two'];
    assert.deepEqual(await watches, [ofA, ofB, [...ofA, ...ofB]]);
  });

  it('[sig-api-machinery] Watchers should be able to start watching from a specific resource version [Conformance]', async t => {
    await create(t, 'one', { watched: 'a' });
    const { metadata } = await change(t, 'one', { data: { mutation: '1' } });
    await change(t, 'one', { data: { mutation: '2' } });
    await remove(t, 'one');
    const { resourceVersion = '' } = metadata;
    const events = await eventsUntil(t, ConfigMap, { labelSelector: 'watched=a', resourceVersion }, atLeast(2));
    assert.deepEqual(events, ['MODIFIED one', 'DELETED one']);
  });

  it('[sig-api-machinery] Watchers should be able to restart watching from the last resource version observed by the previous watch [Conformance]', async t => {
    let last = await revision(t);
    const watch = (count: number) =>
      eventsUntil(t, ConfigMap, { labelSelector: 'watched=a', resourceVersion: last }, atLeast(count), object => {
        last = object.metadata.resourceVersion ?? '';
        return object.metadata.name ?? '';
      });
    const before = watch(2);
    await create(t, 'one', { watched: 'a' });
    await change(t, 'one', { data: { mutation: '1' } });
    assert.deepEqual(await before, ['ADDED one', 'MODIFIED one']);
    await change(t, 'one', { data: { mutation: '2' } });
    await remove(t, 'one');
    assert.deepEqual(await watch(2), ['MODIFIED one', 'DELETED one']);
  });

  it('[sig-api-machinery] Watchers should observe an object deletion if it stops meeting the requirements of the selector [Conformance]', async t => {
    const resourceVersion = await revision(t);
    const watched = eventsUntil(t, ConfigMap, { labelSelector: 'watched=a', resourceVersion }, atLeast(6));
    await create(t, 'one', { watched: 'a' });
    await change(t, 'one', { data: { mutation: '1' } });
    await change(t, 'one', { metadata: { labels: { watched: 'elsewhere' } } });
    await change(t, 'one', { data: { mutation: '2' } });
    await change(t, 'one', { metadata: { labels: { watched: 'a' } } });
    await change(t, 'one', { data: { mutation: '3' } });
    await remove(t, 'one');
    assert.deepEqual(await watched, [
      'ADDED one',
      'MODIFIED one',
      'DELETED one',
      'ADDED one',
      'MODIFIED one',
      'DELETED one',
    ]);
  });

  it('[sig-api-machinery] Watchers should receive events on concurrent watches in same order [Conformance]', async t => {
    const writes = 60;
    const told = ({ metadata }: ConfigMap) => `${metadata.name} ${metadata.resourceVersion}`;
    const start = await revision(t);
    const last = 'the-last';
    const over = (events: readonly string[]) => events.at(-1)?.includes(last) ?? false;
    const watch = (resourceVersion: string) => eventsUntil(t, ConfigMap, { resourceVersion }, over, told);
    const watches = [watch(start)];
    for (let index = 0; index < writes; index++) {
      const name = `order-${index % 7}`;
      const object = index < 7 ? await create(t, name, {}) : await change(t, name, { data: { index: `${index}` } });
      if (index % 6 === 5) watches.push(watch(object.metadata.resourceVersion ?? ''));
    }
    await create(t, last, {});
    const [whole = [], ...later] = await Promise.all(watches);
    assert.equal(whole.length, writes + 1);
    for (const events of later) assert.deepEqual(events, whole.slice(whole.length - events.length));
  });
});

const atLeast = (count: number) => (events: readonly string[]) => events.length >= count;

async function revision({ client, namespace }: Trial): Promise<string> {
  return (await client.list(ConfigMap, { namespace })).metadata.resourceVersion;
}

function create(
  { client, namespace }: Trial,
  name: string,
  labels: Readonly<Record<string, string>>,
): Promise<ConfigMap> {
  return client.create<ConfigMap>(ConfigMap, { metadata: { name, labels } }, { namespace });
}

function change({ client, namespace }: Trial, name: string, patch: object): Promise<ConfigMap> {
  return client.patch(ConfigMap, name, { type: 'merge', patch }, { namespace });
}

function remove({ client, namespace }: Trial, name: string): Promise<unknown> {
  return client.delete(ConfigMap, name, { namespace });
}
