import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type Readable, type Writable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { findCgroups } from '#base/kernel/cgroup.ts';
import { libc } from '#base/kernel/libc.ts';
import { listMounts } from '#base/kernel/mount.ts';
import {
  type ContainerConfig,
  type ContainerStatus,
  isRuntimeError,
  type LinuxContainerSecurityContext,
  type PodSandboxConfig,
} from '#runtime/runtime.ts';
import { exitOf, runtimeSuite } from '#runtime/suite.ts';
import { cannotRunContainers, type OciFixture, openFixture } from './fixture.ts';

const skip = await cannotRunContainers();
const forever = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

runtimeSuite(
  'oci',
  async () => {
    const fixture = await openFixture();
    return {
      runtime: fixture.runtime,
      image: 'client',
      endsWith3: { command: ['sh', '-c', 'exit 3'] },
      logDirectory: fixture.logDirectory,
      [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose](),
    };
  },
  skip,
);

describe('oci', { skip: skip ?? false }, () => {
  let fixture: OciFixture;

  before(async () => {
    fixture = await openFixture();
  });
  after(async () => {
    await fixture[Symbol.asyncDispose]();
    assertNothingLeft(fixture.root);
  });

  const withPod = async (
    run: (pod: string, config: PodSandboxConfig) => Promise<void>,
    fields: Partial<PodSandboxConfig> = {},
  ) => {
    const config = fixture.pod(fields);
    const pod = await fixture.runtime.runPodSandbox(config);
    try {
      await run(pod, config);
    } finally {
      await fixture.runtime.removePodSandbox(pod);
    }
  };

  const start = async (pod: string, config: PodSandboxConfig, container: ContainerConfig) => {
    const id = await fixture.runtime.createContainer(pod, container, config);
    await fixture.runtime.startContainer(id);
    return id;
  };

  /** Runs a container to its end; answers how it ended and what it logged. */
  const runToEnd = async (pod: string, config: PodSandboxConfig, container: ContainerConfig) => {
    const stop = new AbortController();
    const events = fixture.runtime.events(stop.signal);
    const logPath = `${pod.slice(0, 8)}-${Math.random()}.log`;
    const id = await start(pod, config, { ...container, logPath });
    const status = await exitOf(events, id, stop);
    return { id, status, log: logLines(status) };
  };

  const outputOf = async (
    script: string,
    security: LinuxContainerSecurityContext = {},
    fields: Partial<ContainerConfig> = {},
  ) => {
    let output: string[] = [];
    await withPod(async (pod, config) => {
      const container = fixture.shell(script, { linux: { securityContext: security }, ...fields });
      output = (await runToEnd(pod, config, container)).log.map(line => line.text);
    });
    return output;
  };

  const exec = async (id: string, script: string) => {
    const { stdout, stderr, exitCode } = await fixture.runtime.execSync(id, ['sh', '-c', script]);
    return { stdout: stdout.toString(), stderr: stderr.toString(), exitCode };
  };

  it('writes both outputs to the log in the CRI form', async () => {
    await withPod(async (pod, config) => {
      const { status, log } = await runToEnd(pod, config, fixture.shell('echo out; echo err >&2; printf part; exit 4'));
      assert.equal(status.exitCode, 4);
      assert.equal(status.reason, 'Error');
      const said = (stream: string) =>
        log.filter(line => line.stream === stream).map(line => `${line.tag} ${line.text}`);
      assert.deepEqual(said('stdout'), ['F out', 'P part']);
      assert.deepEqual(said('stderr'), ['F err']);
      assert.ok(log.every(line => Math.abs(Date.parse(line.time) - status.startedAtMs) < 60_000));
    });
  });

  it('says which signal ended a container', async () => {
    await withPod(async (pod, config) => {
      const { status } = await runToEnd(
        pod,
        config,
        fixture.shell('kill -9 $$; sleep 1; (sh -c "kill -9 \\$PPID"); exit 1'),
      );
      // Inside its namespace PID 1 cannot kill itself; its exit code is its own.
      assert.equal(status.exitCode, 1);
      const id = await start(pod, config, fixture.shell(forever));
      const stop = new AbortController();
      const events = fixture.runtime.events(stop.signal);
      process.kill((await fixture.runtime.containerStatus(id)).pid ?? 0, 'SIGKILL');
      assert.equal((await exitOf(events, id, stop)).exitCode, 137);
    });
  });

  it('sends the stop signal and waits for the grace period', async () => {
    await withPod(async (pod, config) => {
      const heeds = "trap 'exit 5' USR1; while :; do sleep 0.1; done";
      const id = await start(pod, config, fixture.shell(`${heeds}`, { stopSignal: 'SIGUSR1' }));
      await until(async () => (await exec(id, 'ps | grep -c "sleep 0.1"')).exitCode === 0);
      await fixture.runtime.stopContainer(id, 30);
      assert.equal((await fixture.runtime.containerStatus(id)).exitCode, 5);
      const deaf = await start(pod, config, fixture.shell("trap '' TERM; while :; do sleep 0.1; done"));
      const begin = performance.now();
      await fixture.runtime.stopContainer(deaf, 1);
      assert.ok(performance.now() - begin >= 990);
      assert.equal((await fixture.runtime.containerStatus(deaf)).exitCode, 137);
    });
  });

  it('tells when memory ran out', async () => {
    await withPod(async (pod, config) => {
      const hog = fixture.shell('x=a; while :; do x=$x$x; done', {
        linux: { resources: { memoryLimitBytes: 16 * 1024 * 1024 } },
      });
      const { status } = await runToEnd(pod, config, hog);
      assert.equal(status.reason, 'OOMKilled');
      assert.equal(status.exitCode, 137);
    });
  });

  it('says why a container could not start', async () => {
    await withPod(async (pod, config) => {
      const container = { ...fixture.shell(''), command: ['/no/such/program'] };
      const id = await fixture.runtime.createContainer(pod, container, config);
      await assert.rejects(fixture.runtime.startContainer(id), /\/no\/such\/program/);
      const { state, exitCode, reason, message } = await fixture.runtime.containerStatus(id);
      assert.deepEqual({ state, exitCode, reason }, { state: 'exited', exitCode: 128, reason: 'StartError' });
      assert.match(message, /no such program|No such file/);
    });
  });

  it('shares network, IPC and host name between the containers of a pod, but neither processes nor files', async () => {
    await withPod(
      async (pod, config) => {
        const one = await start(
          pod,
          config,
          fixture.shell(`echo shared >/dev/shm/note; echo mine >/only-here; ${forever}`),
        );
        const two = await start(pod, config, fixture.shell(forever));
        const namespaces = 'for n in net ipc uts pid mnt; do readlink /proc/self/ns/$n; done';
        const [first, second] = [await exec(one, namespaces), await exec(two, namespaces)];
        const [a, b] = [first.stdout.split('\n'), second.stdout.split('\n')];
        assert.deepEqual(a.slice(0, 3), b.slice(0, 3));
        assert.notEqual(a[3], b[3]);
        assert.notEqual(a[4], b[4]);
        assert.notEqual(a[0], readNamespace('net'));
        assert.equal((await exec(two, 'hostname')).stdout, 'the-host\n');
        assert.equal((await exec(two, 'cat /dev/shm/note')).stdout, 'shared\n');
        assert.equal((await exec(two, 'cat /only-here')).exitCode, 1);
        await fixture.runtime.execSync(one, ['sh', '-c', 'echo hello | nc -l -p 7777 >/dev/null 2>&1 &'], 0);
        await until(async () => (await exec(two, 'nc 127.0.0.1 7777 </dev/null')).stdout === 'hello\n');
      },
      { hostname: 'the-host' },
    );
  });

  it('shares processes when the pod says so', async () => {
    const pid = { namespaceOptions: { pid: 'pod' as const } };
    await withPod(
      async (pod, config) => {
        const one = await start(pod, config, fixture.shell(forever, { linux: { securityContext: pid } }));
        const { log } = await runToEnd(pod, config, fixture.shell('ps -o args', { linux: { securityContext: pid } }));
        const programs = log.map(line => line.text);
        assert.ok(programs.includes('/pause'), programs.join());
        assert.ok(programs.some(args => args.includes('trap')));
        // Orphans are buried: the first process ignores their end, so the kernel does it.
        await exec(one, '(sleep 0 &) ; sleep 0.1');
        await until(async () => !(await exec(one, 'ps -o stat')).stdout.includes('Z'));
        await fixture.runtime.stopContainer(one, 0);
        assert.equal((await fixture.runtime.containerStatus(one)).exitCode, 137);
      },
      { linux: { securityContext: pid } },
    );
  });

  it('lets a debug container join the processes of another', async () => {
    await withPod(async (pod, config) => {
      const target = await start(pod, config, fixture.shell(forever));
      const debug = fixture.shell('ps -o args', {
        linux: { securityContext: { namespaceOptions: { pid: 'target', targetId: target } } },
      });
      const { log } = await runToEnd(pod, config, debug);
      assert.ok(log.some(line => line.text.includes('trap')));
    });
  });

  it('gives a pod the host’s network, processes and IPC when it asks for them', async () => {
    const host = { namespaceOptions: { network: 'node', pid: 'node', ipc: 'node' } as const };
    await withPod(
      async (pod, config) => {
        const script = 'for n in net pid ipc uts; do readlink /proc/self/ns/$n; done; hostname';
        const { log } = await runToEnd(pod, config, fixture.shell(script, { linux: { securityContext: host } }));
        const own = ['net', 'pid', 'ipc', 'uts'].map(readNamespace);
        assert.deepEqual(
          log.map(line => line.text),
          [...own, hostname()],
        );
        assert.equal((await fixture.runtime.podSandboxStatus(pod)).network.ip, '');
        assert.equal(fixture.network.connected.has(pod), false);
      },
      { linux: { securityContext: host } },
    );
  });

  it('writes the pod’s DNS configuration and host name', async () => {
    const dnsConfig = { servers: ['10.96.0.10'], searches: ['a.svc', 'svc'], options: ['ndots:5'] };
    await withPod(
      async (pod, config) => {
        const { log } = await runToEnd(pod, config, fixture.shell('cat /etc/resolv.conf /etc/hostname'));
        assert.deepEqual(
          log.map(line => line.text),
          ['search a.svc svc', 'nameserver 10.96.0.10', 'options ndots:5', 'web-0'],
        );
      },
      { hostname: 'web-0', dnsConfig },
    );
  });

  it('sets sysctls of the pod’s namespaces and refuses others', async () => {
    const sysctls = { 'net.ipv4.ip_unprivileged_port_start': '0', 'kernel.shm_rmid_forced': '1' };
    await withPod(
      async (pod, config) => {
        const files = '/proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced';
        const { log } = await runToEnd(pod, config, fixture.shell(`cat ${files}`));
        assert.deepEqual(
          log.map(line => line.text),
          ['0', '1'],
        );
      },
      { linux: { sysctls } },
    );
    for (const name of ['kernel.panic', 'net/../kernel/panic', 'kernel.hostname'])
      await assert.rejects(fixture.runtime.runPodSandbox(fixture.pod({ linux: { sysctls: { [name]: '1' } } })), error =>
        isRuntimeError(error, 'InvalidArgument'),
      );
  });

  it('composes command, arguments, environment and directory', async () => {
    const script = 'echo "$0 $1"; echo $GREETING $HOSTNAME; pwd; echo $PATH';
    const lines = await outputOf(
      script,
      {},
      {
        args: ['zero', 'one'],
        workingDir: '/tmp',
        envs: [{ key: 'GREETING', value: 'good=day' }],
      },
    );
    assert.equal(lines[0], 'zero one');
    assert.match(lines[1] ?? '', /^good=day pod-\d+$/);
    assert.equal(lines[2], '/tmp');
    assert.match(lines[3] ?? '', /\/bin/);
  });

  it('runs as the user and groups it is told', async () => {
    assert.deepEqual(
      await outputOf('id -u; id -g; id -G', { runAsUser: 1000, runAsGroup: 3000, supplementalGroups: [4000] }),
      ['1000', '3000', '3000 4000'],
    );
    assert.deepEqual(await outputOf('id -u; id -g', { runAsUsername: 'nobody' }), ['65534', '65534']);
    await assert.rejects(outputOf('true', { runAsUsername: 'stranger' }), /unable to find user stranger/);
  });

  it('gives the default capabilities, fewer, more or all', async () => {
    const effective = async (security: LinuxContainerSecurityContext) =>
      BigInt(`0x${(await outputOf('grep CapEff /proc/self/status', security))[0]?.split('\t')[1]}`);
    assert.equal(await effective({}), 0xa80425fbn);
    assert.equal(await effective({ capabilities: { dropCapabilities: ['ALL'] } }), 0n);
    assert.equal(
      await effective({ capabilities: { dropCapabilities: ['ALL'], addCapabilities: ['NET_BIND_SERVICE'] } }),
      1n << 10n,
    );
    const own = BigInt(`0x${/CapBnd:\s*(\w+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]}`);
    assert.equal(await effective({ privileged: true }), own);
    assert.equal(await effective({ runAsUser: 1000 }), 0n);
  });

  it('filters system calls by the default profile, and not without', async () => {
    const runtimeDefault = { seccomp: { profileType: 'runtimeDefault' } } as const;
    const filter = 'grep "^Seccomp:" /proc/self/status; unshare -U true && echo made; echo $?';
    const confined = await outputOf(filter, { ...runtimeDefault });
    assert.match(confined[0] ?? '', /2$/);
    assert.ok(!confined.includes('made'));
    const open = await outputOf(filter, { seccomp: { profileType: 'unconfined' } });
    assert.match(open[0] ?? '', /0$/);
    assert.ok(open.includes('made'));
  });

  it('takes a seccomp profile from a file', async () => {
    const file = join(fixture.root, 'profile.json');
    writeFileSync(
      file,
      JSON.stringify({
        defaultAction: 'SCMP_ACT_ALLOW',
        syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' }],
      }),
    );
    const seccomp = { profileType: 'localhost', localhostRef: file } as const;
    assert.deepEqual(await outputOf('mkdir /x 2>/dev/null || echo refused', { seccomp }), ['refused']);
    const missing = { seccomp: { profileType: 'localhost', localhostRef: `${file}.not` } } as const;
    await assert.rejects(outputOf('true', missing), error => isRuntimeError(error, 'InvalidArgument'));
  });

  it('hides and guards parts of /proc and /sys', async () => {
    const script = [
      'cat /proc/kcore 2>/dev/null | head -c 1 | wc -c',
      '(echo 1 >/proc/sys/kernel/panic) 2>/dev/null || echo proc-sys-readonly',
      'mkdir /sys/fs/cgroup/*/x /sys/fs/cgroup/memory/x 2>/dev/null || echo cgroup-readonly',
      'ls /sys/firmware | wc -l',
    ].join('; ');
    assert.deepEqual(await outputOf(script), ['0', 'proc-sys-readonly', 'cgroup-readonly', '0']);
    assert.deepEqual(
      await outputOf('touch /proc/sys/kernel/panic && echo open', { maskedPaths: [], readonlyPaths: [] }),
      ['open'],
    );
  });

  it('has no new privileges when told so', async () => {
    const flag = 'grep NoNewPrivs /proc/self/status';
    assert.match((await outputOf(flag, { noNewPrivs: true }))[0] ?? '', /1$/);
    assert.match((await outputOf(flag))[0] ?? '', /0$/);
  });

  it('mounts read-write, read-only and below a read-only root', async () => {
    const directory = join(fixture.root, 'volume');
    mkdirSync(directory);
    writeFileSync(join(directory, 'file'), 'content\n');
    const mounts = [
      { containerPath: '/rw', hostPath: directory },
      { containerPath: '/ro', hostPath: directory, readonly: true },
      { containerPath: '/made', hostPath: join(fixture.root, 'made-by-mount') },
      { containerPath: '/one/file', hostPath: join(directory, 'file') },
    ];
    const script = [
      'cat /one/file',
      'echo new >/rw/other',
      'cat /ro/other',
      'touch /ro/x 2>/dev/null || echo volume-readonly',
      'touch /x 2>/dev/null || echo root-readonly',
    ].join('; ');
    assert.deepEqual(await outputOf(script, { readonlyRootfs: true }, { mounts }), [
      'content',
      'new',
      'volume-readonly',
      'root-readonly',
    ]);
    assert.ok(existsSync(join(fixture.root, 'made-by-mount')));
  });

  it('mounts read-only all the way down', async () => {
    const directory = join(fixture.root, 'nested');
    mkdirSync(join(directory, 'inner'), { recursive: true });
    const { mount, unmount } = await import('#base/kernel/mount.ts');
    await mount({ source: 'tmpfs', target: join(directory, 'inner'), type: 'tmpfs' });
    try {
      const script = 'touch /v/inner/x 2>/dev/null && echo writable || echo readonly';
      const plain = { containerPath: '/v', hostPath: directory, readonly: true };
      assert.deepEqual(await outputOf(script, {}, { mounts: [plain] }), ['writable']);
      assert.deepEqual(await outputOf(script, {}, { mounts: [{ ...plain, recursiveReadOnly: true }] }), ['readonly']);
    } finally {
      await unmount(join(directory, 'inner'));
    }
  });

  it('passes mounts between host and container where the host’s mount is shared', async () => {
    const directory = join(fixture.root, 'shared');
    mkdirSync(directory);
    const { bindMount, mount, unmount } = await import('#base/kernel/mount.ts');
    const mounts = [{ containerPath: '/shared', hostPath: directory, propagation: 'bidirectional' as const }];
    const privileged = { privileged: true };
    await bindMount(directory, directory);
    try {
      await mount({ source: 'none', target: directory, flags: ['private'] });
      await assert.rejects(outputOf('true', privileged, { mounts }), /not a shared mount/);
      await mount({ source: 'none', target: directory, flags: ['shared'] });
      const script = 'mkdir /shared/made; mount -t tmpfs none /shared/made; echo inside >/shared/made/file';
      await outputOf(script, privileged, { mounts });
      assert.equal(readFileSync(join(directory, 'made', 'file'), 'utf8'), 'inside\n');
      await unmount(join(directory, 'made'));
    } finally {
      await unmount(directory);
    }
  });

  it('makes the working directory when the image lacks it', async () => {
    assert.deepEqual(await outputOf('pwd', {}, { workingDir: '/not/there/yet' }), ['/not/there/yet']);
  });

  it('mounts an image as a volume', async () => {
    const mounts = [{ containerPath: '/image', hostPath: '', image: { image: 'web:v2' }, imageSubPath: 'www' }];
    assert.deepEqual(
      await outputOf('cat /image/healthz; touch /image/x 2>/dev/null || echo readonly', {}, { mounts }),
      ['ok', 'readonly'],
    );
  });

  it('limits processor, memory and processes, and changes the limits of a running container', async () => {
    const tree = findCgroups();
    if (tree?.version !== 1) return;
    const resources = {
      cpuShares: 512,
      cpuQuota: 50_000,
      cpuPeriod: 100_000,
      memoryLimitBytes: 64 * 1024 * 1024,
      pidsLimit: 20,
      oomScoreAdj: -998,
    };
    await withPod(async (pod, config) => {
      const id = await start(pod, config, fixture.shell(forever, { linux: { resources } }));
      const read = (controller: string, file: string) =>
        Number(
          readFileSync(join(tree.controller(controller) ?? '', config.linux?.cgroupParent ?? '', id, file), 'utf8'),
        );
      assert.equal(read('cpu', 'cpu.shares'), 512);
      assert.equal(read('cpu', 'cpu.cfs_quota_us'), 50_000);
      assert.equal(read('memory', 'memory.limit_in_bytes'), 64 * 1024 * 1024);
      assert.equal(read('pids', 'pids.max'), 20);
      await fixture.runtime.updateContainerResources(id, { cpuShares: 256, memoryLimitBytes: 32 * 1024 * 1024 });
      assert.equal(read('cpu', 'cpu.shares'), 256);
      assert.equal(read('memory', 'memory.limit_in_bytes'), 32 * 1024 * 1024);
      const { resources: now } = await fixture.runtime.containerStatus(id);
      assert.deepEqual(now, { ...resources, cpuShares: 256, memoryLimitBytes: 32 * 1024 * 1024 });
      const stats = await fixture.runtime.containerStats(id);
      assert.ok((stats.memory?.availableBytes ?? 0) > 16 * 1024 * 1024);
      assert.ok((stats.process?.processCount ?? 0) >= 1);
    });
  });

  it('limits the whole pod', async () => {
    const tree = findCgroups();
    if (tree?.version !== 1) return;
    const linux = {
      cgroupParent: '/windlass-test/limited',
      resources: { cpuShares: 204, memoryLimitBytes: 50_000_000 },
    };
    await withPod(
      async () => {
        const shares = join(tree.controller('cpu') ?? '', 'windlass-test/limited/cpu.shares');
        assert.equal(Number(readFileSync(shares, 'utf8')), 204);
      },
      { linux },
    );
  });

  it('runs commands with their exit codes, outputs and input', async () => {
    await withPod(async (pod, config) => {
      const id = await start(pod, config, fixture.shell(forever, { envs: [{ key: 'COLOUR', value: 'blue' }] }));
      assert.deepEqual(await exec(id, 'echo $COLOUR; echo bad >&2; exit 9'), {
        stdout: 'blue\n',
        stderr: 'bad\n',
        exitCode: 9,
      });
      await assert.rejects(fixture.runtime.execSync(id, ['no-such-program']), /no-such-program/);
      const begin = performance.now();
      await assert.rejects(fixture.runtime.execSync(id, ['sleep', '60'], 1), error =>
        isRuntimeError(error, 'DeadlineExceeded'),
      );
      assert.ok(performance.now() - begin < 20_000);
      assert.doesNotMatch((await exec(id, 'ps -o args')).stdout, /^sleep 60/m);
      const session = await fixture.runtime.exec(id, {
        command: ['sh', '-c', 'cat; exit 2'],
        stdin: true,
        stdout: true,
      });
      const output = collect(session.stdout);
      session.stdin?.end('through the pipe');
      assert.equal(await session.exitCode, 2);
      assert.equal(await output, 'through the pipe');
    });
  });

  it('carries a megabyte through a command without loss', async () => {
    await withPod(async (pod, config) => {
      const id = await start(pod, config, fixture.shell(forever));
      const session = await fixture.runtime.exec(id, { command: ['cat'], stdin: true, stdout: true });
      const bytes = Buffer.alloc(1024 * 1024, 'windlass ');
      const output = collect(session.stdout);
      session.stdin?.end(bytes);
      assert.equal(await session.exitCode, 0);
      assert.ok((await output) === bytes.toString());
    });
  });

  it('runs a command on a terminal of a given size', {
    skip: libc ? false : 'Node runs without --experimental-ffi',
  }, async () => {
    await withPod(async (pod, config) => {
      const id = await start(pod, config, fixture.shell(forever));
      const session = await fixture.runtime.exec(id, { command: ['sh'], tty: true, stdin: true, stdout: true });
      const seen = watchOutput(session.stdout);
      session.stdin?.write('tty; echo term=$TERM\n');
      await seen(/\/dev\/pts\/\d/);
      await seen(/term=xterm/);
      session.resize({ columns: 123, rows: 45 });
      session.stdin?.write('stty size\n');
      await seen(/45 123/);
      session.stdin?.write('exit 6\n');
      assert.equal(await session.exitCode, 6);
      assert.equal(session.stderr, undefined);
    });
  });

  it('loses nothing that a command says to a terminal', {
    skip: libc ? false : 'Node runs without --experimental-ffi',
  }, async () => {
    await withPod(async (pod, config) => {
      const id = await start(pod, config, fixture.shell(forever));
      const say = async (...command: string[]) => {
        const session = await fixture.runtime.exec(id, { command, tty: true, stdout: true });
        const output = collect(session.stdout);
        assert.equal(await session.exitCode, 0);
        return output;
      };
      // Its last words are its only ones.
      const names = await Promise.all(Array.from({ length: 20 }, () => say('tty')));
      for (const name of names) assert.match(name, /^\/dev\/pts\/\d+\r\n$/);
      const lines = (await say('seq', '20000')).split('\r\n');
      assert.deepEqual([lines.length, lines.at(-2)], [20_001, '20000']);
      // Somebody stays on the terminal who has nothing to say.
      assert.equal(await say('sh', '-c', 'setsid sleep 5 & echo said'), 'said\r\n');
      await assert.rejects(say('no-such-program'), /no-such-program/);
    });
  });

  it('ends a command when its signal is aborted', async () => {
    await withPod(async (pod, config) => {
      const id = await start(pod, config, fixture.shell(forever));
      const stop = new AbortController();
      const session = await fixture.runtime.exec(id, { command: ['sleep', '77'], stdout: true }, stop.signal);
      await until(async () => /sleep 77/.test((await exec(id, 'ps -o args')).stdout));
      stop.abort();
      await session.closed;
      await until(async () => !/^sleep 77/m.test((await exec(id, 'ps -o args')).stdout));
    });
  });

  it('attaches to a running container', { skip: libc ? false : 'Node runs without --experimental-ffi' }, async () => {
    await withPod(async (pod, config) => {
      const echo = 'while read line; do echo "got $line"; echo "err $line" >&2; done; echo end of input';
      const id = await start(pod, config, fixture.shell(`${echo}; exit 8`, { stdin: true, stdinOnce: true }));
      const session = await fixture.runtime.attach(id, { stdin: true, stdout: true, stderr: true });
      const [out, err] = [watchOutput(session.stdout), watchOutput(session.stderr)];
      session.stdin?.write('one\n');
      await out(/got one/);
      await err(/err one/);
      session.stdin?.end();
      await out(/end of input/);
      await session.closed;
      await until(async () => (await fixture.runtime.containerStatus(id)).exitCode === 8);
    });
  });

  it('detaches without harm to the container', {
    skip: libc ? false : 'Node runs without --experimental-ffi',
  }, async () => {
    await withPod(async (pod, config) => {
      const echo = 'while read line; do echo "got $line"; done; exit 8';
      const id = await start(pod, config, fixture.shell(echo, { stdin: true }));
      for (const word of ['first', 'second']) {
        const stop = new AbortController();
        const session = await fixture.runtime.attach(id, { stdin: true, stdout: true }, stop.signal);
        const out = watchOutput(session.stdout);
        session.stdin?.write(`${word}\n`);
        await out(new RegExp(`got ${word}`));
        stop.abort();
        await session.closed;
      }
      assert.equal((await fixture.runtime.containerStatus(id)).state, 'running');
    });
  });

  it('attaches to a container’s terminal', {
    skip: libc ? false : 'Node runs without --experimental-ffi',
  }, async () => {
    await withPod(async (pod, config) => {
      const container = { ...fixture.shell(''), command: ['sh'], tty: true, stdin: true };
      const id = await start(pod, config, container);
      const session = await fixture.runtime.attach(id, { tty: true, stdin: true, stdout: true });
      const out = watchOutput(session.stdout);
      session.resize({ columns: 90, rows: 33 });
      await until(async () => {
        session.stdin?.write('stty size\n');
        return out(/33 90/, 200);
      });
      session.stdin?.write('exit 4\n');
      await session.closed;
      await until(async () => (await fixture.runtime.containerStatus(id)).exitCode === 4);
    });
  });

  it('forwards a port into the pod', async () => {
    await withPod(async (pod, config) => {
      const web: ContainerConfig = { metadata: { name: 'web', attempt: 0 }, image: { image: 'web:v1' } };
      const id = await start(pod, config, web);
      await until(async () => (await exec(id, 'wget -qO- http://127.0.0.1/')).exitCode === 0);
      const connection = await fixture.runtime.portForward(pod, 80);
      connection.write('GET / HTTP/1.0\r\n\r\n');
      const answer = await collect(connection);
      assert.match(answer, /web v1 pod-\d+/);
      connection.destroy();
      await assert.rejects(fixture.runtime.portForward(pod, 81), error => isRuntimeError(error, 'Unavailable'));
    });
  });

  it('goes on with a new log file after rotation', async () => {
    await withPod(async (pod, config) => {
      const count = 'n=0; while :; do n=$((n+1)); echo line $n; sleep 0.05; done';
      const id = await start(pod, config, fixture.shell(count, { logPath: 'rotated.log' }));
      const file = join(fixture.logDirectory, 'rotated.log');
      await until(async () => /line 3/.test(readFileSync(file, 'utf8')));
      renameSync(file, `${file}.1`);
      await fixture.runtime.reopenContainerLog(id);
      await until(async () => existsSync(file) && /line/.test(readFileSync(file, 'utf8')));
      await fixture.runtime.stopContainer(id, 0);
      const numbers = [`${file}.1`, file]
        .flatMap(name => readFileSync(name, 'utf8').trim().split('\n'))
        .map(line => Number(line.split(' ').at(-1)));
      assert.deepEqual(
        numbers,
        Array.from(numbers, (_, index) => index + 1),
        'no line is lost',
      );
    });
  });

  it('keeps a log inside its directory', async () => {
    await withPod(async (pod, config) => {
      const escaping = fixture.shell('true', { logPath: '../../outside.log' });
      await assert.rejects(fixture.runtime.createContainer(pod, escaping, config), error =>
        isRuntimeError(error, 'InvalidArgument'),
      );
    });
  });

  it('gives a privileged container the machine’s devices, and others only their own', async () => {
    const count = 'ls /dev | wc -l';
    const [privileged] = await outputOf(count, { privileged: true });
    const [plain] = await outputOf(count);
    assert.ok(Number(privileged) > Number(plain));
    const hostPath = ['/dev/loop0', '/dev/sda', '/dev/nvme0n1'].find(path => existsSync(path));
    if (hostPath === undefined) return;
    const devices = [{ containerPath: '/dev/mine', hostPath, permissions: 'r' }];
    const open = '(: </dev/mine) && echo readable; (: >>/dev/mine) 2>/dev/null || echo readonly';
    assert.deepEqual(await outputOf(open, {}, { devices }), ['readable', 'readonly']);
  });

  it('leaves nothing of a sandbox that could not be connected', async () => {
    const failing = fixture.network.setup;
    fixture.network.setup = () => Promise.reject(new Error('no addresses left'));
    const mountsBefore = listMounts().length;
    await assert.rejects(fixture.runtime.runPodSandbox(fixture.pod()), /no addresses left/);
    fixture.network.setup = failing;
    assert.equal(listMounts().length, mountsBefore);
    assert.deepEqual(readdirSync(join(fixture.root, 'sandboxes')), []);
  });

  it('starts many pods at once', async () => {
    await Promise.all(
      Array.from({ length: 10 }, () =>
        withPod(async (pod, config) => {
          const id = await start(pod, config, fixture.shell(forever));
          assert.equal((await fixture.runtime.containerStatus(id)).state, 'running');
        }),
      ),
    );
  });
});

interface LogLine {
  readonly time: string;
  readonly stream: string;
  readonly tag: string;
  readonly text: string;
}

function logLines({ logPath }: ContainerStatus): LogLine[] {
  const lines = readFileSync(logPath, 'utf8').split('\n').filter(Boolean);
  return lines.map(line => {
    const [time = '', stream = '', tag = '', ...text] = line.split(' ');
    return { time, stream, tag, text: text.join(' ') };
  });
}

function readNamespace(kind: string): string {
  return readlinkSync(`/proc/self/ns/${kind}`);
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = systemClock.monotonic() + 30_000;
  while (!(await condition())) {
    assert.ok(systemClock.monotonic() < deadline, 'it does not come true');
    await systemClock.sleep(20);
  }
}

async function collect(stream: Readable | Writable | undefined): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream as Readable) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

/** Waits until the output so far fits; answers false when it does not within the time. */
function watchOutput(stream: Readable | undefined): (pattern: RegExp, timeoutMs?: number) => Promise<boolean> {
  let text = '';
  stream?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  return async (pattern, timeoutMs) => {
    const deadline = systemClock.monotonic() + (timeoutMs ?? 30_000);
    while (!pattern.test(text)) {
      if (systemClock.monotonic() > deadline) {
        assert.ok(timeoutMs !== undefined, `${pattern} does not appear in ${JSON.stringify(text)}`);
        return false;
      }
      await Promise.race([stream ? once(stream, 'data') : undefined, systemClock.sleep(20)]);
    }
    return true;
  };
}

function assertNothingLeft(root: string): void {
  assert.deepEqual(
    listMounts().filter(({ target }) => target.startsWith(root)),
    [],
  );
  const processes = readdirSync('/proc').filter(name => /^\d+$/.test(name) && commandOf(name).includes(root));
  assert.deepEqual(processes, []);
  for (const hierarchy of findCgroups()?.hierarchies ?? [])
    assert.equal(existsSync(join(hierarchy, 'windlass-test')), false, hierarchy);
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    // It has ended since the list was made.
    return '';
  }
}
