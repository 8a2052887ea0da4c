import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { SpdyConnection, type SpdyStream } from './connection.ts';
import { headerDictionary } from './dictionary.ts';
import { FrameReader, FrameWriter, type Frame } from './frames.ts';

test('the dictionary is the one of the protocol', () => {
  let [a, b] = [1, 0];
  for (const byte of headerDictionary) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  assert.equal(headerDictionary.length, 1423);
  assert.equal((b * 65536 + a) >>> 0, 0xe3c6a7c2);
});

test('frames survive being cut anywhere', () => {
  const frames: Frame[] = [
    {
      type: 'synStream',
      streamId: 1,
      headers: new Map([
        ['streamtype', 'stdin'],
        ['port', '80'],
      ]),
      fin: false,
    },
    { type: 'synReply', streamId: 1, headers: new Map(), fin: true },
    { type: 'data', streamId: 1, data: Buffer.from('hello'), fin: true },
    { type: 'headers', streamId: 3, headers: new Map([['port', '80']]), fin: false },
    { type: 'rstStream', streamId: 3, status: 5 },
    { type: 'ping', id: 7 },
    { type: 'goAway', lastStreamId: 3, status: 0 },
    { type: 'windowUpdate', streamId: 1, delta: 65536 },
  ];
  const writer = new FrameWriter();
  const bytes = Buffer.concat(frames.map(frame => writer.encode(frame)));
  const reader = new FrameReader();
  const found: Frame[] = [];
  for (const byte of bytes) found.push(...reader.decode(Buffer.from([byte])));
  assert.deepEqual(found, frames);
});

test('headers of a peer that keeps one zlib context are read, and the ones written are read by such a peer', async () => {
  const block = (name: string, value: string) => {
    const number = (length: number) => Buffer.from([0, 0, 0, length]);
    return Buffer.concat([number(1), number(name.length), Buffer.from(name), number(value.length), Buffer.from(value)]);
  };
  const deflate = zlib.createDeflate({ dictionary: headerDictionary });
  const packed = async (plain: Buffer) => {
    const chunks: Buffer[] = [];
    const collect = (chunk: Buffer) => chunks.push(chunk);
    deflate.on('data', collect);
    deflate.write(plain);
    await new Promise<void>(resolve => deflate.flush(zlib.constants.Z_SYNC_FLUSH, () => resolve()));
    deflate.off('data', collect);
    return Buffer.concat(chunks);
  };
  const reader = new FrameReader();
  for (let id = 1; id < 9; id += 2) {
    const body = Buffer.concat([
      Buffer.from([0, 0, 0, id, 0, 0, 0, 0, 0, 0]),
      await packed(block('streamtype', 'error')),
    ]);
    const head = Buffer.from([0x80, 3, 0, 1, 0, 0, 0, body.length]);
    const [frame] = [...reader.decode(Buffer.concat([head, body]))];
    assert.deepEqual(frame, {
      type: 'synStream',
      streamId: id,
      headers: new Map([['streamtype', 'error']]),
      fin: false,
    });
  }
  deflate.close();
  const inflate = zlib.createInflate({ dictionary: headerDictionary });
  const writer = new FrameWriter();
  const plain: Buffer[] = [];
  inflate.on('data', (chunk: Buffer) => plain.push(chunk));
  for (let id = 1; id < 7; id += 2) {
    inflate.write(
      writer.encode({ type: 'synStream', streamId: id, headers: new Map([['port', '80']]), fin: false }).subarray(18),
    );
    await new Promise<void>(resolve => inflate.flush(() => resolve()));
  }
  assert.deepEqual(Buffer.concat(plain), Buffer.concat([1, 2, 3].map(() => block('port', '80'))));
  inflate.close();
});

/** Unlike `stream/consumers`, does not destroy the stream, which is to be written to afterwards. */
async function text(stream: Duplex): Promise<string> {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  await new Promise(resolve => stream.on('end', resolve));
  return Buffer.concat(chunks).toString();
}

function pair(): [Duplex, Duplex] {
  const make = (other: () => Duplex) =>
    new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        setImmediate(() => {
          other().push(chunk);
          done();
        });
      },
      final(done) {
        other().push(null);
        done();
      },
    });
  const left: Duplex = make(() => right);
  const right: Duplex = make(() => left);
  return [left, right];
}

test('streams carry bytes both ways and end one way at a time', async () => {
  const [left, right] = pair();
  const accepted = Promise.withResolvers<SpdyStream>();
  const server = new SpdyConnection(right, { isServer: true, onStream: accepted.resolve });
  const client = new SpdyConnection(left, { isServer: false, onStream() {} });
  const mine = client.open(new Map([['streamtype', 'data']]));
  const theirs = await accepted.promise;
  assert.equal(theirs.headers.get('streamtype'), 'data');
  const big = 'x'.repeat(300_000);
  mine.end(big);
  assert.equal((await text(theirs)).length, big.length);
  theirs.end('answer');
  assert.equal(await text(mine), 'answer');
  server.close();
  await client.closed;
});

test('garbage ends the connection', async () => {
  const [left, right] = pair();
  left.on('error', () => undefined);
  right.on('error', () => undefined);
  const server = new SpdyConnection(right, { isServer: true, onStream() {} });
  left.write(Buffer.from([0x80, 2, 0, 1, 0, 0, 0, 0]));
  await server.closed;
});
