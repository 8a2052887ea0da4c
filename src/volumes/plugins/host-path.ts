import { lstat, mkdir, open, stat } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import type { VolumePlugin } from '../plugin.ts';

export const hostPathPlugin: VolumePlugin = {
  name: 'kubernetes.io~host-path',
  handles: volume => volume.hostPath !== undefined,
  async setUp({ volume }) {
    const { path = '', type = '' } = volume.hostPath ?? {};
    await checkHostPath(path, type);
    return { kind: 'path', path, readonly: false };
  },
};

const kinds: Readonly<Record<string, readonly [what: string, is: (found: Stats) => boolean]>> = {
  Directory: ['directory', found => found.isDirectory()],
  File: ['file', found => found.isFile()],
  Socket: ['socket file', found => found.isSocket()],
  CharDevice: ['character device', found => found.isCharacterDevice()],
  BlockDevice: ['block device', found => found.isBlockDevice()],
};

/** Makes what is to be made, and refuses what is not of the type that was asked for. */
export async function checkHostPath(path: string, type: string): Promise<void> {
  if (path.split('/').includes('..')) throw new Error(`hostPath type check failed: ${path} must not contain '..'`);
  if (type === '') return;
  if (type === 'DirectoryOrCreate') await makeDirectory(path);
  if (type === 'FileOrCreate') await makeFile(path);
  const [what, is] = kinds[type.replace(/OrCreate$/, '')] ?? [];
  if (!what || !is) throw new Error(`${type} is an invalid volume type`);
  const found = await stat(path).catch(() => undefined);
  if (!found || !is(found)) throw new Error(`hostPath type check failed: ${path} is not a ${what}`);
}

async function makeDirectory(path: string): Promise<void> {
  if (await lstat(path).catch(() => undefined)) return;
  await mkdir(path, { recursive: true, mode: 0o755 });
}

async function makeFile(path: string): Promise<void> {
  if (await lstat(path).catch(() => undefined)) return;
  await (await open(path, 'wx', 0o644)).close();
}
