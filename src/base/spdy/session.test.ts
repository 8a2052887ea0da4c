import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import { buffer } from 'node:stream/consumers';
import { createDeflate, constants } from 'node:zlib';
import { headerDictionary } from './dictionary.ts';
import { HeaderReader, HeaderWriter } from './headers.ts';
import { SpdySession, type SpdyStream } from './session.ts';

test('the dictionary is the one of the draft', async () => {
  // Compressed headers name it by its Adler-32 sum, which is known.
  const deflate = createDeflate({ dictionary: headerDictionary, flush: constants.Z_SYNC_FLUSH });
  deflate.write('x');
  deflate.end();
  assert.equal((await buffer(deflate)).subarray(2, 6).toString('hex'), 'e3c6a7c2');
});

test('headers are read as others compress them, and as we write them', async () => {
  const deflate = createDeflate({ dictionary: headerDictionary, flush: constants.Z_SYNC_FLUSH });
  const compressed = async (plain: Buffer) => {
    const parts: Buffer[] = [];
    const take = (part: Buffer) => parts.push(part);
    deflate.on('data', take);
    await new Promise<void>(resolve => deflate.write(plain, () => resolve()));
    deflate.off('data', take);
    return Buffer.concat(parts);
  };
  const block = (name: string, value: string) => {
    const part = (word: string) => Buffer.concat([Buffer.from([0, 0, 0, word.length]), Buffer.from(word)]);
    return Buffer.concat([Buffer.from([0, 0, 0, 1]), part(name), part(value)]);
  };
  const reader = new HeaderReader();
  assert.deepEqual({ ...(await reader.read(await compressed(block('streamtype', 'stdin')))) }, { streamtype: 'stdin' });
  assert.deepEqual({ ...(await reader.read(await compressed(block('port', '80')))) }, { port: '80' });
  reader.close();
  deflate.destroy();
  const ours = new HeaderReader();
  const writer = new HeaderWriter();
  assert.deepEqual({ ...(await ours.read(writer.write({ StreamType: 'error' }))) }, { streamtype: 'error' });
  assert.deepEqual({ ...(await ours.read(writer.write({ a: 'b', __proto__x: 'c' }))) }, { a: 'b', __proto__x: 'c' });
  ours.close();
  // Go's reader takes a block only with the flush behind it.
  assert.equal(writer.write({ a: 'b' }).subarray(-5).toString('hex'), '000000ffff');
});

test('streams carry data both ways, are half-closed and reset', async () => {
  const [left, right] = duplexPair();
  const accepted: SpdyStream[] = [];
  const opened = Promise.withResolvers<SpdyStream>();
  const server = new SpdySession(left, {
    server: true,
    onStream(stream) {
      accepted.push(stream);
      opened.resolve(stream);
    },
  });
  const client = new SpdySession(right, { server: false });
  const stream = client.open({ streamType: 'data', port: '80' });
  const other = await opened.promise;
  assert.equal(other.headers.streamtype, 'data');
  const big = Buffer.alloc(300_000, 7);
  stream.end(big);
  const received = await read(other);
  assert.ok(received.equals(big));
  other.end('answer');
  assert.equal((await read(stream)).toString(), 'answer');
  client.close();
  server.close();
});

/** Not by iterating: that destroys the stream behind itself, and with it the way back. */
function read(stream: SpdyStream): Promise<Buffer> {
  const parts: Buffer[] = [];
  stream.on('data', (part: Buffer) => parts.push(part));
  return new Promise(resolve => stream.once('end', () => resolve(Buffer.concat(parts))));
}
