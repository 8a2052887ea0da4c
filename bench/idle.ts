import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench } from './benches.ts';
import { record, startBenchCluster, usageOf, type Row } from './harness.ts';

const settleMs = 20_000;
const watchMs = 60_000;

export const idle: Bench = {
  name: 'idle',
  measures: 'memory and CPU of a single-node cluster that does nothing',
  async run() {
    await using cluster = await startBenchCluster();
    await sleep(settleMs);
    const pids = Object.entries(cluster.pids());
    const before = pids.map(([, pid]) => usageOf(pid));
    await sleep(watchMs);
    const after = pids.map(([, pid]) => usageOf(pid));
    const share = (index: number) => (100 * ((after[index]?.cpuMs ?? 0) - (before[index]?.cpuMs ?? 0))) / watchMs;
    const sum = (of: (index: number) => number) => pids.reduce((total, _, index) => total + of(index), 0);
    const megabytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MB`;
    const rows: Row[] = pids.map(([name], index) => ({
      what: name,
      figure: `${megabytes(after[index]?.residentBytes ?? 0)} resident, ${megabytes(after[index]?.proportionalBytes ?? 0)} proportional, ${share(index).toFixed(2)} % of a core`,
    }));
    rows.push({
      what: 'all together',
      figure: `${megabytes(sum(index => after[index]?.residentBytes ?? 0))} resident, ${megabytes(sum(index => after[index]?.proportionalBytes ?? 0))} proportional, ${sum(share).toFixed(2)} % of a core`,
      against: '≤ 220 MB, ≤ 1 %; upstream 671 MB, 3.8 %',
    });
    await record('idle', rows);
  },
};
