import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';

export interface ProjectedFile {
  readonly content: Uint8Array;
  readonly mode: number;
}

const dataLink = '..data';
const pendingLink = '..data_tmp';

/**
 * Brings the files of a directory to exactly these, all at once for readers: the files are in a directory of their own,
 * `..data` points to it, and every name a reader sees is a link through `..data`. False: they were so already.
 */
export async function writeAtomically(
  directory: string,
  files: ReadonlyMap<string, ProjectedFile>,
  owner: { readonly uid?: number | undefined; readonly gid?: number | undefined },
  nowMs: number,
): Promise<boolean> {
  for (const path of files.keys()) refuseEscape(path);
  await mkdir(directory, { recursive: true, mode: 0o755 });
  const current = await readLink(join(directory, dataLink));
  if (current !== undefined && (await holds(join(directory, current), files))) {
    await linkNames(directory, files);
    return false;
  }
  const fresh = await freshDirectory(directory, nowMs);
  for (const [path, { content, mode }] of files) {
    const target = join(directory, fresh, path);
    await mkdir(dirname(target), { recursive: true, mode: 0o755 });
    await writeFile(target, content, { flag: 'wx' });
    // The umask has cut what writeFile was told.
    await chmod(target, mode);
  }
  await takeOwnership(join(directory, fresh), owner);
  await rm(join(directory, pendingLink), { force: true });
  await symlink(fresh, join(directory, pendingLink));
  await rename(join(directory, pendingLink), join(directory, dataLink));
  await linkNames(directory, files);
  if (current !== undefined && isDataDirectory(current))
    await rm(join(directory, current), { recursive: true, force: true });
  return true;
}

/** Paths of items come from users; the API refuses these, and nothing here relies on it. */
function refuseEscape(path: string): void {
  const steps = path.split('/');
  if (path === '' || path.startsWith('/') || steps.includes('..') || path.startsWith('..') || path.includes('\0'))
    throw new Error(`invalid path ${JSON.stringify(path)}: must be relative and may not contain '..'`);
}

async function freshDirectory(directory: string, nowMs: number): Promise<string> {
  const stamp = new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, '_').replace('T', '_');
  for (let count = 0; ; count++) {
    const name = `..${stamp}.${String(count).padStart(9, '0')}`;
    try {
      await mkdir(join(directory, name), { mode: 0o755 });
      return name;
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
    }
  }
}

function isDataDirectory(name: string): boolean {
  return name.startsWith('..') && !name.includes('/');
}

async function holds(directory: string, files: ReadonlyMap<string, ProjectedFile>): Promise<boolean> {
  const present = await listFiles(directory);
  if (present.length !== files.size) return false;
  for (const path of present) {
    const wanted = files.get(path);
    if (!wanted || !Buffer.from(wanted.content).equals(await readFile(join(directory, path)))) return false;
  }
  return true;
}

async function listFiles(directory: string, prefix = ''): Promise<string[]> {
  const entries = await readdir(join(directory, prefix), { withFileTypes: true }).catch(() => []);
  const nested = entries.map(async entry => {
    const path = prefix === '' ? entry.name : `${prefix}/${entry.name}`;
    return entry.isDirectory() ? listFiles(directory, path) : [path];
  });
  return (await Promise.all(nested)).flat();
}

/** Links for new names first, then none for names that are no more. */
async function linkNames(directory: string, files: ReadonlyMap<string, ProjectedFile>): Promise<void> {
  const names = new Set([...files.keys()].map(path => path.split('/')[0] ?? path));
  for (const name of names) {
    const link = join(directory, name);
    const target = join(dataLink, name);
    if ((await readLink(link)) === target) continue;
    await rm(link, { recursive: true, force: true });
    await symlink(target, link);
  }
  for (const name of await readdir(directory))
    if (!name.startsWith('..') && !names.has(name)) await rm(join(directory, name), { recursive: true, force: true });
}

async function takeOwnership(
  path: string,
  owner: { readonly uid?: number | undefined; readonly gid?: number | undefined },
): Promise<void> {
  if (owner.uid === undefined && owner.gid === undefined) return;
  const found = await lstat(path);
  await chown(path, owner.uid ?? found.uid, owner.gid ?? found.gid);
  // chown clears set-id bits; group access is what the group is for.
  if (owner.gid !== undefined) await chmod(path, (found.mode & 0o7777) | (found.isDirectory() ? 0o2550 : 0o440));
  if (found.isDirectory()) for (const name of await readdir(path)) await takeOwnership(join(path, name), owner);
}

async function readLink(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'EINVAL')) return undefined;
    throw error;
  }
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
