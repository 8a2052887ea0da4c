import type { IncomingMessage } from 'node:http';
import { PassThrough, Writable, type Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createWebSocketStream } from 'ws';
import { SpdyConnection, type SpdyStream } from '#base/spdy/connection.ts';
import { upgradeToSpdy } from './spdy-remote.ts';
import { acceptWebSocket, bytesOf, sendOn } from './web-socket-remote.ts';

/** Opens a connection to a port of the pod. */
export type Dial = (port: number) => Promise<Duplex>;

const tunnelProtocol = 'SPDY/3.1+portforward.k8s.io';
const channelProtocols = ['v4.channel.k8s.io', 'v4.base64.channel.k8s.io'];

/** Port-forward in SPDY, in SPDY inside of a WebSocket, or in a WebSocket's own channels. */
export async function servePortForward(
  request: IncomingMessage,
  socket: Duplex,
  head: Uint8Array,
  ports: readonly number[],
  dial: Dial,
): Promise<void> {
  if (request.headers.upgrade?.toLowerCase() !== 'websocket') {
    const pairs = new Pairs(dial);
    const upgraded = upgradeToSpdy(request, socket, head, ['portforward.k8s.io'], stream => pairs.add(stream));
    await upgraded?.connection.closed;
    return;
  }
  const ws = await acceptWebSocket(request, socket, head, [tunnelProtocol, ...channelProtocols]);
  if (!ws) return;
  if (ws.protocol === tunnelProtocol) {
    const pairs = new Pairs(dial);
    const tunnel = createWebSocketStream(ws, { allowHalfOpen: false });
    const connection = new SpdyConnection(tunnel, { isServer: true, onStream: stream => pairs.add(stream) });
    await connection.closed;
    return;
  }
  await serveChannels(ws, ports, dial);
}

/** Each forwarded connection is two streams with the same request id: one for the data, one for what went wrong. */
class Pairs {
  readonly #dial: Dial;
  readonly #waiting = new Map<string, SpdyStream>();

  constructor(dial: Dial) {
    this.#dial = dial;
  }

  add(stream: SpdyStream): void {
    const { headers } = stream;
    const id = headers.get('requestid') ?? headers.get('port') ?? '';
    const type = headers.get('streamtype');
    if (type !== 'data' && type !== 'error') return void stream.destroy();
    const other = this.#waiting.get(id);
    if (!other || other.headers.get('streamtype') === type) {
      this.#waiting.set(id, stream);
      stream.on('close', () => this.#waiting.get(id) === stream && this.#waiting.delete(id));
      return;
    }
    this.#waiting.delete(id);
    const [data, error] = type === 'data' ? [stream, other] : [other, stream];
    void forward(data, error, this.#dial);
  }
}

async function forward(data: SpdyStream, error: SpdyStream, dial: Dial): Promise<void> {
  const port = Number(data.headers.get('port'));
  error.resume();
  try {
    if (!(port > 0 && port < 65_536)) throw new Error(`port ${JSON.stringify(data.headers.get('port'))} is no port`);
    const connection = await dial(port);
    await join(data, connection);
  } catch (failure) {
    const message = failure instanceof Error ? failure.message : String(failure);
    await new Promise<void>(resolve => error.end(`error forwarding port ${port} to pod: ${message}`, resolve));
    data.destroy();
  } finally {
    error.end();
  }
}

/** Each end of one side ends the other's; rejects when the pod's side breaks. */
function join(client: Duplex, pod: Duplex): Promise<void> {
  return new Promise((resolve, reject) => {
    client.pipe(pod);
    pod.pipe(client);
    pod.on('error', error => {
      client.destroy();
      reject(error);
    });
    client.on('error', () => pod.destroy());
    client.on('close', () => {
      pod.destroy();
      resolve();
    });
    pod.on('close', () => {
      if (!client.writableEnded) client.end();
      resolve();
    });
  });
}

/** The older form: two channels for each port, data and error; each begins with the port as two bytes. */
async function serveChannels(
  ws: NonNullable<Awaited<ReturnType<typeof acceptWebSocket>>>,
  ports: readonly number[],
  dial: Dial,
): Promise<void> {
  const isBase64 = ws.protocol.includes('base64');
  const closed = new Promise<void>(resolve => ws.once('close', () => resolve()));
  // A client speaks at once, before its connections to the pod are there.
  const inputs = ports.map(() => new PassThrough());
  ws.on('error', () => ws.terminate());
  ws.on('message', message => {
    const raw = bytesOf(message);
    const channel = isBase64 ? Number(raw.toString('latin1', 0, 1)) : (raw[0] ?? 0);
    const input = channel % 2 === 0 ? inputs[channel / 2] : undefined;
    if (!input || input.writableEnded) return;
    const content = isBase64 ? Buffer.from(raw.toString('latin1', 1), 'base64') : raw.subarray(1);
    if (input.write(content)) return;
    ws.pause();
    input.once('drain', () => ws.resume());
  });
  const forwardOne = async (port: number, index: number, input: PassThrough): Promise<void> => {
    const send = (channel: number, content: Uint8Array) => sendOn(ws, 2 * index + channel, content, isBase64);
    const name = Buffer.from([port & 255, port >> 8]);
    await send(channels.data, name);
    await send(channels.error, name);
    try {
      const connection = await dial(port);
      void closed.then(() => connection.destroy());
      const output = new Writable({
        write: (chunk: Buffer, _encoding, done) => void send(channels.data, chunk).then(() => done()),
      });
      input.pipe(connection);
      await pipeline(connection, output);
    } catch (failure) {
      const reason = failure instanceof Error ? failure.message : String(failure);
      await send(channels.error, Buffer.from(`error forwarding port ${port} to pod: ${reason}`));
    }
  };
  await Promise.all(inputs.map((input, index) => forwardOne(ports[index] ?? 0, index, input)));
  // The pod has ended all connections: there is nothing more to come.
  ws.close(1000);
  await closed;
  for (const input of inputs) input.destroy();
}

/** Of each port's pair. */
const channels = { data: 0, error: 1 } as const;
