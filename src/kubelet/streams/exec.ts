import type { AttachSession, ExecSession } from '#runtime/runtime.ts';
import type { Outcome, Remote } from './remote.ts';

/** Joins a client with a command or a container until one of them ends. */
export async function serveSession(
  remote: Remote,
  open: (signal: AbortSignal) => Promise<AttachSession | ExecSession>,
): Promise<void> {
  await remote.finish(await run(remote, open));
}

async function run(
  remote: Remote,
  open: (signal: AbortSignal) => Promise<AttachSession | ExecSession>,
): Promise<Outcome> {
  try {
    const session = await open(remote.gone);
    remote.onResize(size => session.resize(size));
    if (remote.stdin && session.stdin) {
      // The command may end without having read everything.
      session.stdin.on('error', () => remote.stdin?.resume());
      remote.stdin.pipe(session.stdin);
    }
    const outputs = [
      pump(session.stdout, remote.stdout, remote.gone),
      pump(session.stderr, remote.stderr, remote.gone),
    ];
    const code = 'exitCode' in session ? await session.exitCode : 0;
    await session.closed;
    await Promise.all(outputs);
    return code === 0 ? { kind: 'success' } : { kind: 'exit', code };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { kind: 'failure', message: `error executing command in container: ${message}` };
  }
}

/** Resolves when everything was handed over, or nobody takes it any more. */
function pump(
  source: NodeJS.ReadableStream | undefined,
  target: NodeJS.WritableStream | undefined,
  gone: AbortSignal,
): Promise<void> {
  if (!source) return Promise.resolve();
  if (!target) {
    source.resume();
    return Promise.resolve();
  }
  return new Promise(resolve => {
    const finish = () => resolve();
    // What is read is not yet sent: an empty write comes behind everything that waits.
    const flushed = () => (target.writable ? void target.write('', finish) : finish());
    source.on('end', flushed).on('close', flushed).on('error', flushed);
    const broken = () => {
      source.resume();
      finish();
    };
    target.on('error', broken).on('close', broken);
    gone.addEventListener('abort', finish, { once: true });
    source.pipe(target, { end: false });
  });
}
