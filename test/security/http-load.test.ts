import assert from 'node:assert/strict';
import { once, type EventEmitter } from 'node:events';
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { after, before, describe, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { frame, getRoot, hello, openAttacked, postRoot, type Attacked } from './attacked.ts';

/*
 * Many at once, or slow ones: others are answered meanwhile, and memory is bounded. WINDLASS_LOAD=full for all of it; without, a
 * tenth.
 */

const isFull = process.env.WINDLASS_LOAD === 'full';
const scale = isFull ? 1 : 0.1;
/** The slow ones never end: whoever waited for them would wait longer than this, on any machine. */
const waitMsMax = 15_000;
const configMaps = '/api/v1/namespaces/default/configmaps';

let attacked: Attacked;
let server: Attacked['server'];
let port: Attacked['port'];
let ca: Attacked['ca'];
let health: Attacked['health'];

before(async () => {
  attacked = await openAttacked();
  ({ server, port, ca, health } = attacked);
});
after(() => attacked[Symbol.asyncDispose]());

async function openSocket(): Promise<TLSSocket> {
  const socket = await attacked.open('h2');
  socket.resume();
  return socket;
}

function session(): ClientHttp2Session {
  const opened = connectHttp2(`https://localhost:${port}`, { ca });
  opened.on('error', () => {});
  return opened;
}

function closed(emitter: EventEmitter): Promise<void> {
  return new Promise(resolve => emitter.once('close', () => resolve()));
}

function megabytes(): number {
  return process.memoryUsage().rss / 1024 / 1024;
}

describe('slowloris over HTTP/2', () => {
  test('connections that greet a byte at a time are ended, and keep nobody waiting', async () => {
    const count = Math.round(200 * scale);
    const sockets = await Promise.all(Array.from({ length: count }, openSocket));
    const gone = sockets.map(closed);
    for (let at = 0; at < hello.length - 1; at += 4) {
      for (const socket of sockets) socket.write(hello.subarray(at, Math.min(at + 4, hello.length - 1)));
      assert.ok((await health()) < waitMsMax);
    }
    // The greeting is never finished: after its time the server has had enough.
    await Promise.all(gone);
  });

  test('headers and bodies that never end keep nobody waiting', async () => {
    const count = Math.round(100 * scale);
    const sockets = await Promise.all(Array.from({ length: count }, openSocket));
    const before = megabytes();
    for (const socket of sockets) {
      socket.write(hello);
      // Ninety-nine requests with half of a body, and one with half of its headers: nothing else may come before those end.
      for (let id = 1; id < 199; id += 2)
        socket.write(Buffer.concat([frame(1, 4, id, postRoot), frame(0, 0, id, Buffer.of(0x20))]));
      socket.write(frame(1, 0, 199, getRoot.subarray(0, 3)));
    }
    for (let round = 0; round < 5; round++) {
      assert.ok((await health()) < waitMsMax);
      for (const socket of sockets) if (!socket.destroyed) socket.write(frame(9, 0, 199, Buffer.of(0x86)));
    }
    assert.ok(megabytes() - before < 200, `${megabytes() - before} MB`);
    for (const socket of sockets) socket.destroy();
  });
});

describe('many at once', () => {
  test('watchers all hear of a change, and cost little memory each', { timeout: 300_000 }, async context => {
    const count = Math.round(10_000 * scale);
    const sessions = Array.from({ length: Math.ceil(count / 500) }, session);
    const before = megabytes();
    let told = 0;
    const all = Promise.withResolvers<void>();
    await Promise.all(
      Array.from({ length: count }, (_, index) => {
        const stream = (sessions[index % sessions.length] as ClientHttp2Session).request({
          ':path': `${configMaps}?watch=true`,
        });
        stream.on('error', () => {});
        let heard = '';
        stream.on('data', (chunk: Buffer) => {
          heard = (heard + chunk.toString()).slice(-200);
          if (!heard.includes('}\n')) return;
          heard = '';
          if (++told === count) all.resolve();
        });
        return once(stream, 'response');
      }),
    );
    const perWatcher = ((megabytes() - before) * 1024) / count;
    assert.ok((await health()) < waitMsMax);
    const startMs = performance.now();
    const { code } = await server.call('POST', configMaps, { metadata: { name: 'news' }, data: { a: 'b' } });
    assert.equal(code, 201);
    await all.promise;
    context.diagnostic(
      `${count} watchers heard of it within ${Math.round(performance.now() - startMs)} ms; ${perWatcher.toFixed(1)} KB each with the client's side`,
    );
    assert.ok(perWatcher < 100, `${perWatcher} KB a watcher`);
    assert.ok((await health()) < waitMsMax);
    for (const each of sessions) each.destroy();
  });

  test('twenty lists of 20 MB, read slowly, are written from one copy', { timeout: 300_000 }, async context => {
    const lists = isFull ? 20 : 6;
    const listBytes = 20 * 1024 * 1024;
    const data = { text: 'x'.repeat(100_000) };
    for (let index = 0; index < listBytes / 100_000; index++)
      assert.equal((await server.call('POST', configMaps, { metadata: { name: `large-${index}` }, data })).code, 201);
    const before = megabytes();
    let most = 0;
    const look = setInterval(() => (most = Math.max(most, megabytes() - before)), 20);
    const lengths = await Promise.all(
      Array.from({ length: lists }, async () => {
        const own = session();
        const stream = own.request({ ':path': configMaps });
        await once(stream, 'response');
        let length = 0;
        for await (const chunk of stream) length += (chunk as Buffer).length;
        own.destroy();
        return length;
      }),
    );
    clearInterval(look);
    for (const length of lengths) assert.ok(length > listBytes, `${length} bytes`);
    context.diagnostic(
      `${lists} lists of ${Math.round((lengths[0] ?? 0) / 1e6)} MB: ${Math.round(most)} MB more than before`,
    );
    // A copy for each of them would be more than the lists together.
    assert.ok(most < (lists * listBytes) / 1024 / 1024, `${most} MB`);
    await health();
  });
});
