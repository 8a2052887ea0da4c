import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { checked, libc } from './libc.ts';

// Synchronous, for worker threads that unpack archives: what `node:fs` lacks.

const typeBits = { characterDevice: 0o020000, blockDevice: 0o060000, fifo: 0o010000 } as const;

export type SpecialFile = keyof typeof typeBits;

export function makeSpecialFile(path: string, type: SpecialFile, mode: number, major = 0, minor = 0): void {
  if (!libc) {
    const letter = { characterDevice: 'c', blockDevice: 'b', fifo: 'p' }[type];
    const numbers = type === 'fifo' ? [] : [String(major), String(minor)];
    execFileSync('mknod', ['-m', mode.toString(8), '--', path, letter, ...numbers], { stdio: 'ignore' });
    return;
  }
  // The kernel's encoding of a device number (`makedev`).
  const [high, low] = [BigInt(major), BigInt(minor)];
  const device = (low & 0xffn) | ((high & 0xfffn) << 8n) | ((low & ~0xffn) << 12n) | ((high & ~0xfffn) << 32n);
  checked(libc, libc.mknod(path, typeBits[type] | mode, device), `make ${path}`, 'mknod');
}

/** Sets an extended attribute of the file itself, not of what a link points to. */
export function setExtendedAttribute(path: string, name: string, value: Uint8Array): void {
  if (!libc) {
    const hex = `0x${Buffer.from(value).toString('hex')}`;
    execFileSync('setfattr', ['-h', '-n', name, '-v', hex, '--', path], { stdio: 'ignore' });
    return;
  }
  const bytes = Buffer.from(value);
  checked(libc, libc.lsetxattr(path, name, bytes, BigInt(bytes.length), 0), `set ${name} of ${path}`, 'lsetxattr');
}

/** Writes out everything of the file system that holds `directory`. */
export function syncFileSystem(directory: string): void {
  if (!libc) {
    execFileSync('sync', ['-f', directory], { stdio: 'ignore' });
    return;
  }
  const fd = openSync(directory, 'r');
  try {
    checked(libc, libc.syncfs(fd), `sync ${directory}`, 'syncfs');
  } finally {
    closeSync(fd);
  }
}
