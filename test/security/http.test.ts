import assert from 'node:assert/strict';
import type { EventEmitter } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { after, before, describe, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { limits } from '#base/limits.ts';
import type { Authorizer } from '#auth/authorization/authorizer.ts';
import { frame, getRoot, hello, openAttacked, type Attacked } from './attacked.ts';

/*
 * What hostile clients do to HTTP itself, over real connections: while they do it others are answered, memory stays where it
 * is, and nothing is believed that two readers of the same bytes would read differently.
 */

let attacked: Attacked;
let port: Attacked['port'];
let ca: Attacked['ca'];
let open: Attacked['open'];
let health: Attacked['health'];
/** What was asked of the authorizer: every request that was taken for one. */
const seen: string[] = [];

const recording: Authorizer = {
  name: 'recording',
  authorize({ path, resource, verb }) {
    seen.push(`${verb} ${path}`);
    return resource === 'secrets'
      ? { decision: 'deny', reason: 'nobody reads secrets' }
      : { decision: 'allow', reason: '' };
  },
};

before(async () => {
  attacked = await openAttacked({ authorizer: recording });
  ({ port, ca, open, health } = attacked);
});
after(() => attacked[Symbol.asyncDispose]());

/** Everything the server says until it closes, or the condition is met. */
async function answerOn(socket: TLSSocket, enough: (text: string) => boolean = () => false): Promise<string> {
  let text = '';
  const done = Promise.withResolvers<void>();
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    if (enough(text)) done.resolve();
  });
  socket.once('close', () => done.resolve());
  await done.promise;
  socket.destroy();
  return text;
}

async function raw(bytes: string, enough?: (text: string) => boolean): Promise<string> {
  const socket = await open('http/1.1');
  socket.write(bytes.replaceAll('\n', '\r\n'));
  return answerOn(socket, enough);
}

/** Not `once`: that fails on the error which a connection that is cut has, too. */
function closed(socket: EventEmitter): Promise<void> {
  return new Promise(resolve => socket.once('close', () => resolve()));
}

function roomIn(stream: EventEmitter): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      stream.off('drain', done).off('close', done).off('response', done);
      resolve();
    };
    stream.on('drain', done).on('close', done).on('response', done);
  });
}

/** Writes for as long as the server takes it. */
async function flood(socket: TLSSocket, pieces: Iterable<Buffer>): Promise<number> {
  let written = 0;
  for (const piece of pieces) {
    if (socket.destroyed || socket.closed) break;
    written += piece.length;
    if (!socket.write(piece)) await roomIn(socket);
  }
  return written;
}

function megabytes(): number {
  return process.memoryUsage().rss / 1024 / 1024;
}

describe('HTTP/2', () => {
  test('rapid reset (CVE-2023-44487): who opens and resets streams for ever is sent away', async () => {
    const socket = await open('h2');
    const gone = closed(socket);
    socket.resume();
    socket.write(hello);
    function* resets(): Generator<Buffer> {
      for (let first = 1; first < 200_000; first += 200) {
        const frames: Buffer[] = [];
        for (let id = first; id < first + 200; id += 2) {
          const cancel = Buffer.alloc(4);
          cancel[3] = 8;
          frames.push(frame(1, 5, id, getRoot), frame(3, 0, id, cancel));
        }
        yield Buffer.concat(frames);
      }
    }
    const flooding = flood(socket, resets());
    const tookMs = await health();
    await flooding;
    await gone;
    assert.ok(tookMs < 3_000, `${tookMs} ms`);
    await health();
  });

  test('CONTINUATION flood: headers without an end are ended by the server', async () => {
    const before = megabytes();
    const socket = await open('h2');
    const gone = closed(socket);
    socket.resume();
    socket.write(Buffer.concat([hello, frame(1, 1, 1, getRoot)]));
    function* headers(): Generator<Buffer> {
      // A literal that is not indexed, of 16 kB, again and again.
      const value = Buffer.alloc(8_000, 0x61);
      const literal = Buffer.concat([Buffer.from([0x00, 0x01, 0x62, 0x7f, 0xc1, 0x3d]), value]);
      for (let count = 0; count < 20_000; count++) yield frame(9, 0, 1, literal);
    }
    const written = await flood(socket, headers());
    await gone;
    assert.ok(written < 40_000_000, `${written} bytes were taken`);
    assert.ok(megabytes() - before < 150);
    await health();
  });

  test('a header bomb: small on the wire, large when unpacked, is refused', async () => {
    const socket = await open('h2');
    socket.write(hello);
    // One entry of 4 kB in the table, referred to 2,000 times: 8 MB of headers in 6 kB.
    const value = Buffer.alloc(4_000, 0x61);
    const entry = Buffer.concat([Buffer.from([0x40, 0x01, 0x62, 0x7f, 0xa1, 0x1e]), value]);
    const block = Buffer.concat([getRoot, entry, Buffer.alloc(2_000, 0xbe)]);
    const before = seen.length;
    socket.write(frame(1, 5, 1, block));
    // Stream 1 is refused (431) or the connection ended; the root is not served.
    const said = await answerOn(socket, text => text.length > 60);
    assert.ok(said.length > 0);
    assert.equal(seen.length, before);
    await health();
  });

  test('a body without end is cut at the limit', async () => {
    const session = connectHttp2(`https://localhost:${port}`, { ca });
    session.on('error', () => {});
    const stream = session.request({ ':method': 'POST', ':path': '/api/v1/namespaces/default/configmaps' });
    stream.on('error', () => {});
    let code = 0;
    stream.on('response', headers => {
      code = Number(headers[':status']);
    });
    const piece = Buffer.alloc(64 * 1024, 0x20);
    for (let sent = 0; code === 0 && sent < 20 * limits.requestBodyBytesMax; sent += piece.length)
      if (!stream.write(piece)) await roomIn(stream);
    assert.equal(code, 413);
    session.destroy();
    await health();
  });
});

describe('HTTP/1.1', () => {
  test('slowloris: a hundred connections that never finish their headers keep nobody waiting', async () => {
    const slow = await Promise.all(Array.from({ length: 100 }, () => open('http/1.1')));
    for (const socket of slow) socket.write('GET /api HTTP/1.1\r\nHost: a\r\nX-Slow: ');
    for (let round = 0; round < 3; round++) {
      for (const socket of slow) socket.write('a');
      assert.ok((await health()) < 3_000);
    }
    for (const socket of slow) socket.destroy();
  });

  test('a header of a megabyte is refused', async () => {
    const text = await raw(`GET /api HTTP/1.1\nHost: a\nX-Large: ${'a'.repeat(1024 * 1024)}\n\n`);
    assert.match(text, /^HTTP\/1\.1 4(00|31) |^$/);
    await health();
  });

  const smuggled = 'GET /smuggled HTTP/1.1\nHost: a\n\n';
  const ambiguous: readonly (readonly [string, string])[] = [
    ['a length and chunks', 'Content-Length: 4\nTransfer-Encoding: chunked'],
    ['two lengths', 'Content-Length: 0\nContent-Length: 33'],
    ['a length with a sign', 'Content-Length: +0'],
    ['a space before the colon', 'Transfer-Encoding : chunked\nContent-Length: 0'],
    ['an encoding nobody knows', 'Transfer-Encoding: xchunked\nContent-Length: 0'],
    ['chunks that are not last', 'Transfer-Encoding: chunked, identity'],
    ['a folded header', 'Transfer-Encoding:\n chunked\nContent-Length: 0'],
  ];
  for (const [what, headers] of ambiguous)
    test(`smuggling by ${what}: there is one reading, or the connection ends`, async () => {
      const before = seen.length;
      const answered = await raw(
        `POST /api/v1/namespaces/default/configmaps HTTP/1.1\nHost: a\nConnection: close\n${headers}\n\n0\n\n${smuggled}`,
      );
      assert.match(answered, /^HTTP\/1\.1 (400|415|422|501|505) /, answered.slice(0, 200));
      assert.ok(!seen.slice(before).some(each => each.includes('smuggled')), 'what was smuggled in was served');
    });

  test('absolute targets and odd paths are judged by what they lead to', async () => {
    const targets = [
      '/api/v1/namespaces/default/secrets',
      'https://localhost/api/v1/namespaces/default/secrets',
      'http://evil.example/api/v1/namespaces/default/secrets',
      '/api/v1/namespaces/default//secrets',
      '/api//v1/namespaces/default/secrets',
      '/api/v1/namespaces/default/secrets/',
      '/api/v1/namespaces/default/%73ecrets',
      '/api/v1/namespaces/%64efault/secrets',
    ];
    for (const target of targets) {
      const text = await raw(`GET ${target} HTTP/1.1\nHost: a\nConnection: close\n\n`);
      assert.match(text, /^HTTP\/1\.1 40[34] /, `${target}: ${text.slice(0, 100)}`);
    }
    for (const target of [
      '/api/v1/namespaces/default/configmaps/../secrets',
      '/api/v1/namespaces/default/configmaps/%2e%2e/secrets',
      '/api/v1/namespaces/default/configmaps/..%2fsecrets',
      'https://localhost/api/v1/namespaces/x/../default/secrets',
      '*',
      '%',
      'api/v1/namespaces',
    ]) {
      const text = await raw(`GET ${target} HTTP/1.1\nHost: a\nConnection: close\n\n`);
      assert.match(text, /^HTTP\/1\.1 (40[0-9]|200) /, `${target}: ${text.slice(0, 100)}`);
      assert.doesNotMatch(text, /SecretList/, target);
    }
  });

  test('a gzip bomb is bytes that are no object: nobody unpacks it', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
    const before = megabytes();
    const socket = await open('http/1.1');
    socket.write(
      `POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: ${bomb.length}\r\n\r\n`,
    );
    socket.write(bomb);
    assert.match(await answerOn(socket), /^HTTP\/1\.1 4(00|15) /);
    assert.ok(megabytes() - before < 60);
  });

  test('a body without end is answered at the limit', async () => {
    const socket = await open('http/1.1');
    const answered = answerOn(socket, text => text.includes('\r\n\r\n'));
    socket.write(
      'POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n',
    );
    const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65_536, 0x20), Buffer.from('\r\n')]);
    function* chunks(): Generator<Buffer> {
      for (let count = 0; count < 1_000; count++) yield chunk;
    }
    const written = await flood(socket, chunks());
    assert.match(await answered, /^HTTP\/1\.1 413 /);
    assert.ok(written < 60_000_000, `${written} bytes were taken`);
    await health();
  });
});
