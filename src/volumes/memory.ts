import { mkdir } from 'node:fs/promises';
import { isMountpoint, mount } from '#base/kernel/mount.ts';

/** Mounts a file system in memory, once. Without root (tests, hollow nodes) the directory stays on the disk. */
export async function mountMemory(directory: string, sizeBytes: number | undefined, mode = 0o755): Promise<void> {
  await mkdir(directory, { recursive: true, mode });
  if (process.getuid?.() !== 0 || isMountpoint(directory)) return;
  const options = [`mode=${mode.toString(8)}`, ...(sizeBytes ? [`size=${sizeBytes}`] : [])];
  await mount({ source: 'tmpfs', target: directory, type: 'tmpfs', data: options.join(',') });
}

/** Mounts a file system in huge pages of one size, once. */
export async function mountHugePages(directory: string, pageBytes: number): Promise<void> {
  await mkdir(directory, { recursive: true });
  if (isMountpoint(directory)) return;
  await mount({ source: 'nodev', target: directory, type: 'hugetlbfs', data: `pagesize=${pageBytes}` });
}
