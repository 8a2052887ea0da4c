import { Namespace } from '../src/api/core/v1/namespace.ts';
import { Node } from '../src/api/core/v1/node.ts';
import { Pod } from '../src/api/core/v1/pod.ts';
import { PriorityClass } from '../src/api/scheduling/v1/priority-class.ts';
import { systemClock } from '../src/base/clock.ts';
import type { Client } from '../src/client/client.ts';
import { httpsClientFor } from '../src/cluster/clients.ts';
import type { Bench } from './benches.ts';
import { controlPlaneOnly, quantile, record, startBenchCluster, usageOf, type Row } from './harness.ts';
import { load, megabytes, milliseconds, perSecond } from './load.ts';

/** One of upstream's scheduler_perf workloads of 5,000 nodes (test/integration/scheduler_perf). */
interface Shape {
  readonly name: string;
  readonly against: string;
  /** Bound before the measurement, by namespace. */
  readonly before: readonly Group[];
  readonly measured: Group;
}

interface Group {
  readonly namespace: string;
  readonly namespaceLabels?: Readonly<Record<string, string>>;
  readonly pods: number;
  readonly template: Template;
}

interface Template {
  readonly labels?: Readonly<Record<string, string>>;
  readonly spec?: Record<string, unknown>;
  readonly requests?: Readonly<Record<string, string>>;
}

const nodesCount = 5_000;
const zones = ['moon-1', 'moon-2', 'moon-3'];
/** All nodes are in one region; upstream's workload puts them all into one zone. */
const everywhere = 'topology.kubernetes.io/region';
const zone = 'topology.kubernetes.io/zone';
const host = 'kubernetes.io/hostname';

const basic: Template = {};
const near: Template = {
  labels: { color: 'blue' },
  spec: { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term('blue', everywhere)] } } },
};
const preferablyNear: Template = {
  labels: { color: 'red' },
  spec: {
    affinity: {
      podAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, podAffinityTerm: term('red', host) }],
      },
    },
  },
};
const apart: Template = {
  labels: { color: 'green' },
  spec: { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term('green', host)] } } },
};
const apartByNamespaceLabels: Template = {
  labels: { color: 'green' },
  spec: {
    affinity: {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          {
            labelSelector: { matchLabels: { color: 'green' } },
            topologyKey: host,
            namespaceSelector: { matchLabels: { team: 'devops' } },
          },
        ],
      },
    },
  },
};
const spread: Template = {
  labels: { color: 'blue' },
  spec: {
    topologySpreadConstraints: [
      {
        maxSkew: 5,
        topologyKey: zone,
        whenUnsatisfiable: 'DoNotSchedule',
        labelSelector: { matchLabels: { color: 'blue' } },
      },
    ],
  },
};
const low: Template = { requests: { cpu: '900m', memory: '500Mi' } };
const high: Template = { requests: { cpu: '3000m', memory: '500Mi' }, spec: { priorityClassName: 'high' } };
const devops = { team: 'devops' };

const shapes: readonly Shape[] = [
  {
    name: 'basic',
    against: '≥ 2,500 pods/s; upstream’s gate 680–810',
    before: [{ namespace: 'sched-0', pods: 1_000, template: basic }],
    measured: { namespace: 'sched-1', pods: 10_000, template: basic },
  },
  {
    name: 'topology spread',
    against: 'upstream’s gate 460',
    before: [{ namespace: 'sched-0', pods: 5_000, template: basic }],
    measured: { namespace: 'sched-1', pods: 5_000, template: spread },
  },
  {
    name: 'preferred pod affinity',
    against: 'upstream’s gate 90',
    before: [{ namespace: 'sched-0', pods: 5_000, template: preferablyNear }],
    measured: { namespace: 'sched-1', pods: 5_000, template: preferablyNear },
  },
  {
    name: 'required pod affinity',
    against: '≥ 350 pods/s; upstream’s gate 35',
    before: [{ namespace: 'sched-0', pods: 5_000, template: near }],
    measured: { namespace: 'sched-1', pods: 5_000, template: near },
  },
  {
    name: 'required anti-affinity',
    against: 'upstream’s gate 60',
    before: [{ namespace: 'sched-0', pods: 1_000, template: apart }],
    measured: { namespace: 'sched-1', pods: 2_000, template: apart },
  },
  {
    // Upstream's workload has 6,000 nodes for its 4,000 + 2,000 pods.
    name: 'anti-affinity with namespace selector',
    against: '≥ 240 pods/s; upstream’s gate 24',
    before: Array.from({ length: 100 }, (_, index) => ({
      namespace: `init-ns-${index}`,
      namespaceLabels: devops,
      pods: 30,
      template: apartByNamespaceLabels,
    })),
    measured: {
      namespace: 'measure-ns-0',
      namespaceLabels: devops,
      pods: 2_000,
      template: apartByNamespaceLabels,
    },
  },
  {
    name: 'preemption basic',
    against: 'completes; upstream’s is disabled',
    before: [{ namespace: 'sched-0', pods: 20_000, template: low }],
    measured: { namespace: 'sched-1', pods: 5_000, template: high },
  },
];

export const schedulerShapes: Bench = {
  name: 'scheduler-shapes',
  measures: 'the workloads of upstream’s scheduler_perf on 5,000 nodes, created through the API',
  async run(names) {
    // Nobody sends heartbeats for the nodes.
    const patient = ['--kube-controller-manager-arg', 'node-monitor-grace-period=24h'];
    await using cluster = await startBenchCluster(...controlPlaneOnly, ...patient);
    const pid = cluster.pids()['control-plane'] ?? 0;
    await using client = await httpsClientFor(cluster.kubeconfig, systemClock);
    await client.create(PriorityClass, { metadata: { name: 'high' }, value: 1_000 });
    const nodes = await load({ operations: nodesCount, pid, concurrency: 64 }, index => createNode(client, index));
    const rows: Row[] = [
      {
        what: '5,000 nodes made',
        figure: `${milliseconds(nodes.wallMs)} cpu/node=${milliseconds(nodes.cpuMs / nodesCount)} rss=${megabytes(nodes.residentBytes)}`,
      },
    ];
    for (const shape of shapes.filter(each => names.length === 0 || names.includes(each.name)))
      rows.push(await measure(client, pid, shape));
    await record('scheduler-shapes', rows);
  },
};

async function measure(client: Client, pid: number, { name, against, before, measured }: Shape): Promise<Row> {
  for (const group of [...before, measured]) await makeNamespace(client, group);
  await using initial = followBindings(client);
  for (const group of before) await createPods(client, pid, group);
  await initial.bound(before.reduce((sum, { pods }) => sum + pods, 0));

  await using following = followBindings(client, measured.namespace);
  const sentMs = new Map<string, number>();
  const started = performance.now();
  const cpuBefore = usageOf(pid).cpuMs;
  await Promise.all([createPods(client, pid, measured, sentMs), following.bound(measured.pods)]);
  const wallMs = performance.now() - started;
  const after = usageOf(pid);
  const waited = Array.from(following.moments, ([pod, moment]) => moment - (sentMs.get(pod) ?? Number.NaN));
  const row = {
    what: `${name}, ${measured.pods.toLocaleString('en')} pods`,
    figure: [
      `${perSecond(measured.pods, wallMs)} pods/s`,
      `create → bound p50=${milliseconds(quantile(waited, 0.5))} p99=${milliseconds(quantile(waited, 0.99))}`,
      `cpu/pod=${milliseconds((after.cpuMs - cpuBefore) / measured.pods)}`,
      `rss=${megabytes(after.residentBytes)}`,
    ].join(' '),
    against,
  };
  process.stdout.write(`${row.what}: ${row.figure}\n`);
  for (const { namespace } of [...before, measured])
    await client.deleteCollection(Pod, { namespace, gracePeriodSeconds: 0 });
  return row;
}

function term(color: string, topologyKey: string) {
  return { labelSelector: { matchLabels: { color } }, topologyKey, namespaces: ['sched-1', 'sched-0'] };
}

/** As upstream's node-default.yaml, with the labels that any of the workloads wants. */
async function createNode(client: Client, index: number): Promise<void> {
  const name = `scheduler-perf-${index}`;
  const labels = { [host]: name, [zone]: zones[index % zones.length] ?? '', [everywhere]: 'region1' };
  await client.create(Node, { metadata: { name, labels }, spec: {} });
  await client.patch(Node, name, { type: 'merge', patch: { spec: { taints: null } } });
  const size = { cpu: '4', memory: '32Gi', pods: '110' };
  const conditions = [{ type: 'Ready', status: 'True', reason: 'KubeletReady' }];
  const patch = { status: { capacity: size, allocatable: size, conditions } };
  await client.patch(Node, name, { type: 'merge', patch }, { subresource: 'status' });
}

async function makeNamespace(client: Client, { namespace, namespaceLabels = {} }: Group): Promise<void> {
  const metadata = { name: namespace, labels: namespaceLabels };
  await client.patch(
    Namespace,
    namespace,
    { type: 'apply', object: { apiVersion: 'v1', kind: 'Namespace', metadata } },
    { fieldManager: 'bench', force: true },
  );
}

async function createPods(
  client: Client,
  pid: number,
  { namespace, pods, template }: Group,
  sentMs?: Map<string, number>,
): Promise<void> {
  const { labels, spec, requests = { cpu: '100m', memory: '500Mi' } } = template;
  await load({ operations: pods, pid }, async index => {
    const name = `pod-${index}`;
    sentMs?.set(name, performance.now());
    await client.create(
      Pod,
      {
        metadata: { name, ...(labels && { labels }) },
        spec: {
          automountServiceAccountToken: false,
          terminationGracePeriodSeconds: 0,
          containers: [{ name: 'pause', image: 'registry.k8s.io/pause:3.10', resources: { requests } }],
          ...spec,
        },
      },
      { namespace },
    );
  });
}

interface Bindings extends AsyncDisposable {
  /** When the watch said that a pod is bound, by name. */
  readonly moments: ReadonlyMap<string, number>;
  /** Resolves when that many pods have been bound since the start. */
  bound(count: number): Promise<void>;
}

function followBindings(client: Client, namespace?: string): Bindings {
  const stop = new AbortController();
  const moments = new Map<string, number>();
  let wanted: { readonly count: number; readonly reached: () => void } | undefined;
  const following = (async () => {
    for await (const event of client.watch(Pod, { ...(namespace && { namespace }), signal: stop.signal })) {
      if (event.type === 'BOOKMARK' || event.type === 'DELETED' || !event.object.spec.nodeName) continue;
      const { name = '', namespace: within } = event.object.metadata;
      const key = namespace ? name : `${within}/${name}`;
      if (!moments.has(key)) moments.set(key, performance.now());
      if (wanted && moments.size >= wanted.count) wanted.reached();
    }
  })().catch((error: unknown) => {
    if (!stop.signal.aborted) throw error;
  });
  return {
    moments,
    bound: count => {
      if (moments.size >= count) return Promise.resolve();
      const { promise, resolve } = Promise.withResolvers<void>();
      wanted = { count, reached: resolve };
      return Promise.race([
        promise,
        following.then(() => {
          throw new Error('the watch of the pods ended');
        }),
      ]);
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await following;
    },
  };
}
