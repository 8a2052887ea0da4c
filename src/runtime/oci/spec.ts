import type {
  ContainerConfig,
  ContainerUser,
  Device,
  LinuxContainerResources,
  Mount,
  NamespaceOption,
  PodSandboxConfig,
  UserNamespace,
} from '../runtime.ts';
import { RuntimeError } from '../runtime.ts';
import { decideCapabilities } from './capabilities.ts';
import type { ImageConfig } from './images/manifest.ts';
import type { OciSeccomp } from './seccomp.ts';

/** The parts of the OCI runtime specification that are written here. */
export interface OciSpec {
  readonly ociVersion: string;
  readonly hostname?: string;
  readonly process: OciProcess;
  readonly root: { readonly path: string; readonly readonly: boolean };
  readonly mounts: readonly OciMount[];
  readonly annotations?: Readonly<Record<string, string>>;
  /** Programs of the host that are run at points of a container's life, by the specification's names of those. */
  readonly hooks?: Readonly<Record<string, readonly object[]>>;
  readonly linux: {
    readonly cgroupsPath: string;
    readonly namespaces: readonly { readonly type: string; readonly path?: string }[];
    readonly resources: Readonly<Record<string, unknown>>;
    readonly devices?: readonly OciDevice[];
    readonly seccomp?: OciSeccomp;
    readonly maskedPaths?: readonly string[];
    readonly readonlyPaths?: readonly string[];
    readonly rootfsPropagation?: string;
    readonly sysctl?: Readonly<Record<string, string>>;
    readonly uidMappings?: readonly OciIdMapping[];
    readonly gidMappings?: readonly OciIdMapping[];
  };
}

export interface OciIdMapping {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

export interface OciProcess {
  readonly terminal: boolean;
  readonly user: { readonly uid: number; readonly gid: number; readonly additionalGids: readonly number[] };
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly capabilities: Readonly<Record<string, readonly string[]>>;
  readonly noNewPrivileges: boolean;
  readonly oomScoreAdj?: number;
  readonly apparmorProfile?: string;
  readonly selinuxLabel?: string;
  readonly rlimits?: readonly { readonly type: string; readonly hard: number; readonly soft: number }[];
}

export interface OciMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export interface OciDevice {
  readonly type: 'c' | 'b' | 'p';
  readonly path: string;
  readonly major: number;
  readonly minor: number;
  readonly fileMode: number;
  readonly uid: number;
  readonly gid: number;
  readonly access: string;
}

/** What the machine gives: read once. */
export interface Machine {
  readonly capabilities: ReadonlySet<string>;
  /** This process's own value, below which the kernel lets it lower nobody; `undefined` when it may. */
  readonly oomScoreAdjMin: number | undefined;
  readonly openFilesMax: number | undefined;
  readonly swapAccounting: boolean;
  readonly apparmor: boolean;
  readonly cgroupVersion: 1 | 2;
}

export interface SpecInput {
  readonly machine: Machine;
  readonly config: ContainerConfig;
  readonly image: ImageConfig;
  readonly user: ContainerUser;
  readonly rootfs: string;
  readonly cgroupPath: string;
  /** Where the sandbox's namespaces are; absent ones are the host's. */
  readonly namespaces: {
    readonly net?: string;
    readonly ipc?: string;
    readonly uts?: string;
    readonly pid?: string | 'new';
    readonly user?: { readonly path: string; readonly ids: UserNamespace };
  };
  readonly hostname: string;
  /** The sandbox's own files, mounted unless the container brings something for the same path. */
  readonly files: {
    readonly hosts: string;
    readonly hostname: string;
    readonly resolvConf: string;
    readonly shm: string;
  };
  /** Image volumes resolved to a directory of the host. */
  readonly mounts: readonly Mount[];
  readonly devices: readonly OciDevice[];
  readonly seccomp: ((capabilities: readonly string[]) => OciSeccomp) | undefined;
}

/** A container as crun is told about it. */
export function makeSpec(input: SpecInput): OciSpec {
  const { machine, config, user, namespaces } = input;
  const security = config.linux?.securityContext;
  const privileged = security?.privileged ?? false;
  const capabilities = decideCapabilities(security?.capabilities, privileged, machine.capabilities);
  const mounts = [...systemMounts(input, privileged), ...ownMounts(input), ...input.mounts.map(bindOf)];
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: config.tty ?? false,
      user: { uid: user.uid, gid: user.gid, additionalGids: user.supplementalGroups },
      args: decideArguments(config, input.image),
      env: decideEnvironment(config, input.image, input.hostname),
      cwd: config.workingDir || input.image.workingDir || '/',
      capabilities: {
        bounding: capabilities.granted,
        effective: capabilities.granted,
        permitted: capabilities.granted,
        inheritable: capabilities.ambient,
        ambient: capabilities.ambient,
      },
      noNewPrivileges: security?.noNewPrivs ?? false,
      ...oomScore(config.linux?.resources, machine),
      ...(machine.apparmor && security?.apparmor?.profileType === 'localhost'
        ? { apparmorProfile: security.apparmor.localhostRef }
        : {}),
      ...(machine.openFilesMax
        ? { rlimits: [{ type: 'RLIMIT_NOFILE', hard: machine.openFilesMax, soft: machine.openFilesMax }] }
        : {}),
    },
    root: { path: input.rootfs, readonly: security?.readonlyRootfs ?? false },
    mounts: orderMounts(mounts),
    linux: {
      cgroupsPath: input.cgroupPath,
      namespaces: namespacesOf(namespaces, machine),
      ...(namespaces.user && mappingsOf(namespaces.user.ids)),
      resources: { ...resourcesOf(config.linux?.resources, machine), devices: deviceRules(input.devices, privileged) },
      ...(input.devices.length > 0 ? { devices: input.devices } : {}),
      ...(input.seccomp && !privileged ? { seccomp: input.seccomp(capabilities.granted) } : {}),
      maskedPaths: privileged ? [] : (security?.maskedPaths ?? defaultMaskedPaths),
      readonlyPaths: privileged ? [] : (security?.readonlyPaths ?? defaultReadonlyPaths),
      rootfsPropagation: rootPropagation(input.mounts),
    },
  };
}

/** As Docker: `command` replaces the entrypoint and drops the image's cmd, `args` replaces the cmd. */
export function decideArguments(config: ContainerConfig, image: ImageConfig): readonly string[] {
  const command = config.command?.length ? config.command : image.entrypoint;
  const args = config.args?.length ? config.args : config.command?.length ? [] : image.cmd;
  const all = [...command, ...args];
  if (all.length === 0) throw new RuntimeError('InvalidArgument', 'no command specified');
  return all;
}

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

function decideEnvironment(config: ContainerConfig, image: ImageConfig, hostname: string): string[] {
  const values = new Map<string, string>([
    ['PATH', defaultPath],
    ['HOSTNAME', hostname],
  ]);
  if (config.tty) values.set('TERM', 'xterm');
  for (const entry of image.env) {
    const at = entry.indexOf('=');
    if (at > 0) values.set(entry.slice(0, at), entry.slice(at + 1));
  }
  for (const { key, value } of config.envs ?? []) values.set(key, value);
  return [...values].map(([key, value]) => `${key}=${value}`);
}

function oomScore(resources: LinuxContainerResources | undefined, machine: Machine): { oomScoreAdj?: number } {
  if (resources?.oomScoreAdj === undefined) return {};
  return { oomScoreAdj: Math.max(resources.oomScoreAdj, machine.oomScoreAdjMin ?? -1000) };
}

function namespacesOf(namespaces: SpecInput['namespaces'], machine: Machine): { type: string; path?: string }[] {
  const list: { type: string; path?: string }[] = [{ type: 'mount' }];
  if (namespaces.net) list.push({ type: 'network', path: namespaces.net });
  if (namespaces.ipc) list.push({ type: 'ipc', path: namespaces.ipc });
  if (namespaces.uts) list.push({ type: 'uts', path: namespaces.uts });
  if (namespaces.pid) list.push(namespaces.pid === 'new' ? { type: 'pid' } : { type: 'pid', path: namespaces.pid });
  if (machine.cgroupVersion === 2) list.push({ type: 'cgroup' });
  if (namespaces.user) list.push({ type: 'user', path: namespaces.user.path });
  return list;
}

/** The ids of a user namespace as the specification writes them. */
export function mappingsOf({ uids, gids }: UserNamespace): {
  readonly uidMappings: readonly OciIdMapping[];
  readonly gidMappings: readonly OciIdMapping[];
} {
  const written = (maps: UserNamespace['uids']) =>
    maps.map(each => ({ containerID: each.containerId, hostID: each.hostId, size: each.length }));
  return { uidMappings: written(uids), gidMappings: written(gids) };
}

function systemMounts({ namespaces }: SpecInput, privileged: boolean): OciMount[] {
  const access = privileged ? 'rw' : 'ro';
  const mount = (destination: string, type: string, source: string, ...options: string[]) => ({
    destination,
    type,
    source,
    options,
  });
  return [
    mount('/proc', 'proc', 'proc', 'nosuid', 'noexec', 'nodev'),
    mount('/dev', 'tmpfs', 'tmpfs', 'nosuid', 'strictatime', 'mode=755', 'size=65536k'),
    mount('/dev/pts', 'devpts', 'devpts', 'nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'),
    // With the host's own IPC namespace a second mqueue mount is the host's.
    ...(namespaces.ipc ? [mount('/dev/mqueue', 'mqueue', 'mqueue', 'nosuid', 'noexec', 'nodev')] : []),
    mount('/sys', 'sysfs', 'sysfs', 'nosuid', 'noexec', 'nodev', access),
    mount('/sys/fs/cgroup', 'cgroup', 'cgroup', 'nosuid', 'noexec', 'nodev', 'relatime', access),
  ];
}

function ownMounts({ files, mounts, config }: SpecInput): OciMount[] {
  const taken = new Set(mounts.map(mount => mount.containerPath.replace(/\/+$/, '')));
  const access = config.linux?.securityContext?.readonlyRootfs ? 'ro' : 'rw';
  const bind = (destination: string, source: string, ...options: string[]) =>
    taken.has(destination) ? [] : [{ destination, type: 'bind', source, options: ['rbind', 'rprivate', ...options] }];
  return [
    ...bind('/etc/hosts', files.hosts, access),
    ...bind('/etc/hostname', files.hostname, access),
    ...bind('/etc/resolv.conf', files.resolvConf, access),
    ...bind('/dev/shm', files.shm, 'rw'),
  ];
}

const propagations = { private: 'rprivate', hostToContainer: 'rslave', bidirectional: 'rshared' } as const;

function bindOf(mount: Mount): OciMount {
  if (mount.recursiveReadOnly && (!mount.readonly || (mount.propagation ?? 'private') !== 'private'))
    throw new RuntimeError(
      'InvalidArgument',
      `recursive read-only mount of ${mount.containerPath} needs a read-only mount with private propagation`,
    );
  const access = mount.recursiveReadOnly ? 'rro' : mount.readonly ? 'ro' : 'rw';
  return {
    destination: mount.containerPath,
    type: 'bind',
    source: mount.hostPath,
    options: ['rbind', propagations[mount.propagation ?? 'private'], access],
  };
}

/** A mount below another one comes after it, whatever the order in the pod. */
function orderMounts(mounts: readonly OciMount[]): OciMount[] {
  const depth = ({ destination }: OciMount) => destination.split('/').filter(Boolean).length;
  return mounts.toSorted((one, other) => depth(one) - depth(other));
}

function rootPropagation(mounts: readonly Mount[]): string {
  if (mounts.some(mount => mount.propagation === 'bidirectional')) return 'rshared';
  return mounts.some(mount => mount.propagation === 'hostToContainer') ? 'rslave' : 'rprivate';
}

/** containerd's list. */
const defaultMaskedPaths = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
];

const defaultReadonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** The OCI form of what CRI calls resources; also what `crun update` reads. */
export function resourcesOf(
  resources: LinuxContainerResources | undefined,
  machine: Machine,
): Readonly<Record<string, unknown>> {
  if (!resources) return {};
  const { cpuShares, cpuQuota, cpuPeriod, cpusetCpus, cpusetMems, memoryLimitBytes, memorySwapLimitBytes } = resources;
  const cpu = dropEmpty({ shares: cpuShares, quota: cpuQuota, period: cpuPeriod, cpus: cpusetCpus, mems: cpusetMems });
  const swap = machine.swapAccounting ? (memorySwapLimitBytes ?? memoryLimitBytes) : undefined;
  const memory = dropEmpty({ limit: memoryLimitBytes, swap });
  const hugepages = resources.hugepageLimits?.map(({ pageSize, limitBytes }) => ({ pageSize, limit: limitBytes }));
  return dropEmpty({
    cpu: Object.keys(cpu).length > 0 ? cpu : undefined,
    memory: Object.keys(memory).length > 0 ? memory : undefined,
    pids: resources.pidsLimit ? { limit: resources.pidsLimit } : undefined,
    hugepageLimits: hugepages?.length ? hugepages : undefined,
    unified:
      machine.cgroupVersion === 2 && Object.keys(resources.unified ?? {}).length > 0 ? resources.unified : undefined,
  });
}

/** CRI's zero and empty mean "not set". */
function dropEmpty(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== 0 && value !== ''),
  );
}

function deviceRules(devices: readonly OciDevice[], privileged: boolean): readonly Readonly<Record<string, unknown>>[] {
  if (privileged) return [{ allow: true, access: 'rwm' }];
  const own = devices.map(({ type, major, minor, access }) => ({ allow: true, type, major, minor, access }));
  return [{ allow: false, access: 'rwm' }, ...own];
}

/** Which of the sandbox's namespaces are the pod's own. */
export function ownNamespaces(config: PodSandboxConfig): {
  readonly net: boolean;
  readonly ipc: boolean;
  readonly uts: boolean;
  /** Absent: the host's users. */
  readonly user?: UserNamespace;
} {
  const options: NamespaceOption = config.linux?.securityContext?.namespaceOptions ?? {};
  const net = options.network !== 'node';
  // As upstream's runtimes: a pod on the host's network has the host's name.
  const { userns } = options;
  return { net, ipc: options.ipc !== 'node', uts: net, ...(userns?.mode === 'pod' && { user: userns }) };
}

export function requestedDevice(device: Device, found: Omit<OciDevice, 'path' | 'access'>): OciDevice {
  return { ...found, path: device.containerPath || device.hostPath, access: device.permissions || 'rwm' };
}
