import { execFile, spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../tools/ports.ts';

export const root = join(import.meta.dirname, '..');
const program = join(root, 'bin', 'windlass.js');
const run = promisify(execFile);

/** A cluster of its own, made for a measurement and deleted behind it. */
export interface BenchCluster extends AsyncDisposable {
  readonly dataDir: string;
  readonly port: number;
  readonly server: string;
  readonly kubeconfig: string;
  /** How long `up --detach` took. */
  readonly startMs: number;
  /** What `up` printed: each step with its time. */
  readonly output: string;
  /** Pids of the cluster's processes by name. */
  pids(): Readonly<Record<string, number>>;
  kubectl(...args: readonly string[]): Promise<string>;
  windlass(...args: readonly string[]): Promise<string>;
  token(): Promise<string>;
  /** Stops it and starts it again on its data. How long the start took. */
  restart(): Promise<number>;
}

const opened = new Set<AsyncDisposable>();

/** Takes away what a bench that is given up has started. */
export async function closeAll(): Promise<void> {
  await Promise.all(Array.from(opened, each => each[Symbol.asyncDispose]()));
}

/** No nodes at all: pods stay Pending, and only the control plane works. */
export const controlPlaneOnly = ['--nodes', '0', '--runtime', 'hollow', '--hollow-nodes', '0'];

export async function startBenchCluster(...flags: readonly string[]): Promise<BenchCluster> {
  const dataDir = mkdtempSync(join(tmpdir(), 'windlass-bench-'));
  const port = await freePort();
  const start = async () => {
    const started = performance.now();
    const { stdout } = await windlass(['up', '--detach', '--data-dir', dataDir, '--port', String(port), ...flags]);
    return { stdout, tookMs: performance.now() - started };
  };
  const { stdout, tookMs: startMs } = await start();
  const kubeconfig = join(dataDir, 'kubeconfig');
  const kubectl = async (...args: readonly string[]) =>
    (await run('kubectl', [...args], { env: { ...process.env, KUBECONFIG: kubeconfig }, maxBuffer: 1 << 28 })).stdout;
  const cluster: BenchCluster = {
    dataDir,
    port,
    server: `https://127.0.0.1:${port}`,
    kubeconfig,
    startMs,
    output: stdout,
    pids: () =>
      Object.fromEntries(
        readdirSync(join(dataDir, 'run'))
          .filter(name => name.endsWith('.pid'))
          .map(name => [name.slice(0, -4), Number(readFileSync(join(dataDir, 'run', name), 'utf8'))]),
      ),
    kubectl,
    windlass: async (...args) => (await windlass([...args, '--data-dir', dataDir])).stdout,
    async token() {
      await kubectl('create', 'serviceaccount', 'bench', '-n', 'kube-system');
      await kubectl(
        'create',
        'clusterrolebinding',
        'bench',
        '--clusterrole=cluster-admin',
        '--serviceaccount=kube-system:bench',
      );
      return (await kubectl('create', 'token', 'bench', '-n', 'kube-system', '--duration=24h')).trim();
    },
    async restart() {
      await windlass(['down', '--data-dir', dataDir]);
      return (await start()).tookMs;
    },
    async [Symbol.asyncDispose]() {
      opened.delete(cluster);
      await windlass(['down', '--delete', '--data-dir', dataDir]);
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
  opened.add(cluster);
  return cluster;
}

function windlass(args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return run(process.execPath, [program, ...args], { maxBuffer: 1 << 28 });
}

/** Builds a load generator in Go: one of the reference's, or our own; `undefined` where it or Go is missing. */
export async function loadGenerator(name: 'kload' | 'ksched' | 'watchers'): Promise<string | undefined> {
  const source = name === 'watchers' ? join(root, 'bench', name) : join(root, '..', 'shared', 'bench', name);
  if (!existsSync(source)) return undefined;
  const binary = join(tmpdir(), `windlass-${name}`);
  try {
    await run('go', ['build', '-o', binary, '.'], { cwd: source, env: { ...process.env, GOFLAGS: '-mod=mod' } });
    return binary;
  } catch (error) {
    process.stderr.write(`cannot build ${name}: ${error instanceof Error ? error.message : String(error)}\n`);
    return undefined;
  }
}

/** Runs a program to its end, passing its output on, and returns it. */
export function watchRun(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      process.stdout.write(chunk);
      text += chunk.toString();
    });
    child.on('error', reject);
    child.on('close', code => (code === 0 ? resolve(text) : reject(new Error(`${command} ended with code ${code}`))));
  });
}

export interface Usage {
  readonly residentBytes: number;
  readonly proportionalBytes: number;
  /** The most that was ever resident. */
  readonly peakBytes: number;
  readonly cpuMs: number;
}

/** What a process uses now; CPU since it started. */
export function usageOf(pid: number): Usage {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  const smaps = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kilobytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(smaps)?.[1] ?? 0);
  const peak = /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return {
    residentBytes: kilobytes('Rss') * 1024,
    peakBytes: Number(peak ?? 0) * 1024,
    proportionalBytes: kilobytes('Pss') * 1024,
    // utime and stime in ticks of 10 ms.
    cpuMs: (Number(fields[11]) + Number(fields[12])) * 10,
  };
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export interface Row {
  readonly what: string;
  readonly figure: string;
  /** The goal or the peer's figure beside it. */
  readonly against?: string;
}

let recording = true;

/** From now on tables are printed only. */
export function recordNothing(): void {
  recording = false;
}

export function isRecording(): boolean {
  return recording;
}

/** Date, commit and machine, as they stand under what was measured. */
export async function provenance(): Promise<string> {
  const { stdout } = await run('git', ['rev-parse', '--short', 'HEAD'], { cwd: root });
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB`;
  const date = new Date().toISOString().slice(0, 10);
  return `${date}, commit ${stdout.trim()}, Node ${process.version}, ${machine}`;
}

/** Prints a table and appends it to RESULTS.md with machine, date and commit. */
export async function record(name: string, rows: readonly Row[]): Promise<void> {
  const lines = [
    `\n## ${name}`,
    '',
    await provenance(),
    '',
    '| what | figure | goal or peer |',
    '|---|---|---|',
    ...rows.map(row => `| ${row.what} | ${row.figure} | ${row.against ?? ''} |`),
    '',
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  if (recording) appendFileSync(join(root, 'bench', 'RESULTS.md'), `${lines.join('\n')}`);
}
