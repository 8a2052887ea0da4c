import type { IncomingMessage } from 'node:http';
import { duplexPair, type Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ManualClock } from '#base/clock.ts';
import { SpdyConnection } from '#base/spdy/connection.ts';
import { FrameReader, FrameWriter } from '#base/spdy/frames.ts';
import { encodeHeaders, HpackDecoder, HpackError } from '#apiserver/http/hpack.ts';
import { Http2Connection } from '#apiserver/http/http2-connection.ts';
import { parseLogLine } from '#kubelet/streams/log-format.ts';
import { servePortForward } from '#kubelet/streams/port-forward.ts';
import { spdyRemote } from '#kubelet/streams/spdy-remote.ts';
import { webSocketRemote } from '#kubelet/streams/web-socket-remote.ts';
import { holds, shown, type Target } from '../target.ts';

const everything = { stdin: true, stdout: true, stderr: true, tty: true };

/** Some bytes in pieces, as a network cuts them; a piece boundary is where the input says so. */
function pieces(input: Buffer): readonly Buffer[] {
  const size = Math.max(1, (input[0] ?? 1) % 64) * 16;
  const found: Buffer[] = [];
  for (let at = 1; at < input.length; at += size) found.push(input.subarray(at, at + size));
  return found;
}

function spdySession(): Buffer {
  const writer = new FrameWriter();
  const headers = (streamtype: string) =>
    new Map([
      ['streamtype', streamtype],
      ['port', '80'],
      ['requestid', '0'],
    ]);
  return Buffer.concat([
    Buffer.of(7),
    ...['error', 'data', 'stdin', 'stdout', 'resize'].map((type, index) =>
      writer.encode({ type: 'synStream', streamId: 2 * index + 1, headers: headers(type), fin: false }),
    ),
    writer.encode({ type: 'data', streamId: 5, data: Buffer.from('hello'), fin: false }),
    writer.encode({ type: 'data', streamId: 9, data: Buffer.from('{"Width":80,"Height":24}'), fin: false }),
    writer.encode({ type: 'ping', id: 1 }),
    writer.encode({ type: 'settings' }),
    writer.encode({ type: 'windowUpdate', streamId: 1, delta: 10 }),
    writer.encode({ type: 'headers', streamId: 1, headers: headers('x'), fin: true }),
    writer.encode({ type: 'rstStream', streamId: 3, status: 1 }),
    writer.encode({ type: 'data', streamId: 5, data: Buffer.alloc(0), fin: true }),
    writer.encode({ type: 'goAway', lastStreamId: 0, status: 0 }),
  ]);
}

const frames: Target = {
  name: 'spdy-frames',
  form: 'bytes',
  seeds: () => [spdySession()],
  declares: error => error instanceof Error && !(error instanceof TypeError),
  run(input) {
    const reader = new FrameReader();
    let found = '';
    for (const piece of pieces(input))
      for (const frame of reader.decode(piece)) {
        found += `${frame.type[0]}${frame.type[1]}`;
        if ('headers' in frame) holds(frame.headers.size <= 100, () => `${frame.headers.size} headers`);
      }
    return found.slice(0, 40);
  },
};

/** Writes pieces to one end, reads on at the other, ends, and waits until whoever serves has ended as well. */
async function converse(client: Duplex, input: Buffer, served: Promise<unknown>): Promise<number> {
  let bytes = 0;
  client.on('data', (chunk: Buffer) => (bytes += chunk.length));
  client.on('error', () => undefined);
  for (const piece of pieces(input)) {
    if (client.destroyed || client.writableEnded) break;
    client.write(piece);
    await nextTurn();
  }
  client.end();
  await nextTurn();
  client.destroy();
  await served;
  return bytes;
}

function request(headers: Record<string, string>): IncomingMessage {
  return { method: 'GET', headers } as unknown as IncomingMessage;
}

const echo = (): Promise<Duplex> => {
  const [ours, theirs] = duplexPair();
  ours.pipe(ours);
  return Promise.resolve(theirs);
};

const sessions: Target = {
  name: 'spdy-session',
  form: 'bytes',
  seeds: () => [spdySession()],
  declares: () => false,
  async run(input) {
    const clock = new ManualClock();
    const [client, server] = duplexPair();
    const exec = spdyRemote(
      request({ 'x-stream-protocol-version': 'v4.channel.k8s.io' }),
      server,
      new Uint8Array(),
      everything,
      clock,
    ).then(async remote => {
      if (!remote) return;
      remote.onResize(() => undefined);
      remote.stdin?.resume();
      remote.stdout?.write('out');
      await remote.finish({ kind: 'exit', code: 1 });
    });
    const bytes = await converse(client, input, exec);
    const [forwarding, other] = duplexPair();
    await converse(forwarding, input, servePortForward(request({}), other, new Uint8Array(), [80], echo));
    const [raw, rawServer] = duplexPair();
    let streams = 0;
    const connection = new SpdyConnection(rawServer, {
      isServer: true,
      onStream: stream => (streams++, stream.resume(), void stream.end('x')),
    });
    await converse(raw, input, connection.closed);
    return `${streams} ${Math.min(bytes, 300)}`;
  },
};

/** A message from a client to a server, with the mask of zeros. */
function message(opcode: number, payload: Uint8Array, fin = true): Buffer {
  const head = Buffer.of((fin ? 0x80 : 0) | opcode, 0x80 | Math.min(payload.length, 126));
  const long = payload.length >= 126 ? Buffer.of(payload.length >> 8, payload.length & 255) : Buffer.alloc(0);
  return Buffer.concat([head, long, Buffer.alloc(4), payload]);
}

const webSockets: Target = {
  name: 'web-socket',
  form: 'bytes',
  seeds: () => [
    Buffer.concat([
      Buffer.of(5),
      message(2, Buffer.from('\0hello')),
      message(2, Buffer.from('\u0004{"Width":80,"Height":24}')),
      message(9, Buffer.from('ping')),
      message(2, Buffer.of(255, 0)),
      message(8, Buffer.of(3, 232)),
    ]),
    Buffer.concat([
      Buffer.of(9),
      message(1, Buffer.from('0aGVsbG8=')),
      message(1, Buffer.from('4'), false),
      message(0, Buffer.from('e30=')),
    ]),
    Buffer.concat([Buffer.of(3), message(2, Buffer.concat([Buffer.of(0), spdySession().subarray(1)]))]),
  ],
  declares: () => false,
  async run(input) {
    let total = 0;
    for (const protocol of [
      'v5.channel.k8s.io',
      'v4.base64.channel.k8s.io',
      'SPDY/3.1+portforward.k8s.io',
      'v4.channel.k8s.io',
    ]) {
      const [client, server] = duplexPair();
      // What the library asks of a socket beside a stream.
      Object.assign(server, { setTimeout: () => server, setNoDelay: () => server });
      const upgrade = request({
        upgrade: 'websocket',
        connection: 'Upgrade',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        'sec-websocket-version': '13',
        'sec-websocket-protocol': protocol,
      });
      const served =
        protocol.startsWith('SPDY') || protocol === 'v4.channel.k8s.io'
          ? servePortForward(upgrade, server, new Uint8Array(), [80], echo)
          : webSocketRemote(upgrade, server, new Uint8Array(), everything).then(async remote => {
              if (!remote) return;
              remote.onResize(() => undefined);
              remote.stdin?.resume();
              remote.stdout?.write('out');
              await nextTurn();
              await remote.finish({ kind: 'success' });
            });
      total += await converse(client, input, served);
    }
    return `${total}`;
  },
};

const headerBlocks: Target = {
  name: 'hpack',
  form: 'bytes',
  seeds: () => [
    Buffer.from('828684418cf1e3c2e5f23a6ba0ab90f4ff', 'hex'),
    Buffer.from('828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf', 'hex'),
    Buffer.from(encodeHeaders(200, { 'content-type': 'application/json', 'x-a': 'é' })),
    Buffer.from('3fe11f82', 'hex'),
  ],
  declares: error => error instanceof HpackError,
  run(input) {
    const decoder = new HpackDecoder(16_384);
    const half = (input[0] ?? 0) % (input.length + 1);
    const first = decoder.decode(input.subarray(0, half));
    const headers = decoder.decode(input.subarray(half));
    const characters = [...(first ?? []), ...(headers ?? [])].join('').length;
    holds(characters <= 2 * 16_384, () => `${characters} characters`);
    // What was read can be written and read.
    const named = Object.fromEntries(
      Array.from({ length: (headers?.length ?? 0) / 2 }, (_, at) => [`h${at}`, headers?.[2 * at + 1] ?? '']),
    );
    const again = new HpackDecoder(1_000_000).decode(Buffer.from(encodeHeaders(200, named)));
    holds((again?.length ?? 0) === 2 + 2 * Object.keys(named).length, () => `${shown(named)} becomes ${shown(again)}`);
    return `${first?.length} ${headers?.length}`;
  },
};

function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const hello = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0)]);
const getRoot = Buffer.from([0x82, 0x87, 0x84, 0x41, 0x01, 0x61]);
const postRoot = Buffer.from([0x83, 0x87, 0x84, 0x41, 0x01, 0x61]);

const http2: Target = {
  name: 'http2',
  form: 'bytes',
  seeds: () => [
    Buffer.concat([
      Buffer.of(9),
      hello,
      frame(1, 5, 1, getRoot),
      frame(1, 4, 3, postRoot),
      frame(0, 0, 3, Buffer.from('body')),
      frame(0, 9, 3, Buffer.from('\u0002xy\0\0')),
      frame(8, 0, 0, Buffer.of(0, 0, 1, 0)),
      frame(6, 0, 0, Buffer.alloc(8)),
      frame(3, 0, 1, Buffer.of(0, 0, 0, 8)),
    ]),
    Buffer.concat([
      Buffer.of(2),
      hello,
      frame(1, 1, 1, getRoot.subarray(0, 2)),
      frame(9, 4, 1, getRoot.subarray(2)),
      frame(4, 0, 0, Buffer.of(0, 4, 0, 0, 0, 1)),
      frame(2, 0, 1, Buffer.alloc(5)),
      frame(1, 0x25, 5, Buffer.concat([Buffer.alloc(5), getRoot])),
      frame(7, 0, 0, Buffer.alloc(8)),
    ]),
    Buffer.concat([
      Buffer.of(60),
      hello,
      frame(4, 1, 0),
      frame(5, 4, 1, Buffer.alloc(8)),
      frame(99, 255, 7, Buffer.from('?')),
    ]),
  ],
  declares: () => false,
  async run(input) {
    const clock = new ManualClock();
    const [client, server] = duplexPair();
    const closed = new Promise<void>(resolve => server.once('close', resolve));
    server.on('error', () => undefined);
    server.on('end', () => server.destroy());
    let streams = 0;
    const bodies: Promise<unknown>[] = [];
    void new Http2Connection(server, {
      clock,
      onStream(stream) {
        streams++;
        bodies.push(
          stream.body().then(
            () => {
              stream.respond(200, { 'content-type': 'text/plain' });
              stream.end(Buffer.from('answer'));
            },
            () => stream.respond(400, {}, true),
          ),
        );
      },
    });
    const bytes = await converse(client, input, closed);
    await Promise.all(bodies);
    return `${streams} ${Math.min(bytes, 400)}`;
  },
};

const logLines: Target = {
  name: 'log-line',
  form: 'text',
  words: ['2026-01-01T00:00:00.123456789Z', ' stdout ', ' stderr ', 'F ', 'P ', '\n', '+01:00'],
  seeds: () => ['2026-01-01T00:00:00.123456789Z stdout F hello\n', '2026-01-01T00:00:00Z stderr P part'],
  declares: () => false,
  run(input) {
    const line = parseLogLine(input);
    return `${line === undefined}`;
  },
};

export const wireTargets: readonly Target[] = [frames, sessions, webSockets, headerBlocks, http2, logLines];
