import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import type { PodSandboxConfig } from '#runtime/runtime.ts';
import { PaperNetwork } from './fixture.ts';
import { openOciRuntime } from '#runtime/oci/runtime.ts';

// A node agent for the take-over tests, to be killed: `steady` starts one pod and says so, `churn` never stops
// starting and removing pods.

const [root = '', mode = ''] = process.argv.slice(2);
const runtime = await openOciRuntime({
  root,
  network: new PaperNetwork(),
  clock: systemClock,
  random: systemRandom,
  log: silentLog,
  version: '0.0.0',
});

const pod = (name: string): PodSandboxConfig => ({
  metadata: { name, uid: name, namespace: 'default', attempt: 0 },
  logDirectory: `${root}/logs`,
  linux: { cgroupParent: `/windlass-test/takeover/${name}` },
});

async function start(sandbox: string, config: PodSandboxConfig, name: string, script: string): Promise<string> {
  const container = {
    metadata: { name, attempt: 0 },
    image: { image: 'busybox' },
    command: ['sh', '-c', script],
    logPath: `${name}.log`,
  };
  const id = await runtime.createContainer(sandbox, container, config);
  await runtime.startContainer(id);
  return id;
}

if (mode === 'steady') {
  const config = pod('steady');
  const sandbox = await runtime.runPodSandbox(config);
  const runs = await start(sandbox, config, 'runs', 'n=0; while :; do n=$((n+1)); echo line $n; sleep 0.05; done');
  const ends = await start(sandbox, config, 'ends', 'while [ ! -e /dev/shm/go ]; do sleep 0.05; done; exit 42');
  const created = await runtime.createContainer(
    sandbox,
    { metadata: { name: 'created', attempt: 0 }, image: { image: 'busybox' }, command: ['sleep', '1000'] },
    config,
  );
  process.stdout.write(`${JSON.stringify({ sandbox, runs, ends, created })}\n`);
} else {
  process.stdout.write('churning\n');
  const churn = async (lane: number) => {
    for (let count = 0; ; count++) {
      const config = pod(`churn-${lane}-${count}`);
      const sandbox = await runtime.runPodSandbox(config);
      await start(sandbox, config, `${lane}-${count}`, 'sleep 1000');
      if (count % 2 === 0) await runtime.removePodSandbox(sandbox);
    }
  };
  await Promise.all([0, 1, 2].map(churn));
}
// Keeps the process alive until it is killed.
setInterval(() => {}, 60_000);
