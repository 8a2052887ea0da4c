import { Deployment } from '../src/api/apps/v1/deployment.ts';
import { ConfigMap } from '../src/api/core/v1/config-map.ts';
import { Namespace } from '../src/api/core/v1/namespace.ts';
import type { ApiObject, Kind } from '../src/api/machinery/kind.ts';
import { isReason } from '../src/api/machinery/errors.ts';
import { systemClock } from '../src/base/clock.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../src/client/client.ts';
import { httpsClientFor } from '../src/cluster/clients.ts';
import type { Bench } from './benches.ts';
import { record, startBenchCluster, type Row } from './harness.ts';
import { deployment, settled, template } from './hollow.ts';
import { load, megabytes, milliseconds, watched } from './load.ts';
import { keepCurve, type Point } from './measurements.ts';

const rolloutSizes = [500, 1_000, 2_000, 4_000];
const objectSizes = [2_500, 5_000, 10_000];
const nodes = 100;

export const controllers: Bench = {
  name: 'controllers',
  measures:
    'rolling updates, garbage collection of up to 10,000 dependents, deletion of namespaces with up to 10,000 objects',
  async run() {
    await using cluster = await startBenchCluster(
      '--nodes',
      '0',
      '--runtime',
      'hollow',
      '--hollow-nodes',
      String(nodes),
    );
    await using client = await httpsClientFor(cluster.kubeconfig, systemClock);
    const pid = cluster.pids()['control-plane'] ?? 0;
    const rows: Row[] = [];
    const series: Record<string, Point[]> = {};
    const measure = async (what: string, size: number, act: () => Promise<unknown>) => {
      const { wallMs, cpuMs, residentBytes } = await watched(pid, act);
      (series[what] ??= []).push({ size, value: cpuMs / size });
      rows.push({
        what: `${what}: ${size.toLocaleString('en')}`,
        figure: `${milliseconds(wallMs)} cpu=${milliseconds(cpuMs)} cpu/object=${milliseconds(cpuMs / size)} rss=${megabytes(residentBytes)}`,
      });
    };
    for (const size of rolloutSizes) {
      const namespace = `rollout-${size}`;
      await client.create(Namespace, { metadata: { name: namespace } });
      await measure('pods of a new Deployment', size, async () => {
        await client.create(Deployment, deployment('app', size), { namespace });
        await settled(client, 1, namespace);
      });
      await measure('pods replaced by a rolling update', size, async () => {
        await client.patch(Deployment, 'app', { type: 'strategic', patch: template('v2') }, { namespace });
        await settled(client, 1, namespace);
      });
      await client.delete(Namespace, namespace);
      await gone(client, Namespace, namespace);
    }
    for (const size of objectSizes) {
      await measure('dependents collected', size, await dependents(client, pid, size));
      const namespace = `full-${size}`;
      await client.create(Namespace, { metadata: { name: namespace } });
      await load({ operations: size, pid }, index =>
        client.create(ConfigMap, { metadata: { name: `map-${index}` }, data: { index: String(index) } }, { namespace }),
      );
      await measure('objects of a namespace deleted', size, async () => {
        await client.delete(Namespace, namespace);
        await gone(client, Namespace, namespace);
      });
    }
    const pick = (...names: readonly string[]) => Object.fromEntries(names.map(name => [name, series[name] ?? []]));
    await keepCurve('controllers-rollout', {
      title: 'Deployments',
      size: 'pods',
      unit: 'ms of CPU a pod',
      series: pick('pods of a new Deployment', 'pods replaced by a rolling update'),
    });
    await keepCurve('controllers-removal', {
      title: 'What is to go',
      size: 'objects',
      unit: 'ms of CPU an object',
      series: pick('dependents collected', 'objects of a namespace deleted'),
    });
    await record('controllers', rows);
  },
};

/** Makes an owner with dependents; what is returned deletes it and waits until they are gone. */
async function dependents(client: Client, pid: number, size: number): Promise<() => Promise<void>> {
  const namespace = `owned-${size}`;
  await client.create(Namespace, { metadata: { name: namespace } });
  const { metadata } = await client.create(ConfigMap, { metadata: { name: 'owner' } }, { namespace });
  const ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: metadata.uid ?? '' }];
  await load({ operations: size, pid }, index =>
    client.create(
      ConfigMap,
      { metadata: { name: `map-${index}`, ownerReferences, labels: { owned: 'yes' } } },
      { namespace },
    ),
  );
  return async () => {
    await client.delete(ConfigMap, 'owner', { namespace, propagationPolicy: 'Background' });
    for (;;) {
      const { items } = await client.list(ConfigMap, { namespace, labelSelector: 'owned', limit: 1 });
      if (items.length === 0) return;
      await sleep(100);
    }
  };
}

async function gone(client: Client, kind: Kind<ApiObject>, name: string): Promise<void> {
  for (;;) {
    try {
      await client.get(kind, name);
    } catch (error) {
      if (isReason(error, 'NotFound')) return;
      throw error;
    }
    await sleep(50);
  }
}
