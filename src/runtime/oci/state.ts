import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProcessIdentity } from '#base/kernel/process.ts';
import type { ContainerConfig, ContainerUser, PodSandboxConfig } from '../runtime.ts';

/**
 * Everything the runtime must know after it was killed. One file a sandbox and one a container, replaced as a whole;
 * a directory without its file is something half-made. After a crash of the machine nothing runs, so nothing is synced.
 */
export interface SandboxRecord {
  readonly id: string;
  readonly config: PodSandboxConfig;
  readonly runtimeHandler: string;
  readonly createdAtMs: number;
  readonly bootId: string;
  /** `creating` is never seen by callers: after a restart it is cleaned away. */
  readonly phase: 'creating' | 'ready' | 'notReady';
  readonly ips: readonly string[];
  /** The first process of a shared process namespace. */
  readonly pause?: ProcessIdentity;
}

export interface ContainerRecord {
  readonly id: string;
  readonly podSandboxId: string;
  readonly config: ContainerConfig;
  readonly imageId: string;
  readonly imageRef: string;
  /** The snapshots below it, the topmost first; kept from removal as long as this record is there. */
  readonly snapshots: readonly string[];
  readonly user: ContainerUser;
  readonly stopSignal: string;
  /** Empty: no log. */
  readonly logPath: string;
  readonly cgroupPath: string;
  readonly createdAtMs: number;
  readonly bootId: string;
  /** `creating` is never seen by callers: after a restart it is cleaned away. */
  readonly phase: 'creating' | 'created' | 'running' | 'exited';
  readonly process?: ProcessIdentity;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
}

/** Where things are below the data directory of the runtime. */
export function layout(root: string) {
  const sandboxes = join(root, 'sandboxes');
  const containers = join(root, 'containers');
  return {
    root,
    sandboxes,
    containers,
    /** conmon leaves one file here for each container that has exited. */
    exits: join(root, 'exits'),
    /** crun's own state. */
    crun: join(root, 'crun'),
    images: join(root, 'images'),
    sandbox: (id: string) => sandboxLayout(join(sandboxes, id)),
    container: (id: string) => containerLayout(join(containers, id)),
  };
}

/**
 * A root that the users of a user namespace can reach: they may not walk through the data directory, which may be below
 * somebody's home.
 */
export function reachableRoot(at: Layout, id: string): string {
  return join(reachableRoots(at), id);
}

/** One folder for each runtime of the machine. */
export function reachableRoots(at: Layout): string {
  return join('/run/windlass-roots', createHash('sha256').update(at.root).digest('hex').slice(0, 12));
}

export type Layout = ReturnType<typeof layout>;

function sandboxLayout(directory: string) {
  return {
    directory,
    record: join(directory, 'sandbox.json'),
    net: join(directory, 'net'),
    ipc: join(directory, 'ipc'),
    uts: join(directory, 'uts'),
    user: join(directory, 'user'),
    shm: join(directory, 'shm'),
    hosts: join(directory, 'hosts'),
    hostname: join(directory, 'hostname'),
    resolvConf: join(directory, 'resolv.conf'),
    pause: join(directory, 'pause'),
  };
}

function containerLayout(directory: string) {
  return {
    directory,
    record: join(directory, 'container.json'),
    /** The OCI bundle is the directory itself. */
    spec: join(directory, 'config.json'),
    rootfs: join(directory, 'rootfs'),
    upper: join(directory, 'upper'),
    work: join(directory, 'work'),
    volumes: join(directory, 'volumes'),
    /** Layers with their owners shifted, while the root file system is put together. */
    shifted: join(directory, 'shifted'),
    pidFile: join(directory, 'pid'),
    conmonPidFile: join(directory, 'conmon.pid'),
    control: join(directory, 'ctl'),
    attach: join(directory, 'attach'),
    oom: join(directory, 'oom'),
  };
}

export function makeLayout(at: Layout): void {
  for (const directory of [at.root, at.sandboxes, at.containers, at.exits, at.crun, at.images])
    mkdirSync(directory, { recursive: true, mode: 0o700 });
}

export function writeRecord(file: string, record: SandboxRecord | ContainerRecord): void {
  writeFileSync(`${file}.new`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

export interface FoundRecords<Record> {
  readonly records: readonly Record[];
  /** Directories without a readable record. */
  readonly halfMade: readonly string[];
}

export function readRecords<Record extends SandboxRecord | ContainerRecord>(
  directory: string,
  file: string,
): FoundRecords<Record> {
  const records: Record[] = [];
  const halfMade: string[] = [];
  for (const name of readdirSync(directory)) {
    const record = readRecord<Record>(join(directory, name, file));
    if (record?.id === name && record.phase !== 'creating') records.push(record);
    else halfMade.push(name);
  }
  return { records, halfMade };
}

/** The record of something half-made, when it got that far. */
export function readRecord<Record extends SandboxRecord | ContainerRecord>(file: string): Record | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record;
  } catch (error) {
    // Missing, or torn by a crash of the machine.
    if (error instanceof SyntaxError || (error instanceof Error && 'code' in error && error.code === 'ENOENT'))
      return undefined;
    throw error;
  }
}
