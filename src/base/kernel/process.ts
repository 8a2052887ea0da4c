import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** A process that cannot be mistaken for a later one with the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** In clock ticks since boot, as /proc says it. */
  readonly startTime: string;
}

/** `undefined` when there is no such process, or only its zombie. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
  // The command's name is in parentheses and may hold anything; the fields start behind the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  const startTime = fields[19];
  if (state === 'Z' || state === 'X' || startTime === undefined) return undefined;
  return { pid, startTime };
}

export function isAlive(identity: ProcessIdentity): boolean {
  return identifyProcess(identity.pid)?.startTime === identity.startTime;
}

/** False when the process is gone. */
export function sendSignal(identity: ProcessIdentity, signal: NodeJS.Signals | number): boolean {
  if (!isAlive(identity)) return false;
  try {
    return process.kill(identity.pid, signal);
  } catch (error) {
    if (isGone(error)) return false;
    throw error;
  }
}

export interface SpawnResult {
  readonly exitCode: number;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

/** A tool's output beyond this is dropped. */
const outputBytesMax = 1024 * 1024;

/** Runs a tool to its end. Rejects only when it cannot be started or the signal was aborted. */
export function spawnToEnd(command: string, args: readonly string[], signal?: AbortSignal): Promise<SpawnResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' });
    const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
    child.on('error', error => reject(new Error(`cannot run ${command}: ${error.message}`, { cause: error })));
    child.on('close', (code, killedBy) =>
      resolve({ exitCode: code ?? (killedBy ? 128 : 1), stdout: stdout(), stderr: stderr() }),
    );
  });
}

export async function spawnOrThrow(command: string, args: readonly string[], signal?: AbortSignal): Promise<void> {
  const { exitCode, stderr } = await spawnToEnd(command, args, signal);
  if (exitCode === 0) return;
  throw new Error(`cannot ${command} ${args.join(' ')}: ${stderr.toString().trim() || `exit code ${exitCode}`}`);
}

function collect(stream: NodeJS.ReadableStream): () => Buffer {
  const chunks: Buffer[] = [];
  let length = 0;
  stream.on('data', (chunk: Buffer) => {
    if (length < outputBytesMax) chunks.push(chunk.subarray(0, outputBytesMax - length));
    length += chunk.length;
  });
  return () => Buffer.concat(chunks);
}

function isGone(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ENOENT' || code === 'ESRCH';
}
