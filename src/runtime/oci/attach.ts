import { closeSync, openSync } from 'node:fs';
import { PassThrough, Writable } from 'node:stream';
import { Worker } from 'node:worker_threads';
import type { Clock } from '#base/clock.ts';
import { checked, libc } from '#base/kernel/libc.ts';
import { type AttachRequest, type AttachSession, RuntimeError } from '../runtime.ts';
import { resizeMainTerminal } from './shim.ts';
import type { Layout } from './state.ts';

/** conmon takes packets of up to 32 KiB. */
const packetBytesMax = 8 * 1024;
const retryMs = 10;

/**
 * Joins conmon's attach socket. It is a SEQPACKET socket, which Node does not know: a thread reads it, and writes go
 * out without blocking. The first byte of a packet says which output it is from.
 */
export function attachTo(
  at: Layout,
  id: string,
  request: AttachRequest,
  ended: Promise<void>,
  clock: Clock,
  signal?: AbortSignal,
): AttachSession {
  if (!libc) throw new RuntimeError('Unimplemented', 'cannot attach: Node runs without --experimental-ffi');
  signal?.throwIfAborted();
  const calls = libc;
  const socket = connect(at, id);
  const stdout = request.stdout === false ? undefined : new PassThrough();
  const stderr = request.stderr === false || request.tty ? undefined : new PassThrough();
  const unread = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL('./attach-worker.ts', import.meta.url), {
    workerData: { socket, unread },
    trackUnmanagedFds: false,
    resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 },
  });
  worker.on('message', (packet: Uint8Array) => {
    const bytes = Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength);
    const stream = bytes[0] === 3 ? (stderr ?? (request.tty ? stdout : undefined)) : stdout;
    const taken = () => {
      Atomics.sub(unread, 0, packet.byteLength);
      Atomics.notify(unread, 0);
    };
    if (!stream || stream.write(bytes.subarray(1))) taken();
    else stream.once('drain', taken);
  });
  const detach = () => {
    const both = 2;
    calls.shutdown(socket, both);
    Atomics.store(unread, 0, 0);
    Atomics.notify(unread, 0);
  };
  signal?.addEventListener('abort', detach, { once: true });
  const closed = new Promise<void>(resolve => {
    worker.on('error', detach);
    worker.on('exit', () => {
      signal?.removeEventListener('abort', detach);
      closeSync(socket);
      stdout?.end();
      stderr?.end();
      resolve();
    });
  });
  return {
    stdin: request.stdin ? inputOf(socket, clock, closed) : undefined,
    stdout,
    stderr,
    closed,
    resize: ({ columns, rows }) => {
      if (request.tty) resizeMainTerminal(at, id, columns, rows);
    },
  };
}

/** The directory is opened first: a socket's own path may not be longer than 107 bytes. */
function connect(at: Layout, id: string): number {
  const calls = libc;
  if (!calls) throw new RuntimeError('Unimplemented', 'cannot attach: Node runs without --experimental-ffi');
  const directory = openSync(at.container(id).directory, 'r');
  try {
    const [unix, seqpacketCloexec] = [1, 5 | 0o2000000];
    const socket = checked(calls, calls.socket(unix, seqpacketCloexec, 0), 'open a socket', 'socket');
    const path = Buffer.from(`/proc/self/fd/${directory}/attach\0`);
    const address = Buffer.alloc(2 + path.length);
    address.writeUInt16LE(unix, 0);
    path.copy(address, 2);
    if (calls.connect(socket, address, address.length) === 0) return socket;
    closeSync(socket);
    throw new RuntimeError('FailedPrecondition', `cannot attach to container "${id}": its shim does not answer`);
  } finally {
    closeSync(directory);
  }
}

function inputOf(socket: number, clock: Clock, closed: Promise<void>): Writable {
  const calls = libc;
  if (!calls) throw new RuntimeError('Unimplemented', 'cannot attach: Node runs without --experimental-ffi');
  let open = true;
  void closed.then(() => {
    open = false;
    input.destroy();
  });
  const noWaitNoSignal = 0x40 | 0x4000;
  const again = 11;
  const sendAll = async (bytes: Buffer): Promise<void> => {
    for (let offset = 0; offset < bytes.length && open; ) {
      const packet = bytes.subarray(offset, offset + packetBytesMax);
      const sent = Number(calls.send(socket, packet, BigInt(packet.length), noWaitNoSignal));
      if (sent >= 0) offset += sent;
      else if (calls.errno() === again) await clock.sleep(retryMs);
      else return;
    }
  };
  const input = new Writable({
    write(chunk: Buffer, _encoding, done) {
      sendAll(chunk).then(() => done(), done);
    },
    final(done) {
      const writing = 1;
      if (open) calls.shutdown(socket, writing);
      done();
    },
  });
  return input;
}
