import { spawn, type StdioOptions } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Readable, Transform, type Writable } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { identifyProcess, sendSignal } from '#base/kernel/process.ts';
import { awaitTerminal } from '#base/kernel/terminal.ts';
import {
  type ExecRequest,
  type ExecSession,
  type ExecSyncResult,
  RuntimeError,
  type TerminalSize,
} from '../runtime.ts';
import { crunArguments } from './shim.ts';
import type { OciSpec } from './spec.ts';
import type { Layout } from './state.ts';

export interface ExecTarget {
  readonly at: Layout;
  readonly crun: string;
  readonly id: string;
}

/** What one command may say through `execSync`; the rest is dropped (upstream's runtimes cut at the same size). */
const syncOutputBytesMax = 16 * 1024 * 1024;

const lastWordsCharactersMax = 4096;

/** Runs a command beside a container's main process: one crun process, whose own stdio is the command's. */
export function execIn(target: ExecTarget, request: ExecRequest, signal?: AbortSignal): ExecSession {
  signal?.throwIfAborted();
  const run = start(target, request);
  const abort = () => run.kill();
  signal?.addEventListener('abort', abort, { once: true });
  const exitCode = run.exitCode.finally(() => signal?.removeEventListener('abort', abort));
  const closed = exitCode.then(
    () => undefined,
    () => undefined,
  );
  return {
    stdin: run.stdin,
    stdout: run.stdout,
    stderr: run.stderr,
    exitCode,
    closed,
    resize: size => run.resize(size),
  };
}

export async function execToEnd(
  target: ExecTarget,
  command: readonly string[],
  timeoutMs: number,
  clock: Clock,
  signal?: AbortSignal,
): Promise<ExecSyncResult> {
  const stop = new AbortController();
  const session = execIn(
    target,
    { command, stdout: true, stderr: true },
    signal ? AbortSignal.any([signal, stop.signal]) : stop.signal,
  );
  const outputs = Promise.all([collect(session.stdout), collect(session.stderr)]);
  // When the command is killed nobody asks for them.
  outputs.catch(() => undefined);
  let timedOut = false;
  const cancel =
    timeoutMs > 0
      ? clock.after(timeoutMs, () => {
          timedOut = true;
          stop.abort();
        })
      : undefined;
  try {
    const exitCode = await session.exitCode;
    signal?.throwIfAborted();
    if (timedOut) throw timeoutError(command, timeoutMs);
    const [stdout, stderr] = await outputs;
    return { stdout, stderr, exitCode };
  } catch (error) {
    if (timedOut) throw timeoutError(command, timeoutMs, error);
    throw error;
  } finally {
    cancel?.();
  }
}

function timeoutError(command: readonly string[], timeoutMs: number, cause?: unknown): RuntimeError {
  return new RuntimeError(
    'DeadlineExceeded',
    `command ${JSON.stringify(command.join(' '))} timed out after ${timeoutMs / 1000}s`,
    {
      cause,
    },
  );
}

interface Run {
  readonly stdin: Writable | undefined;
  readonly stdout: Readable | undefined;
  readonly stderr: Readable | undefined;
  readonly exitCode: Promise<number>;
  kill(): void;
  resize(size: TerminalSize): void;
}

function start(target: ExecTarget, request: ExecRequest): Run {
  const { at, crun, id } = target;
  const { command, tty = false } = request;
  if (command.length === 0) throw new RuntimeError('InvalidArgument', 'no command specified');
  const paths = at.container(id);
  const { process } = JSON.parse(readFileSync(paths.spec, 'utf8')) as OciSpec;
  const name = join(paths.directory, `exec-${randomUUID()}`);
  const [specFile, pidFile, logFile] = [`${name}.json`, `${name}.pid`, `${name}.log`];
  const env =
    tty && !process.env.some(entry => entry.startsWith('TERM=')) ? [...process.env, 'TERM=xterm'] : process.env;
  writeFileSync(specFile, JSON.stringify({ ...process, args: command, terminal: tty, env }), { mode: 0o600 });
  // Its end is handed over to us: crun, which would pass on what is said, loses what is said last.
  const terminal = tty ? awaitTerminal(paths.directory, `${basename(name)}.terminal`) : undefined;
  if (tty && !terminal)
    throw new RuntimeError('Unimplemented', 'cannot open a terminal: Node runs without --experimental-ffi');
  const handOver = terminal ? ['--console-socket', terminal.socketPath] : [];
  // What crun complains about would go to the terminal otherwise.
  const log = terminal ? ['--log', logFile, '--log-format', 'json'] : [];
  const args = [...crunArguments(at), ...log, 'exec', '--process', specFile, '--pid-file', pidFile, ...handOver, id];
  const stdio: StdioOptions = terminal
    ? ['ignore', 'ignore', 'pipe']
    : [request.stdin ? 'pipe' : 'ignore', request.stdout === false ? 'ignore' : 'pipe', 'pipe'];
  const child = spawn(crun, args, { stdio, env: {}, detached: true });
  if (request.stdout === false) terminal?.output.resume();
  // A command that ends before it has read everything closes its input; that is its right.
  child.stdin?.on('error', () => child.stdin?.destroy());
  let pid: number | undefined;
  const mainProcess = () => {
    pid ??= readPid(pidFile);
    return pid === undefined ? undefined : identifyProcess(pid);
  };
  // What crun itself complains about comes the same way as the command's errors.
  let lastWords = '';
  const listen = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      if (lastWords.length < lastWordsCharactersMax) lastWords += chunk.toString();
      done(null, chunk);
    },
  });
  const stderr = child.stderr?.pipe(listen);
  const wantsErrors = request.stderr !== false && !tty;
  if (!wantsErrors) listen.resume();
  const exitCode = new Promise<number>((resolve, reject) => {
    child.on('error', cause => {
      terminal?.destroy();
      reject(new RuntimeError('Internal', `failed to exec in container: ${cause.message}`, { cause }));
    });
    // Not before both outputs are read: what the command said last must not be lost.
    child.on('close', (code, killedBy) => {
      pid ??= readPid(pidFile);
      terminal?.finish();
      if (terminal) lastWords += complaintsIn(logFile);
      for (const file of [specFile, pidFile, logFile]) rmSync(file, { force: true });
      if (pid !== undefined || code === 0) resolve(code ?? (killedBy ? 137 : 1));
      else
        reject(
          new RuntimeError(
            'Internal',
            `failed to exec in container: OCI runtime exec failed: exec failed: ${lastWords.trim()}`,
          ),
        );
    });
  });
  return {
    stdin: request.stdin ? (terminal?.input ?? child.stdin ?? undefined) : undefined,
    stdout: request.stdout === false ? undefined : (terminal?.output ?? child.stdout ?? undefined),
    stderr: wantsErrors ? stderr : undefined,
    exitCode,
    kill() {
      const identity = mainProcess();
      if (identity) sendSignal(identity, 'SIGKILL');
      child.kill('SIGKILL');
      // What the command left running may hold the pipes open for ever.
      child.stdout?.destroy();
      child.stderr?.destroy();
      stderr?.end();
      terminal?.destroy();
    },
    resize: ({ columns, rows }) => terminal?.resize(columns, rows),
  };
}

/** What crun has logged: JSON, one complaint a line. */
function complaintsIn(file: string): string {
  try {
    const lines = readFileSync(file, 'utf8').slice(0, lastWordsCharactersMax).trim().split('\n');
    return lines.map(line => (JSON.parse(line) as { msg?: string }).msg ?? '').join('\n');
  } catch {
    // There was nothing to complain about, or more than is kept.
    return '';
  }
}

function readPid(file: string): number | undefined {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    return Number.isInteger(pid) && pid > 1 ? pid : undefined;
  } catch {
    // Not written: the command was not started (yet).
    return undefined;
  }
}

async function collect(stream: Readable | undefined): Promise<Buffer> {
  if (!stream) return Buffer.alloc(0);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    if (length < syncOutputBytesMax) chunks.push(chunk.subarray(0, syncOutputBytesMax - length));
    length += chunk.length;
  }
  return Buffer.concat(chunks);
}
