import assert from 'node:assert/strict';
import { conformance } from '../conformance.ts';
import { defineConverted } from '../converted.ts';
import type { Custom } from '../custom.ts';

conformance(it => {
  it('[sig-api-machinery] CustomResourceFieldSelectors [Privileged:ClusterAdmin] CustomResourceFieldSelectors MUST list and watch custom resources matching the field selector [Conformance]', async t => {
    const { kind } = await defineConverted(t, { stored: 'v2', selectable: true });
    const { client, namespace } = t;
    const watch = async (version: string, fieldSelector: string, count: number) => {
      const events: string[] = [];
      const options = { namespace, fieldSelector, resourceVersion: start, timeoutSeconds: 60 };
      for await (const event of client.watch(kind(version), options)) {
        if (event.type !== 'BOOKMARK') events.push(`${event.type} ${event.object.metadata.name}`);
        if (events.length === count) break;
      }
      return events;
    };
    const start = (await client.list(kind('v2'), { namespace })).metadata.resourceVersion;
    const watches = Promise.all([
      watch('v2', 'host=host1', 4),
      watch('v2', 'host=host1,port=80', 2),
      watch('v1', 'hostPort=host1:8080', 2),
    ]);
    const create = (name: string, host: string, port: string) =>
      client.create<Custom>(kind('v2'), { metadata: { name }, host, port } as never, { namespace });
    await create('one', 'host1', '80');
    await create('two', 'host1', '8080');
    await create('three', 'host2', '80');
    const names = async (version: string, fieldSelector: string) =>
      (await client.list(kind(version), { namespace, fieldSelector })).items.map(({ metadata }) => metadata.name);
    assert.deepEqual(await names('v2', 'host=host1'), ['one', 'two']);
    assert.deepEqual(await names('v2', 'host=host1,port=80'), ['one']);
    assert.deepEqual(await names('v1', 'hostPort=host1:8080'), ['two']);
    await client.delete(kind('v2'), 'one', { namespace });
    // What no longer matches is gone for who selects it.
    await client.patch(kind('v2'), 'two', { type: 'merge', patch: { host: 'host9' } }, { namespace });
    assert.deepEqual(await watches, [
      ['ADDED one', 'ADDED two', 'DELETED one', 'DELETED two'],
      ['ADDED one', 'DELETED one'],
      ['ADDED two', 'DELETED two'],
    ]);
  });
});
