import type { IncomingMessage } from 'node:http';
import { PassThrough, Writable, type Duplex } from 'node:stream';
import { limits } from '#base/limits.ts';
import { type RawData, WebSocket, WebSocketServer } from 'ws';
import { parseSize, statusOf, textOf, type Outcome, type Remote, type Wanted } from './remote.ts';

const plain = ['v5.channel.k8s.io', 'v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io'];
const base64 = plain.slice(1).map(name => name.replace('channel', 'base64.channel'));
const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;
/** Version 5: `[255, channel]` ends a channel. */
const closeChannel = 255;
const noSubprotocol = '';

export function acceptWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Uint8Array,
  offered: readonly string[],
): Promise<WebSocket | undefined> {
  const header = request.headers['sec-websocket-protocol'] ?? '';
  const asked = header
    .split(',')
    .map(each => each.trim())
    .filter(Boolean);
  const chosen = asked.find(each => offered.includes(each));
  if (asked.length > 0 && chosen === undefined) {
    socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    return Promise.resolve(undefined);
  }
  const server = new WebSocketServer({
    noServer: true,
    maxPayload: limits.webSocketMessageBytesMax,
    handleProtocols: () => chosen ?? false,
  });
  return new Promise(resolve => {
    socket.once('close', () => resolve(undefined));
    server.handleUpgrade(request, socket, Buffer.from(head), resolve);
  });
}

/** An exec or attach over one WebSocket: the first byte of each message is the channel. */
export async function webSocketRemote(
  request: IncomingMessage,
  socket: Duplex,
  head: Uint8Array,
  wanted: Wanted,
): Promise<Remote | undefined> {
  const ws = await acceptWebSocket(request, socket, head, [...plain, ...base64]);
  if (!ws) return undefined;
  const isBase64 = ws.protocol.includes('base64');
  const version = /^v(\d)\./.exec(ws.protocol)?.[1] ?? (ws.protocol === noSubprotocol ? '1' : '1');
  const send = (channel: number, data: Uint8Array) => sendOn(ws, channel, data, isBase64);
  const stdin = wanted.stdin ? new PassThrough() : undefined;
  const gone = new AbortController();
  // The first one comes with the connection, before anybody listens.
  let size: ReturnType<typeof parseSize>;
  let resized: Parameters<Remote['onResize']>[0] = () => {};
  ws.on('message', (message, isBinary) => {
    const data = isBase64 && !isBinary ? decoded(bytesOf(message)) : bytesOf(message);
    const [channel] = data;
    if (channel === channels.stdin && stdin && !stdin.writableEnded) {
      if (stdin.write(data.subarray(1))) return;
      ws.pause();
      stdin.once('drain', () => ws.resume());
    } else if (channel === channels.resize) {
      size = parseSize(data.subarray(1).toString()) ?? size;
      if (size) resized(size);
    } else if (channel === closeChannel && version === '5' && data[1] === channels.stdin) stdin?.end();
  });
  ws.on('error', () => ws.terminate());
  ws.on('close', () => {
    stdin?.end();
    gone.abort(new Error('the client has gone'));
  });
  // Tells the client that its connection has come through. kubectl, which speaks version 5, needs no telling, and would
  // complain of a message that comes before it is ready for it.
  if (version !== '5') await send(wanted.stdout ? channels.stdout : channels.error, new Uint8Array());
  const writable = (channel: number) =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        if (chunk.length === 0) return done();
        return void send(channel, chunk).then(() => done(), done);
      },
      highWaterMark: 64 * 1024,
    });
  return {
    stdin,
    stdout: wanted.stdout ? writable(channels.stdout) : undefined,
    stderr: wanted.stderr && !wanted.tty ? writable(channels.stderr) : undefined,
    onResize: listener => {
      resized = listener;
      if (size) listener(size);
    },
    finish: outcome => finish(ws, version, send, outcome),
    gone: gone.signal,
  };
}

async function finish(
  ws: WebSocket,
  version: string,
  send: (channel: number, data: Uint8Array) => Promise<void>,
  outcome: Outcome,
): Promise<void> {
  const hasStatus = version === '4' || version === '5';
  const text = hasStatus ? JSON.stringify(statusOf(outcome)) : textOf(outcome);
  if (text !== '') await send(channels.error, Buffer.from(text));
  if (ws.readyState !== WebSocket.OPEN) return;
  const closed = new Promise<void>(resolve => ws.once('close', () => resolve()));
  ws.close(1000);
  await closed;
}

/** Resolves when it is on its way, or nobody is there any more. */
export function sendOn(ws: WebSocket, channel: number, data: Uint8Array, isBase64: boolean): Promise<void> {
  if (ws.readyState !== WebSocket.OPEN) return Promise.resolve();
  const message = isBase64
    ? `${channel}${Buffer.from(data).toString('base64')}`
    : Buffer.concat([Buffer.from([channel]), data]);
  return new Promise(resolve => ws.send(message, { binary: !isBase64 }, () => resolve()));
}

export function bytesOf(message: RawData): Buffer {
  if (Array.isArray(message)) return Buffer.concat(message);
  return Buffer.isBuffer(message) ? message : Buffer.from(message);
}

/** `0aGVsbG8=`: the channel as a digit, then base64. */
function decoded(message: Buffer): Buffer {
  const channel = Number(message.toString('latin1', 0, 1));
  return Buffer.concat([Buffer.from([channel]), Buffer.from(message.toString('latin1', 1), 'base64')]);
}
