import assert from 'node:assert/strict';
import { once, type EventEmitter } from 'node:events';
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { request } from 'node:https';
import { after, before, describe, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { issue, issueAuthority } from '#auth/certificates/issue.ts';
import { openTestServer, type TestServer } from '#apiserver/test-server.ts';

/*
 * Many at once, or slow ones: others are answered meanwhile, and memory is bounded. WINDLASS_LOAD=full for all of it; without, a
 * tenth.
 */

const isFull = process.env.WINDLASS_LOAD === 'full';
const scale = isFull ? 1 : 0.1;
/** The slow ones never end: whoever waited for them would wait longer than this, on any machine. */
const waitMsMax = 15_000;
const configMaps = '/api/v1/namespaces/default/configmaps';

let server: TestServer;
let port: number;
let ca: string;

before(async () => {
  const issuing = { clock: systemClock, random: systemRandom };
  const validForMs = 86_400_000;
  const authority = await issueAuthority({ commonName: 'ca', validForMs }, issuing);
  const tls = await issue(
    authority,
    { commonName: 'kube-apiserver', hosts: ['localhost'], ips: ['127.0.0.1'], usages: ['server'], validForMs },
    issuing,
  );
  ca = authority.certPem;
  server = await openTestServer({ clock: systemClock });
  ({ port } = await server.server.listen({ host: '127.0.0.1', port: 0, tls }));
});
after(() => server[Symbol.asyncDispose]());

/** A health check by somebody else, with the time it took. */
async function health(): Promise<number> {
  const startMs = performance.now();
  const code = await new Promise<number>((resolve, reject) => {
    request({ port, host: '127.0.0.1', servername: 'localhost', ca, path: '/readyz', agent: false }, answer => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode ?? 0));
    })
      .on('error', reject)
      .end();
  });
  assert.equal(code, 200);
  return performance.now() - startMs;
}

function frame(type: number, flags: number, stream: number, payload = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const hello = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0)]);
/** GET / and POST / with an authority, by HPACK's static table. */
const getRoot = Buffer.from([0x82, 0x87, 0x84, 0x41, 0x01, 0x61]);
const postRoot = Buffer.from([0x83, 0x87, 0x84, 0x41, 0x01, 0x61]);

async function openSocket(): Promise<TLSSocket> {
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca, ALPNProtocols: ['h2'] });
  socket.on('error', () => {
    // A server that has had enough closes.
  });
  await once(socket, 'secureConnect');
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
