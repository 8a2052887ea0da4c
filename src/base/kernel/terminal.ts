import { closeSync, constants, openSync } from 'node:fs';
import { checked, libc } from './libc.ts';
import { spawnOrThrow } from './process.ts';

/** Sets the size of the terminal at `path`; its foreground processes get SIGWINCH. */
export async function resizeTerminal(path: string, columns: number, rows: number): Promise<void> {
  if (!libc) return spawnOrThrow('stty', ['-F', path, 'rows', String(rows), 'cols', String(columns)]);
  const terminal = openSync(path, constants.O_RDWR | constants.O_NOCTTY);
  try {
    const size = Buffer.alloc(8);
    size.writeUInt16LE(Math.min(rows, 0xffff), 0);
    size.writeUInt16LE(Math.min(columns, 0xffff), 2);
    const setWindowSize = 0x5414n;
    checked(libc, libc.ioctl(terminal, setWindowSize, size), `resize ${path}`, 'ioctl');
  } finally {
    closeSync(terminal);
  }
}
