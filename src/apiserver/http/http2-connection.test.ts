import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2';
import { duplexPair, type Duplex } from 'node:stream';
import { describe, test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { encodeHeaders, HpackDecoder, HpackError } from './hpack.ts';
import { Http2Connection } from './http2-connection.ts';
import type { Http2Stream } from './http2-stream.ts';

describe('HPACK', () => {
  test('blocks of one connection share a table: RFC 7541, C.4 and C.6.1', () => {
    const decoder = new HpackDecoder(65_536);
    const decoded = [
      '828684418cf1e3c2e5f23a6ba0ab90f4ff',
      '828684be5886a8eb10649cbf',
      '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
    ].map(hex => decoder.decode(Buffer.from(hex, 'hex')));
    const common = [':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'www.example.com'];
    assert.deepEqual(decoded, [
      common,
      [...common, 'cache-control', 'no-cache'],
      [
        ':method',
        'GET',
        ':scheme',
        'https',
        ':path',
        '/index.html',
        ':authority',
        'www.example.com',
        'custom-key',
        'custom-value',
      ],
    ]);
    const answer =
      '488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3';
    assert.deepEqual(new HpackDecoder(65_536).decode(Buffer.from(answer, 'hex')), [
      ':status',
      '302',
      'cache-control',
      'private',
      'date',
      'Mon, 21 Oct 2013 20:13:21 GMT',
      'location',
      'https://www.example.com',
    ]);
  });

  test('what is written can be read, whatever its length', () => {
    for (const length of [0, 1, 126, 127, 128, 254, 255, 300, 20_000]) {
      const value = 'v'.repeat(length);
      const block = Buffer.from(encodeHeaders(418, { 'x-long': value, 'retry-after': [1, 2].map(String) }));
      assert.deepEqual(new HpackDecoder(65_536).decode(block), [
        ':status',
        '418',
        'x-long',
        value,
        'retry-after',
        '1',
        'retry-after',
        '2',
      ]);
    }
    const split = new HpackDecoder(65_536).decode(Buffer.from(encodeHeaders(200, { warning: 'a\r\nset-cookie: b' })));
    assert.deepEqual(split, [':status', '200', 'warning', 'a  set-cookie: b']);
  });

  test('nonsense is an error, and too much is told apart from it', () => {
    const decode = (...bytes: number[]) => new HpackDecoder(100).decode(Buffer.from(bytes));
    assert.throws(() => decode(0x80), HpackError);
    assert.throws(() => decode(0xc0), HpackError);
    assert.throws(() => decode(0x40, 0x05, 0x61), HpackError);
    assert.throws(() => decode(0xff, 0xff, 0xff, 0xff, 0xff, 0xff), HpackError);
    // A Huffman string whose padding is zeros, and one that is padded by more than seven bits.
    assert.throws(() => decode(0x00, 0x81, 0x18, 0x00), HpackError);
    assert.throws(() => decode(0x00, 0x82, 0x1f, 0xff, 0x00), HpackError);
    // The size of the table: too large, and not at the beginning.
    assert.throws(() => decode(0x3f, 0xe2, 0x1f), HpackError);
    assert.throws(() => decode(0x82, 0x20), HpackError);
    assert.equal(decode(0x82, 0x86, 0x84), undefined);
  });

  test('an entry larger than the table empties it', () => {
    const decoder = new HpackDecoder(65_536);
    const add = (name: string, value: string) => {
      const length = value.length - 127;
      const head = [0x40, name.length, ...Buffer.from(name)];
      const size = value.length < 127 ? [value.length] : [127, (length & 127) | 128, length >> 7];
      return decoder.decode(Buffer.concat([Buffer.from([...head, ...size]), Buffer.from(value)]));
    };
    add('a', 'b');
    assert.deepEqual(decoder.decode(Buffer.from([0xbe])), ['a', 'b']);
    add('a', 'c'.repeat(5_000));
    assert.throws(() => decoder.decode(Buffer.from([0xbe])), HpackError);
  });
});

type Answering = (stream: Http2Stream) => void;

/** A connection, and what is at its other end. */
function open(answer: Answering, clock = new ManualClock()) {
  const [near, far] = duplexPair();
  // A socket has copied what it calls written; the pair hands on the very bytes.
  const write = near.write.bind(near) as (chunk: Buffer, done: () => void) => boolean;
  near.write = ((chunk: Buffer, done: () => void) => write(Buffer.from(chunk), done)) as typeof near.write;
  const connection = new Http2Connection(near, { clock, onStream: answer });
  return { connection, far };
}

async function withClient(answer: Answering, run: (client: ClientHttp2Session) => Promise<void>): Promise<void> {
  const { far } = open(answer);
  const client = connect('http://windlass', { createConnection: () => far });
  try {
    await run(client);
  } finally {
    client.destroy();
  }
}

async function ask(client: ClientHttp2Session, headers: Record<string, string>, body?: Buffer) {
  const request = client.request(headers, { endStream: body === undefined });
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  const ended = once(request, 'end');
  const answered = once(request, 'response') as Promise<[IncomingHttpHeaders]>;
  if (body) request.end(body);
  await ended;
  const [answer] = await answered;
  return { headers: answer, body: Buffer.concat(chunks) };
}

const echo: Answering = stream => {
  void stream.body().then(body => {
    stream.respond(200, { 'x-path': stream.headers[':path'] ?? '', 'x-sent': stream.headers['x-sent'] ?? '' });
    stream.end(body.kind === 'bytes' ? body.bytes : undefined);
  });
};

describe('an HTTP/2 connection', () => {
  test('answers many requests at once, each with its own', async () => {
    await withClient(echo, async client => {
      const answers = await Promise.all(
        Array.from({ length: 300 }, (_, index) =>
          ask(client, { ':path': `/${index}`, ':method': 'POST', 'x-sent': `é${index % 7}` }, Buffer.from(`b${index}`)),
        ),
      );
      for (const [index, { headers, body }] of answers.entries()) {
        assert.equal(headers['x-path'], `/${index}`);
        assert.equal(body.toString(), `b${index}`);
      }
    });
  });

  test('a body beyond all windows arrives, and goes back, byte by byte', async () => {
    const body = Buffer.from(Uint8Array.from({ length: 3 * 1024 * 1024 }, (_, index) => (index * 7) % 251));
    await withClient(echo, async client => {
      for (let round = 0; round < 8; round++) {
        const answer = await ask(client, { ':path': '/', ':method': 'PUT' }, body);
        assert.ok(answer.body.equals(body));
      }
    });
  });

  test('repeated headers are joined, and kept apart in the raw ones', async () => {
    let seen: Http2Stream | undefined;
    const answer: Answering = stream => {
      seen = stream;
      stream.respond(204, {}, true);
    };
    await withClient(answer, async client => {
      const request = client.request([
        ':path',
        '/',
        ':method',
        'GET',
        ':scheme',
        'http',
        'x-a',
        '1',
        'x-a',
        '2',
      ] as never);
      await once(request, 'response');
      assert.equal(seen?.headers['x-a'], '1, 2');
      assert.equal(seen?.rawHeaders.filter(each => each === 'x-a').length, 2);
    });
  });

  test('who does not read holds nobody else up, and is told when there is room', async () => {
    let slow: Http2Stream | undefined;
    const answer: Answering = stream => {
      stream.respond(200, {});
      if (stream.headers[':path'] !== '/slow') return stream.end(Buffer.from('quick'));
      slow = stream;
      assert.equal(stream.write(Buffer.alloc(300_000)), false);
    };
    await withClient(answer, async client => {
      const request = client.request({ ':path': '/slow' });
      await once(request, 'response');
      assert.equal((await ask(client, { ':path': '/' })).body.toString(), 'quick');
      const { drained } = { drained: slow?.drained() };
      assert.ok((slow?.unsentBytes ?? 0) > 200_000, `${slow?.unsentBytes} unsent`);
      let read = 0;
      request.on('data', (chunk: Buffer) => (read += chunk.length));
      await drained;
      slow?.end(Buffer.from('end'));
      await once(request, 'end');
      assert.equal(read, 300_003);
    });
  });

  test('a stream that the client resets is closed', async () => {
    const closed = Promise.withResolvers<void>();
    await withClient(
      stream => {
        stream.onClose(() => closed.resolve());
        stream.respond(200, {});
        stream.write(Buffer.from('first'));
      },
      async client => {
        const request = client.request({ ':path': '/watch' });
        await once(request, 'data');
        request.close();
        await closed.promise;
      },
    );
  });
});

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

function frame(type: number, flags: number, id: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}

interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
}

/** Reads frames until one is what is looked for, or the connection ends. */
async function framesUntil(far: Duplex, found: (frame: Frame) => boolean): Promise<Frame[]> {
  const frames: Frame[] = [];
  let rest = Buffer.alloc(0);
  for await (const chunk of far.iterator({ destroyOnReturn: false })) {
    rest = Buffer.concat([rest, chunk as Buffer]);
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const length = rest.readUIntBE(0, 3);
      const payload = rest.subarray(9, 9 + length);
      const read = { type: rest[3] as number, flags: rest[4] as number, id: rest.readUInt32BE(5), payload };
      frames.push(read);
      if (found(read)) return frames;
      rest = rest.subarray(9 + length);
    }
  }
  return frames;
}

const settings = frame(4, 0, 0);
/** GET http:// / */
const get = Buffer.from([0x82, 0x86, 0x84]);
const post = Buffer.from([0x83, 0x86, 0x84]);

/** What a connection says before it ends itself. */
async function goAwayAfter(...input: readonly Uint8Array[]): Promise<number | undefined> {
  const { far } = open(echo);
  far.write(Buffer.concat([preface, settings, ...input]));
  const frames = await framesUntil(far, each => each.type === 7);
  return frames.find(each => each.type === 7)?.payload.readUInt32BE(4);
}

/** The code with which a stream is reset. */
async function resetAfter(...input: readonly Uint8Array[]): Promise<number | undefined> {
  const { far } = open(echo);
  far.write(Buffer.concat([preface, settings, ...input]));
  const frames = await framesUntil(far, each => each.type === 3 || each.type === 7);
  far.destroy();
  return frames.find(each => each.type === 3)?.payload.readUInt32BE(0);
}

describe('what an HTTP/2 client must not do', () => {
  test('ends the connection', async () => {
    const { far } = open(echo);
    far.write('GET / HTTP/1.1\r\nhost: windlass\r\n\r\n');
    const frames = await framesUntil(far, each => each.type === 7);
    assert.equal(frames.at(-1)?.payload.readUInt32BE(4), 1);
    assert.equal(await goAwayAfter(frame(0, 0, 1, Buffer.from('data on an idle stream'))), 1);
    assert.equal(await goAwayAfter(frame(1, 5, 2, get)), 1, 'an even stream');
    assert.equal(await goAwayAfter(frame(1, 5, 1, Buffer.from([0x80]))), 9, 'a broken block');
    assert.equal(await goAwayAfter(frame(1, 1, 1, get), frame(6, 0, 0, Buffer.alloc(8))), 1, 'a ping within headers');
    assert.equal(await goAwayAfter(frame(6, 0, 0, Buffer.alloc(7))), 6, 'a short ping');
    assert.equal(await goAwayAfter(frame(8, 0, 0, Buffer.alloc(4))), 1, 'a window update by nothing');
    assert.equal(await goAwayAfter(frame(8, 0, 0, Buffer.from([0x7f, 255, 255, 255]))), 3, 'a window too large');
    assert.equal(await goAwayAfter(frame(5, 0, 1, Buffer.alloc(4))), 1, 'a push');
    assert.equal(await goAwayAfter(Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 1])), 6, 'a frame too large');
    assert.equal(await goAwayAfter(frame(1, 13, 1, Buffer.from([9, 0x82]))), 1, 'more padding than frame');
  });

  test('or only its stream', async () => {
    const upper = Buffer.from([...get, 0x00, 1, 0x41, 1, 0x61]);
    assert.equal(await resetAfter(frame(1, 5, 1, upper)), 1, 'a name in capitals');
    const connection = Buffer.from([...get, 0x00, 10, ...Buffer.from('connection'), 1, 0x61]);
    assert.equal(await resetAfter(frame(1, 5, 1, connection)), 1);
    assert.equal(await resetAfter(frame(1, 5, 1, Buffer.from([0x82, 0x86]))), 1, 'no path');
    assert.equal(await resetAfter(frame(1, 5, 1, Buffer.from([...get, 0x82]))), 1, 'two methods');
    const length = Buffer.from([...post, 0x0f, 13, 1, 0x35]);
    assert.equal(await resetAfter(frame(1, 4, 1, length), frame(0, 1, 1, Buffer.from('123'))), 1, 'a shorter body');
    const huge = Buffer.concat([
      get,
      ...Array.from({ length: 9 }, () =>
        Buffer.concat([Buffer.from([0x00, 1, 0x61, 0x7f, 0xa1, 0x3e]), Buffer.alloc(8_096, 0x61)]),
      ),
    ]);
    const [first, rest] = [huge.subarray(0, 16_000), huge.subarray(16_000)];
    const more = Array.from({ length: 4 }, (_, index) => rest.subarray(index * 16_000, (index + 1) * 16_000)).filter(
      each => each.length > 0,
    );
    const continued = more.map((each, index) => frame(9, index === more.length - 1 ? 4 : 0, 1, each));
    assert.ok([11, undefined].includes(await resetAfter(frame(1, 1, 1, first), ...continued)), 'too long headers');
  });

  test('of a request that is answered before its end the rest is swallowed, for a while', async () => {
    const clock = new ManualClock();
    const { far } = open(stream => stream.respond(413, {}, true), clock);
    far.write(Buffer.concat([preface, settings, frame(1, 4, 1, post), frame(1, 4, 3, post)]));
    await framesUntil(far, each => each.type === 1 && each.id === 3);
    far.write(Buffer.concat([frame(0, 0, 1, Buffer.alloc(1000)), frame(0, 1, 1, Buffer.alloc(1000))]));
    far.write(frame(6, 0, 0, Buffer.alloc(8)));
    const swallowed = await framesUntil(far, each => each.type === 6);
    assert.ok(!swallowed.some(each => each.type === 3 || each.type === 7));
    await clock.advance(5_000);
    const cut = await framesUntil(far, each => each.type === 3);
    assert.deepEqual([cut.at(-1)?.id, cut.at(-1)?.payload.readUInt32BE(0)], [3, 0]);
    far.destroy();
  });

  test('headers without end are cut off', async () => {
    const flood = Array.from({ length: 100 }, () => frame(9, 0, 1));
    assert.equal(await goAwayAfter(frame(1, 1, 1, get), ...flood), 11);
  });

  test('more in flight than the windows allow is refused', async () => {
    // A body that nobody takes: two megabytes where one is allowed.
    const { far } = open(() => {});
    const pieces = Array.from({ length: 300 }, () => frame(0, 0, 1, Buffer.alloc(16_384)));
    far.write(Buffer.concat([preface, settings, frame(1, 4, 1, post), ...pieces]));
    const frames = await framesUntil(far, each => each.type === 3 || (each.type === 8 && each.id === 1));
    assert.equal(frames.at(-1)?.type, 8, 'within the window more is asked for');
    far.destroy();
  });

  test('opening and resetting streams for ever ends the connection', async () => {
    const cycle = Array.from({ length: 6_000 }, (_, index) =>
      Buffer.concat([frame(1, 4, 2 * index + 1, post), frame(3, 0, 2 * index + 1, Buffer.from([0, 0, 0, 8]))]),
    );
    assert.equal(await goAwayAfter(...cycle), 11);
  });

  test('more streams than allowed are refused one by one', async () => {
    const { far } = open(() => {});
    const opened = Array.from({ length: 1_001 }, (_, index) => frame(1, 5, 2 * index + 1, get));
    far.write(Buffer.concat([preface, settings, ...opened]));
    const frames = await framesUntil(far, each => each.type === 3);
    assert.deepEqual([frames.at(-1)?.id, frames.at(-1)?.payload.readUInt32BE(0)], [2_001, 7]);
    far.destroy();
  });

  test('asking without reading ends the connection', async () => {
    const { far, connection } = open(echo);
    const closed = once(connection.socket, 'finish');
    const pings = Buffer.concat(Array.from({ length: 100_000 }, () => frame(6, 0, 0, Buffer.alloc(8))));
    far.write(Buffer.concat([preface, settings]));
    for (let round = 0; round < 4; round++) far.write(pings);
    far.resume();
    await closed;
  });

  test('a client that says nothing is let go', async () => {
    const clock = new ManualClock();
    const { far } = open(echo, clock);
    far.resume();
    const ended = once(far, 'end');
    await clock.advance(10_000);
    await ended;
  });

  test('a smaller table is acknowledged in the next block', async () => {
    const { far } = open(echo);
    const noTable = Buffer.from([0, 1, 0, 0, 0, 0]);
    far.write(Buffer.concat([preface, frame(4, 0, 0, noTable), frame(1, 5, 1, get)]));
    const frames = await framesUntil(far, each => each.type === 1);
    assert.equal(frames.at(-1)?.payload[0], 0x20);
    far.destroy();
  });

  test('frames that come byte by byte are read all the same', async () => {
    const { far } = open(echo);
    for (const byte of Buffer.concat([preface, settings, frame(1, 4, 1, post), frame(0, 1, 1, Buffer.from('abc'))])) {
      far.write(Buffer.from([byte]));
      await new Promise(resolve => setImmediate(resolve));
    }
    const frames = await framesUntil(far, each => each.type === 0 && (each.flags & 1) === 1);
    assert.equal(frames.at(-1)?.payload.toString(), 'abc');
    far.destroy();
  });
});
