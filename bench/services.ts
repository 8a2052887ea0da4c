import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { installPackages } from '../src/cluster/packages.ts';
import type { Bench } from './benches.ts';
import { quantile, record, root, type Row } from './harness.ts';
import { megabytes, milliseconds } from './load.ts';
import { keepCurve, type Point } from './measurements.ts';

const run = promisify(execFile);
const sizes = [100, 1_000, 5_000];
const endpoints = 5;
const rounds = 100;

interface Programmed {
  readonly allMs: number;
  readonly allCpuMs: number;
  readonly changesMs: readonly number[];
  readonly changeCpuMs: number;
  readonly residentBytes: number;
}

export const services: Bench = {
  name: 'services',
  measures:
    'Services programmed into the kernel, in a network namespace of its own: all, and then one endpoint that changes',
  async run() {
    if (process.getuid?.() !== 0 || process.platform !== 'linux')
      return void process.stdout.write('skipped: nftables need root on Linux\n');
    const lacking = installPackages([{ command: 'nft', debian: 'nftables' }]);
    if (lacking !== undefined) return void process.stdout.write(`skipped: ${lacking}\n`);
    const rows: Row[] = [];
    const all: Point[] = [];
    const change: Point[] = [];
    for (const size of sizes) {
      const { allMs, allCpuMs, changesMs, changeCpuMs, residentBytes } = await programmed(size);
      all.push({ size, value: allCpuMs / size });
      change.push({ size, value: changeCpuMs });
      rows.push(
        {
          what: `${size.toLocaleString('en')} Services with ${endpoints} endpoints each`,
          figure: `${milliseconds(allMs)} cpu=${milliseconds(allCpuMs)} cpu/Service=${milliseconds(allCpuMs / size)} rss=${megabytes(residentBytes)}`,
        },
        {
          what: `one endpoint changes, n=${rounds}`,
          figure: `p50=${milliseconds(quantile(changesMs, 0.5))} p99=${milliseconds(quantile(changesMs, 0.99))} cpu=${milliseconds(changeCpuMs)}`,
          ...(size === 5_000 && { against: '≤ 50 ms of CPU' }),
        },
      );
    }
    await keepCurve('services-all', {
      title: 'Services programmed into an empty kernel',
      size: 'Services',
      unit: 'ms of CPU a Service',
      series: { 'with 5 endpoints each': all },
    });
    await keepCurve('services-change', {
      title: 'One endpoint changes',
      size: 'Services',
      unit: 'ms of CPU a change',
      series: { 'with its nft': change },
    });
    await record('services', rows);
  },
};

async function programmed(size: number): Promise<Programmed> {
  const script = join(root, 'bench', 'services-programmed.ts');
  const flags = ['--experimental-ffi', '--disable-warning=ExperimentalWarning'];
  const args = ['--net', process.execPath, ...flags, script, String(size), String(endpoints), String(rounds)];
  const { stdout } = await run('unshare', args, { cwd: root, maxBuffer: 1 << 26 });
  return JSON.parse(stdout) as Programmed;
}
