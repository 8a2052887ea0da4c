import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CgroupTree } from '#base/kernel/cgroup.ts';
import { availableCapabilities } from './capabilities.ts';
import type { Machine } from './spec.ts';

export function readMachine(cgroups: CgroupTree): Machine {
  const capabilities = availableCapabilities();
  const memory = cgroups.controller('memory');
  return {
    capabilities,
    oomScoreAdjMin: capabilities.has('CAP_SYS_RESOURCE') ? undefined : Number(read('/proc/self/oom_score_adj')),
    openFilesMax: openFilesMax(),
    // Version 2 shows memory.swap.max only below the root.
    swapAccounting:
      memory !== undefined && (cgroups.version === 2 || existsSync(join(memory, 'memory.memsw.limit_in_bytes'))),
    apparmor: read('/sys/module/apparmor/parameters/enabled').trim() === 'Y',
    cgroupVersion: cgroups.version,
  };
}

/** Changes with every boot: what ran before it runs no more. */
export function readBootId(): string {
  return read('/proc/sys/kernel/random/boot_id').trim();
}

/** The hard limit, which only CAP_SYS_RESOURCE could raise. */
function openFilesMax(): number | undefined {
  const line = /^Max open files\s+\S+\s+(\d+)/m.exec(read('/proc/self/limits'));
  return line ? Number(line[1]) : undefined;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}
