import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Allocated bytes and number of files below a directory. What vanishes while it is walked counts nothing. */
export async function measureDirectory(directory: string): Promise<{ usedBytes: number; inodesUsed: number }> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(ignoreGone);
  let usedBytes = 0;
  let inodesUsed = 0;
  for (const entry of entries ?? []) {
    const path = join(directory, entry.name);
    const found = await lstat(path).catch(ignoreGone);
    if (!found) continue;
    usedBytes += found.blocks * 512;
    inodesUsed++;
    if (!entry.isDirectory()) continue;
    const inside = await measureDirectory(path);
    usedBytes += inside.usedBytes;
    inodesUsed += inside.inodesUsed;
  }
  return { usedBytes, inodesUsed };
}

function ignoreGone(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
  throw error;
}
