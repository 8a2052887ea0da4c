import { Deployment } from '../src/api/apps/v1/deployment.ts';
import { Node } from '../src/api/core/v1/node.ts';
import { systemClock } from '../src/base/clock.ts';
import type { Client } from '../src/client/client.ts';
import { httpsClientFor } from '../src/cluster/clients.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench } from './benches.ts';
import { quantile, record, startBenchCluster, usageOf, type BenchCluster, type Row } from './harness.ts';
import { load, megabytes, milliseconds, watched } from './load.ts';
import { keepCurve, type Point } from './measurements.ts';

const startSizes = [100, 1_000, 5_000];
const nodesCount = 1_000;
const large = 5_000;
const others = 50;
const otherReplicas = 500;
const idleMs = 20_000;
const namespace = 'default';

export const hollow: Bench = {
  name: 'hollow',
  measures: 'simulated nodes: their start, 30,000 pods of Deployments on 1,000 of them, a rolling update of 5,000 pods',
  async run(parts) {
    const wants = (part: string) => parts.length === 0 || parts.includes(part);
    const rows: Row[] = [];
    if (wants('start')) rows.push(...(await starts()));
    if (wants('deployments')) rows.push(...(await deployments()));
    await record('hollow', rows);
  },
};

async function starts(): Promise<Row[]> {
  const rows: Row[] = [];
  const cpu: Point[] = [];
  for (const size of startSizes) {
    await using cluster = await hollowCluster(size);
    await using client = await httpsClientFor(cluster.kubeconfig, systemClock);
    const pid = cluster.pids()['control-plane'] ?? 0;
    const { cpuMs, residentBytes } = usageOf(pid);
    const ready = (await client.list(Node)).items.filter(isReady).length;
    if (ready !== size) throw new Error(`${ready} of ${size} nodes are ready`);
    const idle = await watched(pid, () => sleep(idleMs));
    cpu.push({ size, value: cpuMs / size });
    rows.push({
      what: `${size.toLocaleString('en')} hollow nodes, all Ready`,
      figure: `${milliseconds(cluster.startMs)} cpu=${milliseconds(cpuMs)} rss=${megabytes(residentBytes)}, then ${((100 * idle.cpuMs) / idle.wallMs).toFixed(1)} % of a core`,
      ...(size === 5_000 && { against: 'kwok on 4 vCPUs: 60 s' }),
    });
  }
  const [base] = cpu;
  // The first hundred nodes pay for the start of everything.
  if (base)
    await keepCurve('hollow-start', {
      title: 'Start with hollow nodes',
      size: 'nodes',
      unit: 'ms of CPU a node',
      series: { 'start, all of it': cpu },
    });
  return rows;
}

async function deployments(): Promise<Row[]> {
  await using cluster = await hollowCluster(nodesCount);
  await using client = await httpsClientFor(cluster.kubeconfig, systemClock);
  const pid = cluster.pids()['control-plane'] ?? 0;
  await using probing = probe(client);
  const sizes = [large, ...Array.from({ length: others }, () => otherReplicas)];
  const pods = sizes.reduce((sum, size) => sum + size, 0);
  const made = await watched(pid, async () => {
    await load({ operations: sizes.length, pid }, index =>
      client.create(Deployment, deployment(`app-${index}`, sizes[index] ?? 0), { namespace }),
    );
    await settled(client, sizes.length);
  });
  const during = probing.take();
  const rolled = await watched(pid, async () => {
    await client.patch(Deployment, 'app-0', { type: 'strategic', patch: template('v2') }, { namespace });
    await settled(client, sizes.length);
  });
  const whileRolling = probing.take();
  return [
    {
      what: `${pods.toLocaleString('en')} pods of ${sizes.length} Deployments on 1,000 nodes, all Ready`,
      figure: `${milliseconds(made.wallMs)} cpu=${milliseconds(made.cpuMs)} cpu/pod=${milliseconds(made.cpuMs / pods)} rss=${megabytes(made.residentBytes)}`,
      against: '≤ 60 s on 2 cores, ≤ 1,500 MB',
    },
    {
      what: 'reads of others meanwhile',
      figure: `p50=${milliseconds(quantile(during, 0.5))} p99=${milliseconds(quantile(during, 0.99))}`,
      against: 'p99 ≤ 1 s',
    },
    {
      what: 'rolling update of 5,000 pods',
      figure: `${milliseconds(rolled.wallMs)} cpu=${milliseconds(rolled.cpuMs)} cpu/pod=${milliseconds(rolled.cpuMs / large)} rss=${megabytes(rolled.residentBytes)}`,
      against: '≤ 30 s, ≤ 1,500 MB',
    },
    {
      what: 'reads of others meanwhile',
      figure: `p50=${milliseconds(quantile(whileRolling, 0.5))} p99=${milliseconds(quantile(whileRolling, 0.99))}`,
      against: 'p99 ≤ 1 s',
    },
    { what: 'peak of memory', figure: megabytes(usageOf(pid).peakBytes), against: '≤ 1,500 MB' },
  ];
}

function hollowCluster(nodes: number): Promise<BenchCluster> {
  return startBenchCluster('--nodes', '0', '--runtime', 'hollow', '--hollow-nodes', String(nodes));
}

function isReady({ status }: Node): boolean {
  return status.conditions?.some(each => each.type === 'Ready' && each.status === 'True') ?? false;
}

/** A small read ten times a second: what others feel of the load. */
function probe(client: Client): AsyncDisposable & { take(): number[] } {
  const stop = new AbortController();
  let latenciesMs: number[] = [];
  const probing = (async () => {
    while (!stop.signal.aborted) {
      const started = performance.now();
      await client.get(Node, 'hollow-0');
      latenciesMs.push(performance.now() - started);
      await sleep(100);
    }
  })();
  return {
    take() {
      const taken = latenciesMs;
      latenciesMs = [];
      return taken;
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await probing;
    },
  };
}

export function deployment(name: string, replicas: number) {
  return {
    metadata: { name },
    spec: { replicas, selector: { matchLabels: { app: name } }, ...template('v1', { app: name }).spec },
  };
}

export function template(version: string, labels?: Readonly<Record<string, string>>) {
  const resources = { requests: { cpu: '100m', memory: '64Mi' } };
  const containers = [{ name: 'app', image: `registry.example/app:${version}`, resources }];
  return { spec: { template: { ...(labels && { metadata: { labels } }), spec: { containers } } } };
}

/** Resolves when every Deployment has all that it wants, new and available. */
export async function settled(client: Client, count: number, within = namespace): Promise<void> {
  const stop = new AbortController();
  const done = new Set<string>();
  try {
    for await (const event of client.watch(Deployment, { namespace: within, signal: stop.signal })) {
      if (event.type === 'BOOKMARK' || event.type === 'DELETED') continue;
      const { metadata, spec, status = {} } = event.object;
      const wanted = spec.replicas ?? 1;
      const isThere =
        status.observedGeneration === metadata.generation &&
        [status.replicas, status.updatedReplicas, status.availableReplicas].every(each => each === wanted);
      if (isThere) done.add(metadata.name ?? '');
      else done.delete(metadata.name ?? '');
      if (done.size === count) return;
    }
  } finally {
    stop.abort();
  }
  throw new Error('the watch of the Deployments ended');
}
