/**
 * `npm run soak -- [--minutes 10]`: a cluster with real containers whose users never rest: pods, Services, watches, exec, logs
 * and custom resources come and go. Now and then everything is quiet for a moment, and what its processes hold is written
 * down: memory, handles, threads, and what the node has on the machine. Fails when any of it grows.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CoreV1Api, CustomObjectsApi, Exec, KubeConfig, Watch, type V1Pod } from '@kubernetes/client-node';
import { Writable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { limits } from '#base/limits.ts';
import { dataDirAt } from '../../src/cluster/data-dir.ts';
import { record } from '../../bench/harness.ts';
import { startScenarioCluster, type ScenarioCluster } from './cluster.ts';
import { eventually } from './eventually.ts';
import { container, pod, service } from './objects.ts';

export interface SoakOptions {
  readonly minutes: number;
  readonly say: (line: string) => void;
  /** Between two looks. */
  readonly roundMs?: number;
  /** Ends it at the next look. */
  readonly signal?: AbortSignal;
}

/** What is held at a moment of rest, by name: `control-plane memory (MB)`. */
export type Sample = Readonly<Record<string, number>>;

export interface SoakFigures {
  readonly samples: readonly Sample[];
  readonly turns: number;
  readonly growth: readonly string[];
}

const namespace = 'default';
const crdName = 'things.soak.example.com';

export async function soak(cluster: ScenarioCluster, options: SoakOptions): Promise<SoakFigures> {
  const { minutes, say, roundMs = 30_000, signal } = options;
  const config = new KubeConfig();
  config.loadFromFile(cluster.kubeconfig);
  const samples: Sample[] = [];
  const endMs = performance.now() + minutes * 60_000;
  let turns = 0;
  await fillHistories(config);
  do {
    const roundEndMs = Math.min(endMs, performance.now() + roundMs);
    do await turn(cluster, config, turns++);
    while (performance.now() < roundEndMs && !signal?.aborted);
    await atRest(cluster, config, Math.min(...samples.map(handlesOf)));
    const sample = heldBy(cluster);
    samples.push(sample);
    say(
      `${turns} turns: ${Object.entries(sample)
        .map(([name, value]) => `${name} ${value}`)
        .join(', ')}`,
    );
  } while (performance.now() < endMs && !signal?.aborted);
  return { samples, turns, growth: growthIn(samples) };
}

/**
 * The watch cache remembers changes up to a number of bytes a resource (`watchHistoryBytesMax`). Until that is reached it grows as it
 * is meant to, so it is filled before anything is measured.
 */
async function fillHistories(config: KubeConfig): Promise<void> {
  const core = config.makeApiClient(CoreV1Api);
  const name = 'filler';
  const text = 'x'.repeat(200_000);
  const body = { metadata: { name, annotations: { text } } };
  const spec = { containers: [{ name: 'main', image: 'none' }], nodeSelector: { none: 'none' } };
  await core.createNamespacedConfigMap({ namespace, body });
  await core.createNamespacedPod({ namespace, body: { ...body, spec } });
  for (let index = 0; index < (2 * limits.watchHistoryBytesMax) / text.length; index++) {
    const changed = { metadata: { name, annotations: { text, index: `${index}` } } };
    await core.replaceNamespacedConfigMap({ name, namespace, body: changed });
    const pod_ = await core.readNamespacedPod({ name, namespace });
    await core.replaceNamespacedPod({
      name,
      namespace,
      body: { ...pod_, metadata: { ...pod_.metadata, ...changed.metadata } },
    });
  }
  await core.deleteNamespacedConfigMap({ name, namespace });
  await core.deleteNamespacedPod({ name, namespace, gracePeriodSeconds: 0 });
}

/** A little of everything, made and taken away. */
async function turn(cluster: ScenarioCluster, config: KubeConfig, number: number): Promise<void> {
  await Promise.all([pods(cluster, config, number), watches(config, number), customResources(cluster, config, number)]);
}

async function pods({ registry }: ScenarioCluster, config: KubeConfig, number: number): Promise<void> {
  const core = config.makeApiClient(CoreV1Api);
  const names = [`soak-${number}-a`, `soak-${number}-b`];
  const volumes = [{ name: 'scratch', emptyDir: { medium: 'Memory' } }];
  const main = {
    ...container(`${registry}/client`),
    imagePullPolicy: 'IfNotPresent',
    volumeMounts: [{ name: 'scratch', mountPath: '/scratch' }],
  };
  for (const name of names) {
    await core.createNamespacedPod({ namespace, body: pod(name, main, { volumes }) as V1Pod });
    await core.createNamespacedService({ namespace, body: service(name) });
  }
  for (const name of names) {
    await eventually(
      `${name} runs`,
      async () => (await core.readNamespacedPod({ name, namespace })).status?.phase === 'Running',
      90_000,
    );
    await said(config, name);
    await core.readNamespacedPodLog({ name, namespace });
  }
  for (const name of names) {
    await core.deleteNamespacedService({ name, namespace });
    await core.deleteNamespacedPod({ name, namespace });
  }
}

/** Runs a command in a pod, to its end. */
async function said(config: KubeConfig, name: string): Promise<void> {
  const ended = Promise.withResolvers<void>();
  const socket = await new Exec(config).exec(
    namespace,
    name,
    'main',
    ['echo', 'hello'],
    sink(),
    sink(),
    null,
    false,
    () => ended.resolve(),
  );
  socket.on('close', () => ended.resolve());
  await ended.promise;
  socket.close();
}

function sink(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}

/** Watchers that come, see writes, and go without a word. */
async function watches(config: KubeConfig, number: number): Promise<void> {
  const core = config.makeApiClient(CoreV1Api);
  const seen: (() => void)[] = [];
  const opened = await Promise.all(
    Array.from({ length: 10 }, async () => {
      const first = Promise.withResolvers<void>();
      seen.push(first.resolve);
      const stop = await new Watch(config).watch(
        `/api/v1/namespaces/${namespace}/configmaps`,
        {},
        () => first.resolve(),
        () => first.resolve(),
      );
      return { stop, first: first.promise };
    }),
  );
  const names = Array.from({ length: 20 }, (_, index) => `soak-${number}-${index}`);
  await Promise.all(
    names.map(name =>
      core.createNamespacedConfigMap({ namespace, body: { metadata: { name }, data: { text: 'x'.repeat(2_000) } } }),
    ),
  );
  await Promise.all(opened.map(({ first }) => first));
  for (const { stop } of opened) stop.abort();
  await Promise.all(names.map(name => core.deleteNamespacedConfigMap({ name, namespace })));
}

/** Now and then a kind of its own, with objects and a rule. */
async function customResources(cluster: ScenarioCluster, config: KubeConfig, number: number): Promise<void> {
  if (number % 4 !== 0) return;
  const schema = {
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        properties: { size: { type: 'integer' } },
        'x-kubernetes-validations': [{ rule: 'self.size > 0' }],
      },
    },
  };
  await cluster.apply({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: crdName },
    spec: {
      group: 'soak.example.com',
      scope: 'Namespaced',
      names: { plural: 'things', singular: 'thing', kind: 'Thing', listKind: 'ThingList' },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }],
    },
  });
  const custom = config.makeApiClient(CustomObjectsApi);
  const place = { group: 'soak.example.com', version: 'v1', namespace, plural: 'things' };
  for (let index = 0; index < 5; index++)
    await eventually('a thing can be made', async () => {
      const body = {
        apiVersion: 'soak.example.com/v1',
        kind: 'Thing',
        metadata: { name: `thing-${index}` },
        spec: { size: 1 },
      };
      await custom.createNamespacedCustomObject({ ...place, body }).catch((error: { code?: number }) => {
        if (error.code !== 409) throw error;
      });
      return true;
    });
  await cluster.kubectl('delete', 'customresourcedefinition', crdName);
}

/** Nothing of a turn is there any more, neither in the API nor on the node. */
async function atRest(cluster: ScenarioCluster, config: KubeConfig, handlesBefore: number): Promise<void> {
  const core = config.makeApiClient(CoreV1Api);
  await eventually(
    'everything has gone',
    async () => (await core.listNamespacedPod({ namespace })).items.length === 0,
    120_000,
  );
  let before = '';
  await eventually('the node is quiet', async () => {
    const now = JSON.stringify(onMachine(cluster));
    await pause(1_000);
    const isSame = now === before;
    before = now;
    return isSame;
  });
  // Connections that a client has let go of go with their time. When they do not, that is what the sample is to show.
  await eventually(
    'connections are closed',
    () => handlesOf(heldBy(cluster)) <= handlesBefore + countRoom,
    45_000,
  ).catch(() => undefined);
}

function handlesOf(sample: Sample): number {
  return sample['control-plane handles'] ?? 0;
}

function heldBy(cluster: ScenarioCluster): Sample {
  const sample: Record<string, number> = {};
  for (const role of ['supervisor', 'control-plane', 'node-agent'] as const) {
    const pid = cluster.pid(role);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    sample[`${role} memory (MB)`] = Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
    sample[`${role} threads`] = Number(/Threads:\s+(\d+)/.exec(status)?.[1]);
    sample[`${role} handles`] = readdirSync(`/proc/${pid}/fd`).length;
  }
  return { ...sample, ...onMachine(cluster) };
}

/** What carries the cluster's name on this machine. */
function onMachine({ dataDir }: ScenarioCluster): Sample {
  const { id } = dataDirAt(dataDir);
  const count = (lines: readonly string[], part: string) => lines.filter(line => line.includes(part)).length;
  const groups = ['/sys/fs/cgroup/memory', '/sys/fs/cgroup'].flatMap(hierarchy =>
    entriesIn(`${hierarchy}/windlass-${id}`),
  );
  return {
    mounts: count(readFileSync('/proc/self/mountinfo', 'utf8').split('\n'), dataDir),
    links: count(entriesIn('/sys/class/net'), id),
    cgroups: groups.length,
    'network namespaces': count(entriesIn('/run/netns'), id),
    'files of the node': entriesIn(`${dataDir}/node`, true).length,
  };
}

function entriesIn(directory: string, deep = false): readonly string[] {
  try {
    return readdirSync(directory, { recursive: deep, encoding: 'utf8' });
  } catch {
    // It is not there, or went away while we looked.
    return [];
  }
}

/** What may come and go between two looks, beside a tenth of memory: a heap is not the same size at any two moments. */
const memoryRoomMegabytes = 24;
const countRoom = 3;

/**
 * What grew from the middle of the run to its end. Before the middle caches fill and code is compiled. Medians of quarters are
 * compared: one moment says little.
 */
export function growthIn(samples: readonly Sample[]): readonly string[] {
  const [middle, end] = [quarter(samples, 1), quarter(samples, 3)].map(medianOf) as [Sample, Sample];
  return Object.keys(end).flatMap(name => {
    const [from = 0, to = 0] = [middle[name], end[name]];
    const room = name.includes('memory') ? Math.max(memoryRoomMegabytes, from * 0.1) : countRoom;
    return to > from + room ? [`${name}: ${from} in the second quarter, ${to} in the last`] : [];
  });
}

function quarter(samples: readonly Sample[], number: number): readonly Sample[] {
  const size = samples.length / 4;
  const found = samples.slice(Math.floor(number * size), Math.ceil((number + 1) * size));
  return found.length > 0 ? found : samples.slice(-1);
}

function medianOf(samples: readonly Sample[]): Sample {
  return Object.fromEntries(
    Object.keys(samples[0] ?? {}).map(name => {
      const values = samples.map(sample => sample[name] ?? 0).toSorted((a, b) => a - b);
      return [name, values[Math.floor(values.length / 2)] as number];
    }),
  );
}

if (import.meta.main) {
  const { values } = parseArgs({
    args: process.argv.slice(2),
    options: { minutes: { type: 'string', default: '10' } },
  });
  // Interrupted, it still takes everything away.
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort());
  await using cluster = await startScenarioCluster();
  const { samples, turns, growth } = await soak(cluster, {
    minutes: Number(values.minutes),
    say: line => process.stdout.write(`${line}\n`),
    signal: stop.signal,
  });
  const [first, second, last] = [quarter(samples, 0), quarter(samples, 1), quarter(samples, 3)].map(medianOf) as [
    Sample,
    Sample,
    Sample,
  ];
  await record(
    `soak: ${values.minutes} minutes, ${turns} turns`,
    Object.keys(last).map(name => ({
      what: name,
      figure: `${first[name]}, ${second[name]}, ${last[name]} (medians of the first, second and last quarter)`,
      against: 'no growth from the second to the last',
    })),
  );
  for (const each of growth) process.stdout.write(`grows: ${each}\n`);
  process.stdout.write(growth.length === 0 ? 'nothing grows\n' : '');
  process.exitCode = growth.length === 0 ? 0 : 1;
}
