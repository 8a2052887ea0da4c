import { closeSync, openSync, rmSync, write } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, type Readable, Writable } from 'node:stream';
import { ReadStream } from 'node:tty';
import { systemClock } from '../clock.ts';
import { checked, type Libc, libc } from './libc.ts';

/**
 * The near end of a terminal that another program makes and hands over through a socket, as container runtimes do
 * (`--console-socket`). What is written before it came is kept, and so is its size.
 */
export interface HandedTerminal {
  /** Where the program connects. */
  readonly socketPath: string;
  /** Ends when nobody holds the far end any more. */
  readonly output: Readable;
  /** Its end is a Ctrl-D. */
  readonly input: Writable;
  resize(columns: number, rows: number): void;
  /** The program has ended: what was said until now is still read, and then the output ends. */
  finish(): void;
  destroy(): void;
}

/** Listens in `directory` under a name that nobody else uses there. `undefined` without ffi. */
export function awaitTerminal(directory: string, name: string): HandedTerminal | undefined {
  return libc && new Terminal(libc, directory, name);
}

/** The program connects a few milliseconds after its start; asking costs a microsecond. */
const askMs = 2;
/** After the end of the program somebody may still hold the terminal who has nothing to say. */
const silenceMsMax = 200;
/** The terminal takes a few kilobytes until its reader has read them. */
const retryMs = 5;

class Terminal implements HandedTerminal {
  readonly socketPath: string;
  readonly output = new PassThrough();
  readonly input: Writable;
  readonly #calls: Libc;
  readonly #file: string;
  readonly #directory: number;
  readonly #listener: number;
  readonly #came = Promise.withResolvers<void>();
  /** To the program, until it has sent what it is to send. */
  #connection: number | undefined;
  #master: number | undefined;
  #isWriting = false;
  #reader: ReadStream | undefined;
  #size: readonly [columns: number, rows: number] | undefined;
  #state: 'waiting' | 'open' | 'ended' = 'waiting';
  #cancelAsking = () => {};
  #cancelSilence = () => {};

  constructor(calls: Libc, directory: string, name: string) {
    this.#calls = calls;
    this.#file = join(directory, name);
    // A socket's own path may not be longer than 107 bytes.
    this.#directory = openSync(directory, 'r');
    this.socketPath = `/proc/${process.pid}/fd/${this.#directory}/${name}`;
    try {
      this.#listener = listen(calls, this.socketPath);
    } catch (error) {
      closeSync(this.#directory);
      throw error;
    }
    this.input = new Writable({
      write: (chunk: Buffer, _encoding, done) => void this.#came.promise.then(() => this.#writeAll(chunk, done)),
      final: done => void this.#came.promise.then(() => this.#writeAll(Buffer.from([4]), done)),
    });
    this.input.on('error', () => this.input.destroy());
    this.output.on('close', () => this.destroy());
    this.#ask();
  }

  resize(columns: number, rows: number): void {
    this.#size = [columns, rows];
    if (this.#master !== undefined) setSize(this.#calls, this.#master, columns, rows);
  }

  finish(): void {
    if (this.#state === 'waiting') this.#receive();
    if (this.#state === 'waiting') return this.#end();
    this.#endInSilence();
  }

  destroy(): void {
    this.#end();
  }

  #ask(): void {
    this.#receive();
    if (this.#state === 'waiting') this.#cancelAsking = systemClock.after(askMs, () => this.#ask());
  }

  #receive(): void {
    const calls = this.#calls;
    this.#connection ??= accept(calls, this.#listener);
    if (this.#connection === undefined) return;
    const master = receiveDescriptor(calls, this.#connection);
    if (master === undefined) return;
    this.#stopListening();
    const [setNonBlocking, yes] = [0x5421n, Buffer.from([1, 0, 0, 0])];
    checked(calls, calls.ioctl(master, setNonBlocking, yes), 'take over a terminal', 'ioctl');
    this.#state = 'open';
    this.#master = master;
    if (this.#size) setSize(calls, master, ...this.#size);
    const reader = new ReadStream(master);
    this.#reader = reader;
    const end = () => this.#end();
    // EIO is how the end of a terminal looks from this side. A stream of a terminal buffers nothing, so nothing is lost.
    reader.on('error', end).on('end', end).on('close', end);
    reader.pipe(this.output, { end: false });
    this.#came.resolve();
  }

  #stopListening(): void {
    this.#cancelAsking();
    if (this.#connection !== undefined) closeSync(this.#connection);
    closeSync(this.#listener);
    rmSync(this.#file, { force: true });
    closeSync(this.#directory);
  }

  #endInSilence(): void {
    let heard = false;
    this.#reader?.once('data', () => {
      heard = true;
    });
    this.#cancelSilence = systemClock.after(silenceMsMax, () => {
      // Whoever reads slowly is waited for.
      if (heard || this.output.writableNeedDrain || this.output.readableLength > 0) this.#endInSilence();
      else this.#end();
    });
  }

  #end(): void {
    if (this.#state === 'ended') return;
    if (this.#state === 'waiting') this.#stopListening();
    this.#state = 'ended';
    this.#master = undefined;
    this.#cancelSilence();
    // Closes the descriptor, too: not under a write.
    if (!this.#isWriting) this.#reader?.destroy();
    this.output.end();
    this.input.destroy();
    this.#came.resolve();
  }

  #writeAll(bytes: Buffer, done: (error?: Error | null) => void): void {
    const master = this.#master;
    if (bytes.length === 0 || master === undefined) return done();
    this.#isWriting = true;
    write(master, bytes, (error, written) => {
      this.#isWriting = false;
      if (this.#state === 'ended') {
        this.#reader?.destroy();
        done();
      } else if (!error) this.#writeAll(bytes.subarray(written), done);
      else if (error.code === 'EAGAIN') systemClock.after(retryMs, () => this.#writeAll(bytes, done));
      else done();
    });
  }
}

const unix = 1;
const nonBlocking = 0o4000;
const closeOnExec = 0o2000000;

function listen(calls: Libc, path: string): number {
  const what = `listen at ${path}`;
  const stream = 1;
  const socket = checked(calls, calls.socket(unix, stream | nonBlocking | closeOnExec, 0), what, 'socket');
  try {
    const address = Buffer.alloc(2 + Buffer.byteLength(path) + 1);
    address.writeUInt16LE(unix, 0);
    address.write(path, 2);
    checked(calls, calls.bind(socket, address, address.length), what, 'bind');
    checked(calls, calls.listen(socket, 1), what, 'listen');
    return socket;
  } catch (error) {
    closeSync(socket);
    throw error;
  }
}

function accept(calls: Libc, listener: number): number | undefined {
  const connection = calls.accept4(listener, null, null, nonBlocking | closeOnExec);
  return connection < 0 ? undefined : connection;
}

/** The descriptor that the other end of a socket has sent, ours from now on; `undefined` when none came yet. */
function receiveDescriptor(calls: Libc, connection: number): number | undefined {
  // `struct msghdr` with one part; 64-bit machines.
  part.writeBigUInt64LE(calls.addressOf(text), 0);
  part.writeBigUInt64LE(BigInt(text.length), 8);
  const message = Buffer.alloc(56);
  message.writeBigUInt64LE(calls.addressOf(part), 16);
  message.writeBigUInt64LE(1n, 24);
  message.writeBigUInt64LE(calls.addressOf(control), 32);
  message.writeBigUInt64LE(BigInt(control.length), 40);
  const closeOnExecOfSent = 0x4000_0000;
  const length = Number(calls.recvmsg(connection, message, closeOnExecOfSent));
  const [socketLevel, rights] = [1, 1];
  const isDescriptor =
    length >= 0 &&
    message.readBigUInt64LE(40) >= BigInt(controlHeaderBytes + 4) &&
    control.readInt32LE(8) === socketLevel &&
    control.readInt32LE(12) === rights;
  return isDescriptor ? control.readInt32LE(controlHeaderBytes) : undefined;
}

/** `struct cmsghdr`. */
const controlHeaderBytes = 16;
// What a message header points to lives as long as the program: the kernel writes where it was.
const part = Buffer.alloc(16);
const control = Buffer.alloc(controlHeaderBytes + 8);
/** Senders send a name along, which says nothing. */
const text = Buffer.alloc(4096);

function setSize(calls: Libc, terminal: number, columns: number, rows: number): void {
  const size = Buffer.alloc(8);
  size.writeUInt16LE(Math.min(rows, 0xffff), 0);
  size.writeUInt16LE(Math.min(columns, 0xffff), 2);
  const setWindowSize = 0x5414n;
  // A terminal whose far end has just been closed needs no size.
  calls.ioctl(terminal, setWindowSize, size);
}
