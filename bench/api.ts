import type { Bench } from './benches.ts';
import { loadGenerator, record, startBenchCluster, usageOf, watchRun, type Row } from './harness.ts';

/** First goals of the performance page, by kload's phase. */
const goals: Readonly<Record<string, string>> = {
  create: '≥ 4,000/s, p99 ≤ 25 ms; upstream 1,301/s, 68 ms',
  'watch delay': 'p99 ≤ 30 ms; upstream 86 ms',
  get: '≥ 12,000/s; upstream 5,762/s',
  list: '≤ 50 ms; upstream 217 ms',
  patch: '≥ 3,000/s; upstream 980/s',
  apply: '≥ 2,500/s; upstream 697/s',
  update: '≥ 2,500/s; upstream 726/s',
  delete: '≥ 3,000/s; upstream 892/s',
};

export const api: Bench = {
  name: 'api',
  measures: 'the verbs of the API server under load (kload: 5,000 pods, 32 at once, 10 watchers)',
  async run() {
    const kload = await loadGenerator('kload');
    if (!kload) return void process.stdout.write('skipped: ../shared/bench or Go is not here\n');
    // No nodes at all: pods stay Pending, and only the API server works.
    await using cluster = await startBenchCluster('--nodes', '0', '--runtime', 'hollow', '--hollow-nodes', '0');
    const token = await cluster.token();
    const server = cluster.pids()['control-plane'] ?? 0;
    const output = await watchRun(kload, [
      '-server',
      cluster.server,
      '-token',
      token,
      '-n',
      '5000',
      '-pids',
      String(server),
    ]);
    const rows: Row[] = output
      .split('\n')
      .map(line => line.trim())
      .filter(line => line !== '')
      .map(line => {
        const [what = '', ...rest] = line.split(/\s{2,}/);
        const goal = Object.entries(goals).find(([phase]) => what.startsWith(phase))?.[1];
        return { what, figure: rest.join(' '), ...(goal && { against: goal }) };
      });
    rows.push({
      what: 'memory of the control plane after the run',
      figure: `${Math.round(usageOf(server).residentBytes / 2 ** 20)} MB`,
      against: '≤ 350 MB; upstream 1,316 MB',
    });
    await record('api', rows);
  },
};
