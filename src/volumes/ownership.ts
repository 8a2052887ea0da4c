import { chmod, lchown, lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pod } from '#api/core/v1/pod.ts';

/** The group that owns the pod's volumes, if it says so. */
export function fsGroupOf(pod: Pod): number | undefined {
  return pod.spec?.securityContext?.fsGroup;
}

/** The user that all containers run as, when it is one and the same. */
export function commonUserOf(pod: Pod): number | undefined {
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const users = containers.map(each => each.securityContext?.runAsUser ?? pod.spec?.securityContext?.runAsUser);
  const [first] = users;
  return users.every(user => user === first) ? first : undefined;
}

/** Gives a tree to the pod's group, readable and writable for it; directories hand the group on. */
export async function giveToGroup(pod: Pod, directory: string): Promise<void> {
  const gid = fsGroupOf(pod);
  if (gid === undefined) return;
  const root = await lstat(directory);
  const isRight = root.gid === gid && (root.mode & 0o2770) === 0o2770;
  if (isRight && pod.spec?.securityContext?.fsGroupChangePolicy === 'OnRootMismatch') return;
  await give(directory, gid);
}

async function give(path: string, gid: number): Promise<void> {
  const found = await lstat(path);
  if (found.gid !== gid) await lchown(path, found.uid, gid);
  if (found.isSymbolicLink()) return;
  const execute = found.isDirectory() || (found.mode & 0o100) !== 0 ? 0o110 : 0;
  const mode = (found.mode & 0o7777) | 0o660 | execute | (found.isDirectory() ? 0o2000 : 0);
  if ((found.mode & 0o7777) !== mode || found.gid !== gid) await chmod(path, mode);
  if (found.isDirectory()) for (const name of await readdir(path)) await give(join(path, name), gid);
}
