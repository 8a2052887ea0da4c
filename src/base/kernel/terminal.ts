import { closeSync, constants, openSync, write } from 'node:fs';
import { PassThrough, type Readable, Writable } from 'node:stream';
import { ReadStream } from 'node:tty';
import { systemClock } from '../clock.ts';
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

/** A new pseudo-terminal in raw mode: what is written to one end comes out at the other. */
export interface Pseudoterminal {
  /** For a process's stdio; close it here once that process has it. */
  readonly slave: number;
  readonly output: Readable;
  readonly input: Writable;
}

/** `undefined` without ffi. */
export function openPseudoterminal(): Pseudoterminal | undefined {
  if (!libc) return undefined;
  const { O_RDWR, O_NOCTTY, O_NONBLOCK } = constants;
  const master = openSync('/dev/ptmx', O_RDWR | O_NOCTTY | O_NONBLOCK);
  try {
    const [unlock, getNumber] = [0x40045431n, 0x80045430n];
    checked(libc, libc.ioctl(master, unlock, Buffer.alloc(4)), 'open a terminal', 'ioctl');
    const number = Buffer.alloc(4);
    checked(libc, libc.ioctl(master, getNumber, number), 'open a terminal', 'ioctl');
    const slave = openSync(`/dev/pts/${number.readUInt32LE(0)}`, O_RDWR | O_NOCTTY);
    // `struct termios`: no echo, no line editing, no translation; eight bits at 38400 baud.
    const raw = Buffer.alloc(60);
    raw.writeUInt32LE(0o277, 8);
    raw.writeUInt8(1, 17 + 6);
    const setAttributes = 0x5402n;
    checked(libc, libc.ioctl(slave, setAttributes, raw), 'open a terminal', 'ioctl');
    return { slave, ...streamsOf(master) };
  } catch (error) {
    closeSync(master);
    throw error;
  }
}

function streamsOf(master: number): { output: Readable; input: Writable } {
  const reader = new ReadStream(master);
  const output = new PassThrough();
  let open = true;
  const end = () => {
    open = false;
    output.end();
    input.destroy();
  };
  // EIO is how the end of a terminal looks from this side.
  reader.on('error', end).on('end', end).on('close', end);
  reader.pipe(output, { end: false });
  output.on('close', () => reader.destroy());
  const input = new Writable({
    write: (chunk: Buffer, _encoding, done) => writeAll(master, chunk, () => open, done),
    // Ctrl-D: to the program at the other end, the end of its input.
    final: done => writeAll(master, Buffer.from([4]), () => open, done),
  });
  input.on('error', () => input.destroy());
  return { output, input };
}

const retryMs = 5;

/** The terminal takes a few kilobytes until its reader has read them. */
function writeAll(master: number, bytes: Buffer, isOpen: () => boolean, done: (error?: Error | null) => void): void {
  if (bytes.length === 0 || !isOpen()) return done();
  write(master, bytes, (error, written) => {
    if (!error) writeAll(master, bytes.subarray(written), isOpen, done);
    else if (error.code === 'EAGAIN') systemClock.after(retryMs, () => writeAll(master, bytes, isOpen, done));
    else done();
  });
}
