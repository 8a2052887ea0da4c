import { type CgroupTree, type CgroupUsage, measureCgroup } from '#base/kernel/cgroup.ts';
import { measureDirectory } from '#base/kernel/disk.ts';
import type {
  ContainerStats,
  CpuUsage,
  FilesystemUsage,
  MemoryUsage,
  NetworkInterfaceUsage,
  PodSandboxStats,
} from '../runtime.ts';
import { podCgroup } from './sandbox.ts';
import type { ContainerRecord, SandboxRecord } from './state.ts';

/** The last measurement by id, for rates and for what is too dear to measure each time. */
export type UsageHistory = Map<string, { timestampMs: number; cpuNanoseconds: number; disk?: FilesystemUsage }>;

export async function measureContainer(
  cgroups: CgroupTree,
  record: ContainerRecord,
  writableLayer: string,
  nowMs: number,
  history: UsageHistory,
): Promise<ContainerStats> {
  const usage = record.phase === 'running' ? measureCgroup(cgroups, record.cgroupPath) : undefined;
  const disk = await measureLayer(record.id, writableLayer, nowMs, history);
  return {
    attributes: {
      id: record.id,
      podSandboxId: record.podSandboxId,
      metadata: record.config.metadata,
      labels: record.config.labels ?? {},
      annotations: record.config.annotations ?? {},
    },
    ...(usage ? usageOf(record.id, usage, nowMs, history) : {}),
    writableLayer: disk,
  };
}

export function measureSandbox(
  cgroups: CgroupTree,
  record: SandboxRecord,
  containers: readonly ContainerStats[],
  devices: string | undefined,
  nowMs: number,
  history: UsageHistory,
): PodSandboxStats {
  const usage = record.phase === 'ready' ? measureCgroup(cgroups, podCgroup(record.id, record.config)) : undefined;
  const interfaces = devices === undefined ? undefined : parseNetworkDevices(devices);
  const defaultInterface = interfaces?.find(({ name }) => name === 'eth0') ?? interfaces?.[0];
  return {
    attributes: {
      id: record.id,
      metadata: record.config.metadata,
      labels: record.config.labels ?? {},
      annotations: record.config.annotations ?? {},
    },
    ...(usage ? usageOf(record.id, usage, nowMs, history) : {}),
    ...(interfaces
      ? { network: { timestampMs: nowMs, interfaces, ...(defaultInterface ? { defaultInterface } : {}) } }
      : {}),
    containers,
  };
}

function usageOf(id: string, usage: CgroupUsage, nowMs: number, history: UsageHistory) {
  const last = history.get(id);
  const elapsedMs = nowMs - (last?.timestampMs ?? nowMs);
  const rate = last && elapsedMs > 0 ? ((usage.cpuNanoseconds - last.cpuNanoseconds) / elapsedMs) * 1000 : undefined;
  history.set(id, { ...last, timestampMs: nowMs, cpuNanoseconds: usage.cpuNanoseconds });
  const cpu: CpuUsage = {
    timestampMs: nowMs,
    usageCoreNanoseconds: usage.cpuNanoseconds,
    ...(rate === undefined ? {} : { usageNanocores: Math.max(0, Math.round(rate)) }),
  };
  const memory: MemoryUsage = {
    timestampMs: nowMs,
    workingSetBytes: usage.workingSetBytes,
    ...(usage.memoryLimitBytes === undefined
      ? {}
      : { availableBytes: Math.max(0, usage.memoryLimitBytes - usage.workingSetBytes) }),
    usageBytes: usage.memoryBytes,
    rssBytes: usage.rssBytes,
    pageFaults: usage.pageFaults,
    majorPageFaults: usage.majorPageFaults,
  };
  return { cpu, memory, process: { timestampMs: nowMs, processCount: usage.processCount } };
}

/** Walking a layer costs a system call a file: it is done again only when the last figure is this old. */
const diskAgeMaxMs = 30_000;

async function measureLayer(
  id: string,
  directory: string,
  nowMs: number,
  history: UsageHistory,
): Promise<FilesystemUsage> {
  const last = history.get(id);
  if (last?.disk && nowMs - last.disk.timestampMs < diskAgeMaxMs) return last.disk;
  const { usedBytes, inodesUsed } = await measureDirectory(directory);
  const disk = { timestampMs: nowMs, mountpoint: directory, usedBytes, inodesUsed };
  const base = history.get(id) ?? { timestampMs: nowMs, cpuNanoseconds: 0 };
  if (history.has(id)) history.set(id, { ...base, disk });
  return disk;
}

/** /proc/net/dev: two lines of heading, then eight receive and eight transmit columns. The loopback is left out. */
export function parseNetworkDevices(text: string): NetworkInterfaceUsage[] {
  return text
    .split('\n')
    .slice(2)
    .map(line => /^\s*([^:]+):\s*(.*)$/.exec(line))
    .filter(match => match !== null && match[1] !== 'lo')
    .map(match => {
      const columns = (match?.[2] ?? '').split(/\s+/).map(Number);
      return {
        name: match?.[1] ?? '',
        rxBytes: columns[0] ?? 0,
        rxErrors: columns[2] ?? 0,
        txBytes: columns[8] ?? 0,
        txErrors: columns[10] ?? 0,
      };
    });
}
