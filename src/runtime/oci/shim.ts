import { spawn } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { identifyProcess, isAlive, type ProcessIdentity, sendSignal } from '#base/kernel/process.ts';
import { RuntimeError } from '../runtime.ts';
import type { Layout } from './state.ts';

/** The two programs, by path. */
export interface Programs {
  readonly conmon: string;
  readonly crun: string;
}

export interface Launch {
  readonly id: string;
  /** Empty: no log. */
  readonly logPath: string;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly tty: boolean;
}

/**
 * Starts conmon, which has crun create the container. From here on conmon holds the container's stdio, writes its log,
 * and leaves its exit code in the exits directory, whether this process lives or not. The container waits, unstarted.
 */
export async function launch(
  programs: Programs,
  at: Layout,
  request: Launch,
  signal?: AbortSignal,
): Promise<ProcessIdentity> {
  const paths = at.container(request.id);
  const args = [
    ['--api-version', '1', '--cid', request.id, '--cuuid', request.id, '--name', request.id],
    ['--runtime', programs.crun, ...crunArguments(at).flatMap(arg => ['--runtime-arg', arg])],
    ['--bundle', paths.directory, '--socket-dir-path', paths.directory, '--full-attach'],
    ['--container-pidfile', paths.pidFile, '--conmon-pidfile', paths.conmonPidFile],
    ['--exit-dir', at.exits, '--persist-dir', paths.directory],
    // The kernel writes logs back by itself; a sync at each exit would hold up the exit code.
    ['--log-path', request.logPath ? `k8s-file:${request.logPath}` : 'none', '--no-sync-log'],
    request.stdin ? ['--stdin'] : [],
    request.stdin && !request.stdinOnce ? ['--leave-stdin-open'] : [],
    request.tty ? ['--terminal'] : [],
  ].flat();
  const child = spawn(programs.conmon, args, {
    cwd: paths.directory,
    // Nothing of the agent's environment reaches a container's shim.
    env: { PATH: process.env.PATH, _OCI_SYNCPIPE: '3' },
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    detached: true,
  });
  const answer = readAnswer(child.stdio[3] as Readable);
  const failed = new Promise<never>((_, reject) => child.on('error', reject));
  const { pid, message } = await Promise.race([answer, failed]).catch((cause: unknown) => {
    throw new RuntimeError('Internal', `cannot start conmon: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  });
  if (pid <= 0)
    throw new RuntimeError('Internal', `failed to create containerd task: OCI runtime create failed: ${message}`);
  const identity = identifyProcess(pid);
  if (!identity)
    throw new RuntimeError('Internal', 'OCI runtime create failed: the container has ended before its start');
  signal?.throwIfAborted();
  return identity;
}

export function crunArguments(at: Layout): string[] {
  return [`--root=${at.crun}`, '--cgroup-manager=cgroupfs'];
}

const answerBytesMax = 64 * 1024;

/** One line of JSON: `{"data": pid}` or `{"data": -1, "message": why}`. */
async function readAnswer(pipe: Readable): Promise<{ pid: number; message: string }> {
  let text = '';
  for await (const chunk of pipe) {
    text += String(chunk);
    if (text.includes('\n') || text.length > answerBytesMax) break;
  }
  let parsed: { data?: unknown; message?: unknown } = {};
  try {
    parsed = JSON.parse(text.split('\n')[0] ?? '') as typeof parsed;
  } catch {
    return { pid: -1, message: text.trim() || 'conmon has ended without an answer' };
  }
  return {
    pid: typeof parsed.data === 'number' ? parsed.data : -1,
    message: typeof parsed.message === 'string' ? parsed.message.trim() : 'no reason given',
  };
}

/** Where crun's waiting container listens for its start. */
function startPipe(at: Layout, id: string): string {
  return join(at.crun, id, 'exec.fifo');
}

/** Lets a created container run: what `crun start` does, without a process for it. */
export function release(at: Layout, id: string): void {
  const pipe = startPipe(at, id);
  let fd: number;
  try {
    fd = openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new RuntimeError('Internal', 'cannot start the container: it no longer waits', { cause });
  }
  try {
    writeSync(fd, Buffer.from([0]));
    unlinkSync(pipe);
  } finally {
    closeSync(fd);
  }
}

/**
 * Whether a launched container has not been started: its pipe is still there, and its process is still crun's. Opening
 * the pipe to see would start it.
 */
export function isWaiting(at: Layout, id: string, process: ProcessIdentity): boolean {
  return existsSync(startPipe(at, id)) && /crun/.test(readLink(`/proc/${process.pid}/exe`) ?? '');
}

/**
 * Ends whatever an earlier agent was launching when it was killed. The launch may be at any point, so the processes are
 * found by the container's id in their arguments, until there are none.
 */
export async function abandonLaunch(id: string, retry: (attempt: () => boolean) => Promise<boolean>): Promise<void> {
  const ended = await retry(() => {
    const naming = listPids().filter(pid => readText(`/proc/${pid}/cmdline`)?.includes(id));
    for (const pid of naming) {
      const identity = identifyProcess(pid);
      if (identity) sendSignal(identity, 'SIGKILL');
    }
    return naming.length === 0;
  });
  if (!ended) throw new RuntimeError('Unavailable', `cannot end the launch of container "${id}": a process remains`);
}

/**
 * A child that was born but had not yet become conmon when its agent was killed looks like that agent. Waits until
 * there is none, so that every launch can be found by its arguments; then says for the next agent what this one looks
 * like.
 */
export async function succeedAgent(at: Layout, retry: (attempt: () => boolean) => Promise<boolean>): Promise<void> {
  const file = join(at.root, 'agent');
  const [pid, command] = (readText(file) ?? '').split('\n');
  if (command && Number(pid) !== process.pid) {
    const gone = await retry(() => listPids().every(other => readText(`/proc/${other}/cmdline`) !== command));
    if (!gone) throw new RuntimeError('FailedPrecondition', `cannot open ${at.root}: process ${pid} uses it`);
  }
  writeFileSync(file, `${process.pid}\n${readText('/proc/self/cmdline')}`, { mode: 0o600 });
}

/** Nothing is being launched any more: the next agent need not wait. */
export function retireAgent(at: Layout): void {
  rmSync(join(at.root, 'agent'), { force: true });
}

function listPids(): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter(pid => Number.isInteger(pid) && pid !== process.pid);
}

/** conmon's process, while it lives. */
export function findShim(at: Layout, id: string): ProcessIdentity | undefined {
  const pid = readPid(at.container(id).conmonPidFile);
  const identity = pid === undefined ? undefined : identifyProcess(pid);
  if (!identity) return undefined;
  const command = readText(`/proc/${identity.pid}/cmdline`);
  return command?.includes(`\0${id}\0`) && isAlive(identity) ? identity : undefined;
}

/** A container's process by the file that crun wrote, whether or not the record got that far. */
export function findLaunched(at: Layout, id: string): ProcessIdentity | undefined {
  const pid = readPid(at.container(id).pidFile);
  const identity = pid === undefined ? undefined : identifyProcess(pid);
  // Without the record's start time the control group tells whether it is ours.
  return identity && readText(`/proc/${identity.pid}/cgroup`)?.includes(id) ? identity : undefined;
}

/** Tells conmon to open the log file anew by its path. */
export function reopenLog(at: Layout, id: string): void {
  writeControl(at, id, '2 0 0\n');
}

/** The size of the terminal that conmon holds. */
export function resizeMainTerminal(at: Layout, id: string, columns: number, rows: number): void {
  writeControl(at, id, `1 ${rows} ${columns}\n`);
}

function writeControl(at: Layout, id: string, line: string): void {
  let fd: number;
  try {
    fd = openSync(at.container(id).control, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new RuntimeError('FailedPrecondition', `container "${id}" is not running`, { cause });
  }
  try {
    writeFileSync(fd, line);
  } finally {
    closeSync(fd);
  }
}

function readPid(file: string): number | undefined {
  const pid = Number.parseInt(readText(file) ?? '', 10);
  return Number.isInteger(pid) && pid > 1 ? pid : undefined;
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    // The process is gone.
    return undefined;
  }
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // Never written, or the process is gone: both mean that there is nothing to read.
    return undefined;
  }
}
