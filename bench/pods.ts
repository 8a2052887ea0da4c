import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../src/base/clock.ts';
import { Deployment } from '../src/api/apps/v1/deployment.ts';
import { Pod } from '../src/api/core/v1/pod.ts';
import { Service } from '../src/api/core/v1/service.ts';
import type { Client } from '../src/client/client.ts';
import { httpsClientFor } from '../src/cluster/clients.ts';
import { installPackages } from '../src/cluster/packages.ts';
import { startContainerd } from '../test/runtime/containerd.ts';
import type { Bench } from './benches.ts';
import { quantile, record, root, startBenchCluster, watchRun, type BenchCluster, type Row } from './harness.ts';

const image = 'web:v1';
const singles = 30;
const burst = 50;

export const pods: Bench = {
  name: 'pods',
  measures:
    'real containers, and the same on containerd: create → Running, 50 at once, delete → gone, Deployment → its Service answers',
  async run() {
    if (process.getuid?.() !== 0 || process.platform !== 'linux')
      return void process.stdout.write('skipped: real containers need root on Linux\n');
    const ours = await measured();
    const lacking = installPackages(containerdPackages);
    const peer = lacking === undefined ? await measuredOnContainerd() : undefined;
    const ms = (value: number) => `${Math.round(value)} ms`;
    const against = (goal: string, of: (figures: Figures) => number) =>
      peer
        ? `${goal}; on containerd ${ms(of(peer))}: ratio ${(of(peer) / of(ours)).toFixed(1)}`
        : `${goal}; containerd: ${lacking}`;
    const row = (what: string, goal: string, of: (figures: Figures) => number): Row => ({
      what,
      figure: ms(of(ours)),
      against: against(goal, of),
    });
    await record('pods', [
      row('create → Running at 5 pods/s, p50', '≤ 150 ms; upstream 0.81–0.98 s', each => quantile(each.single, 0.5)),
      row('create → Running at 5 pods/s, p99', '≤ 500 ms; upstream 1.4 s', each => quantile(each.single, 0.99)),
      row('50 at once, all Running', '≤ 2.5 s; upstream 28–38 s', each => each.burstMs),
      row('delete → gone, p50', '≤ 1 s; upstream 8.6 s', each => quantile(each.removal, 0.5)),
      row('Deployment created → its Service answers, p50', '≤ 300 ms; upstream 1.2 s', each =>
        quantile(each.services, 0.5),
      ),
    ]);
  },
};

const containerdPackages = [
  { command: 'containerd', debian: 'containerd' },
  { command: 'runc', debian: 'runc' },
  { command: '/usr/lib/cni/bridge', debian: 'containernetworking-plugins' },
];

interface Figures {
  readonly single: readonly number[];
  readonly removal: readonly number[];
  readonly burstMs: number;
  readonly services: readonly number[];
}

/** With the built-in runtime. */
async function measured(): Promise<Figures> {
  await using cluster = await startBenchCluster();
  const folder = mkdtempSync(join(tmpdir(), 'windlass-images-'));
  const archive = join(folder, 'images.tar');
  await watchRun(process.execPath, [join(root, 'tools', 'images.ts'), '--archive', archive]);
  await cluster.windlass('image', 'load', archive);
  rmSync(folder, { recursive: true });
  return measure(cluster);
}

/** The same kubelet, with Debian's containerd and runc behind CRI. */
async function measuredOnContainerd(): Promise<Figures> {
  await using containerd = await startContainerd({ cniDirectory: '/etc/cni/net.d' });
  await using cluster = await startBenchCluster('--runtime', 'cri', '--runtime-endpoint', containerd.endpoint);
  return await measure(cluster);
}

async function measure(cluster: BenchCluster): Promise<Figures> {
  await using client = await httpsClientFor(cluster.kubeconfig, systemClock);
  await using watch = followPods(client);
  await createToRunning(client, watch, 'warm', 3, 200);
  const single = await createToRunning(client, watch, 'single', singles, 200);
  const removal = await deleteToGone(client, watch, 'single', singles);
  const started = performance.now();
  await createToRunning(client, watch, 'burst', burst, 0);
  const burstMs = performance.now() - started;
  await deleteToGone(client, watch, 'burst', burst);
  const services: number[] = [];
  for (let round = 0; round < 5; round++) services.push(await deploymentToAnswer(client, `web-${round}`));
  return { single, removal, burstMs, services };
}

interface PodWatch extends AsyncDisposable {
  running(name: string): Promise<number>;
  gone(name: string): Promise<number>;
}

/** The moments at which a client's watch says that a pod runs, or is gone. */
function followPods(client: Client): PodWatch {
  const stop = new AbortController();
  const moments = new Map<string, PromiseWithResolvers<number>>();
  const moment = (key: string) => {
    const known = moments.get(key) ?? Promise.withResolvers<number>();
    moments.set(key, known);
    return known;
  };
  const following = (async () => {
    for await (const event of client.watch(Pod, { namespace: 'default', signal: stop.signal })) {
      if (event.type === 'BOOKMARK') continue;
      const { name = '' } = event.object.metadata;
      if (event.type === 'DELETED') moment(`gone ${name}`).resolve(performance.now());
      else if (event.object.status.phase === 'Running') moment(`running ${name}`).resolve(performance.now());
    }
  })().catch((error: unknown) => {
    if (!stop.signal.aborted) throw error;
  });
  return {
    running: name => moment(`running ${name}`).promise,
    gone: name => moment(`gone ${name}`).promise,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await following;
    },
  };
}

async function createToRunning(
  client: Client,
  watch: PodWatch,
  prefix: string,
  count: number,
  everyMs: number,
): Promise<number[]> {
  const tasks: Promise<number>[] = [];
  for (let index = 0; index < count; index++) {
    const name = `${prefix}-${index}`;
    const started = performance.now();
    const spec = { containers: [{ name: 'web', image }], terminationGracePeriodSeconds: 5 };
    tasks.push(
      client
        .create(Pod, { metadata: { name }, spec }, { namespace: 'default' })
        .then(async () => (await watch.running(name)) - started),
    );
    if (everyMs > 0) await sleep(everyMs);
  }
  return Promise.all(tasks);
}

function deleteToGone(client: Client, watch: PodWatch, prefix: string, count: number): Promise<number[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const name = `${prefix}-${index}`;
      const started = performance.now();
      await client.delete(Pod, name, { namespace: 'default' });
      return (await watch.gone(name)) - started;
    }),
  );
}

async function deploymentToAnswer(client: Client, name: string): Promise<number> {
  const labels = { app: name };
  const service = await client.create(
    Service,
    { metadata: { name }, spec: { selector: labels, ports: [{ port: 80, targetPort: 80 }] } },
    { namespace: 'default' },
  );
  const started = performance.now();
  const template = { metadata: { labels }, spec: { containers: [{ name: 'web', image }] } };
  await client.create(
    Deployment,
    { metadata: { name }, spec: { selector: { matchLabels: labels }, template } },
    { namespace: 'default' },
  );
  while (!(await answers(`http://${service.spec.clusterIP}/`))) await sleep(5);
  const tookMs = performance.now() - started;
  await client.delete(Deployment, name, { namespace: 'default' });
  return tookMs;
}

/** A first packet that meets no rule yet is lost, and would be sent again only after a second. */
const attemptMsMax = 50;

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(attemptMsMax) })).ok;
  } catch {
    // Not yet.
    return false;
  }
}
