import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { SpdyConnection, type SpdyStream } from '#base/spdy/connection.ts';
import { parseSize, statusOf, textOf, type Outcome, type Remote, type Wanted } from './remote.ts';

const versions = ['v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io'];
const streamsTimeoutMs = 30_000;

/** Answers the upgrade; `undefined` when no version suits both (the answer has then been given). */
export function upgradeToSpdy(
  request: IncomingMessage,
  socket: Duplex,
  head: Uint8Array,
  offered: readonly string[],
  onStream: (stream: SpdyStream) => void,
): { readonly connection: SpdyConnection; readonly version: string } | undefined {
  const header = request.headers['x-stream-protocol-version'];
  const asked = (Array.isArray(header) ? header.join(',') : (header ?? '')).split(',').map(each => each.trim());
  const version = asked.join('') === '' ? (offered.at(-1) ?? '') : asked.find(each => offered.includes(each));
  if (version === undefined) {
    const accepted = offered.map(each => `X-Accepted-Stream-Protocol-Versions: ${each}\r\n`).join('');
    const message = `unable to upgrade: unable to negotiate protocol: client supports [${asked.join(' ')}], server accepts [${offered.join(' ')}]`;
    socket.end(
      `HTTP/1.1 403 Forbidden\r\n${accepted}Content-Length: ${Buffer.byteLength(message)}\r\nConnection: close\r\n\r\n${message}`,
    );
    return undefined;
  }
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${version}\r\n\r\n`,
  );
  const connection = new SpdyConnection(socket, { isServer: true, onStream }, head);
  return { connection, version };
}

/** Waits for the streams of an exec or attach. `undefined`: they did not come, or no version was agreed on. */
export async function spdyRemote(
  request: IncomingMessage,
  socket: Duplex,
  head: Uint8Array,
  wanted: Wanted,
  clock: Clock,
): Promise<Remote | undefined> {
  const streams = new Map<string, SpdyStream>();
  const all = Promise.withResolvers<boolean>();
  const kinds = new Set(['error']);
  // Which streams come is known once the version is; some may come in the same bytes as the request.
  const check = () => {
    if ([...kinds].every(kind => streams.has(kind))) all.resolve(true);
  };
  let isKnown = false;
  const upgraded = upgradeToSpdy(request, socket, head, versions, stream => {
    streams.set(stream.headers.get('streamtype') ?? '', stream);
    if (isKnown) check();
  });
  if (!upgraded) return undefined;
  const { connection, version } = upgraded;
  if (wanted.stdin) kinds.add('stdin');
  if (wanted.stdout) kinds.add('stdout');
  if (wanted.stderr && !wanted.tty) kinds.add('stderr');
  if (wanted.tty && (version.startsWith('v3') || version.startsWith('v4'))) kinds.add('resize');
  isKnown = true;
  check();
  const cancel = clock.after(streamsTimeoutMs, () => all.resolve(false));
  const gone = new AbortController();
  void connection.closed.then(() => {
    all.resolve(false);
    gone.abort(new Error('the client has gone'));
  });
  const isComplete = await all.promise;
  cancel();
  if (!isComplete) {
    connection.close();
    return undefined;
  }
  return {
    stdin: streams.get('stdin'),
    stdout: streams.get('stdout'),
    stderr: streams.get('stderr'),
    onResize: resized => {
      let rest = '';
      streams.get('resize')?.on('data', (chunk: Buffer) => {
        const lines = (rest + chunk.toString()).split(/(?<=\})/);
        rest = lines.at(-1)?.endsWith('}') ? '' : (lines.pop() ?? '');
        for (const line of lines) {
          const size = parseSize(line);
          if (size) resized(size);
        }
      });
    },
    finish: outcome => finish(connection, streams, version, outcome),
    gone: gone.signal,
  };
}

async function finish(
  connection: SpdyConnection,
  streams: ReadonlyMap<string, SpdyStream>,
  version: string,
  outcome: Outcome,
): Promise<void> {
  const text = version.startsWith('v4') ? JSON.stringify(statusOf(outcome)) : textOf(outcome);
  const ends = ['stdout', 'stderr'].map(kind => ended(streams.get(kind)));
  await Promise.race([Promise.all(ends), connection.closed]);
  await Promise.race([ended(streams.get('error'), text), connection.closed]);
  connection.close();
}

function ended(stream: SpdyStream | undefined, last?: string): Promise<void> {
  return new Promise(resolve => {
    if (!stream || stream.destroyed || stream.writableFinished) return resolve();
    stream.once('close', () => resolve());
    if (last) stream.end(last, () => resolve());
    else stream.end(() => resolve());
  });
}
