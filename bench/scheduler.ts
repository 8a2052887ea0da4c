import type { Bench } from './benches.ts';
import { loadGenerator, record, startBenchCluster, watchRun, type Row } from './harness.ts';

interface Shape {
  readonly nodes: number;
  readonly pods: number;
  readonly shape: 'basic' | 'spread' | 'antiaffinity';
  readonly against: string;
}

const shapes: readonly Shape[] = [
  { nodes: 1000, pods: 3000, shape: 'basic', against: '≥ 2,500 pods/s; upstream 488' },
  { nodes: 1000, pods: 3000, shape: 'spread', against: '≥ 2,000 pods/s; upstream 323' },
  { nodes: 1000, pods: 1000, shape: 'antiaffinity', against: '≥ 2,000 pods/s; upstream 266' },
  { nodes: 5000, pods: 5000, shape: 'basic', against: '≥ 2,500 pods/s; upstream 388' },
];

export const scheduler: Bench = {
  name: 'scheduler',
  measures: 'pods bound a second, created through the API by ksched',
  async run() {
    const ksched = await loadGenerator('ksched');
    if (!ksched) return void process.stdout.write('skipped: ../shared/bench or Go is not here\n');
    const rows: Row[] = [];
    for (const { nodes, pods, shape, against } of shapes) {
      await using cluster = await startBenchCluster('--nodes', '0', '--runtime', 'hollow', '--hollow-nodes', '0');
      const token = await cluster.token();
      const args = [
        '-server',
        cluster.server,
        '-token',
        token,
        '-nodes',
        String(nodes),
        '-pods',
        String(pods),
        '-shape',
        shape,
        '-keep-nodes',
      ];
      const output = await watchRun(ksched, args);
      const figure = /last bound after .*$/m.exec(output)?.[0] ?? 'no figure';
      rows.push({ what: `${nodes} nodes, ${pods} ${shape} pods`, figure, against });
    }
    await record('scheduler', rows);
  },
};
