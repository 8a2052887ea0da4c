import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { cpuWeight } from '#base/kernel/cgroup.ts';
import { type ContainerConfig, isRuntimeError } from '../runtime.ts';
import { allCapabilities, decideCapabilities } from './capabilities.ts';
import { choosePlatform, type ImageConfig, parseManifest } from './images/manifest.ts';
import { digestName, isLoopback, parseReference, tagName } from './images/reference.ts';
import { endpointsFor, noRegistries, parseRegistries } from './images/registries.ts';
import { parseChallenge } from './images/registry.ts';
import { snapshotNames } from './images/snapshots.ts';
import { pauseProgram } from './pause.ts';
import { resolvConf } from './sandbox.ts';
import { defaultSeccompProfile } from './seccomp-default.ts';
import { compileSeccomp, parseSeccompProfile } from './seccomp.ts';
import { decideArguments, type Machine, makeSpec, resourcesOf, type SpecInput } from './spec.ts';
import { parseNetworkDevices } from './stats.ts';
import { resolveUser } from './user.ts';

const image: ImageConfig = {
  entrypoint: ['/entry'],
  cmd: ['default'],
  env: ['COLOUR=red', 'KEPT=yes'],
  user: '',
  workingDir: '/srv',
  stopSignal: '',
  volumes: [],
  labels: {},
  diffIds: [],
};

const machine: Machine = {
  capabilities: new Set(allCapabilities),
  oomScoreAdjMin: undefined,
  openFilesMax: 1024,
  swapAccounting: true,
  apparmor: false,
  cgroupVersion: 2,
};

const config: ContainerConfig = { metadata: { name: 'c', attempt: 0 }, image: { image: 'x' } };

function specOf(fields: Partial<ContainerConfig> = {}, input: Partial<SpecInput> = {}) {
  return makeSpec({
    machine,
    config: { ...config, ...fields },
    image,
    user: { uid: 1, gid: 2, supplementalGroups: [2, 3] },
    rootfs: '/rootfs',
    cgroupPath: '/kubepods/pod1/c',
    namespaces: { net: '/n', ipc: '/i', uts: '/u', pid: 'new' },
    hostname: 'host',
    files: { hosts: '/h', hostname: '/hn', resolvConf: '/r', shm: '/s' },
    mounts: fields.mounts ?? [],
    devices: [],
    seccomp: undefined,
    ...input,
  });
}

describe('the specification of a container', () => {
  it('replaces entrypoint and cmd as Docker does', () => {
    const cases: [Partial<ContainerConfig>, string[]][] = [
      [{}, ['/entry', 'default']],
      [{ args: ['a'] }, ['/entry', 'a']],
      [{ command: ['/c'] }, ['/c']],
      [{ command: ['/c'], args: ['a'] }, ['/c', 'a']],
    ];
    for (const [fields, wanted] of cases) assert.deepEqual(decideArguments({ ...config, ...fields }, image), wanted);
    assert.throws(() => decideArguments(config, { ...image, entrypoint: [], cmd: [] }), /no command specified/);
  });

  it('lets the pod’s environment win over the image’s, whatever the names', () => {
    const { env } = specOf({
      envs: [
        { key: 'COLOUR', value: 'blue' },
        { key: '__proto__', value: 'x' },
      ],
    }).process;
    assert.ok(env.includes('COLOUR=blue') && env.includes('KEPT=yes') && env.includes('__proto__=x'));
    assert.ok(env.includes('HOSTNAME=host'));
    assert.equal(env.filter(entry => entry.startsWith('COLOUR=')).length, 1);
  });

  it('puts outer mounts before inner ones, and the pod’s before the sandbox’s own', () => {
    const { mounts } = specOf({
      mounts: [
        { containerPath: '/data/inner', hostPath: '/b' },
        { containerPath: '/data', hostPath: '/a' },
        { containerPath: '/etc/hosts', hostPath: '/mine' },
      ],
    });
    const order = mounts.map(mount => mount.destination);
    assert.ok(order.indexOf('/data') < order.indexOf('/data/inner'));
    assert.deepEqual(
      mounts.filter(mount => mount.destination === '/etc/hosts').map(mount => mount.source),
      ['/mine'],
    );
  });

  it('chooses the root’s propagation by the mounts’', () => {
    const propagation = (...kinds: ('private' | 'hostToContainer' | 'bidirectional')[]) =>
      specOf({ mounts: kinds.map((kind, index) => ({ containerPath: `/${index}`, hostPath: '/', propagation: kind })) })
        .linux.rootfsPropagation;
    assert.equal(propagation('private'), 'rprivate');
    assert.equal(propagation('private', 'hostToContainer'), 'rslave');
    assert.equal(propagation('hostToContainer', 'bidirectional'), 'rshared');
    const invalid = {
      containerPath: '/',
      hostPath: '/',
      readonly: true,
      recursiveReadOnly: true,
      propagation: 'bidirectional',
    } as const;
    assert.throws(
      () => specOf({ mounts: [invalid] }),
      error => isRuntimeError(error, 'InvalidArgument'),
    );
  });

  it('never asks for an OOM score that the kernel would refuse', () => {
    const linux = { resources: { oomScoreAdj: -998 } };
    assert.equal(specOf({ linux }).process.oomScoreAdj, -998);
    assert.equal(specOf({ linux }, { machine: { ...machine, oomScoreAdjMin: 0 } }).process.oomScoreAdj, 0);
    assert.equal(specOf().process.oomScoreAdj, undefined);
  });

  it('leaves a privileged container unmasked and unfiltered', () => {
    const filter = () => ({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [] });
    const plain = specOf({}, { seccomp: filter }).linux;
    const privileged = specOf({ linux: { securityContext: { privileged: true } } }, { seccomp: filter }).linux;
    assert.ok(plain.seccomp && plain.maskedPaths?.includes('/proc/kcore'));
    assert.deepEqual([privileged.seccomp, privileged.maskedPaths, privileged.readonlyPaths], [undefined, [], []]);
    assert.deepEqual(privileged.resources.devices, [{ allow: true, access: 'rwm' }]);
  });

  it('writes only the resources that are set', () => {
    assert.deepEqual(resourcesOf({ cpuShares: 0, memoryLimitBytes: 0, cpusetCpus: '' }, machine), {});
    assert.deepEqual(resourcesOf({ cpuShares: 2, memoryLimitBytes: 5, unified: { 'memory.high': '4' } }, machine), {
      cpu: { shares: 2 },
      memory: { limit: 5, swap: 5 },
      unified: { 'memory.high': '4' },
    });
    assert.deepEqual(resourcesOf({ memoryLimitBytes: 5 }, { ...machine, swapAccounting: false }), {
      memory: { limit: 5 },
    });
    assert.deepEqual([cpuWeight(2), cpuWeight(1024), cpuWeight(262_144), cpuWeight(0)], [1, 39, 10_000, 1]);
  });
});

describe('capabilities', () => {
  const all = new Set<string>(allCapabilities);
  it('are added and dropped as upstream does', () => {
    const granted = (wanted: Parameters<typeof decideCapabilities>[0], privileged = false) =>
      decideCapabilities(wanted, privileged, all).granted;
    assert.equal(granted(undefined).length, 14);
    assert.deepEqual(granted({ dropCapabilities: ['all'], addCapabilities: ['net_raw'] }), ['CAP_NET_RAW']);
    assert.equal(granted({ addCapabilities: ['ALL'], dropCapabilities: ['CHOWN'] }).length, allCapabilities.length - 1);
    assert.equal(granted(undefined, true).length, allCapabilities.length);
  });

  it('are never more than the agent has', () => {
    const some = new Set(['CAP_CHOWN']);
    assert.deepEqual(decideCapabilities({ addCapabilities: ['ALL'] }, false, some).granted, ['CAP_CHOWN']);
  });
});

describe('the user of a container', () => {
  const files = {
    passwd: 'root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home:/bin/sh\n',
    group: 'root:x:0:\napp:x:1001:\nextra:x:2000:other,app\n',
  };
  it('comes from the pod, then from the image', () => {
    assert.deepEqual(resolveUser(undefined, 'app', files), { uid: 1000, gid: 1001, supplementalGroups: [1001, 2000] });
    assert.deepEqual(resolveUser(undefined, 'app:extra', files).gid, 2000);
    assert.deepEqual(resolveUser(undefined, '7:8', files), { uid: 7, gid: 8, supplementalGroups: [8] });
    assert.deepEqual(resolveUser({ runAsUser: 1000 }, 'root', files).supplementalGroups, [1001, 2000]);
    assert.deepEqual(resolveUser({ runAsUser: 5, runAsGroup: 6 }, 'app:extra', files), {
      uid: 5,
      gid: 6,
      supplementalGroups: [6],
    });
  });

  it('has only the named groups when the policy is strict', () => {
    const strict = { runAsUser: 1000, supplementalGroups: [9], supplementalGroupsPolicy: 'strict' } as const;
    assert.deepEqual(resolveUser(strict, '', files).supplementalGroups, [1001, 9]);
  });

  it('is refused when unknown or out of range', () => {
    assert.throws(() => resolveUser(undefined, 'ghost', files), /unable to find user ghost/);
    assert.throws(() => resolveUser(undefined, '4294967296', files), /must be in range/);
    assert.throws(() => resolveUser(undefined, 'app:ghosts', files), /unable to find group/);
  });
});

describe('seccomp', () => {
  it('opens calls only to those with the capability', () => {
    const actionOf = (name: string, capabilities: string[]) => {
      const rules = compileSeccomp(defaultSeccompProfile, capabilities, 'x64').syscalls;
      return rules.filter(rule => rule.names.includes(name)).map(rule => rule.action);
    };
    assert.deepEqual(actionOf('mount', []), ['SCMP_ACT_ERRNO']);
    assert.deepEqual(actionOf('mount', ['CAP_SYS_ADMIN']), ['SCMP_ACT_ALLOW']);
    assert.deepEqual(actionOf('reboot', ['CAP_SYS_BOOT']), ['SCMP_ACT_ALLOW']);
    assert.deepEqual(actionOf('keyctl', ['CAP_SYS_ADMIN']), ['SCMP_ACT_ERRNO']);
    assert.deepEqual(actionOf('read', []), ['SCMP_ACT_ALLOW']);
    assert.deepEqual(actionOf('ptrace', []), ['SCMP_ACT_ERRNO']);
  });

  it('reads profiles as people have them', () => {
    assert.throws(
      () => parseSeccompProfile('{', '/p'),
      error => isRuntimeError(error, 'InvalidArgument'),
    );
    assert.throws(
      () => parseSeccompProfile('{}', '/p'),
      error => isRuntimeError(error, 'InvalidArgument'),
    );
    const profile = parseSeccompProfile(
      '{"defaultAction":"SCMP_ACT_ALLOW","archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}]}',
      '/p',
    );
    assert.deepEqual(compileSeccomp(profile, [], 'x64').architectures, ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86']);
  });
});

describe('image names', () => {
  it('are completed as Docker does', () => {
    const full = (text: string) => {
      const reference = parseReference(text);
      return tagName(reference) ?? digestName(reference, reference.digest ?? '');
    };
    const digest = `sha256:${'a'.repeat(64)}`;
    assert.equal(full('busybox'), 'docker.io/library/busybox:latest');
    assert.equal(full('me/app:v1'), 'docker.io/me/app:v1');
    assert.equal(full('localhost/app'), 'localhost/app:latest');
    assert.equal(full('registry:5000/a/b:v2'), 'registry:5000/a/b:v2');
    assert.equal(full('index.docker.io/nginx'), 'docker.io/library/nginx:latest');
    assert.equal(full(`ghcr.io/a/b@${digest}`), `ghcr.io/a/b@${digest}`);
    assert.equal(parseReference(`a:v1@${digest}`).tag, 'v1');
    for (const bad of ['', 'UPPER', 'a b', 'a:', 'a@sha256:short', '../x', 'a/../b', 'a@b@c', 'http://x/y'])
      assert.throws(
        () => parseReference(bad),
        error => isRuntimeError(error, 'InvalidArgument'),
        bad,
      );
  });

  it('know loopback', () => {
    for (const host of ['localhost', 'localhost:5000', '127.0.0.1:1', '127.8.9.1', '[::1]:5000'])
      assert.ok(isLoopback(host));
    for (const host of ['localhost.evil.com', '127.0.0.1.evil.com', '10.0.0.1', 'docker.io'])
      assert.ok(!isLoopback(host));
  });

  it('lead to the registry, by the mirrors first', () => {
    const urls = (registries: Parameters<typeof endpointsFor>[0], host: string) =>
      endpointsFor(registries, host).map(({ url, isOrigin }) => `${url.origin}${isOrigin ? ' origin' : ''}`);
    assert.deepEqual(urls(noRegistries, 'docker.io'), ['https://registry-1.docker.io origin']);
    assert.deepEqual(urls(noRegistries, '127.0.0.1:5000'), ['http://127.0.0.1:5000 origin']);
    assert.deepEqual(urls(noRegistries, 'ghcr.io'), ['https://ghcr.io origin']);
    const registries = parseRegistries(
      { mirrors: { '*': { endpoint: ['https://mirror'] }, 'plain:80': { endpoint: ['http://plain:80'] } } },
      () => '',
    );
    assert.deepEqual(urls(registries, 'ghcr.io'), ['https://mirror', 'https://ghcr.io origin']);
    assert.throws(() => parseRegistries({ mirrors: { a: { endpoint: ['ftp://x'] } } }, () => ''), /not an http/);
  });

  it('lead through an index to this machine', () => {
    const entry = (architecture: string, variant?: string) => ({
      mediaType: 'm',
      digest: `sha256:${'0'.repeat(64)}`,
      size: 1,
      platform: { os: 'linux', architecture, ...(variant ? { variant } : {}) },
    });
    const wanted = { os: 'linux', architecture: 'arm64', variant: 'v8' };
    assert.deepEqual(choosePlatform([entry('amd64'), entry('arm64', 'v8')], wanted).platform?.variant, 'v8');
    assert.equal(choosePlatform([entry('arm64')], wanted).platform?.architecture, 'arm64');
    assert.throws(
      () => choosePlatform([entry('s390x')], wanted),
      error => isRuntimeError(error, 'NotFound'),
    );
    assert.throws(() => parseManifest(Buffer.from('{"manifests":[],"layers":[]}')), /ambiguous/);
    assert.throws(
      () => parseManifest(Buffer.from('{"layers":[{"digest":"sha256:../../x","size":1}],"config":{}}')),
      /invalid/,
    );
  });

  it('share snapshots by what is below them', () => {
    const [a, b, c] = ['a', 'b', 'c'].map(letter => `sha256:${letter.repeat(64)}`) as [string, string, string];
    assert.equal(snapshotNames([a, b])[0], snapshotNames([a, c])[0]);
    assert.notEqual(snapshotNames([a, c])[1], snapshotNames([b, c])[1]);
  });
});

describe('small things', () => {
  it('reads a registry’s challenge', () => {
    const challenge = parseChallenge('Bearer realm="https://auth/token",service="reg",scope="repository:a:pull,push"');
    assert.deepEqual(challenge, {
      scheme: 'bearer',
      realm: 'https://auth/token',
      service: 'reg',
      scope: 'repository:a:pull,push',
    });
  });

  it('writes resolv.conf and refuses lines smuggled in', () => {
    assert.equal(
      resolvConf({ servers: ['1.1.1.1'], searches: ['a', 'b'], options: ['ndots:5'] }),
      'search a b\nnameserver 1.1.1.1\noptions ndots:5\n',
    );
    assert.throws(
      () => resolvConf({ servers: ['1.1.1.1\nnameserver 6.6.6.6'], searches: [], options: [] }),
      /line break/,
    );
  });

  it('reads network counters', () => {
    const text =
      'Inter-|\n face |\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n  eth0: 100 2 3 0 0 0 0 0 200 4 5 0 0 0 0 0\n';
    assert.deepEqual(parseNetworkDevices(text), [
      { name: 'eth0', rxBytes: 100, rxErrors: 3, txBytes: 200, txErrors: 5 },
    ]);
  });

  it('makes a pause program that does nothing until it is killed', { skip: process.platform !== 'linux' }, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'windlass-pause-'));
    try {
      const file = join(directory, 'pause');
      writeFileSync(file, pauseProgram(), { mode: 0o755 });
      const child = spawn(file);
      const end = new Promise<string>(resolve => child.on('exit', (code, signal) => resolve(`${code} ${signal}`)));
      const state = () =>
        execFileSync('ps', ['-o', 'stat=', '-p', String(child.pid)])
          .toString()
          .trim();
      while (!state().startsWith('S'));
      child.kill('SIGTERM');
      assert.equal(await end, 'null SIGTERM');
      assert.equal(pauseProgram('arm64').readUInt16LE(18), 183);
      assert.throws(() => pauseProgram('mips'), /no machine code/);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
