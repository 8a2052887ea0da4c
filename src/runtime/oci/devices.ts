import { type Stats, statSync } from 'node:fs';
import { lstat, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Device, RuntimeError } from '../runtime.ts';
import { type OciDevice, requestedDevice } from './spec.ts';

/** The devices a container asked for, or for a privileged one all of the host's. */
export async function findDevices(wanted: readonly Device[], privileged: boolean): Promise<readonly OciDevice[]> {
  const host = privileged ? await devicesBelow('/dev') : [];
  const asked = await Promise.all(wanted.map(findDevice));
  const byPath = new Map([...host, ...asked.flat()].map(device => [device.path, device]));
  return [...byPath.values()];
}

async function findDevice(wanted: Device): Promise<readonly OciDevice[]> {
  const found = await stat(wanted.hostPath).catch((cause: unknown) => {
    throw new RuntimeError('InvalidArgument', `cannot use device ${wanted.hostPath}: it does not exist`, { cause });
  });
  if (found.isDirectory()) {
    const inside = await devicesBelow(wanted.hostPath);
    return inside.map(device => ({
      ...device,
      path: join(wanted.containerPath, device.path.slice(wanted.hostPath.length)),
      access: wanted.permissions || 'rwm',
    }));
  }
  const device = describe(found);
  if (!device) throw new RuntimeError('InvalidArgument', `cannot use device ${wanted.hostPath}: it is not a device`);
  return [requestedDevice(wanted, device)];
}

/** What every container makes for itself, or what is no device of the machine. */
const skipped = new Set(['pts', 'shm', 'fd', 'mqueue', '.lxc', '.lxd-mounts', '.udev', 'console', 'ptmx', 'hugepages']);

async function devicesBelow(directory: string): Promise<OciDevice[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const found = entries
    .filter(entry => !skipped.has(entry.name))
    .map(async entry => {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) return devicesBelow(path);
      if (!entry.isCharacterDevice() && !entry.isBlockDevice()) return [];
      const device = describe(await lstat(path));
      return device ? [{ ...device, path, access: 'rwm' }] : [];
    });
  return (await Promise.all(found)).flat();
}

/** What a path of the host is. Throws `InvalidArgument` when it is no device. */
export function describeDevice(path: string): Omit<OciDevice, 'path' | 'access'> {
  const found = statSync(path, { throwIfNoEntry: false });
  const device = found && describe(found);
  if (device) return device;
  const why = found ? 'it is not a device' : 'it does not exist';
  throw new RuntimeError('InvalidArgument', `cannot use device ${path}: ${why}`);
}

function describe(found: Stats): Omit<OciDevice, 'path' | 'access'> | undefined {
  const type = found.isCharacterDevice() ? 'c' : found.isBlockDevice() ? 'b' : undefined;
  if (!type) return undefined;
  const rdev = BigInt(found.rdev);
  return {
    type,
    // The kernel's split of a device number (`major` and `minor` of makedev(3)).
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & ~0xffn)),
    fileMode: Number(found.mode) & 0o777,
    uid: Number(found.uid),
    gid: Number(found.gid),
  };
}
