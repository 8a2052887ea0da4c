// A cluster in this process gets SIZE pods with everything around them, and loses them again:
//   node bench/growth-run.ts SIZE      prints what each part of the program cost in CPU, as JSON
import { Session } from 'node:inspector/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { DaemonSet } from '#api/apps/v1/daemon-set.ts';
import { Deployment } from '#api/apps/v1/deployment.ts';
import { StatefulSet } from '#api/apps/v1/stateful-set.ts';
import { Job } from '#api/batch/v1/job.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ResourceQuota } from '#api/core/v1/resource-quota.ts';
import { Service } from '#api/core/v1/service.ts';
import { PodDisruptionBudget } from '#api/policy/v1/pod-disruption-budget.ts';
import { startCluster } from '#cluster/start-cluster.ts';

const size = Number(process.argv[2]);
/** A group is a namespace with 100 pods: three Deployments, a StatefulSet, Jobs, and a pod of each of its DaemonSet's nodes. */
const groups = Math.round(size / 100);

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly url: string; readonly functionName: string };
  readonly children?: readonly number[];
}

const session = new Session();
session.connect();
await using cluster = await startCluster({ nodes: Math.max(1, Math.round(size / 40)) });
const { client } = cluster;
await session.post('Profiler.enable');
await session.post('Profiler.setSamplingInterval', { interval: 500 });
await session.post('Profiler.start');
const before = process.cpuUsage();

await eachGroup(makeGroup);
await eachGroup(group => until(() => ready(group)));
await eachGroup(group =>
  client.patch(
    Deployment,
    'web-0',
    { type: 'strategic', patch: { spec: { template: podTemplate('web-0', 'v2') } } },
    { namespace: group },
  ),
);
await eachGroup(group => until(() => ready(group)));
await eachGroup(group => client.delete(Namespace, group));
await until(async () => (await client.list(Namespace, { labelSelector: 'group' })).items.length === 0);

const { user, system } = process.cpuUsage(before);
const { profile } = await session.post('Profiler.stop');
console.log(JSON.stringify({ totalMs: (user + system) / 1000, parts: costs(profile as never) }));
// Nothing of the cluster is wanted any more.
process.exit(0);

async function eachGroup(act: (group: string) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < groups; index = next++) await act(`group-${index}`);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

function podTemplate(app: string, version = 'v1', more: object = {}) {
  const resources = { requests: { cpu: '10m', memory: '16Mi' } };
  const containers = [{ name: 'app', image: `registry.example/app:${version}`, resources }];
  return { metadata: { labels: { app } }, spec: { containers, terminationGracePeriodSeconds: 0, ...more } };
}

async function makeGroup(namespace: string): Promise<void> {
  const within = { namespace };
  await client.create(Namespace, { metadata: { name: namespace, labels: { group: 'yes' } } });
  await client.create(
    ResourceQuota,
    { metadata: { name: 'all' }, spec: { hard: { pods: '500', services: '50' } } },
    within,
  );
  for (const app of ['web-0', 'web-1', 'web-2']) {
    const selector = { matchLabels: { app } };
    await client.create(
      Deployment,
      { metadata: { name: app }, spec: { replicas: 25, selector, template: podTemplate(app) } },
      within,
    );
    await client.create(
      Service,
      { metadata: { name: app }, spec: { selector: { app }, ports: [{ port: 80 }] } },
      within,
    );
    await client.create(PodDisruptionBudget, { metadata: { name: app }, spec: { minAvailable: 1, selector } }, within);
  }
  await client.create(
    StatefulSet,
    {
      metadata: { name: 'set' },
      spec: {
        replicas: 10,
        serviceName: 'set',
        podManagementPolicy: 'Parallel',
        selector: { matchLabels: { app: 'set' } },
        template: podTemplate('set'),
      },
    },
    within,
  );
  await client.create(
    Job,
    {
      metadata: { name: 'job' },
      spec: { completions: 12, parallelism: 12, template: podTemplate('job', 'v1', { restartPolicy: 'Never' }) },
    },
    within,
  );
  // On as many nodes as every group has: the work grows with the groups, and not with groups times nodes.
  await client.create(
    DaemonSet,
    {
      metadata: { name: 'agent' },
      spec: {
        selector: { matchLabels: { app: 'agent' } },
        template: podTemplate('agent', 'v1', {
          nodeSelector: { 'kubernetes.io/hostname': `hollow-${namespace.slice(6)}` },
        }),
      },
    },
    within,
  );
}

async function ready(namespace: string): Promise<boolean> {
  const { items } = await client.list(Pod, { namespace });
  const running = items.filter(
    ({ metadata, status }) =>
      metadata.deletionTimestamp === undefined && ['Running', 'Succeeded'].includes(status.phase ?? ''),
  );
  if (running.length < 75 + 10 + 12) return false;
  const deployments = (await client.list(Deployment, { namespace })).items;
  return deployments.every(
    ({ metadata, status = {} }) =>
      status.observedGeneration === metadata.generation &&
      [status.replicas, status.updatedReplicas, status.availableReplicas].every(each => each === 25),
  );
}

async function until(reached: () => Promise<boolean>): Promise<void> {
  while (!(await reached())) await sleep(250);
}

/** Milliseconds by part: a sample belongs to the innermost frame of a part. */
function costs({
  nodes,
  samples,
  timeDeltas,
}: {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}): Record<string, number> {
  const byId = new Map(nodes.map(node => [node.id, node]));
  const parents = new Map(nodes.flatMap(node => (node.children ?? []).map(child => [child, node.id] as const)));
  const parts = new Map<number, string>();
  const partOfNode = (id: number): string => {
    const known = parts.get(id);
    if (known !== undefined) return known;
    const node = byId.get(id);
    const parent = parents.get(id);
    const own = node && partOf(node.callFrame);
    const part = own ?? (parent === undefined ? 'the rest' : partOfNode(parent));
    parts.set(id, part);
    return part;
  };
  const sums: Record<string, number> = {};
  for (const [index, id] of samples.entries()) {
    const part = partOfNode(id);
    sums[part] = (sums[part] ?? 0) + (timeDeltas[index] ?? 0) / 1000;
  }
  return sums;
}

function partOf({ url, functionName }: ProfileNode['callFrame']): string | undefined {
  if (functionName === '(idle)') return 'idle';
  if (functionName === '(garbage collector)') return 'garbage collection';
  const path = /\/src\/(.*)\.ts$/.exec(url)?.[1];
  const [layer, ...rest] = path?.split('/') ?? [];
  if (layer === 'controllers' && rest.length > 1) return `controllers/${rest.join('/')}`;
  if (layer === 'apiserver' || layer === 'storage' || layer === 'scheduler' || layer === 'admission') return layer;
  if (layer === 'kubelet') return 'hollow nodes';
  return undefined;
}
