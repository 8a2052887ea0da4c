import { mkdirSync, readdirSync, readFileSync, rmdirSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { listMounts, mount, unmount } from './mount.ts';

/**
 * Control groups of both generations behind one set of functions. A group's path is absolute from the root of the
 * hierarchies (`/kubepods/pod1`). With version 1 a group is one directory in each controller's hierarchy.
 */
export interface CgroupTree {
  readonly version: 1 | 2;
  /** Every hierarchy's directory; of version 2 the only one. */
  readonly hierarchies: readonly string[];
  /** The hierarchy of a controller; `undefined` when the kernel lacks it. */
  controller(name: string): string | undefined;
}

/** Absent fields are left alone. Counts and bytes of -1 mean no limit. */
export interface CgroupLimits {
  readonly cpuShares?: number;
  readonly cpuQuotaUs?: number;
  readonly cpuPeriodUs?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly memoryBytes?: number;
  readonly memorySwapBytes?: number;
  readonly pids?: number;
  readonly hugepages?: readonly { readonly pageSize: string; readonly limitBytes: number }[];
  /** Version 2 files by name. */
  readonly unified?: Readonly<Record<string, string>>;
}

const root = '/sys/fs/cgroup';
const cgroup2Magic = 0x63677270;

/** Reads which hierarchies are mounted. `undefined` where there are none. */
export function findCgroups(): CgroupTree | undefined {
  const mounts = listMounts().filter(point => point.target === root || point.target.startsWith(`${root}/`));
  if (isUnified(root)) return { version: 2, hierarchies: [root], controller: name => unifiedController(name) };
  const byController = new Map<string, string>();
  const hierarchies = new Set<string>();
  for (const { type, target, superOptions } of mounts) {
    if (type === 'cgroup2') hierarchies.add(target);
    if (type !== 'cgroup') continue;
    hierarchies.add(target);
    for (const option of superOptions) byController.set(option, target);
  }
  if (!byController.has('memory')) return undefined;
  return { version: 1, hierarchies: [...hierarchies], controller: name => byController.get(name) };
}

function unifiedController(name: string): string | undefined {
  return read(join(root, 'cgroup.controllers'))?.split(/\s+/).includes(name) ? root : undefined;
}

function isUnified(directory: string): boolean {
  try {
    return statfsSync(directory).type === cgroup2Magic;
  } catch {
    // No such directory: no cgroups.
    return false;
  }
}

/** Tells our mounts from the machine's own. */
const hybridSource = 'windlass';

/**
 * On a machine with version 1 hierarchies, some controllers (usually hugetlb) may be left to the version 2 one beside
 * them, which crun refuses. They get a version 1 hierarchy as systemd would have given them.
 */
export async function completeHybrid(): Promise<void> {
  const unified = join(root, 'unified');
  if (isUnified(root) || !isUnified(unified)) return;
  const left = read(join(unified, 'cgroup.controllers'))?.trim().split(/\s+/).filter(Boolean) ?? [];
  for (const name of [...left, ...unmountedControllers()]) {
    const directory = join(root, name);
    mkdirSync(directory, { recursive: true });
    await mount({ source: hybridSource, target: directory, type: 'cgroup', data: name });
  }
}

/** Those with a version 1 hierarchy that is mounted elsewhere only, such as in the namespace of somebody's container. */
function unmountedControllers(): readonly string[] {
  const mounted = new Set(listMounts().flatMap(({ type, superOptions }) => (type === 'cgroup' ? superOptions : [])));
  const lines = (read('/proc/cgroups') ?? '').split('\n').filter(line => line !== '' && !line.startsWith('#'));
  return lines
    .map(line => line.split('\t'))
    .filter(([name = '', hierarchy, , enabled]) => hierarchy !== '0' && enabled === '1' && !mounted.has(name))
    .map(([name = '']) => name);
}

/** Takes back what `completeHybrid` mounted, by whichever process, unless somebody's groups are in it. */
export async function releaseHybrid(): Promise<void> {
  for (const { type, source, target } of listMounts()) {
    if (type !== 'cgroup' || source !== hybridSource || groupsIn(target).length > 0) continue;
    await unmount(target);
    try {
      rmdirSync(target);
    } catch (error) {
      if (!hasCode(error, 'EBUSY', 'ENOENT', 'ENOTEMPTY')) throw error;
    }
  }
}

export function createCgroup(tree: CgroupTree, path: string): void {
  for (const hierarchy of tree.hierarchies) {
    let directory = hierarchy;
    for (const part of path.split('/').filter(Boolean)) {
      const parent = directory;
      directory = join(parent, part);
      if (tree.version === 2) enableControllers(parent);
      mkdirSync(directory, { recursive: true });
      if (hierarchy === tree.controller('cpuset') && tree.version === 1) inheritCpuset(parent, directory);
    }
  }
}

/** A version 2 group hands its controllers down only when told so. */
function enableControllers(directory: string): void {
  const available = read(join(directory, 'cgroup.controllers'))?.trim().split(/\s+/).filter(Boolean) ?? [];
  const enabled = new Set(read(join(directory, 'cgroup.subtree_control'))?.trim().split(/\s+/));
  for (const name of available)
    if (!enabled.has(name)) writeFileSync(join(directory, 'cgroup.subtree_control'), `+${name}`);
}

/** A fresh version 1 cpuset is empty and refuses processes. */
function inheritCpuset(parent: string, directory: string): void {
  for (const file of ['cpuset.cpus', 'cpuset.mems'])
    if (read(join(directory, file))?.trim() === '')
      writeFileSync(join(directory, file), read(join(parent, file))?.trim() ?? '0');
}

export function limitCgroup(tree: CgroupTree, path: string, limits: CgroupLimits): void {
  const write = (controller: string, file: string, value: string) => {
    const hierarchy = tree.controller(controller);
    if (hierarchy) writeFileSync(join(hierarchy, path, file), value);
  };
  if (tree.version === 1) limitV1(write, limits);
  else limitV2(write, limits);
}

type Write = (controller: string, file: string, value: string) => void;

function limitV1(write: Write, limits: CgroupLimits): void {
  if (limits.cpuShares) write('cpu', 'cpu.shares', String(Math.max(2, limits.cpuShares)));
  if (limits.cpuPeriodUs) write('cpu', 'cpu.cfs_period_us', String(limits.cpuPeriodUs));
  if (limits.cpuQuotaUs) write('cpu', 'cpu.cfs_quota_us', String(limits.cpuQuotaUs));
  if (limits.cpusetCpus) write('cpuset', 'cpuset.cpus', limits.cpusetCpus);
  if (limits.cpusetMems) write('cpuset', 'cpuset.mems', limits.cpusetMems);
  if (limits.memoryBytes) {
    // A former memory+swap limit below the new memory limit would refuse it.
    const swap = limits.memorySwapBytes ?? limits.memoryBytes;
    tryWrite(() => write('memory', 'memory.memsw.limit_in_bytes', '-1'));
    write('memory', 'memory.limit_in_bytes', String(limits.memoryBytes));
    tryWrite(() => write('memory', 'memory.memsw.limit_in_bytes', String(swap)));
  }
  if (limits.pids) write('pids', 'pids.max', limits.pids < 0 ? 'max' : String(limits.pids));
  for (const { pageSize, limitBytes } of limits.hugepages ?? [])
    write('hugetlb', `hugetlb.${pageSize}.limit_in_bytes`, String(limitBytes));
}

/** Swap accounting is a kernel option; without it the files do not exist. */
function tryWrite(write: () => void): void {
  try {
    write();
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'EACCES', 'EOPNOTSUPP', 'EINVAL')) throw error;
  }
}

function limitV2(write: Write, limits: CgroupLimits): void {
  if (limits.cpuShares) write('cpu', 'cpu.weight', String(cpuWeight(limits.cpuShares)));
  if (limits.cpuQuotaUs || limits.cpuPeriodUs) {
    const quota = (limits.cpuQuotaUs ?? -1) > 0 ? String(limits.cpuQuotaUs) : 'max';
    write('cpu', 'cpu.max', `${quota} ${limits.cpuPeriodUs ?? 100_000}`);
  }
  if (limits.cpusetCpus) write('cpuset', 'cpuset.cpus', limits.cpusetCpus);
  if (limits.cpusetMems) write('cpuset', 'cpuset.mems', limits.cpusetMems);
  const bytes = (value: number) => (value < 0 ? 'max' : String(value));
  if (limits.memoryBytes) {
    write('memory', 'memory.max', bytes(limits.memoryBytes));
    const swap = limits.memorySwapBytes ?? limits.memoryBytes;
    tryWrite(() => write('memory', 'memory.swap.max', swap < 0 ? 'max' : String(swap - limits.memoryBytes!)));
  }
  if (limits.pids) write('pids', 'pids.max', bytes(limits.pids));
  for (const { pageSize, limitBytes } of limits.hugepages ?? [])
    write('hugetlb', `hugetlb.${pageSize}.max`, String(limitBytes));
  for (const [file, value] of Object.entries(limits.unified ?? {})) write(file.split('.')[0] ?? '', file, value);
}

/** KEP-2254's mapping of shares (2…262144) to weight (1…10000). */
export function cpuWeight(shares: number): number {
  const bounded = Math.min(262_144, Math.max(2, shares));
  return 1 + Math.floor(((bounded - 2) * 9999) / 262_142);
}

/** Kills every process of the group and of the groups in it. */
export function killCgroup(tree: CgroupTree, path: string): void {
  const directory = join(processHierarchy(tree), path);
  if (tree.version === 2) {
    try {
      return writeFileSync(join(directory, 'cgroup.kill'), '1');
    } catch (error) {
      // Kernels before 5.14 lack the file; a group that is gone has no processes.
      if (!hasCode(error, 'ENOENT', 'EACCES')) throw error;
    }
  }
  // A process that forks while the list is read is found in the next round.
  for (let round = 0; round < 10; round++) {
    const pids = processesBelow(directory);
    if (pids.length === 0) return;
    for (const pid of pids) kill(pid);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error;
  }
}

/** The processes of the group and of the groups in it. */
export function cgroupProcesses(tree: CgroupTree, path: string): number[] {
  return processesBelow(join(processHierarchy(tree), path));
}

function processesBelow(directory: string): number[] {
  const own = (read(join(directory, 'cgroup.procs')) ?? '').split('\n').filter(Boolean).map(Number);
  return [...own, ...groupsIn(directory).flatMap(name => processesBelow(join(directory, name)))];
}

/** The one version 1 hierarchy whose process list counts: memory is in every kernel that runs containers. */
function processHierarchy(tree: CgroupTree): string {
  return tree.version === 2 ? root : (tree.controller('memory') ?? root);
}

/** False when a process is still in it. A group that does not exist is fine. */
export function removeCgroup(tree: CgroupTree, path: string): boolean {
  if (path === '' || path === '/') throw new Error('cannot remove a cgroup: the path is the root');
  const removed = hierarchiesNow(tree).map(hierarchy => removeDirectory(join(hierarchy, path)));
  return removed.every(Boolean);
}

/** With those that somebody has mounted since the tree was read: crun makes groups in them as well. */
function hierarchiesNow({ version, hierarchies }: CgroupTree): readonly string[] {
  if (version === 2) return hierarchies;
  const added = listMounts().filter(({ type, target }) => type === 'cgroup' && target.startsWith(`${root}/`));
  return [...new Set([...hierarchies, ...added.map(({ target }) => target)])];
}

/** Removes the group only where nothing at all is in it. */
export function pruneCgroup(tree: CgroupTree, path: string): void {
  for (const hierarchy of hierarchiesNow(tree))
    try {
      rmdirSync(join(hierarchy, path));
    } catch (error) {
      if (!hasCode(error, 'ENOENT', 'EBUSY', 'ENOTEMPTY')) throw error;
    }
}

function removeDirectory(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return true;
    if (!hasCode(error, 'EBUSY', 'ENOTEMPTY')) throw error;
  }
  const inner = groupsIn(directory).map(name => removeDirectory(join(directory, name)));
  if (inner.length === 0 || !inner.every(Boolean)) return false;
  return removeDirectory(directory);
}

function groupsIn(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter(entry => entry.isDirectory())
      .map(entry => entry.name);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}

/** How many processes the kernel killed in the group for want of memory. */
export function countOomKills(tree: CgroupTree, path: string): number {
  const hierarchy = tree.controller('memory');
  if (!hierarchy) return 0;
  const file = tree.version === 1 ? 'memory.oom_control' : 'memory.events';
  return fields(read(join(hierarchy, path, file))).get('oom_kill') ?? 0;
}

export interface CgroupUsage {
  readonly cpuNanoseconds: number;
  readonly memoryBytes: number;
  readonly workingSetBytes: number;
  readonly rssBytes: number;
  /** `undefined` without a limit. */
  readonly memoryLimitBytes: number | undefined;
  readonly pageFaults: number;
  readonly majorPageFaults: number;
  readonly processCount: number;
}

/** `undefined` when the group does not exist. */
export function measureCgroup(tree: CgroupTree, path: string): CgroupUsage | undefined {
  const file = (controller: string, name: string) => {
    const hierarchy = tree.controller(controller) ?? (tree.version === 2 ? root : undefined);
    return hierarchy === undefined ? undefined : read(join(hierarchy, path, name));
  };
  return tree.version === 1 ? measureV1(file) : measureV2(file);
}

type ReadFile = (controller: string, name: string) => string | undefined;

function measureV1(file: ReadFile): CgroupUsage | undefined {
  const usage = file('memory', 'memory.usage_in_bytes');
  if (usage === undefined) return undefined;
  const memory = fields(file('memory', 'memory.stat'));
  const limit = Number(file('memory', 'memory.limit_in_bytes') ?? Number.NaN);
  return {
    cpuNanoseconds: Number(file('cpuacct', 'cpuacct.usage') ?? 0),
    memoryBytes: Number(usage),
    workingSetBytes: Math.max(0, Number(usage) - (memory.get('total_inactive_file') ?? 0)),
    rssBytes: memory.get('total_rss') ?? 0,
    memoryLimitBytes: isLimit(limit) ? limit : undefined,
    pageFaults: memory.get('total_pgfault') ?? 0,
    majorPageFaults: memory.get('total_pgmajfault') ?? 0,
    processCount: Number(file('pids', 'pids.current') ?? 0),
  };
}

function measureV2(file: ReadFile): CgroupUsage | undefined {
  const cpu = file('cpu', 'cpu.stat');
  if (cpu === undefined) return undefined;
  const usage = Number(file('memory', 'memory.current') ?? 0);
  const memory = fields(file('memory', 'memory.stat'));
  const limit = Number(file('memory', 'memory.max') ?? Number.NaN);
  return {
    cpuNanoseconds: (fields(cpu).get('usage_usec') ?? 0) * 1000,
    memoryBytes: usage,
    workingSetBytes: Math.max(0, usage - (memory.get('inactive_file') ?? 0)),
    rssBytes: memory.get('anon') ?? 0,
    memoryLimitBytes: isLimit(limit) ? limit : undefined,
    pageFaults: memory.get('pgfault') ?? 0,
    majorPageFaults: memory.get('pgmajfault') ?? 0,
    processCount: Number(file('pids', 'pids.current') ?? 0),
  };
}

/** Without a limit version 1 says a number near 2^63, version 2 says `max`. */
function isLimit(bytes: number): boolean {
  return Number.isFinite(bytes) && bytes < 2 ** 60;
}

function fields(text: string | undefined): Map<string, number> {
  const lines = (text ?? '').split('\n').map(line => line.split(' '));
  return new Map(lines.map(([name = '', value]) => [name, Number(value)]));
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    // ENODEV: the group was removed while it was read.
    if (hasCode(error, 'ENOENT', 'ENODEV', 'ENOTDIR')) return undefined;
    throw error;
  }
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
