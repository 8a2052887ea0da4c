/**
 * `npm run robustness -- [--backend sqlite|etcd] [--seconds N] [--seed N]`: clients in processes of their own work on a
 * cluster while its processes are killed; what they were told must be linearizable, and their watches without fault.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { seededRandom } from '#base/random.ts';
import { startEtcd } from '#storage/etcd/test-etcd.ts';
import { freePort } from '../../tools/ports.ts';
import { checkLinearizable } from './check-linearizable.ts';
import { checkWatches } from './check-watches.ts';
import { type History, joined } from './history.ts';

export interface RobustnessOptions {
  readonly backend: 'sqlite' | 'etcd';
  readonly seconds: number;
  readonly seed: number;
  /** Between two kills, on average. */
  readonly killEverySeconds: number;
}

export interface RobustnessResult {
  readonly history: History;
  readonly problems: readonly string[];
  readonly kills: number;
  readonly pauses: number;
}

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
const keyCount = 6;
const pauseMs = 1_200;

export async function runRobustness(options: RobustnessOptions): Promise<RobustnessResult> {
  const { backend, seconds, seed, killEverySeconds } = options;
  const random = seededRandom(seed);
  const work = mkdtempSync(join(tmpdir(), 'windlass-robustness-'));
  const windlass = (...args: readonly string[]) => run(process.execPath, [join(root, 'bin', 'windlass.js'), ...args]);
  const etcd = backend === 'etcd' ? await startEtcd() : undefined;
  const planes = Array.from({ length: etcd ? 2 : 1 }, (_, index) => join(work, `plane-${index}`));
  try {
    for (const [index, dataDir] of planes.entries()) {
      if (index > 0) cpSync(join(planes[0] as string, 'pki'), join(dataDir, 'pki'), { recursive: true });
      const datastore = etcd ? ['--datastore', `etcd://127.0.0.1:${etcd.port}`] : [];
      const shape = ['--runtime', 'hollow', '--hollow-nodes', '0', '--port', String(await freePort()), ...datastore];
      await windlass('up', '--detach', '--data-dir', dataDir, ...shape);
    }
    const keys = Array.from({ length: keyCount }, (_, index) => `key-${index}`).join();
    const clients = [0, 1].map(async index => {
      const file = join(work, `history-${index}.json`);
      const kubeconfig = join(planes[index % planes.length] as string, 'kubeconfig');
      const args = [kubeconfig, 'ab'[index] as string, `${seed}${index}`, String(seconds), keys, file];
      const child = spawn(process.execPath, [...process.execArgv, join(import.meta.dirname, 'client.ts'), ...args], {
        stdio: 'inherit',
        cwd: root,
      });
      const [code] = (await once(child, 'exit')) as [number | null];
      if (code !== 0) throw new Error(`a client ended with ${code}`);
      return JSON.parse(readFileSync(file, 'utf8')) as History;
    });
    let kills = 0;
    let pauses = 0;
    const endMs = performance.now() + seconds * 1000;
    const fault = async () => {
      const victim = Math.floor(random.next() * (etcd ? planes.length + 1 : planes.length));
      const dataDir = planes[victim];
      const isPause = random.next() < 0.3;
      if (isPause && dataDir === undefined) {
        etcd?.pause();
        await pause(pauseMs);
        etcd?.resume();
      } else if (dataDir === undefined) {
        await etcd?.kill();
        await etcd?.start();
      } else {
        const pid = Number(readFileSync(join(dataDir, 'run', 'control-plane.pid'), 'utf8'));
        process.kill(pid, isPause ? 'SIGSTOP' : 'SIGKILL');
        if (isPause) await pause(pauseMs);
        if (isPause) process.kill(pid, 'SIGCONT');
        // Who is killed again before it serves would only be away.
        else await serves(dataDir, endMs);
      }
      if (isPause) pauses++;
      else kills++;
    };
    while (true) {
      await pause(killEverySeconds * 1000 * (0.5 + random.next()));
      if (performance.now() > endMs - 1_000) break;
      // A plane that is just starting again has no pid to kill.
      await fault().catch(() => undefined);
    }
    const history = joined(await Promise.all(clients));
    return { history, problems: [...checkLinearizable(history), ...checkWatches(history)], kills, pauses };
  } finally {
    await Promise.all(planes.map(dataDir => windlass('down', '--data-dir', dataDir).catch(() => undefined)));
    await etcd?.[Symbol.asyncDispose]();
    rmSync(work, { recursive: true, force: true });
  }
}

/** Resolves when the plane answers again, or at the end. */
async function serves(dataDir: string, endMs: number): Promise<void> {
  const { port } = JSON.parse(readFileSync(join(dataDir, 'cluster.json'), 'utf8')) as { port: number };
  while (performance.now() < endMs) {
    const socket = connect(port, '127.0.0.1');
    const isThere = await new Promise<boolean>(resolve => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.destroy();
    if (isThere) return;
    await pause(50);
  }
}

/** One line of what was seen. */
export function summaryOf({ history, kills, pauses }: RobustnessResult): string {
  const { operations, lists, watches } = history;
  const unknown = operations.filter(({ outcome }) => outcome.type === 'unknown').length;
  const events = watches.reduce((sum, { entries }) => sum + entries.length, 0);
  return `${operations.length} requests (${unknown} without an answer), ${lists.length} lists, ${events} events in ${watches.length} watches, ${kills} kills, ${pauses} pauses`;
}

if (import.meta.main) {
  const { values } = parseArgs({
    args: process.argv.slice(2),
    options: {
      backend: { type: 'string', default: 'sqlite' },
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    },
  });
  const backend = values.backend === 'etcd' ? 'etcd' : 'sqlite';
  process.stdout.write(`robustness: ${backend}, ${values.seconds} s, seed ${values.seed}\n`);
  const result = await runRobustness({
    backend,
    seconds: Number(values.seconds),
    seed: Number(values.seed),
    killEverySeconds: 3,
  });
  process.stdout.write(`${summaryOf(result)}\n`);
  for (const problem of result.problems.slice(0, 20)) process.stdout.write(`  ${problem}\n`);
  process.stdout.write(result.problems.length === 0 ? 'no fault found\n' : `${result.problems.length} faults\n`);
  process.exitCode = result.problems.length === 0 ? 0 : 1;
}
