import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Bench } from './benches.ts';
import { record, root, type Row } from './harness.ts';
import { milliseconds } from './load.ts';
import { keepCurve } from './measurements.ts';

const run = promisify(execFile);
const sizes = [1_000, 2_000, 4_000];
/** Less than this is noise of the sampling. */
const noticedMs = 300;
/** Twice the work may cost twice, and a little for what differs between two runs. */
const ratioMax = 2.5;

interface Grown {
  readonly totalMs: number;
  readonly parts: Readonly<Record<string, number>>;
}

export const growth: Bench = {
  name: 'growth',
  measures: 'twice the pods, with everything that belongs to them: what each controller costs then',
  async run() {
    const runs: Grown[] = [];
    for (const size of sizes) runs.push(await grown(size));
    const [, half, full] = runs as [Grown, Grown, Grown];
    const names = Object.keys(full.parts)
      .filter(name => name !== 'idle' && (full.parts[name] ?? 0) >= noticedMs)
      .toSorted((a, b) => (full.parts[b] ?? 0) - (full.parts[a] ?? 0));
    const row = (what: string, of: (each: Grown) => number): Row => {
      const ratio = of(full) / of(half);
      return {
        what,
        figure: `${runs.map(each => milliseconds(of(each))).join(' → ')}, last ratio ${ratio.toFixed(2)}`,
        against: ratio > ratioMax ? '**more than linear**' : '≤ 2.5 for twice the work',
      };
    };
    await keepCurve('growth', {
      title: 'Controllers, from the making of pods to their end',
      size: 'pods',
      unit: 'ms of CPU a pod',
      series: Object.fromEntries(
        names
          .filter(name => name.startsWith('controllers/'))
          .slice(0, 6)
          .map(name => [
            name.slice('controllers/'.length),
            runs.map(({ parts }, index) => ({
              size: sizes[index] ?? 0,
              value: (parts[name] ?? 0) / (sizes[index] ?? 1),
            })),
          ]),
      ),
    });
    await keepCurve('growth-all', {
      title: 'The whole cluster, from the making of pods to their end',
      size: 'pods',
      unit: 'ms of CPU a pod',
      series: {
        everything: runs.map(({ totalMs }, index) => ({
          size: sizes[index] ?? 0,
          value: totalMs / (sizes[index] ?? 1),
        })),
      },
    });
    await record('growth', [
      row(`everything, ${sizes.map(each => each.toLocaleString('en')).join(' → ')} pods`, each => each.totalMs),
      ...names.map(name => row(name, each => each.parts[name] ?? 0)),
    ]);
  },
};

async function grown(size: number): Promise<Grown> {
  const flags = ['--experimental-ffi', '--disable-warning=ExperimentalWarning'];
  const { stdout } = await run(process.execPath, [...flags, join(root, 'bench', 'growth-run.ts'), String(size)], {
    cwd: root,
    maxBuffer: 1 << 26,
  });
  return JSON.parse(stdout) as Grown;
}
