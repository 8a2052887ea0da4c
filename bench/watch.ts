import type { Bench } from './benches.ts';
import { loadGenerator, record, startBenchCluster, usageOf, watchRun, type Row } from './harness.ts';

const seconds = 10;

export const watch: Bench = {
  name: 'watch',
  measures: 'how long a change takes to each of 1,000 watches, at 50 and at 500 changes a second',
  async run() {
    const watchers = await loadGenerator('watchers');
    if (!watchers) return void process.stdout.write('skipped: Go is not here\n');
    const rows: Row[] = [];
    await using cluster = await startBenchCluster('--nodes', '0', '--runtime', 'hollow', '--hollow-nodes', '0');
    const token = await cluster.token();
    const server = cluster.pids()['control-plane'] ?? 0;
    for (const rate of [50, 500]) {
      const beforeMs = usageOf(server).cpuMs;
      const output = await watchRun(watchers, [
        `-server=${cluster.server}`,
        `-token=${token}`,
        '-watchers=1000',
        `-rate=${rate}`,
        `-seconds=${seconds}`,
      ]);
      const perEventUs = ((usageOf(server).cpuMs - beforeMs) * 1000) / (rate * seconds * 1000);
      rows.push({
        what: `1,000 watches, ${rate} changes a second asked for`,
        figure: `${/changes .*$/m.exec(output)?.[0] ?? 'no figure'} cpu=${perEventUs.toFixed(2)}µs a delivery`,
        against: 'p99 ≤ 100 ms',
      });
    }
    await record('watch', rows);
  },
};
