import { Duplex } from 'node:stream';
import { createWebSocketStream, type WebSocket } from 'ws';
import type { Clock } from '#base/clock.ts';
import { SpdySession, type SpdyStream } from '#base/spdy/session.ts';
import { acceptSpdy, acceptWebSocket, isSpdyUpgrade, isWebSocketUpgrade, refuse, type Upgrade } from './upgrade.ts';

/** Connects to a port inside of the pod. */
export type OpenPort = (port: number) => Promise<Duplex>;

const protocol = 'portforward.k8s.io';
/** kubectl's default: SPDY frames inside of a WebSocket. */
const tunnelProtocol = 'SPDY/3.1+portforward.k8s.io';
const legacyProtocols = ['v4.channel.k8s.io', 'v4.base64.channel.k8s.io'];
/** How long the second stream of a pair may take (upstream's creation timeout). */
const pairTimeoutMs = 30_000;

/** Serves port-forward over SPDY/3.1, SPDY in a WebSocket, or WebSocket channels. `ports` are those of the query. */
export async function servePortForward(
  upgrade: Upgrade,
  ports: readonly number[],
  open: OpenPort,
  clock: Clock,
): Promise<void> {
  if (isSpdyUpgrade(upgrade)) {
    if (acceptSpdy(upgrade, [protocol]) !== undefined) await overSpdy(upgrade.socket, open, clock);
    return;
  }
  if (!isWebSocketUpgrade(upgrade)) return refuse(upgrade.socket, 400, 'Upgrade request required');
  const socket = await acceptWebSocket(upgrade, [tunnelProtocol, ...legacyProtocols]);
  if (!socket) return;
  if (socket.protocol === tunnelProtocol) return overSpdy(createWebSocketStream(socket), open, clock);
  return overChannels(socket, ports, open);
}

/** A client opens an error and a data stream for each connection, both with its request id. Resolves when it has gone. */
function overSpdy(connection: Duplex, open: OpenPort, clock: Clock): Promise<void> {
  return new Promise(resolve => {
    const waiting = new Map<string, { readonly stream: SpdyStream; readonly cancel: () => void }>();
    // A client that breaks off is no error of the pod's.
    connection.on('error', () => {});
    new SpdySession(connection, {
      server: true,
      onStream(stream) {
        const { streamtype: type = '', requestid: id = '', port = '' } = stream.headers;
        if ((type !== 'data' && type !== 'error') || !isPort(port)) return void stream.destroy();
        const key = id === '' ? port : id;
        const other = waiting.get(key);
        if (other && other.stream.headers.streamtype !== type) {
          waiting.delete(key);
          other.cancel();
          const [data, error] = type === 'data' ? [stream, other.stream] : [other.stream, stream];
          void forward(data, Number(port), open, message => error.end(message));
          return;
        }
        const cancel = clock.after(pairTimeoutMs, () => {
          waiting.delete(key);
          stream.destroy();
        });
        waiting.set(key, { stream, cancel });
      },
      onClose() {
        for (const { cancel } of waiting.values()) cancel();
        resolve();
      },
    });
  });
}

/** Joins a client's stream with a connection to the port. Both ways end by themselves; the error stream is ended last. */
async function forward(data: Duplex, port: number, open: OpenPort, finish: (message: string) => void): Promise<void> {
  let target: Duplex;
  try {
    target = await open(port);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    finish(`an error occurred forwarding ${port}: ${reason}`);
    data.destroy();
    return;
  }
  await join(data, target);
  finish('');
}

/** Copies both ways, half-closing each as the other ends. Resolves when both are done or one has broken. */
function join(left: Duplex, right: Duplex): Promise<void> {
  return new Promise(resolve => {
    let open = 2;
    const done = () => {
      if (--open === 0) resolve();
    };
    const broken = () => {
      left.destroy();
      right.destroy();
      resolve();
    };
    for (const each of [left, right]) each.on('error', broken);
    left.once('close', broken);
    right.once('close', () => {
      if (!left.writableEnded) left.end();
    });
    left.once('end', done);
    right.once('end', done);
    left.pipe(right);
    right.pipe(left);
  });
}

/** Channel 2n carries data, 2n+1 errors; the first message of each is the port, little-endian. */
async function overChannels(socket: WebSocket, ports: readonly number[], open: OpenPort): Promise<void> {
  const base64 = socket.protocol.includes('base64');
  const send = (channel: number, payload: Buffer, done: (error?: Error | null) => void = () => {}) => {
    if (socket.readyState !== socket.OPEN) return done();
    socket.send(
      base64 ? `${channel}${payload.toString('base64')}` : Buffer.concat([Buffer.of(channel), payload]),
      done,
    );
  };
  const streams = ports.map(
    (_, index) =>
      new Duplex({
        read() {
          socket.resume();
        },
        write(chunk: Buffer, _encoding, done) {
          send(2 * index, chunk, done);
        },
      }),
  );
  socket.on('message', (message: Buffer) => {
    const channel = base64 ? message.readUInt8(0) - 0x30 : message.readUInt8(0);
    const payload = base64 ? Buffer.from(message.subarray(1).toString('latin1'), 'base64') : message.subarray(1);
    const stream = channel % 2 === 0 ? streams[channel / 2] : undefined;
    if (stream && payload.length > 0 && !stream.push(payload)) socket.pause();
  });
  socket.on('error', () => socket.terminate());
  const closed = new Promise<void>(resolve => socket.on('close', () => resolve()));
  void closed.then(() => streams.forEach(stream => stream.push(null)));
  for (const [index, port] of ports.entries()) {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16LE(port);
    send(2 * index, bytes);
    send(2 * index + 1, bytes);
  }
  await Promise.all(
    ports.map((port, index) =>
      forward(streams[index] as Duplex, port, open, message => {
        if (message !== '') send(2 * index + 1, Buffer.from(message));
      }),
    ),
  );
  socket.close(1000);
  await closed;
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) > 0 && Number(text) < 65_536;
}
