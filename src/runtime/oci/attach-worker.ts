import { readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

// Reads conmon's attach socket, one packet at a time, and waits when the main thread does not keep up.

const { socket, unread } = workerData as { readonly socket: number; readonly unread: Int32Array<SharedArrayBuffer> };
const packetBytesMax = 64 * 1024;
const unreadBytesMax = 1024 * 1024;

const buffer = Buffer.alloc(packetBytesMax);
while (true) {
  const length = read();
  if (length === 0) break;
  parentPort?.postMessage(Uint8Array.from(buffer.subarray(0, length)));
  let waiting = Atomics.add(unread, 0, length) + length;
  while (waiting > unreadBytesMax) {
    Atomics.wait(unread, 0, waiting);
    waiting = Atomics.load(unread, 0);
  }
}

/** 0 at the end: conmon has gone, or the main thread has shut the socket down. */
function read(): number {
  try {
    return readSync(socket, buffer);
  } catch {
    return 0;
  }
}
