import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Pod } from '#api/core/v1/pod.ts';
import { measureDirectory } from '#base/kernel/disk.ts';
import type { PodSandboxStats } from '#runtime/runtime.ts';
import { logDirectory, podDirectory, type NodePaths } from '../pods/config.ts';
import { labels } from '../pods/names.ts';

export interface DirectoryUse {
  readonly usedBytes: number;
  readonly inodesUsed: number;
}

/** What a pod has on the node's own disk. */
export interface PodDiskUse {
  /** By container: the log files; the writable layer is in the runtime's figures. */
  readonly logs: ReadonlyMap<string, DirectoryUse>;
  /** By name: emptyDirs that are no memory. */
  readonly volumes: ReadonlyMap<string, DirectoryUse>;
}

/** Walks the directories of one pod: costs a system call a file. */
export async function measurePodDisk(pod: Pod, paths: NodePaths): Promise<PodDiskUse> {
  const { metadata, spec } = pod;
  const emptyDirs = (spec?.volumes ?? []).filter(({ emptyDir }) => emptyDir && (emptyDir.medium ?? '') === '');
  const volumes = emptyDirs.map(async ({ name }) => {
    const directory = join(podDirectory(paths, metadata.uid ?? ''), 'volumes', 'kubernetes.io~empty-dir', name);
    return [name, await measureDirectory(directory)] as const;
  });
  const logs = logNames(logDirectory(paths, pod)).map(
    async name => [name, await measureDirectory(join(logDirectory(paths, pod), name))] as const,
  );
  return { volumes: new Map(await Promise.all(volumes)), logs: new Map(await Promise.all(logs)) };
}

function logNames(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    // Nothing has been logged yet, or the pod is just going.
    return [];
  }
}

/** The runtime's figures by the pod's uid. */
export function byPod(stats: readonly PodSandboxStats[]): ReadonlyMap<string, PodSandboxStats> {
  return new Map(stats.map(each => [each.attributes.labels[labels.podUid] ?? each.attributes.metadata.uid, each]));
}
