import { execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from './benches.ts';
import { quantile, record, root, startBenchCluster, type Row } from './harness.ts';

const rounds = 5;
const coldRounds = 3;

export const startup: Bench = {
  name: 'startup',
  measures: 'how long a cluster takes to start, as a program and inside a test',
  async run() {
    const totals: number[] = [];
    const steps = new Map<string, number[]>();
    for (let round = 0; round < rounds; round++) {
      await using cluster = await startBenchCluster();
      totals.push(cluster.startMs);
      for (const [, name = '', amount, unit] of cluster.output.matchAll(/✓ (.+?)\s{2,}([\d.]+) (ms|s)/g)) {
        const tookMs = Number(amount) * (unit === 's' ? 1000 : 1);
        steps.set(name.trim(), [...(steps.get(name.trim()) ?? []), tookMs]);
      }
    }
    const again = await startAgain();
    const cold = await startCold();
    const inProcess = await startInProcess();
    const goals: Readonly<Record<string, string>> = { 'API server': 'start → readyz ≤ 500 ms; upstream 3.4 s' };
    const rows: Row[] = [
      {
        what: '`up --detach` until the node is Ready, p50',
        figure: ms(quantile(totals, 0.5)),
        against: '≤ 1.5 s; upstream 15.8 s',
      },
      { what: 'the same on the data of a former run, p50', figure: ms(quantile(again, 0.5)), against: '≤ 1.5 s' },
      {
        what: 'the same with nothing of it in the page cache, p50',
        figure: cold.length === 0 ? 'needs root' : ms(quantile(cold, 0.5)),
      },
      ...[...steps].map(([name, values]) => ({
        what: `step ${name}, p50`,
        figure: ms(quantile(values, 0.5)),
        ...(goals[name] && { against: goals[name] }),
      })),
      {
        what: 'startCluster() in a test, first',
        figure: ms(inProcess[0] ?? Number.NaN),
        against: '≤ 50 ms; envtest 2–5 s',
      },
      {
        what: 'startCluster() in a test, p50 of the next',
        figure: ms(quantile(inProcess.slice(1), 0.5)),
        against: '≤ 50 ms',
      },
    ];
    await record('startup', rows);
  },
};

async function startAgain(): Promise<number[]> {
  await using cluster = await startBenchCluster();
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) times.push(await cluster.restart());
  return times;
}

/** The machine as after its own start: neither program nor data have been read. */
async function startCold(): Promise<number[]> {
  if (process.getuid?.() !== 0 || process.platform !== 'linux') return [];
  const times: number[] = [];
  for (let round = 0; round < coldRounds; round++) {
    execFileSync('sync');
    writeFileSync('/proc/sys/vm/drop_caches', '3');
    await using cluster = await startBenchCluster();
    times.push(cluster.startMs);
  }
  return times;
}

/** In a process of its own, so that nothing is warm. */
function startInProcess(): Promise<number[]> {
  const script = `
    const { startCluster } = await import(${JSON.stringify(join(root, 'src', 'windlass.ts'))});
    const times = [];
    for (let round = 0; round < 10; round++) {
      const started = performance.now();
      await using cluster = await startCluster();
      times.push(performance.now() - started);
    }
    console.log(JSON.stringify(times));
  `;
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
        cwd: root,
      },
    );
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    child.on('close', code =>
      code === 0 ? resolve(JSON.parse(text) as number[]) : reject(new Error(`ended with ${code}`)),
    );
  });
}

function ms(value: number): string {
  return value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(2)} s`;
}
