import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { SpdyConnection, type SpdyStream } from '#base/spdy/connection.ts';
import { type AttachRequest, type ExecSession, RuntimeError } from '../runtime.ts';

/** The runtime's streaming server is on this machine: longer than this it does not think about an upgrade. */
const upgradeTimeoutMs = 30_000;
const verdictTimeoutMs = 1_000;
const refusalBytesMax = 16 * 1024;
/** What a command's end may say: a Status object. */
const statusBytesMax = 64 * 1024;

/** Which streams to open; at least one of the first three is asked for by every runtime. */
interface Wanted {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** What an exec or attach request means when it leaves things open; with a terminal there is no stderr. */
export function wantedStreams(request: AttachRequest, tty: boolean): Wanted {
  return {
    stdin: request.stdin ?? false,
    stdout: request.stdout !== false,
    stderr: request.stderr !== false && !tty,
    tty,
  };
}

/**
 * Joins the session that waits at the URL, by SPDY and the protocol `v4.channel.k8s.io`. Aborting the signal cuts the
 * connection.
 */
export async function joinSession(
  url: string,
  wanted: Wanted,
  clock: Clock,
  signal?: AbortSignal,
): Promise<ExecSession> {
  const { session, ended, hangUp } = await dial(url, 'v4.channel.k8s.io', clock, signal);
  const open = (streamType: string) => session.open(headers({ streamtype: streamType }));
  const status = statusOf(open('error'), ended);
  const stdin = wanted.stdin ? connectionOver(open('stdin')) : undefined;
  const stdout = wanted.stdout ? received(open('stdout')) : undefined;
  const stderr = wanted.stderr ? received(open('stderr')) : undefined;
  const resize = wanted.tty ? open('resize') : undefined;
  resize?.resume();
  signal?.addEventListener('abort', hangUp, { once: true });
  const exitCode = (async () => {
    try {
      const text = await status;
      await Promise.all([stdout?.complete, stderr?.complete]);
      return exitCodeIn(text);
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener('abort', hangUp);
      session.close();
    }
  })();
  const closed = exitCode.then(
    () => undefined,
    () => undefined,
  );
  return {
    stdin,
    stdout: stdout?.stream,
    stderr: stderr?.stream,
    exitCode,
    closed,
    resize({ columns, rows }) {
      resize?.write(`${JSON.stringify({ Width: columns, Height: rows })}\n`);
    },
  };
}

/** One connection to a port of the pod. What the runtime cannot do ends the connection with its words. */
export async function joinPort(url: string, port: number, clock: Clock, signal?: AbortSignal): Promise<Duplex> {
  const { session, ended } = await dial(url, 'portforward.k8s.io', clock, signal);
  const ids = { port: String(port), requestid: '0' };
  const errorStream = session.open(headers({ ...ids, streamtype: 'error' }));
  const problem = textOf(errorStream, ended).then(words =>
    words === '' ? undefined : new RuntimeError('Unavailable', words),
  );
  errorStream.end();
  // A port where nobody listens ends the data before the error comes, which is right behind it.
  const verdict = () => Promise.race([problem, clock.sleep(verdictTimeoutMs).then(() => undefined)]);
  const connection = connectionOver(session.open(headers({ ...ids, streamtype: 'data' })), { verdict });
  void problem.then(error => {
    if (error) connection.destroy(error);
  });
  const abort = () => connection.destroy(signal?.reason as Error);
  signal?.addEventListener('abort', abort, { once: true });
  connection.once('close', () => {
    signal?.removeEventListener('abort', abort);
    session.close();
  });
  return connection;
}

interface Dialled {
  readonly session: SpdyConnection;
  /** Resolves when the connection is over. */
  readonly ended: Promise<void>;
  /** Ends the connection without a word. */
  hangUp(): void;
}

async function dial(url: string, protocol: string, clock: Clock, signal?: AbortSignal): Promise<Dialled> {
  signal?.throwIfAborted();
  const socket = await upgrade(url, protocol, clock, signal);
  const ended = Promise.withResolvers<void>();
  const session = new SpdyConnection(socket, { isServer: false, onStream: stream => void stream.destroy() });
  void session.closed.then(() => ended.resolve());
  return { session, ended: ended.promise, hangUp: () => socket.destroy() };
}

function upgrade(url: string, protocol: string, clock: Clock, signal?: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const { request } = url.startsWith('https:') ? https : http;
    const asked = request(url, {
      method: 'POST',
      agent: false,
      headers: { connection: 'Upgrade', upgrade: 'SPDY/3.1', 'x-stream-protocol-version': protocol },
    });
    const abort = () => asked.destroy(signal?.reason as Error);
    const cancel = clock.after(upgradeTimeoutMs, () =>
      asked.destroy(
        new RuntimeError('DeadlineExceeded', `cannot stream with the container runtime at ${hostOf(url)}: no answer`),
      ),
    );
    signal?.addEventListener('abort', abort, { once: true });
    const settle = () => {
      cancel();
      signal?.removeEventListener('abort', abort);
    };
    asked.once('upgrade', (_answer, socket, head) => {
      settle();
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    asked.once('response', answer => {
      void wordsOf(answer).then(words => {
        settle();
        reject(
          new RuntimeError(
            'Internal',
            `cannot stream with the container runtime at ${hostOf(url)}: ${answer.statusCode} ${words}`.trim(),
          ),
        );
      });
    });
    asked.once('error', cause => {
      settle();
      if (signal?.aborted || cause instanceof RuntimeError) return reject(cause);
      const message = `cannot stream with the container runtime at ${hostOf(url)}: ${cause.message}`;
      reject(new RuntimeError('Unavailable', message, { cause }));
    });
    asked.end();
  });
}

/** Without the path: it is the key to the session. */
function hostOf(url: string): string {
  return new URL(url).host;
}

async function wordsOf(answer: IncomingMessage): Promise<string> {
  let text = '';
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      text += chunk.toString();
      if (text.length > refusalBytesMax) break;
    }
  } catch {
    // The status says enough.
  }
  return text.trim();
}

/** The text of the error stream. Rejects when the session ends without having said how it went. */
async function statusOf(stream: SpdyStream, ended: Promise<void>): Promise<string> {
  const text = await textOf(stream, ended);
  if (text === '') throw new RuntimeError('Unavailable', 'the container runtime ended the session without a word');
  return text;
}

/** What the stream says until it or its session ends. */
function textOf(stream: SpdyStream, ended: Promise<void>): Promise<string> {
  let text = '';
  stream.on('data', (chunk: Buffer) => {
    if (text.length < statusBytesMax) text += chunk.toString();
  });
  return new Promise(resolve => {
    const finish = () => resolve(text);
    stream.once('end', finish).once('close', finish);
    void ended.then(finish);
  });
}

/** The Status object of `v4.channel.k8s.io`: success, an exit code among its causes, or words. */
function exitCodeIn(text: string): number {
  let status: Status;
  try {
    status = JSON.parse(text) as Status;
  } catch (cause) {
    throw new RuntimeError('Internal', `cannot read how the command ended: ${text}`, { cause });
  }
  if (status.status === 'Success') return 0;
  const code = status.details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message;
  if (status.reason === 'NonZeroExitCode' && code !== undefined && Number.isInteger(Number(code))) return Number(code);
  throw new RuntimeError('Internal', status.message ?? text);
}

interface Status {
  readonly status?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: { readonly causes?: readonly { readonly reason?: string; readonly message?: string }[] };
}

function received(stream: SpdyStream): { stream: Duplex; complete: Promise<void> } {
  const complete = Promise.withResolvers<void>();
  const over = connectionOver(stream, { onComplete: complete.resolve });
  over.once('close', complete.resolve);
  // We never write: half-closed it survives the end of the session with what is still unread.
  over.end();
  return { stream: over, complete: complete.promise };
}

/**
 * A stream of a session as a connection of its own. Runtimes reset streams behind the last byte, often without closing
 * them first; what has come by then stays readable. Whether a stream that brought nothing has failed, `verdict` says.
 */
function connectionOver(
  stream: SpdyStream,
  { onComplete, verdict }: { onComplete?: () => void; verdict?: () => Promise<Error | undefined> } = {},
): Duplex {
  let over = false;
  let isEmpty = true;
  const push = (chunk: Buffer) => {
    isEmpty = false;
    return connection.push(chunk);
  };
  const connection = new Duplex({
    allowHalfOpen: true,
    read() {
      stream.resume();
    },
    write(chunk: Buffer, _encoding, done) {
      stream.write(chunk, done);
    },
    final(done) {
      if (stream.destroyed) return done();
      stream.end(() => done());
    },
    destroy(error, done) {
      stream.destroy();
      done(error);
    },
  });
  // Who reads or writes hears of it there.
  connection.on('error', () => {});
  const finish = () => {
    if (over) return;
    over = true;
    for (let rest: Buffer | null = stream.read() as Buffer | null; rest; rest = stream.read() as Buffer | null)
      push(rest);
    onComplete?.();
    if (!isEmpty || !verdict) return void connection.push(null);
    void verdict().then(error => (error ? connection.destroy(error) : connection.push(null)));
  };
  stream.on('data', (chunk: Buffer) => {
    if (!over && !push(chunk)) stream.pause();
  });
  stream.once('end', finish);
  stream.once('close', finish);
  return connection;
}

function headers(named: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  return new Map(Object.entries(named));
}
