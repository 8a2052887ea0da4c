import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:http2';
import { test } from 'node:test';
import { eventLoopTurn, systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { issue, issueAuthority } from '#auth/certificates/issue.ts';
import { openTestServer } from './test-server.ts';

const maps = '/api/v1/namespaces/default/configmaps';

test('a server that ends says so first, then takes nothing new, and lets what is under way finish', async () => {
  const held = Promise.withResolvers<void>();
  const slow = { name: 'slow', handles: () => true, admit: () => held.promise };
  await using server = await openTestServer({ admission: [slow] });
  const { clock } = server;
  const underWay = server.call('POST', maps, { metadata: { name: 'a' } });
  const watch = await server.watch(`${maps}?watch=1`);
  let ended = false;
  const ending = server.server
    .drain({ delayMs: 10_000, sendsRetryAfter: true, drainMsMax: 60_000 })
    .then(() => (ended = true));
  const ready = await server.call('GET', '/readyz');
  assert.equal(ready.code, 500);
  assert.match(ready.text, /\[-\]shutdown failed/);
  assert.equal((await server.call('GET', '/livez')).code, 200);
  // Load balancers have not heard of it yet.
  assert.equal((await server.call('GET', maps)).code, 200);
  await clock.advance(10_000);
  const late = await server.call('GET', maps);
  assert.equal(late.code, 429);
  assert.equal(late.headers['retry-after'], '5');
  assert.equal(late.headers['connection'], 'close');
  assert.equal(late.text, 'The apiserver is shutting down, please try again later.\n');
  assert.equal((await server.call('GET', '/livez')).code, 200);
  assert.equal(ended, false);
  held.resolve();
  assert.equal((await underWay).code, 201);
  await ending;
  assert.ok(ended, 'a watch does not hold it up');
  watch.close();
});

test('what never ends is waited for only so long; without a delay nothing is', async () => {
  const never = { name: 'slow', handles: () => true, admit: () => new Promise<void>(() => {}) };
  await using server = await openTestServer({ admission: [never] });
  void server.call('POST', maps, { metadata: { name: 'a' } });
  await eventLoopTurn();
  const ending = server.server.drain({ delayMs: 0, sendsRetryAfter: false, drainMsMax: 2_000 });
  assert.equal((await server.call('GET', maps)).code, 200);
  await server.clock.advance(2_000);
  await ending;
  await using idle = await openTestServer();
  await idle.server.drain({ delayMs: 0, sendsRetryAfter: false, drainMsMax: 2_000 });
});

test('over HTTP/2 a connection that is closed is one that takes no new requests', async () => {
  const issuing = { clock: systemClock, random: systemRandom };
  const validForMs = 86_400_000;
  const authority = await issueAuthority({ commonName: 'ca', validForMs }, issuing);
  const serving = { commonName: 'a', hosts: ['localhost'], usages: ['server'], validForMs } as const;
  const tls = await issue(authority, serving, issuing);
  for (const goAwayChance of [0, 1]) {
    await using server = await openTestServer({ clock: systemClock });
    const { port } = await server.server.listen({ host: '127.0.0.1', port: 0, tls, goAwayChance });
    const session = connect(`https://localhost:${port}`, { ca: authority.certPem });
    const left = new Promise<void>(resolve => session.on('goaway', () => resolve()));
    const closed = new Promise<void>(resolve => session.on('close', () => resolve()));
    const ask = async (path: string) => {
      const stream = session.request({ ':path': path });
      const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
      stream.resume();
      await once(stream, 'close');
      return headers;
    };
    assert.equal((await ask(maps))[':status'], 200);
    if (goAwayChance === 0) {
      assert.equal((await ask(maps))[':status'], 200);
      await server.server.drain({ delayMs: 0, sendsRetryAfter: true, drainMsMax: 100 });
      const late = await ask(maps);
      assert.equal(late[':status'], 429);
      assert.equal(late['connection'], undefined);
    }
    await left;
    await closed;
  }
});
