/**
 * `node bin/windlass.js --run test/scenarios/crash.ts [--rounds 100] [--seed N] [--keep]`: a cluster under load whose node
 * agent and control plane are killed at random moments. After each round everything that was asked for must be there, and
 * nothing else: no acknowledged write is lost, no container is lost or doubled. A seed gives the same moments; what the
 * machine makes of them differs.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { AppsV1Api, CoreV1Api, KubeConfig, type V1Pod } from '@kubernetes/client-node';
import { seededRandom, type Random } from '../../src/base/random.ts';
import { dataDirAt } from '../../src/cluster/data-dir.ts';
import { startScenarioCluster, type ScenarioCluster } from './cluster.ts';
import { eventually } from './eventually.ts';
import { container, deployment, pod } from './objects.ts';

export interface CrashOptions {
  readonly rounds: number;
  readonly seed: number;
  readonly say: (line: string) => void;
  readonly convergeMsMax?: number;
  /** No further round when it aborts. */
  readonly signal?: AbortSignal;
}

export interface CrashFigures {
  readonly kills: number;
  readonly acknowledgedWrites: number;
  readonly slowestMs: number;
}

type Victim = 'node-agent' | 'control-plane';

/** Throws at the first promise that is not kept, with what the node and its log say. */
export async function crashRounds(cluster: ScenarioCluster, options: CrashOptions): Promise<CrashFigures> {
  const { rounds, seed, say, convergeMsMax = 60_000, signal } = options;
  const random = seededRandom(seed);
  const load = await startLoad(cluster, random);
  let [kills, slowestMs] = [0, 0];
  for (let round = 1; round <= rounds && !signal?.aborted; round++) {
    const victims = pick(random, victimsOfRounds);
    const changing = load.change(pick(random, [2, 4, 8]));
    for (const victim of victims) {
      await pause(Math.floor(random.next() * momentMsMax));
      await kill(cluster, victim);
      kills++;
    }
    await changing;
    const startMs = performance.now();
    try {
      await load.settle();
      await eventually('everything is as it was asked for', () => load.isAsWanted(), convergeMsMax);
      await load.check();
    } catch (error) {
      say(await diagnosis(cluster));
      throw new Error(`round ${round} of seed ${seed}, ${victims.join(' and ')} killed: ${load.complaint()}`, {
        cause: error,
      });
    }
    const tookMs = performance.now() - startMs;
    slowestMs = Math.max(slowestMs, tookMs);
    say(`round ${round}: ${victims.join(' and ')} killed, whole again after ${Math.round(tookMs)} ms`);
  }
  return { kills, acknowledgedWrites: load.acknowledged.size, slowestMs };
}

/** What a cluster needs before the first round: the pods that must never notice anything. */
export async function prepareForCrashes(cluster: ScenarioCluster): Promise<void> {
  const { registry } = cluster;
  await cluster.apply(
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings', namespace: 'default' }, data: { a: '1' } },
    deployment('web', 2, container(`${registry}/web:v1`, { readyPath: '/healthz' })),
    pod('counter', container(`${registry}/busybox`, { script: countForever })),
  );
  await eventually('the pods are ready', async () => {
    const { items } = await cluster.get<{ items: V1Pod[] }>('pods');
    return items.length === 3 && items.every(isReady);
  });
}

/** The agent is what most of it is about. */
const victimsOfRounds: readonly (readonly Victim[])[] = [
  ['node-agent'],
  ['node-agent'],
  ['node-agent'],
  ['node-agent', 'node-agent'],
  ['control-plane'],
  ['control-plane', 'node-agent'],
  ['node-agent', 'control-plane'],
];
const momentMsMax = 900;
const briefPodsMax = 8;
const replicasMax = 6;
const countForever = "trap 'exit 0' TERM; i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done";

/** Users who change things, and what must have become of it. */
async function startLoad(cluster: ScenarioCluster, random: Random) {
  const config = new KubeConfig();
  config.loadFromFile(cluster.kubeconfig);
  const core = config.makeApiClient(CoreV1Api);
  const apps = config.makeApiClient(AppsV1Api);
  const namespace = 'default';
  const acknowledged = new Map<string, number>();
  /** Pods by name: whether they are to run for ever, to end, or to go. */
  const brief = new Map<string, 'runs' | 'ends' | 'goes'>();
  let replicas = 2;
  let count = 0;
  let complaint = '';
  const { containerStatuses: [counting] = [] } =
    (await core.readNamespacedPod({ name: 'counter', namespace })).status ?? {};

  const scale = () =>
    apps.replaceNamespacedDeploymentScale({
      name: 'web',
      namespace,
      body: { metadata: { name: 'web', namespace }, spec: { replicas } },
    });
  const remove = (name: string) =>
    core.deleteNamespacedPod({ name, namespace }).catch((error: { code?: number }) => {
      if (error.code !== 404) throw error;
    });
  const create = (name: string) =>
    core
      .createNamespacedPod({ namespace, body: briefPod(cluster, name, brief.get(name) === 'ends') as V1Pod })
      .catch((error: { code?: number }) => {
        if (error.code !== 409) throw error;
      });
  const write = async () => {
    const name = `written-${count++}`;
    const { metadata } = await core.createNamespacedConfigMap({
      namespace,
      body: { metadata: { name, labels: { written: 'yes' } }, data: { name } },
    });
    acknowledged.set(name, Number(metadata?.resourceVersion));
  };

  return {
    acknowledged,
    complaint: () => complaint,

    /** Some changes in a row, as fast as the server takes them; a server that is gone is for `settle`. */
    async change(changes: number): Promise<void> {
      for (let change = 0; change < changes; change++) {
        const running = [...brief].filter(([, fate]) => fate === 'runs').map(([name]) => name);
        const choice = random.next();
        const changing = [write(), write()];
        if (choice < 0.35) {
          replicas = 1 + Math.floor(random.next() * replicasMax);
          changing.push(scale().then(() => undefined));
        } else if (choice < 0.75 && brief.size < briefPodsMax) {
          const name = `brief-${count++}`;
          brief.set(name, random.next() < 0.3 ? 'ends' : 'runs');
          changing.push(create(name).then(() => undefined));
        } else if (running.length > 0) {
          const name = pick(random, running);
          brief.set(name, 'goes');
          changing.push(remove(name).then(() => undefined));
        }
        await Promise.allSettled(changing);
        await pause(Math.floor(random.next() * 150));
      }
    },

    /** Says again what the server may not have heard. */
    async settle(): Promise<void> {
      await eventually('the API takes every change', async () => {
        await scale();
        for (const [name, fate] of brief) await (fate === 'goes' ? remove(name) : create(name));
        return true;
      });
    },

    async isAsWanted(): Promise<boolean> {
      const { items } = await core.listNamespacedPod({ namespace });
      const web = items.filter(each => each.metadata?.labels?.app === 'web');
      const named = new Map(items.map(each => [each.metadata?.name ?? '', each]));
      const wrong = [
        ...(web.length === replicas ? [] : [`${web.length} web pods instead of ${replicas}`]),
        ...web.filter(each => !isReady(each)).map(each => `${each.metadata?.name} is not ready`),
        ...[...brief].flatMap(([name, fate]) => {
          const found = named.get(name);
          if (fate === 'goes') return found ? [`${name} is still there`] : [];
          if (!found) return [`${name} is missing`];
          const isRight = fate === 'ends' ? found.status?.phase === 'Succeeded' : isReady(found);
          return isRight ? [] : [`${name} is ${found.status?.phase}`];
        }),
        ...differences(runningIn(items), livingContainers(cluster)),
      ];
      complaint = wrong.join('; ');
      return wrong.length === 0;
    },

    /** What must hold at any time; and makes room for the next round. */
    async check(): Promise<void> {
      const { items } = await core.listNamespacedConfigMap({ namespace, labelSelector: 'written=yes' });
      const found = new Map(items.map(({ metadata }) => [metadata?.name, Number(metadata?.resourceVersion)]));
      const lost = [...acknowledged].filter(([name, version]) => found.get(name) !== version);
      if (lost.length > 0) throw new Error(`acknowledged writes are lost: ${(complaint = lost.map(String).join(' '))}`);
      const { status } = await core.readNamespacedPod({ name: 'counter', namespace });
      const [now] = status?.containerStatuses ?? [];
      if (now?.containerID !== counting?.containerID || now?.restartCount !== counting?.restartCount)
        throw new Error((complaint = `the counter was disturbed: ${JSON.stringify(now)}`));
      const log = await eventually('the log can be read', () => cluster.kubectl('logs', 'counter'));
      const numbers = log.trim().split('\n');
      const gap = numbers.findIndex((text, index) => Number(text) !== index);
      if (gap >= 0) throw new Error((complaint = `line ${gap} of the counter's log is ${numbers[gap]}`));
      for (const [name, fate] of brief) {
        if (fate === 'goes') brief.delete(name);
        else if (fate === 'ends') brief.set(name, 'goes');
      }
    },
  };
}

/** Everything that a kubelet has to make for a pod and to take back. */
function briefPod({ registry }: ScenarioCluster, name: string, ends: boolean): object {
  const volumes = [
    { name: 'settings', configMap: { name: 'settings' } },
    { name: 'memory', emptyDir: { medium: 'Memory' } },
    { name: 'disk', emptyDir: {} },
  ];
  const main = {
    ...container(`${registry}/client`, ends ? { script: 'sleep 0.2' } : {}),
    imagePullPolicy: 'IfNotPresent',
    volumeMounts: volumes.map(volume => ({ name: volume.name, mountPath: `/${volume.name}` })),
  };
  const first = {
    ...container(`${registry}/busybox`, { script: 'true' }),
    name: 'first',
    imagePullPolicy: 'IfNotPresent',
  };
  return pod(name, main, { volumes, initContainers: [first], ...(ends && { restartPolicy: 'Never' }) });
}

/** Ids of the containers that the API says are running. */
function runningIn(pods: readonly V1Pod[]): ReadonlyMap<string, string> {
  const statuses = pods.flatMap(({ metadata, status }) =>
    [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].map(each => ({
      pod: metadata?.name ?? '',
      ...each,
    })),
  );
  return new Map(
    statuses
      .filter(({ state }) => state?.running)
      .map(each => [each.containerID?.split('://')[1] ?? '', `${each.pod}/${each.name}`]),
  );
}

/** Ids of the containers that have a process on this machine, by their control groups. */
function livingContainers({ dataDir }: ScenarioCluster): ReadonlySet<string> {
  const hierarchy = ['/sys/fs/cgroup/memory', '/sys/fs/cgroup'].find(path => statSync(path, { throwIfNoEntry: false }));
  const root = join(hierarchy ?? '', `windlass-${dataDirAt(dataDir).id}`);
  if (!statSync(root, { throwIfNoEntry: false })) return new Set();
  const groups = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(path => /\/[0-9a-f]{64}$/.test(path));
  return new Set(groups.filter(path => hasProcess(join(root, path))).map(path => path.slice(-64)));
}

function hasProcess(group: string): boolean {
  try {
    return readFileSync(join(group, 'cgroup.procs'), 'utf8') !== '';
  } catch {
    // It went away while we looked.
    return false;
  }
}

function differences(wanted: ReadonlyMap<string, string>, found: ReadonlySet<string>): readonly string[] {
  return [
    ...[...wanted].filter(([id]) => !found.has(id)).map(([id, name]) => `${name} has no process (${id.slice(0, 12)})`),
    ...[...found].filter(id => !wanted.has(id)).map(id => `nobody knows container ${id.slice(0, 12)}`),
  ];
}

async function kill(cluster: ScenarioCluster, victim: Victim): Promise<void> {
  const pid = await eventually(`there is a ${victim}`, () => cluster.pid(victim));
  process.kill(pid, 'SIGKILL');
  await eventually(`there is another ${victim}`, () => cluster.pid(victim) !== pid);
}

/** What a person would look at. */
async function diagnosis(cluster: ScenarioCluster): Promise<string> {
  const look = (...args: string[]) =>
    cluster.kubectl(...args).catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
  const node = (await look('get', 'nodes', '--output=name')).trim().replace('node/', '');
  const tail = (role: Victim) =>
    execFileSync('tail', ['--lines=40', join(cluster.dataDir, 'logs', `${role}.log`)], { encoding: 'utf8' })
      .split('\n')
      .map(line => line.slice(0, 400));
  return [
    await look('get', 'pods', '--output=wide'),
    (await look('get', 'events', '--sort-by=.lastTimestamp')).split('\n').slice(-40).join('\n'),
    await look('describe', 'node', node),
    await look('get', '--raw', `/api/v1/nodes/${node}/proxy/debug/pods`),
    ...(await look('get', '--raw', '/metrics'))
      .split('\n')
      .filter(line => /^[^#].*(inflight|executing|longrunning)/.test(line)),
    ...tail('node-agent'),
    ...tail('control-plane'),
  ].join('\n');
}

function isReady({ status }: V1Pod): boolean {
  return status?.conditions?.some(each => each.type === 'Ready' && each.status === 'True') ?? false;
}

function pick<Value>(random: Random, values: readonly Value[]): Value {
  return values[Math.floor(random.next() * values.length)] as Value;
}

if (process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '100' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
    },
  });
  // Interrupted, it still takes everything away.
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort());
  await using cluster = await startScenarioCluster();
  await prepareForCrashes(cluster);
  const figures = await crashRounds(cluster, {
    rounds: Number(values.rounds),
    seed: Number(values.seed),
    say: line => process.stdout.write(`${line}\n`),
    signal: stop.signal,
  });
  process.stdout.write(`seed ${values.seed}: ${JSON.stringify(figures)}\n`);
}
