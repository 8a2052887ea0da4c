import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CompactedError } from '#storage/storage.ts';
import { openTestServer } from './test-server.ts';

const configMaps = '/api/v1/namespaces/default/configmaps';

test('history is compacted at the interval that is asked for, or never', async () => {
  for (const compactIntervalMs of [2_000, 0]) {
    await using server = await openTestServer({ compactIntervalMs });
    const made = await server.call('POST', configMaps, { metadata: { name: 'a' } });
    await server.call('PUT', `${configMaps}/a`, { metadata: { name: 'a' }, data: { a: 'b' } });
    const old = Number(made.body.metadata.resourceVersion);
    await server.clock.advance(2_000);
    // What was new at the first time goes at the second.
    await server.clock.advance(2_000);
    const read = server.storage.get('/registry/configmaps/default/a', { revision: old });
    if (compactIntervalMs === 0) assert.ok(await read);
    else await assert.rejects(read, CompactedError);
  }
});

test('Events live as long as is asked for', async () => {
  await using server = await openTestServer({ eventTtlMs: 60_000 });
  const events = '/api/v1/namespaces/default/events';
  const involvedObject = { kind: 'Pod', name: 'x', namespace: 'default' };
  await server.call('POST', events, { metadata: { name: 'e' }, involvedObject, reason: 'Tested' });
  await server.clock.advance(45_000);
  assert.equal((await server.call('GET', `${events}/e`)).code, 200);
  await server.clock.advance(60_000);
  assert.equal((await server.call('GET', `${events}/e`)).code, 404);
});
