import { createHash } from 'node:crypto';
import { chmodSync, existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { Flags } from './commands.ts';
import type { ComponentWords } from './flags/components.ts';

/** Where everything of one cluster is. */
export interface DataDir {
  /** Absolute. */
  readonly path: string;
  /** Six hex digits that name the cluster's things on the host: bridge, nft table, cgroup. */
  readonly id: string;
  readonly config: string;
  readonly kubeconfig: string;
  readonly pki: string;
  readonly store: string;
  readonly images: string;
  readonly logs: string;
  readonly run: string;
  nodeDir(node: string): string;
}

/** What a cluster was made with; a later `up` without flags finds it as it was. */
export interface ClusterConfig {
  readonly port: number;
  readonly podCIDR: string;
  readonly serviceCIDR: string;
  /** The first address of the service range: the `kubernetes` Service's. */
  readonly serviceIP: string;
  readonly clusterDNS: string;
  readonly clusterDomain: string;
  readonly nodes: number;
  readonly hollowNodes: number;
  readonly runtime: 'oci' | 'cri' | 'hollow';
  readonly runtimeEndpoint: string;
  /** Pods of the built-in runtime are connected by CNI plugins; absent: by the built-in network. */
  readonly cni?: { readonly confDir: string; readonly binDirs: readonly string[] };
  /** How packets get from one node's pods to another's; absent: `vxlan`. */
  readonly network?: 'vxlan' | 'hostgw';
  /** CIDRs for the addresses of load balancers; absent: they have the nodes' own. */
  readonly loadBalancerPool?: readonly string[];
  /** `etcd://host:port,…`; absent: a file in the data directory. */
  readonly datastore?: string;
  /** Serves Ingresses with the built-in controller. */
  readonly ingress?: boolean;
  /** Installs the Gateway API and serves it. */
  readonly gateway?: boolean;
  /** Flags of the components, by upstream's names. */
  readonly components?: ComponentWords;
}

export function dataDirFrom(flags: Flags): DataDir {
  return dataDirAt(flags.text('data-dir') ?? process.env.WINDLASS_DATA_DIR ?? join(homedir(), '.windlass'));
}

export function dataDirAt(given: string): DataDir {
  const path = resolve(given);
  return {
    path,
    id: createHash('sha256').update(path).digest('hex').slice(0, 6),
    config: join(path, 'cluster.json'),
    kubeconfig: join(path, 'kubeconfig'),
    pki: join(path, 'pki'),
    store: join(path, 'store'),
    images: join(path, 'images'),
    logs: join(path, 'logs'),
    run: join(path, 'run'),
    nodeDir: node => join(path, 'node', node),
  };
}

/** Makes the folders. Nobody else on the machine may look into them: they hold keys. */
export function makeDataDir(dir: DataDir): void {
  try {
    makeFolders(dir.path);
    chmodSync(dir.path, 0o700);
    for (const folder of [dir.pki, dir.store, dir.logs, dir.run]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new Error(
      `cannot write to the data directory ${dir.path}: ${reasonOf(error)}; choose another with --data-dir`,
      {
        cause: error,
      },
    );
  }
}

/** Step by step: Node's own recursive mkdir never returns where a folder cannot be made (in /proc). */
function makeFolders(path: string): void {
  if (existsSync(path)) return;
  makeFolders(dirname(path));
  mkdirSync(path);
}

export function readConfig(dir: DataDir): ClusterConfig | undefined {
  if (!existsSync(dir.config)) return undefined;
  try {
    return JSON.parse(readFileSync(dir.config, 'utf8')) as ClusterConfig;
  } catch (error) {
    throw new Error(
      `cannot read ${dir.config}: ${reasonOf(error)}; restore it, or delete the directory for a new cluster`,
      {
        cause: error,
      },
    );
  }
}

export function writeConfig(dir: DataDir, config: ClusterConfig): void {
  writeAtomically(dir.config, `${JSON.stringify(config, null, 2)}\n`);
}

/** A reader sees the old file or the new one, never half of one. */
export function writeAtomically(file: string, text: string, mode = 0o600): void {
  const part = `${file}.part`;
  writeFileSync(part, text, { mode });
  renameSync(part, file);
}

/** Pids of a cluster's processes, one file each, so that a later command finds them. */
export function writePid(dir: DataDir, name: string, pid: number): void {
  writeAtomically(join(dir.run, `${name}.pid`), `${pid}\n`);
}

/** Takes a name that only one process may have; false when another one lives under it. */
export function claimPid(dir: DataDir, name: string, pid: number): boolean {
  const file = join(dir.run, `${name}.pid`);
  const own = `${file}.${pid}`;
  writeFileSync(own, `${pid}\n`, { mode: 0o600 });
  try {
    while (true) {
      try {
        // Unlike a rename it fails when somebody else was quicker.
        linkSync(own, file);
        return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      if (livePid(dir, name) !== undefined) return false;
      removePid(dir, name);
    }
  } finally {
    rmSync(own);
  }
}

export function removePid(dir: DataDir, name: string): void {
  rmSync(join(dir.run, `${name}.pid`), { force: true });
}

/** The pid behind a name, if such a process runs and is this cluster's: pids are reused. */
export function livePid(dir: DataDir, name: string): number | undefined {
  const file = join(dir.run, `${name}.pid`);
  if (!existsSync(file)) return undefined;
  const pid = Number(readFileSync(file, 'utf8').trim());
  return Number.isInteger(pid) && pid > 1 && belongs(pid, dir) ? pid : undefined;
}

function belongs(pid: number, dir: DataDir): boolean {
  const commandLine = `/proc/${pid}/cmdline`;
  if (existsSync('/proc/self/cmdline')) {
    try {
      return readFileSync(commandLine, 'utf8').split('\0').includes(dir.path);
    } catch {
      // It ended between the two looks.
      return false;
    }
  }
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  const known: Readonly<Record<string, string>> = {
    EACCES: 'permission denied',
    ENOENT: 'no folder can be made there',
    EROFS: 'the file system is read-only',
    ENOSPC: 'the disk is full',
    ENOTDIR: 'a part of the path is not a directory',
    EEXIST: 'a file of that name is there',
  };
  return (code && known[code]) ?? (error instanceof Error ? error.message : String(error));
}
