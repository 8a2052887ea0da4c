import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, rename } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { eventLoopTurn, systemClock } from '#base/clock.ts';
import { findCgroups } from '#base/kernel/cgroup.ts';
import { listMounts } from '#base/kernel/mount.ts';
import { silentLog } from '#base/log.ts';
import { openCriRuntime } from '#runtime/cri/runtime.ts';
import { type ContainerConfig, isRuntimeError, type PodSandboxConfig, type Runtime } from '#runtime/runtime.ts';
import { exitOf, runtimeSuite } from '#runtime/suite.ts';
import { buildImages, pushImage } from '../../tools/images.ts';
import { startRegistry } from '../../tools/registry.ts';
import { cannotRunContainerd, type Containerd, startContainerd } from './containerd.ts';

const run = promisify(execFile);
const skip = await cannotRunContainerd();
const image = 'docker.io/library/client:latest';
const forever = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
const hostPort = 20_000 + (process.pid % 10_000);
const attemptsMax = 200;
const pauseMs = 50;

runtimeSuite(
  'cri',
  async () => {
    const containerd = await startContainerd();
    return {
      runtime: asTheSuiteWants(containerd.runtime),
      image,
      endsWith3: { command: ['sh', '-c', 'exit 3'] },
      logDirectory: containerd.logDirectory,
      [Symbol.asyncDispose]: () => containerd[Symbol.asyncDispose](),
    };
  },
  skip,
);

/**
 * The suite makes two containers of one name in a pod, which containerd forbids, and looks at some rejections only
 * after others have come.
 */
function asTheSuiteWants(runtime: Runtime): Runtime {
  let attempt = 0;
  return new Proxy(runtime, {
    get(target, name: keyof Runtime) {
      const verb = target[name] as (...given: unknown[]) => unknown;
      if (name === 'createContainer')
        return ((pod, config, ...rest) =>
          target.createContainer(
            pod,
            { ...config, metadata: { ...config.metadata, attempt: attempt++ } },
            ...rest,
          )) satisfies Runtime['createContainer'];
      return (...given: unknown[]) => {
        const answer = verb.apply(target, given);
        if (answer instanceof Promise) answer.catch(() => undefined);
        return answer;
      };
    },
  });
}

describe('cri', { skip: skip ?? false }, () => {
  let containerd: Containerd;
  let runtime: Runtime;
  let count = 0;

  before(async () => {
    containerd = await startContainerd();
    runtime = containerd.runtime;
  });
  after(async () => {
    const { directory, bridge } = containerd;
    await containerd[Symbol.asyncDispose]();
    assert.deepEqual(
      listMounts().filter(({ target }) => target.startsWith(directory)),
      [],
    );
    assert.equal(existsSync(`/sys/class/net/${bridge}`), false);
    assert.equal((await run('iptables-save', [])).stdout.includes(bridge), false);
  });

  const withPod = async (
    work: (pod: string, config: PodSandboxConfig) => Promise<void>,
    fields: Partial<PodSandboxConfig> = {},
  ) => {
    const uid = `cri-${process.pid}-${++count}`;
    const config: PodSandboxConfig = {
      metadata: { name: `pod-${count}`, uid, namespace: 'default', attempt: 0 },
      logDirectory: join(containerd.logDirectory, uid),
      ...fields,
      linux: { cgroupParent: `/kubepods/pod${uid}`, ...fields.linux },
    };
    const pod = await runtime.runPodSandbox(config);
    try {
      await work(pod, config);
    } finally {
      await runtime.removePodSandbox(pod);
    }
  };
  const start = async (
    pod: string,
    config: PodSandboxConfig,
    script: string,
    fields: Partial<ContainerConfig> = {},
  ) => {
    const id = await runtime.createContainer(
      pod,
      { metadata: { name: 'main', attempt: 0 }, image: { image }, command: ['sh', '-c', script], ...fields },
      config,
    );
    await runtime.startContainer(id);
    return id;
  };
  const withContainer = (work: (id: string, pod: string) => Promise<void>, script = forever) =>
    withPod(async (pod, config) => work(await start(pod, config, script), pod));

  it('carries a command with its input, both outputs and its exit code', () =>
    withContainer(async id => {
      const command = ['sh', '-c', 'read line; echo "got $line"; echo oops >&2; exit 7'];
      const session = await runtime.exec(id, { command, stdin: true });
      assert.ok(session.stdin && session.stdout && session.stderr);
      session.stdin.end('hello\n');
      const [out, err] = await Promise.all([text(session.stdout), text(session.stderr)]);
      assert.deepEqual([out, err, await session.exitCode], ['got hello\n', 'oops\n', 7]);
      await session.closed;
    }));

  it('loses nothing of a long output, however slowly it is read', () =>
    withContainer(async id => {
      const session = await runtime.exec(id, { command: ['sh', '-c', 'seq 1 300000; exit 0'] });
      assert.ok(session.stdout);
      let length = 0;
      let last = '';
      for await (const chunk of session.stdout as AsyncIterable<Buffer>) {
        length += chunk.length;
        last = chunk.toString().slice(-7);
        await eventLoopTurn();
      }
      assert.deepEqual([length, last, await session.exitCode], [1_988_895, '300000\n', 0]);
    }));

  it('echoes a long input', () =>
    withContainer(async id => {
      const session = await runtime.exec(id, { command: ['cat'], stdin: true, stderr: false });
      assert.ok(session.stdin && session.stdout);
      assert.equal(session.stderr, undefined);
      const input = 'abcdefgh'.repeat(250_000);
      session.stdin.end(input);
      assert.equal((await text(session.stdout)).length, input.length);
      assert.equal(await session.exitCode, 0);
    }));

  it('gives a command a terminal of the wanted size', () =>
    withContainer(async id => {
      const command = ['sh', '-c', 'until stty size 2>/dev/null | grep "40 120"; do sleep 0.05; done'];
      const session = await runtime.exec(id, { command, tty: true, stdin: true });
      assert.ok(session.stdout);
      assert.equal(session.stderr, undefined);
      session.resize({ columns: 120, rows: 40 });
      assert.equal((await text(session.stdout)).trim(), '40 120');
      assert.equal(await session.exitCode, 0);
    }));

  it('says when a command is not there, and ends a session when its signal is aborted', () =>
    withContainer(async id => {
      const missing = await runtime.exec(id, { command: ['/no/such/program'] });
      await assert.rejects(missing.exitCode, /no such file or directory/);
      const stop = new AbortController();
      const endless = await runtime.exec(id, { command: ['sleep', '1000'] }, stop.signal);
      stop.abort(new Error('enough'));
      await assert.rejects(endless.exitCode, /enough/);
      await endless.closed;
    }));

  it('runs a command to its end, but no longer than it may', () =>
    withContainer(async id => {
      const { stdout, stderr, exitCode } = await runtime.execSync(id, ['sh', '-c', 'echo a; echo b >&2; exit 4'], 10);
      assert.deepEqual([stdout.toString(), stderr.toString(), exitCode], ['a\n', 'b\n', 4]);
      await assert.rejects(runtime.execSync(id, ['sleep', '1000'], 1), error =>
        isRuntimeError(error, 'DeadlineExceeded'),
      );
    }));

  it('attaches to the main process, and ends with it', () =>
    withPod(async (pod, config) => {
      const script = 'while read line; do echo "heard $line"; [ "$line" = end ] && exit 0; done';
      const id = await start(pod, config, script, { stdin: true });
      const session = await runtime.attach(id, { stdin: true });
      assert.ok(session.stdin && session.stdout);
      assert.equal('exitCode' in session, false);
      session.stdin.write('one\nend\n');
      assert.equal(await text(session.stdout), 'heard one\nheard end\n');
      await session.closed;
    }));

  it('forwards connections to a port, and says when nobody listens', () =>
    withContainer(async (_id, pod) => {
      await eventually(() => runtime.portForward(pod, 8080).then(probe => exchange(probe, 'ping')));
      const big = await runtime.portForward(pod, 8080);
      const request = 'x'.repeat(200_000);
      assert.equal(await exchange(big, request), `you said ${request}`);
      const refused = await runtime.portForward(pod, 81);
      await assert.rejects(
        text(refused),
        error => isRuntimeError(error, 'Unavailable') && /refused/.test(error.message),
      );
    }, 'while :; do nc -l -p 8080 -e sh -c "echo -n \\"you said \\"; cat"; done'));

  it('writes logs in the format of CRI, and opens them anew', () =>
    withPod(async (pod, config) => {
      const id = await start(pod, config, 'echo first; trap "echo second" USR1; while :; do sleep 0.05; done', {
        logPath: 'main.log',
      });
      const file = join(config.logDirectory ?? '', 'main.log');
      assert.equal((await runtime.containerStatus(id)).logPath, file);
      await eventually(async () => assert.match(await readFile(file, 'utf8'), /^\S+Z stdout F first\n$/));
      await rename(file, `${file}.1`);
      await runtime.reopenContainerLog(id);
      await runtime.execSync(id, ['kill', '-USR1', '1']);
      await eventually(async () => assert.match(await readFile(file, 'utf8'), /^\S+Z stdout F second\n$/));
    }));

  it('makes, limits and removes the control group of a pod', async () => {
    const resources = { cpuShares: 512, memoryLimitBytes: 256 * 1024 * 1024, pidsLimit: 100 };
    const cgroups = findCgroups();
    assert.ok(cgroups);
    const file = (controller: string, path: string) => join(cgroups.controller(controller) ?? '', path);
    let parent = '';
    const fields = { linux: { cgroupParent: `/kubepods/podlimited-${process.pid}`, resources } };
    await withPod(async (pod, config) => {
      parent = config.linux?.cgroupParent ?? '';
      const id = await start(pod, config, forever, { linux: { resources: { memoryLimitBytes: 64 * 1024 * 1024 } } });
      const { pid } = await runtime.containerStatus(id);
      assert.match(await readFile(`/proc/${pid}/cgroup`, 'utf8'), new RegExp(`${parent}/${id}`));
      const pids = join(parent, 'pids.max');
      assert.equal((await readFile(file('pids', pids), 'utf8')).trim(), '100');
      await runtime.updatePodSandboxResources(pod, { pidsLimit: 200 });
      assert.equal((await readFile(file('pids', pids), 'utf8')).trim(), '200');
      await runtime.updateContainerResources(id, { memoryLimitBytes: 96 * 1024 * 1024 });
      const { memory } = await runtime.containerStats(id);
      assert.ok(memory?.availableBytes && memory.availableBytes > 64 * 1024 * 1024);
      assert.ok(existsSync(file('memory', parent)));
    }, fields);
    assert.equal(existsSync(file('memory', parent)), false);
  });

  it('gives a pod its labels, name, resolver and host ports', () =>
    withPod(
      async (pod, config) => {
        const id = await start(pod, config, 'while :; do echo pong | nc -l -p 80; done');
        const { stdout } = await runtime.execSync(id, ['sh', '-c', 'hostname; cat /etc/resolv.conf']);
        assert.match(stdout.toString(), /^web-0\n.*nameserver 10\.96\.0\.10\n/s);
        const { network } = await runtime.podSandboxStatus(pod);
        await eventually(async () => assert.equal(await text(connect(80, network.ip)), 'pong\n'));
        await eventually(async () => assert.equal(await text(connect(hostPort, containerd.gateway)), 'pong\n'));
      },
      {
        hostname: 'web-0',
        dnsConfig: { servers: ['10.96.0.10'], searches: ['default.svc.cluster.local'], options: ['ndots:5'] },
        portMappings: [{ protocol: 'TCP', containerPort: 80, hostPort }],
      },
    ));

  it('says why a container could not be started', () =>
    withPod(async (pod, config) => {
      const id = await runtime.createContainer(
        pod,
        { metadata: { name: 'main', attempt: 0 }, image: { image }, command: ['/no/such/program'] },
        config,
      );
      await assert.rejects(
        runtime.startContainer(id),
        error => isRuntimeError(error) && /no such file/.test(error.message),
      );
      const { state, reason, exitCode } = await runtime.containerStatus(id);
      assert.deepEqual({ state, reason, exitCode }, { state: 'exited', reason: 'StartError', exitCode: 128 });
    }));

  it('pulls, lists and removes images', async () => {
    await using registry = await startRegistry();
    const [web] = (await buildImages()).filter(({ name }) => name === 'web:v1');
    assert.ok(web);
    await pushImage(registry.host, web);
    const name = `${registry.host}/web:v1`;
    const reference = await runtime.pullImage({ image: name });
    const found = await runtime.imageStatus({ image: name });
    assert.ok(found);
    assert.ok(found.repoTags.includes(name));
    assert.ok(reference === found.id || found.repoDigests.includes(reference));
    assert.ok(found.sizeBytes > 0);
    assert.ok((await runtime.listImages()).some(({ id }) => id === found.id));
    await runtime.removeImage({ image: name });
    await runtime.removeImage({ image: name });
    assert.equal(await runtime.imageStatus({ image: name }), undefined);
    await assert.rejects(runtime.pullImage({ image: `${registry.host}/none:v1` }), error =>
      isRuntimeError(error, 'NotFound'),
    );
    assert.ok((await runtime.imageFsInfo()).containerFilesystems.length > 0);
  });

  it('finds everything again, and tells of what ends while containerd is away', () =>
    withContainer(async (id, pod) => {
      await using other = await openCriRuntime({ endpoint: containerd.endpoint, clock: systemClock, log: silentLog });
      assert.deepEqual(
        (await other.listContainers({ podSandboxId: pod })).map(container => container.id),
        [id],
      );
      const stop = new AbortController();
      const exit = exitOf(other.events(stop.signal), id, stop);
      const { pid } = await other.containerStatus(id);
      assert.ok(pid);
      await containerd.restart(async () => {
        process.kill(pid, 'SIGKILL');
        await assert.rejects(
          other.version(),
          error =>
            isRuntimeError(error, 'Unavailable') &&
            error.message.startsWith('cannot reach the container runtime at unix:'),
        );
      });
      assert.equal((await exit).exitCode, 137);
      await eventually(() => runtime.version());
    }));
});

function exchange(connection: Duplex, request: string): Promise<string> {
  connection.end(request);
  return text(connection);
}

/** Tries until it succeeds; the runner's own limit ends it. */
async function eventually<Result>(attempt: () => Promise<Result>): Promise<Result> {
  for (let tries = 0; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (tries >= attemptsMax) throw error;
      await wait(pauseMs);
    }
  }
}
