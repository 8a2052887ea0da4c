import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { CoreV1Api, KubeConfig } from '@kubernetes/client-node';
import { freePort } from '../../tools/ports.ts';
import { realContainers, startScenarioCluster, type ScenarioCluster } from './cluster.ts';
import { eventually } from './eventually.ts';
import { leftBehind } from './leaks.ts';
import { container, deployment, pod, service } from './objects.ts';

const program = join(import.meta.dirname, '..', '..', 'bin', 'windlass.js');
const run = promisify(execFile);

interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: {
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly {
      readonly containerID?: string;
      readonly restartCount: number;
      readonly ready: boolean;
    }[];
  };
}

describe('a cluster heals itself', { skip: realContainers }, () => {
  let cluster: ScenarioCluster;
  before(async () => {
    cluster = await startScenarioCluster();
    const { registry } = cluster;
    await cluster.apply(
      deployment('web', 3, container(`${registry}/web:v1`, { readyPath: '/healthz' })),
      service('web'),
      pod('counter', container(`${registry}/busybox`, { script: countForever })),
      pod('client', container(`${registry}/client`)),
      pod('demanding', { ...container(`${registry}/client`), ...demands }, demandsOfPod),
    );
    await eventually('all pods are ready', async () => (await pods()).filter(isReady).length === 6);
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  const pods = async (...selector: string[]): Promise<readonly Pod[]> =>
    (await cluster.get<{ items: Pod[] }>('pods', ...selector)).items;
  const webPods = () => pods('--selector=app=web');
  const podNamed = (name: string) => cluster.get<Pod>('pod', name);
  /** The process of the container on the host, by pod. */
  const processes = async () =>
    Object.fromEntries((await pods()).map(each => [each.metadata.name, `${pidOf(each)} ×${restarts(each)}`]));
  const pidOf = (each: Pod): number => {
    const id = each.status.containerStatuses?.[0]?.containerID?.split('://')[1];
    const [file] = globSync(join(cluster.dataDir, 'node', '*', 'runtime', 'containers', String(id), 'pid'));
    assert.ok(file, `container ${id} of ${each.metadata.name} has a pid file`);
    return Number(readFileSync(file, 'utf8'));
  };
  const assertServes = async () => {
    const { spec } = await cluster.get<{ spec: { clusterIP: string } }>('service', 'web');
    await eventually('the service answers at its address', async () =>
      (await run('curl', ['--silent', '--max-time', '2', `http://${spec.clusterIP}/`])).stdout.startsWith('web v1 '),
    );
    await eventually('the service answers a pod by its name', async () => {
      const answer = await cluster.kubectl('exec', 'client', '--', 'timeout', '3', 'wget', '-qO-', 'http://web/');
      return answer.startsWith('web v1 ');
    });
  };
  const assertCountsOn = async () => {
    const count = async () => (await cluster.kubectl('logs', 'counter')).trim().split('\n').map(Number);
    const last = (await count()).at(-1) ?? 0;
    const numbers = await eventually('the counter goes on', async () => {
      const seen = await count();
      return (seen.at(-1) ?? 0) > last + 3 && seen;
    });
    assert.deepEqual(
      numbers,
      numbers.map((_, index) => index),
      'no line of the log is lost or doubled',
    );
  };
  const assertScales = async (replicas: number) => {
    await cluster.kubectl('scale', 'deployment', 'web', `--replicas=${replicas}`);
    await eventually(`${replicas} web pods are ready, no more`, async () => {
      const all = await webPods();
      return all.length === replicas && all.every(isReady);
    });
  };

  test('a container whose process is killed runs again', async () => {
    const [first, second] = await webPods();
    assert.ok(first && second);
    process.kill(pidOf(first), 'SIGKILL');
    await cluster.kubectl('exec', second.metadata.name, '--', 'kill', '1');
    for (const before of [first, second])
      await eventually(`${before.metadata.name} is ready again`, async () => {
        const now = await podNamed(before.metadata.name);
        return isReady(now) && restarts(now) === restarts(before) + 1 && now.metadata.uid === before.metadata.uid;
      });
    const last = await cluster.kubectl(
      'get',
      'pod',
      first.metadata.name,
      '--output=jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}',
    );
    assert.equal(last, '137');
    await assertServes();
  });

  test('a pod that is deleted is replaced', async () => {
    const [victim] = await webPods();
    assert.ok(victim);
    await cluster.kubectl('delete', 'pod', victim.metadata.name, '--wait=false');
    await eventually('three others are ready', async () => {
      const all = await webPods();
      return all.length === 3 && all.every(isReady) && all.every(each => each.metadata.uid !== victim.metadata.uid);
    });
    await assertServes();
  });

  test('containers do not notice that the node agent is killed', async () => {
    const before = await processes();
    await kill(cluster, 'node-agent');
    await eventually('kubectl exec works', async () =>
      /hello/.test(await cluster.kubectl('exec', 'client', '--', 'echo', 'hello')),
    );
    await assertCountsOn();
    assert.deepEqual(await processes(), before);
    await assertServes();
    await assertScales(4);
    await assertScales(3);
  });

  test('a write that was acknowledged is there after the control plane is killed', async () => {
    const before = await processes();
    const config = new KubeConfig();
    config.loadFromFile(cluster.kubeconfig);
    const api = config.makeApiClient(CoreV1Api);
    const acknowledged = new Map<string, number>();
    /** Until the server is gone. */
    const write = async (writer: number): Promise<unknown> => {
      for (let number = 0; ; number++) {
        const name = `written-${writer}-${number}`;
        try {
          const { metadata } = await api.createNamespacedConfigMap({
            namespace: 'default',
            body: { metadata: { name, labels: { written: 'yes' } }, data: { number: String(number) } },
          });
          acknowledged.set(name, Number(metadata?.resourceVersion));
        } catch (error) {
          return error;
        }
      }
    };
    const writers = Promise.all([0, 1, 2, 3].map(write));
    await eventually('two hundred writes are acknowledged', () => acknowledged.size > 200);
    await kill(cluster, 'control-plane');
    await writers;
    const killedMs = performance.now();
    const list = await eventually('the API answers again', () =>
      api.listNamespacedConfigMap({ namespace: 'default', labelSelector: 'written=yes' }),
    );
    assert.ok(performance.now() - killedMs < 10_000, 'within seconds');
    const found = new Map(list.items.map(({ metadata }) => [metadata?.name, Number(metadata?.resourceVersion)]));
    for (const [name, version] of acknowledged) assert.equal(found.get(name), version, `${name} is as it was written`);
    const newest = Math.max(...acknowledged.values());
    assert.ok(Number(list.metadata?.resourceVersion) >= newest, 'the resource version did not go back');
    const next = await api.createNamespacedConfigMap({
      namespace: 'default',
      body: { metadata: { name: 'after' } },
    });
    assert.ok(Number(next.metadata?.resourceVersion) > newest);
    assert.ok(!list.items.some(({ metadata }) => metadata?.resourceVersion === next.metadata?.resourceVersion));
    await assertScales(5);
    await assertScales(3);
    const now = await processes();
    for (const name of ['client', 'counter']) assert.equal(now[name], before[name]);
    await assertCountsOn();
    await assertServes();
  });

  test('another supervisor takes over from one that was killed', async () => {
    const before = await processes();
    await kill(cluster, 'supervisor', { andWait: false });
    await cluster.windlass('up', '--detach');
    await eventually('kubectl exec works', async () =>
      /hello/.test(await cluster.kubectl('exec', 'client', '--', 'echo', 'hello')),
    );
    assert.deepEqual(await processes(), before);
    await assertCountsOn();
    await assertServes();
    await assertScales(4);
  });

  test('a stopped cluster leaves nothing, and comes back as it was', async () => {
    await cluster.windlass('down');
    assert.deepEqual(leftBehind(cluster.dataDir), []);
    assert.match(await cluster.windlass('down'), /was not running/);
    await cluster.windlass('up', '--detach');
    await eventually('all pods are ready again', async () => {
      const all = await pods();
      return all.length === 7 && all.every(isReady);
    });
    await assertServes();
    assert.match(await cluster.windlass('up', '--detach'), /runs already/);
  });

  test('nothing is left of a cluster whose processes were all killed', async () => {
    const endless = spawn('kubectl', ['--kubeconfig', cluster.kubeconfig, 'exec', 'client', '--', 'sleep', '1000']);
    const ended = once(endless, 'close');
    await eventually('a command runs in a container', () =>
      leftBehind(cluster.dataDir).some(line => line.includes('sleep 1000')),
    );
    // Some of them are just being made.
    await cluster.kubectl('scale', 'deployment', 'web', '--replicas=9');
    for (const role of ['supervisor', 'node-agent', 'control-plane'] as const)
      await kill(cluster, role, { andWait: false });
    assert.notDeepEqual(leftBehind(cluster.dataDir), [], 'the containers go on');
    await cluster.windlass('down', '--delete');
    assert.deepEqual(leftBehind(cluster.dataDir), []);
    await ended;
    assert.ok(!existsSync(cluster.dataDir));
    assert.match(await cluster.windlass('down'), /there is no cluster/);
  });
});

describe('a cluster is started and stopped', { skip: realContainers }, () => {
  let dataDir: string;
  before(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'windlass-scenario-'));
  });
  after(() => {
    execFileSync(process.execPath, [program, 'down', '--delete', '--data-dir', dataDir]);
    rmSync(dataDir, { recursive: true, force: true });
  });

  for (const flags of [['--detach'], []])
    test(`an interrupted start leaves nothing: up ${flags.join(' ')}`, async () => {
      // Each at another step: before there is a network, before the agent may go on, and while it makes its node.
      for (const step of ['certificates', 'API server', 'controllers']) {
        const up = await startUp(dataDir, flags);
        await up.said(step);
        up.child.kill('SIGINT');
        assert.equal(await up.exit, flags.length > 0 ? 1 : 0, up.text());
        assert.deepEqual(leftBehind(dataDir), [], `interrupted at ${step}: ${up.text()}`);
      }
    });

  test('a start that fails leaves nothing', async () => {
    const nowhere = `unix://${join(dataDir, 'nowhere.sock')}`;
    const up = await startUp(dataDir, ['--detach', '--runtime', 'cri', '--runtime-endpoint', nowhere]);
    assert.equal(await up.exit, 1, up.text());
    assert.match(up.text(), /cannot reach the container runtime/);
    assert.deepEqual(leftBehind(dataDir), []);
    // The next one has another runtime, and the addresses that its store knows.
    rmSync(join(dataDir, 'cluster.json'));
  });

  test('of two that start it at once one does', async () => {
    const port = await freePort();
    const both = await Promise.all([startUp(dataDir, ['--detach'], port), startUp(dataDir, ['--detach'], port)]);
    const codes = await Promise.all(both.map(up => up.exit));
    assert.ok(codes.includes(0), both.map(up => up.text()).join('\n'));
    execFileSync('kubectl', ['get', 'nodes'], { env: { ...process.env, KUBECONFIG: join(dataDir, 'kubeconfig') } });
    execFileSync(process.execPath, [program, 'down', '--data-dir', dataDir]);
    assert.deepEqual(leftBehind(dataDir), []);
  });

  test('a node agent that is starting anew when its cluster is stopped leaves nothing', async () => {
    const up = await startUp(dataDir, []);
    await up.said('Ctrl-C stops it');
    const file = join(dataDir, 'run', 'node-agent.pid');
    process.kill(Number(readFileSync(file, 'utf8')), 'SIGKILL');
    await eventually('it is seen', () => !existsSync(file));
    up.child.kill('SIGINT');
    assert.equal(await up.exit, 0, up.text());
    assert.deepEqual(leftBehind(dataDir), []);
  });

  test('`down` stops one in the foreground, however its directory was written', async () => {
    const up = await startUp(relative(process.cwd(), dataDir), []);
    await up.said('Ctrl-C stops it');
    const { stdout } = await run(process.execPath, [program, 'down', '--data-dir', `${dataDir}/`]);
    assert.match(stdout, /stopped the cluster/);
    assert.equal(await up.exit, 0, up.text());
    assert.deepEqual(leftBehind(dataDir), []);
  });

  test('Ctrl-C stops one in the foreground', async () => {
    const up = await startUp(dataDir, []);
    await up.said('Ctrl-C stops it');
    up.child.kill('SIGINT');
    assert.equal(await up.exit, 0, up.text());
    assert.deepEqual(leftBehind(dataDir), []);
  });
});

/** Things that a node must take back: a process namespace, a tmpfs, mounts, limits, a port of the host. */
const demandsOfPod = {
  shareProcessNamespace: true,
  volumes: [
    { name: 'fast', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
    { name: 'authority', configMap: { name: 'kube-root-ca.crt' } },
  ],
};
const demands = {
  resources: { limits: { cpu: '50m', memory: '32Mi' } },
  ports: [{ containerPort: 80, hostPort: 38_080 }],
  volumeMounts: [
    { name: 'fast', mountPath: '/fast' },
    { name: 'authority', mountPath: '/authority', subPath: 'ca.crt' },
  ],
};

/** Counts from 0 for ever, twenty numbers a second. */
const countForever = "trap 'exit 0' TERM; i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done";

async function kill(
  cluster: ScenarioCluster,
  role: 'supervisor' | 'node-agent' | 'control-plane',
  { andWait } = { andWait: true },
): Promise<void> {
  const pid = cluster.pid(role);
  process.kill(pid, 'SIGKILL');
  if (andWait) await eventually(`there is another ${role}`, () => cluster.pid(role) !== pid);
}

function isReady({ status }: Pod): boolean {
  return status.conditions?.some(each => each.type === 'Ready' && each.status === 'True') ?? false;
}

function restarts({ status }: Pod): number {
  return status.containerStatuses?.[0]?.restartCount ?? 0;
}

/** `windlass up` as a process that is talked to. */
async function startUp(dataDir: string, flags: readonly string[], port?: number) {
  const args = [program, 'up', '--data-dir', dataDir, '--port', String(port ?? (await freePort())), ...flags];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
  const exit = once(child, 'close').then(([code]) => code as number | null);
  return {
    child,
    exit,
    text: () => text,
    async said(words: string): Promise<void> {
      await eventually(`windlass says ${words}`, () => text.includes(words) || child.exitCode !== null);
      assert.ok(text.includes(words), text);
    },
  };
}
