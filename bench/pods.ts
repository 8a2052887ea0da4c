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
import type { Bench } from './benches.ts';
import { quantile, record, root, startBenchCluster, watchRun } from './harness.ts';

const image = 'web:v1';
const singles = 30;
const burst = 50;

export const pods: Bench = {
  name: 'pods',
  measures: 'real containers: create → Running, 50 at once, delete → gone, Deployment → its Service answers',
  async run() {
    if (process.getuid?.() !== 0 || process.platform !== 'linux')
      return void process.stdout.write('skipped: real containers need root on Linux\n');
    await using cluster = await startBenchCluster();
    const folder = mkdtempSync(join(tmpdir(), 'windlass-images-'));
    const archive = join(folder, 'images.tar');
    await watchRun(process.execPath, [join(root, 'tools', 'images.ts'), '--archive', archive]);
    await cluster.windlass('image', 'load', archive);
    rmSync(folder, { recursive: true });
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
    const ms = (value: number) => `${Math.round(value)} ms`;
    await record('pods', [
      {
        what: 'create → Running at 5 pods/s, p50',
        figure: ms(quantile(single, 0.5)),
        against: '≤ 150 ms; upstream 0.81–0.98 s',
      },
      {
        what: 'create → Running at 5 pods/s, p99',
        figure: ms(quantile(single, 0.99)),
        against: '≤ 500 ms; upstream 1.4 s',
      },
      { what: '50 at once, all Running', figure: ms(burstMs), against: '≤ 2.5 s; upstream 28–38 s' },
      { what: 'delete → gone, p50', figure: ms(quantile(removal, 0.5)), against: '≤ 1 s; upstream 8.6 s' },
      {
        what: 'Deployment created → its Service answers, p50',
        figure: ms(quantile(services, 0.5)),
        against: '≤ 300 ms; upstream 1.2 s',
      },
    ]);
  },
};

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
