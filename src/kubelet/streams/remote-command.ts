import { PassThrough, Writable, type Readable } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Clock } from '#base/clock.ts';
import { SpdySession, type SpdyStream } from '#base/spdy/session.ts';
import { acceptSpdy, acceptWebSocket, isSpdyUpgrade, isWebSocketUpgrade, refuse, type Upgrade } from './upgrade.ts';

/** Which streams a client asked for. */
export interface WantedStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

export interface TerminalSize {
  readonly width: number;
  readonly height: number;
}

/** The client's ends of a command's streams; only the wanted ones are there. */
export interface CommandStreams {
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  onResize(listener: (size: TerminalSize) => void): void;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
}

/** How a command ended, or why it could not be run. */
export type CommandResult = { readonly exitCode: number } | { readonly error: string };

export type RunCommand = (streams: CommandStreams) => Promise<CommandResult>;

/** How long a client may take to open its streams (upstream's creation timeout). */
const streamsTimeoutMs = 30_000;

/** Serves exec and attach over WebSocket (v5 down to v1, binary and base64) or SPDY/3.1, whichever the client speaks. */
export async function serveRemoteCommand(
  upgrade: Upgrade,
  wanted: WantedStreams,
  run: RunCommand,
  clock: Clock,
): Promise<void> {
  if (isSpdyUpgrade(upgrade)) return overSpdy(upgrade, wanted, run, clock);
  if (isWebSocketUpgrade(upgrade)) return overWebSocket(upgrade, wanted, run);
  refuse(upgrade.socket, 400, 'Upgrade request required');
}

const spdyProtocols = ['v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io'];

async function overSpdy(upgrade: Upgrade, wanted: WantedStreams, run: RunCommand, clock: Clock): Promise<void> {
  const protocol = acceptSpdy(upgrade, spdyProtocols);
  if (protocol === undefined) return;
  const resizes = wanted.tty && (protocol === 'v4.channel.k8s.io' || protocol === 'v3.channel.k8s.io');
  const expected = [
    'error',
    ...(wanted.stdin ? ['stdin'] : []),
    ...(wanted.stdout ? ['stdout'] : []),
    ...(wanted.stderr && !wanted.tty ? ['stderr'] : []),
    ...(resizes ? ['resize'] : []),
  ];
  const streams = new Map<string, SpdyStream>();
  const complete = Promise.withResolvers<boolean>();
  const gone = new AbortController();
  const session = new SpdySession(upgrade.socket, {
    server: true,
    onStream(stream) {
      const { streamtype = '' } = stream.headers;
      // Two of a kind, or one that nobody asked for.
      if (streams.has(streamtype) || !expected.includes(streamtype)) return void stream.destroy();
      streams.set(streamtype, stream);
      if (streams.size === expected.length) complete.resolve(true);
    },
    onClose() {
      complete.resolve(false);
      gone.abort(new Error('the client has gone'));
    },
  });
  const cancel = clock.after(streamsTimeoutMs, () => complete.resolve(false));
  const opened = await complete.promise;
  cancel();
  if (!opened) return session.close();
  const { stdin, stdout, stderr, resize, error } = Object.fromEntries(streams);
  // What the client does not send it need not keep open.
  stdout?.resume();
  stderr?.resume();
  error?.resume();
  const resized = resize ? sizesFrom(resize) : undefined;
  const result = await outcome(run, {
    ...(stdin && { stdin }),
    ...(stdout && { stdout }),
    ...(stderr && { stderr }),
    onResize: listener => resized?.(listener),
    signal: gone.signal,
  });
  await Promise.all([stdout, stderr].map(each => (each ? ended(each) : undefined)));
  if (error) {
    const text = protocol === 'v4.channel.k8s.io' ? JSON.stringify(statusOf(result)) : messageOf(result);
    await ended(error, text);
  }
  session.close();
}

const webSocketProtocols = [
  'v5.channel.k8s.io',
  'v4.channel.k8s.io',
  'v4.base64.channel.k8s.io',
  'v3.channel.k8s.io',
  'v2.channel.k8s.io',
  'channel.k8s.io',
  'base64.channel.k8s.io',
];

const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

async function overWebSocket(upgrade: Upgrade, wanted: WantedStreams, run: RunCommand): Promise<void> {
  const socket = await acceptWebSocket(upgrade, webSocketProtocols);
  if (!socket) return;
  const { protocol } = socket;
  const encoding = protocol.includes('base64') ? 'base64' : 'binary';
  const stdin = wanted.stdin ? new PassThrough() : undefined;
  const gone = new AbortController();
  const listeners: ((size: TerminalSize) => void)[] = [];
  const sizes: TerminalSize[] = [];
  socket.on('message', (message: Buffer) => {
    const [channel, payload] = decode(message, encoding);
    switch (channel) {
      case channels.stdin:
        // The client is held back until the command has read.
        if (stdin && !stdin.writableEnded && payload.length > 0 && !stdin.write(payload)) {
          socket.pause();
          stdin.once('drain', () => socket.resume());
        }
        return;
      case channels.resize: {
        const size = sizeFrom(payload.toString());
        if (!size) return;
        sizes.push(size);
        for (const listener of listeners) listener(size);
        return;
      }
      case channels.close:
        // v5: half-close of a channel.
        if (protocol === 'v5.channel.k8s.io' && payload[0] === channels.stdin) stdin?.end();
        return;
    }
  });
  socket.on('error', () => socket.terminate());
  socket.on('close', () => {
    stdin?.end();
    gone.abort(new Error('the client has gone'));
  });
  const output = (channel: number) => channelWriter(socket, channel, encoding);
  const result = await outcome(run, {
    ...(stdin && { stdin }),
    ...(wanted.stdout && { stdout: output(channels.stdout) }),
    ...(wanted.stderr && !wanted.tty && { stderr: output(channels.stderr) }),
    onResize(listener) {
      listeners.push(listener);
      const last = sizes.at(-1);
      if (last) listener(last);
    },
    signal: gone.signal,
  });
  const modern = protocol.startsWith('v5') || protocol.startsWith('v4');
  const text = modern ? JSON.stringify(statusOf(result)) : messageOf(result);
  if (text !== '') await send(socket, channels.error, Buffer.from(text), encoding);
  socket.close(1000);
}

async function outcome(run: RunCommand, streams: CommandStreams): Promise<CommandResult> {
  try {
    return await run(streams);
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

/** What a v4 or v5 client reads on the error channel. */
function statusOf(result: CommandResult): object {
  if ('error' in result)
    return {
      metadata: {},
      status: 'Failure',
      message: `Internal error occurred: ${result.error}`,
      reason: 'InternalError',
      details: { causes: [{ message: result.error }] },
      code: 500,
    };
  if (result.exitCode === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: exit status ${result.exitCode}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(result.exitCode) }] },
  };
}

/** What older clients read there: nothing when all went well. */
function messageOf(result: CommandResult): string {
  if ('error' in result) return result.error;
  return result.exitCode === 0 ? '' : `command terminated with non-zero exit code: exit status ${result.exitCode}`;
}

type Encoding = 'binary' | 'base64';

/** The first byte names the channel: as a number, or as a digit before base64. */
function decode(message: Buffer, encoding: Encoding): readonly [number, Buffer] {
  if (message.length === 0) return [-1, message];
  const first = message.readUInt8(0);
  if (encoding === 'binary') return [first, message.subarray(1)];
  return [first - 0x30, Buffer.from(message.subarray(1).toString('latin1'), 'base64')];
}

function channelWriter(socket: WebSocket, channel: number, encoding: Encoding): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      send(socket, channel, chunk, encoding).then(() => done(), done);
    },
  });
}

function send(socket: WebSocket, channel: number, payload: Buffer, encoding: Encoding): Promise<void> {
  const message =
    encoding === 'binary' ? Buffer.concat([Buffer.of(channel), payload]) : `${channel}${payload.toString('base64')}`;
  return new Promise((resolve, reject) => {
    // A client that has gone is no error of the command.
    if (socket.readyState !== socket.OPEN) return resolve();
    socket.send(message, error => (error && socket.readyState === socket.OPEN ? reject(error) : resolve()));
  });
}

/** Sizes come as JSON documents, one behind the other. */
function sizesFrom(stream: SpdyStream): (listener: (size: TerminalSize) => void) => void {
  const listeners: ((size: TerminalSize) => void)[] = [];
  let last: TerminalSize | undefined;
  let rest = '';
  stream.on('data', (chunk: Buffer) => {
    rest += chunk.toString();
    for (let end = rest.indexOf('}'); end >= 0; end = rest.indexOf('}')) {
      const size = sizeFrom(rest.slice(0, end + 1));
      rest = rest.slice(end + 1);
      if (!size) continue;
      last = size;
      for (const listener of listeners) listener(size);
    }
    if (rest.length > 1024) rest = '';
  });
  return listener => {
    listeners.push(listener);
    if (last) listener(last);
  };
}

function sizeFrom(text: string): TerminalSize | undefined {
  try {
    const value = JSON.parse(text) as { Width?: unknown; Height?: unknown } | null;
    const width = Number(value?.Width);
    const height = Number(value?.Height);
    return width > 0 && width < 65_536 && height > 0 && height < 65_536 ? { width, height } : undefined;
  } catch {
    // A client's nonsense changes no terminal.
    return undefined;
  }
}

/** Writes the last words and half-closes; resolves when they are written or nobody is there to read them. */
function ended(stream: Writable, lastWords = ''): Promise<void> {
  return new Promise(resolve => {
    if (stream.destroyed || stream.writableEnded) return resolve();
    stream.once('close', () => resolve());
    stream.end(lastWords, () => resolve());
  });
}
