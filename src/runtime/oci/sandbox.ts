import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  createCgroup,
  killCgroup,
  limitCgroup,
  pruneCgroup,
  removeCgroup,
  type CgroupTree,
} from '#base/kernel/cgroup.ts';
import { idmappedMount, mount, unmount, unmountTree } from '#base/kernel/mount.ts';
import { isNamespace, releaseNamespace, type Namespaces } from '#base/kernel/namespace.ts';
import { identifyProcess, type ProcessIdentity, sendSignal, spawnToEnd } from '#base/kernel/process.ts';
import { type DnsConfig, type LinuxContainerResources, type PodSandboxConfig, RuntimeError } from '../runtime.ts';
import { pauseProgram } from './pause.ts';
import { crunArguments, type Programs } from './shim.ts';
import { mappingsOf, ownNamespaces } from './spec.ts';
import { type Layout, reachableRoot } from './state.ts';

/** The pod's own control group; its containers' are below it. */
export function podCgroup(id: string, config: PodSandboxConfig): string {
  return config.linux?.cgroupParent || `/windlass/${id}`;
}

export function hostnameOf(config: PodSandboxConfig, nodeName: string): string {
  return config.linux?.securityContext?.namespaceOptions?.network === 'node'
    ? nodeName
    : config.hostname || config.metadata.name;
}

/** Everything of a sandbox but its network: namespaces bound to files, shared memory, files for /etc, control group. */
export async function buildSandbox(
  at: Layout,
  id: string,
  config: PodSandboxConfig,
  kernel: { readonly namespaces: Namespaces; readonly cgroups: CgroupTree; readonly nodeName: string },
): Promise<void> {
  const paths = at.sandbox(id);
  const own = ownNamespaces(config);
  const hostname = hostnameOf(config, kernel.nodeName);
  await kernel.namespaces.create({
    paths: {
      ...(own.net ? { net: paths.net } : {}),
      ...(own.ipc ? { ipc: paths.ipc } : {}),
      ...(own.uts ? { uts: paths.uts } : {}),
    },
    ...(own.uts ? { hostname } : {}),
    ...(own.user && { user: { path: paths.user, uids: own.user.uids, gids: own.user.gids } }),
    sysctls: checkSysctls(config.linux?.sysctls ?? {}, own),
  });
  if (own.ipc) await mountSharedMemory(paths.shm);
  writeFileSync(paths.hostname, `${hostname}\n`);
  writeFileSync(paths.hosts, hostsFile(own.net));
  if (config.dnsConfig) writeFileSync(paths.resolvConf, resolvConf(config.dnsConfig));
  else copyOrEmpty('/etc/resolv.conf', paths.resolvConf);
  const cgroup = podCgroup(id, config);
  createCgroup(kernel.cgroups, cgroup);
  limitPod(kernel.cgroups, cgroup, config.linux?.resources);
}

export function limitPod(cgroups: CgroupTree, path: string, resources: LinuxContainerResources | undefined): void {
  if (!resources) return;
  limitCgroup(cgroups, path, {
    cpuShares: resources.cpuShares,
    cpuQuotaUs: resources.cpuQuota,
    cpuPeriodUs: resources.cpuPeriod,
    cpusetCpus: resources.cpusetCpus,
    cpusetMems: resources.cpusetMems,
    memoryBytes: resources.memoryLimitBytes,
    pids: resources.pidsLimit,
    hugepages: resources.hugepageLimits,
    unified: resources.unified,
  });
}

async function mountSharedMemory(directory: string): Promise<void> {
  mkdirSync(directory);
  await mount({
    source: 'shm',
    target: directory,
    type: 'tmpfs',
    flags: ['nosuid', 'nodev', 'noexec'],
    data: 'mode=1777,size=67108864',
  });
}

/** Prefixes of what belongs to a namespace; anything else would change the node. */
const networkSysctl = /^net\./;
const ipcSysctl = /^(kernel\.(shm|msg|sem)|fs\.mqueue\.)/;

/** Files below /proc/sys. Names may be written with dots or, where a part has a dot itself, with slashes. */
function checkSysctls(
  sysctls: Readonly<Record<string, string>>,
  own: { readonly net: boolean; readonly ipc: boolean },
): (readonly [string, string])[] {
  return Object.entries(sysctls).map(([name, value]) => {
    const parts = /^[^./]+\//.test(name) ? name.split('/') : name.split('.');
    const dotted = parts.join('.');
    const allowed = (own.net && networkSysctl.test(dotted)) || (own.ipc && ipcSysctl.test(dotted));
    const plain = parts.every(part => /^[A-Za-z0-9_.-]+$/.test(part) && part !== '.' && part !== '..');
    if (!allowed || !plain)
      throw new RuntimeError('InvalidArgument', `sysctl "${name}" is not allowed: it is not in a namespace of the pod`);
    return [join('/proc/sys', ...parts), value] as const;
  });
}

function hostsFile(ownNetwork: boolean): string {
  return ownNetwork ? '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n' : readText('/etc/hosts');
}

/** The limits of resolv.conf are the caller's business; here it is only written down. */
export function resolvConf({ servers, searches, options }: DnsConfig): string {
  const lines = [
    ...(searches.length > 0 ? [`search ${searches.join(' ')}`] : []),
    ...servers.map(server => `nameserver ${server}`),
    ...(options.length > 0 ? [`options ${options.join(' ')}`] : []),
  ];
  const text = lines.map(line => `${line}\n`).join('');
  if (/[\r\0]/.test(text) || lines.some(line => line.includes('\n')))
    throw new RuntimeError('InvalidArgument', 'invalid DNS config: a line break in a value');
  return text;
}

function copyOrEmpty(source: string, target: string): void {
  if (existsSync(source)) copyFileSync(source, target);
  else writeFileSync(target, '');
}

/** The process that keeps a shared process namespace alive: a container of its own, with nothing in it to see. */
export async function startPause(
  programs: Programs,
  at: Layout,
  id: string,
  config: PodSandboxConfig,
): Promise<ProcessIdentity> {
  const paths = at.sandbox(id);
  const own = ownNamespaces(config);
  const rootfs = join(paths.pause, 'rootfs');
  const root = own.user ? reachableRoot(at, id) : rootfs;
  for (const name of ['proc', 'dev']) mkdirSync(join(rootfs, name), { recursive: true });
  writeFileSync(join(rootfs, 'pause'), pauseProgram(), { mode: 0o555 });
  const nobody = 65_535;
  const spec = {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid: nobody, gid: nobody },
      args: ['/pause'],
      env: [],
      cwd: '/',
      capabilities: { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] },
      noNewPrivileges: true,
    },
    root: { path: root, readonly: true },
    mounts: [{ destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev', 'ro'] }],
    linux: {
      cgroupsPath: join(podCgroup(id, config), id),
      namespaces: [
        { type: 'mount' },
        { type: 'pid' },
        ...(own.net ? [{ type: 'network', path: paths.net }] : []),
        ...(own.ipc ? [{ type: 'ipc', path: paths.ipc }] : []),
        ...(own.uts ? [{ type: 'uts', path: paths.uts }] : []),
        ...(own.user ? [{ type: 'user', path: paths.user }] : []),
      ],
      ...(own.user && mappingsOf(own.user)),
      maskedPaths: ['/proc/kcore', '/proc/keys', '/proc/timer_list'],
      readonlyPaths: ['/proc/sys'],
    },
  };
  if (own.user) {
    mkdirSync(root, { recursive: true, mode: 0o711 });
    idmappedMount(rootfs, root, paths.user);
  }
  writeFileSync(join(paths.pause, 'config.json'), JSON.stringify(spec));
  const pidFile = join(paths.pause, 'pid');
  const args = [...crunArguments(at), 'run', '--detach', '--bundle', paths.pause, '--pid-file', pidFile, id];
  // The pause process inherits crun's output: files, so that no pipe stays open with it.
  const { exitCode, stderr } = await spawnToEnd('sh', [
    '-c',
    'log=$1; shift; exec "$@" >/dev/null 2>"$log" </dev/null',
    'sh',
    join(paths.pause, 'log'),
    programs.crun,
    ...args,
  ]);
  const pid = exitCode === 0 ? Number(readText(pidFile)) : Number.NaN;
  const identity = Number.isInteger(pid) ? identifyProcess(pid) : undefined;
  if (identity) return identity;
  const why = readText(join(paths.pause, 'log')).trim() || stderr.toString().trim();
  throw new RuntimeError('Internal', `cannot share a process namespace: ${why}`);
}

/** Ends what runs in the sandbox and lets go of its namespaces. Idempotent, and fine with what is only half there. */
export async function dismantleSandbox(
  at: Layout,
  id: string,
  config: PodSandboxConfig | undefined,
  cgroups: CgroupTree,
  pause?: ProcessIdentity,
): Promise<void> {
  const paths = at.sandbox(id);
  if (config) killCgroup(cgroups, join(podCgroup(id, config), id));
  if (pause) sendSignal(pause, 'SIGKILL');
  for (const path of [paths.net, paths.ipc, paths.uts, paths.user]) await releaseNamespace(path);
  await removeReachableRoot(at, id);
  await unmount(paths.shm);
}

/** Takes back the root that the users of a user namespace could reach, when there is one. */
export async function removeReachableRoot(at: Layout, id: string): Promise<void> {
  const root = reachableRoot(at, id);
  if (!existsSync(root)) return;
  await unmount(root);
  rmdirSync(root);
  // The last one of this runtime, and the last one of the machine, take their folders along.
  for (const directory of [dirname(root), dirname(dirname(root))]) {
    if (readdirSync(directory).length > 0) return;
    rmdirSync(directory);
  }
}

/** The last step: nothing of the sandbox is left on the machine. Its processes must have ended. */
export async function eraseSandbox(
  at: Layout,
  id: string,
  config: PodSandboxConfig | undefined,
  cgroups: CgroupTree,
  retry: (attempt: () => boolean) => Promise<boolean>,
): Promise<void> {
  const paths = at.sandbox(id);
  if (config) {
    const cgroup = podCgroup(id, config);
    if (!(await retry(() => removeCgroup(cgroups, cgroup))))
      throw new RuntimeError('Unavailable', `cannot remove the cgroup ${cgroup}: it still has processes`);
    // Its parents are shared: the last pod takes them along, for the others they are busy.
    for (let parent = dirname(cgroup); parent !== '/'; parent = dirname(parent)) pruneCgroup(cgroups, parent);
  }
  await unmountTree(paths.directory);
  rmSync(join(at.crun, id), { recursive: true, force: true });
  await rm(paths.directory, { recursive: true, force: true });
}

/** The pod's network namespace, while it is there. */
export function sandboxNetns(at: Layout, id: string, config: PodSandboxConfig): string | undefined {
  const path = at.sandbox(id).net;
  return ownNamespaces(config).net && isNamespace(path) ? path : undefined;
}

function readText(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}
