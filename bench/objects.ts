import { ConfigMap } from '../src/api/core/v1/config-map.ts';
import { systemClock } from '../src/base/clock.ts';
import type { Client } from '../src/client/client.ts';
import { httpsClientFor } from '../src/cluster/clients.ts';
import type { Bench } from './benches.ts';
import { controlPlaneOnly, record, startBenchCluster, usageOf, type Row } from './harness.ts';
import { load, megabytes, perSecond, phaseRow } from './load.ts';
import { keepCurve, type Point } from './measurements.ts';

const sizes = [1_000, 10_000, 100_000];
const namespace = 'default';
/** One in a hundred has it. */
const rare = 'share=rare';

export const objects: Bench = {
  name: 'objects',
  measures: 'reads and writes beside 1,000, 10,000 and 100,000 ConfigMaps of 1 kB',
  async run() {
    const series: Record<string, Point[]> = {};
    const rows: Row[] = [];
    await using cluster = await startBenchCluster(...controlPlaneOnly);
    await using client = await httpsClientFor(cluster.kubeconfig, systemClock);
    const pid = cluster.pids()['control-plane'] ?? 0;
    const empty = usageOf(pid).residentBytes;
    let there = 0;
    for (const size of sizes) {
      const first = there;
      const filled = await load({ operations: size - first, pid }, index =>
        create(client, `map-${first + index}`, first + index),
      );
      there = size;
      const what = (each: string) => `${size.toLocaleString('en')} ConfigMaps: ${each}`;
      const measure = async (
        name: string,
        operations: number,
        per: number,
        act: (index: number) => Promise<unknown>,
      ) => {
        const phase = await load({ operations, concurrency: operations >= 1_000 ? 32 : 1, pid }, act);
        rows.push(phaseRow(what(name), phase));
        (series[name] ??= []).push({ size, value: phase.cpuMs / operations / per });
      };
      rows.push({
        what: what('made'),
        figure: `${perSecond(filled.operations, filled.wallMs)}/s, ${megabytes(filled.residentBytes - empty)} more memory than without`,
      });
      await measure('get one', 2_000, 1, index => client.get(ConfigMap, `map-${(index * 37) % size}`, { namespace }));
      await measure('change one', 1_000, 1, index =>
        client.patch(
          ConfigMap,
          `map-${(index * 37) % size}`,
          { type: 'merge', patch: { data: { turn: `${size}-${index}` } } },
          { namespace },
        ),
      );
      await measure('a page of 500', 20, 1, () => client.list(ConfigMap, { namespace, limit: 500 }));
      await measure('list, an object', size > 10_000 ? 3 : 10, size, () =>
        client.raw(`/api/v1/namespaces/${namespace}/configmaps`),
      );
      await measure('list by a label that 1 % have, an object found', 20, size / 100, () =>
        client.list(ConfigMap, { namespace, labelSelector: rare }),
      );
    }
    for (const [name, points] of Object.entries(series)) process.stdout.write(`${name}: ${JSON.stringify(points)}\n`);
    const pick = (...names: readonly string[]) => Object.fromEntries(names.map(name => [name, series[name] ?? []]));
    await keepCurve('objects-one', {
      title: 'One object among many',
      size: 'ConfigMaps',
      unit: 'ms of CPU a request',
      series: pick('get one', 'change one'),
    });
    await keepCurve('objects-page', {
      title: 'A page of 500 of a list',
      size: 'ConfigMaps',
      unit: 'ms of CPU a request',
      series: pick('a page of 500'),
    });
    await keepCurve('objects-list', {
      title: 'Lists',
      size: 'ConfigMaps',
      unit: 'ms of CPU an object',
      series: pick('list, an object', 'list by a label that 1 % have, an object found'),
    });
    await record('objects', rows);
  },
};

function create(client: Client, name: string, index: number): Promise<unknown> {
  const labels = { app: 'bench', share: index % 100 === 0 ? 'rare' : 'common' };
  return client.create(ConfigMap, { metadata: { name, labels }, data: { text: 'x'.repeat(800) } }, { namespace });
}
