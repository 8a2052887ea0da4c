import { readFileSync, statfsSync } from 'node:fs';
import os from 'node:os';
import { readHugepages } from '../resources/machine-topology.ts';

/** What the machine has, and has left. */
export interface Machine {
  readonly cpuCount: number;
  readonly memoryBytes: number;
  /** Bytes of huge pages by the names of their resources. */
  readonly hugepages: ReadonlyMap<string, number>;
  readonly memoryAvailableBytes: number;
  readonly diskBytes: number;
  readonly diskAvailableBytes: number;
  readonly inodes: number;
  readonly inodesFree: number;
  readonly pidsMax: number;
  readonly pids: number;
}

export function measureMachine(directory: string): Machine {
  const disk = statfsSync(directory);
  return {
    cpuCount: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    hugepages: readHugepages(),
    memoryAvailableBytes: memoryAvailable(),
    diskBytes: disk.blocks * disk.bsize,
    diskAvailableBytes: disk.bavail * disk.bsize,
    inodes: disk.files,
    inodesFree: disk.ffree,
    pidsMax: Number(read('/proc/sys/kernel/pid_max', '32768')),
    pids: Number(read('/proc/loadavg', '0 0 0 0/0').split(' ')[3]?.split('/')[1] ?? 0),
  };
}

function memoryAvailable(): number {
  const match = /^MemAvailable:\s+(\d+) kB$/m.exec(read('/proc/meminfo', ''));
  return match ? Number(match[1]) * 1024 : os.freemem();
}

export interface MachineIdentity {
  readonly machineID: string;
  readonly systemUUID: string;
  readonly bootID: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  readonly architecture: string;
}

const architectures: Readonly<Record<string, string>> = {
  x64: 'amd64',
  arm64: 'arm64',
  arm: 'arm',
  s390x: 's390x',
  ppc64: 'ppc64le',
};

export function identifyMachine(): MachineIdentity {
  const name = /^PRETTY_NAME="?(.*?)"?$/m.exec(read('/etc/os-release', ''));
  return {
    machineID: read('/etc/machine-id', ''),
    systemUUID: read('/sys/class/dmi/id/product_uuid', ''),
    bootID: read('/proc/sys/kernel/random/boot_id', ''),
    kernelVersion: os.release(),
    osImage: name?.[1] ?? os.type(),
    architecture: architectures[process.arch] ?? process.arch,
  };
}

function read(file: string, fallback: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    // Not every machine has it, and not everybody may read it.
    return fallback;
  }
}
