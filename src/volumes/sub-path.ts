import { closeSync, constants, fstatSync, mkdirSync, openSync, readlinkSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { bindMount, isMountpoint } from '#base/kernel/mount.ts';

const pathOnly = 0o10000000;
const noFollow = constants.O_NOFOLLOW;
/** As the kernel's own bound on links in a path. */
const linksMax = 40;

/**
 * Binds a part of a volume to a place of the node agent's, so that a container mounts exactly what was checked. The
 * path is walked one step at a time from open descriptors: a container that swaps a directory for a link in the middle
 * is noticed, and never leads out of the volume. What is missing is made, as a directory.
 */
export async function bindSubPath(volumePath: string, subPath: string, target: string): Promise<void> {
  if (isMountpoint(target)) return;
  const found = openBeneath(volumePath, subPath);
  try {
    await mkdir(dirname(target), { recursive: true, mode: 0o750 });
    if (fstatSync(found).isDirectory()) await mkdir(target, { recursive: true, mode: 0o750 });
    else writeFileSync(target, '', { flag: 'a', mode: 0o640 });
    await bindMount(`/proc/${process.pid}/fd/${found}`, target, { recursive: true });
  } finally {
    closeSync(found);
  }
}

/** A descriptor (O_PATH) of something inside of the directory. The caller closes it. */
export function openBeneath(directory: string, path: string): number {
  const refuse = (why: string): never => {
    throw new Error(`failed to prepare subPath for volumeMount: ${JSON.stringify(path)} ${why}`);
  };
  if (path.startsWith('/') || path.split('/').includes('..')) refuse('must be a relative path without ".."');
  // The directories from the volume's root to where the walk stands.
  const opened = [openSync(directory, pathOnly)];
  const top = () => opened.at(-1) as number;
  let steps = path.split('/');
  let links = 0;
  try {
    for (let step = steps.shift(); step !== undefined; step = steps.shift()) {
      if (step === '' || step === '.') continue;
      if (step === '..') {
        if (opened.length === 1) refuse('not contained in volume: a link leads out of it');
        closeSync(opened.pop() as number);
        continue;
      }
      const next = openOrMake(top(), step);
      const status = fstatSync(next);
      if (!status.isSymbolicLink()) {
        opened.push(next);
        if (steps.some(rest => rest !== '' && rest !== '.') && !status.isDirectory()) refuse('leads through a file');
        continue;
      }
      closeSync(next);
      const link = readlinkSync(`/proc/self/fd/${top()}/${step}`);
      if (++links > linksMax) refuse('has too many links');
      if (link.startsWith('/')) refuse('not contained in volume: a link leads out of it');
      steps = [...link.split('/'), ...steps];
    }
    return opened.pop() as number;
  } finally {
    for (const descriptor of opened) closeSync(descriptor);
  }
}

/** As openat(2): the parent is a descriptor, and the last step is not followed. */
function openOrMake(parent: number, name: string): number {
  const path = `/proc/self/fd/${parent}/${name}`;
  try {
    return openSync(path, pathOnly | noFollow);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
  mkdirSync(path, { mode: 0o750 });
  return openSync(path, pathOnly | noFollow);
}
