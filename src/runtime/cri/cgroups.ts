import { dirname } from 'node:path';
import {
  type CgroupTree,
  createCgroup,
  findCgroups,
  limitCgroup,
  measureCgroup,
  pruneCgroup,
} from '#base/kernel/cgroup.ts';
import type { ContainerStats, LinuxContainerResources } from '../runtime.ts';

export type CgroupDriver = 'cgroupfs' | 'systemd';

/** A pod's own control group, which CRI leaves to the kubelet: it is made, limited and removed here. */
export interface PodCgroups {
  /** How the runtime is to be told of the group. */
  nameOf(cgroupParent: string): string;
  /** Before the sandbox is there. */
  prepare(cgroupParent: string, resources: LinuxContainerResources | undefined): void;
  /** While the sandbox is there. */
  limit(cgroupParent: string, resources: LinuxContainerResources | undefined): void;
  /** Only when it is empty: the pod may have another sandbox already. */
  remove(cgroupParent: string): void;
}

export function podCgroups(driver: CgroupDriver): PodCgroups {
  const tree = findCgroups();
  return tree && driver === 'cgroupfs' ? ownCgroups(tree) : systemdCgroups(tree);
}

function ownCgroups(tree: CgroupTree): PodCgroups {
  const limit = (parent: string, resources: LinuxContainerResources | undefined) => {
    if (resources) limitCgroup(tree, parent, limitsOf(tree, resources));
  };
  return {
    nameOf: parent => parent,
    prepare(parent, resources) {
      createCgroup(tree, parent);
      limit(parent, resources);
    },
    limit,
    remove(parent) {
      // What is above it is shared: the last pod takes it along, for the others it is busy.
      for (let path = parent; path !== '/' && path !== '.'; path = dirname(path)) pruneCgroup(tree, path);
    },
  };
}

/** systemd makes and removes a slice with what is in it. With cgroup version 1 it alone may limit it. */
function systemdCgroups(tree: CgroupTree | undefined): PodCgroups {
  return {
    nameOf: parent => slicePath(parent).split('/').at(-1) as string,
    prepare() {},
    limit(parent, resources) {
      if (tree?.version === 2 && resources) limitCgroup(tree, slicePath(parent), limitsOf(tree, resources));
    },
    remove() {},
  };
}

/**
 * systemd names a group by its whole path, so that `/kubepods/burstable/pod1-2` is
 * `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice` (upstream: cgroup_manager_linux.go).
 */
function slicePath(path: string): string {
  const parts = path.split('/').filter(Boolean);
  const names = parts.map(part => part.replaceAll('-', '_'));
  return parts.map((_, depth) => `/${names.slice(0, depth + 1).join('-')}.slice`).join('');
}

/** What a container uses, by the name its control group has in its OCI spec; `undefined` when there is no such group. */
export function measureContainer(
  cgroupsPath: string,
  timestampMs: number,
): Pick<ContainerStats, 'cpu' | 'memory' | 'process'> | undefined {
  const tree = findCgroups();
  const usage = tree && measureCgroup(tree, containerPath(cgroupsPath));
  if (!usage) return undefined;
  const { memoryLimitBytes: limit, workingSetBytes } = usage;
  return {
    cpu: { timestampMs, usageCoreNanoseconds: usage.cpuNanoseconds },
    memory: {
      timestampMs,
      workingSetBytes,
      ...(limit !== undefined && { availableBytes: Math.max(0, limit - workingSetBytes) }),
      usageBytes: usage.memoryBytes,
      rssBytes: usage.rssBytes,
      pageFaults: usage.pageFaults,
      majorPageFaults: usage.majorPageFaults,
    },
    process: { timestampMs, processCount: usage.processCount },
  };
}

/** systemd's names are `slice:prefix:name`. */
function containerPath(cgroupsPath: string): string {
  const [slice = '', prefix, name] = cgroupsPath.split(':');
  if (name === undefined) return cgroupsPath;
  return `${slicePath(slice.slice(0, -'.slice'.length).split('-').join('/'))}/${prefix}-${name}.scope`;
}

function limitsOf(tree: CgroupTree, resources: LinuxContainerResources) {
  const { cpuShares, cpuQuota, cpuPeriod, cpusetCpus, cpusetMems, memoryLimitBytes, memorySwapLimitBytes } = resources;
  const { pidsLimit, hugepageLimits = [], unified } = resources;
  return {
    cpuShares,
    cpuQuotaUs: cpuQuota,
    cpuPeriodUs: cpuPeriod,
    cpusetCpus,
    cpusetMems,
    memoryBytes: memoryLimitBytes,
    memorySwapBytes: memorySwapLimitBytes,
    pids: pidsLimit,
    hugepages: tree.controller('hugetlb') ? hugepageLimits : [],
    unified,
  };
}
