import { closeSync } from 'node:fs';
import type { Clock } from '../clock.ts';
import { checked, libc } from './libc.ts';
import { decodeLosses, type Loss } from './netlink-message.ts';

export type { Loss } from './netlink-message.ts';

export interface LinkWatchOptions {
  readonly clock: Clock;
  /** What has gone since the last look, whoever took it away; `undefined`: the kernel cannot say, so look at everything. */
  lost(losses: readonly Loss[] | undefined): void;
}

const lookEveryMs = 500;
/** Without ffi nobody tells. */
const lookBlindlyEveryMs = 5_000;
const datagramsMax = 1_000;

/** Tells when links, addresses, routes or neighbours of this network namespace go away. A look costs one system call. */
export function watchLinks({ clock, lost }: LinkWatchOptions): Disposable {
  const socket = libc ? openSocket() : undefined;
  let cancel: () => void = () => {};
  let isOpen = true;
  const look = () => {
    const losses = socket === undefined ? undefined : readLosses(socket);
    if (losses === undefined || losses.length > 0) lost(losses);
    if (isOpen) again();
  };
  const again = () => {
    cancel = clock.after(socket === undefined ? lookBlindlyEveryMs : lookEveryMs, look);
  };
  again();
  return {
    [Symbol.dispose]() {
      isOpen = false;
      cancel();
      if (socket !== undefined) closeSync(socket);
    },
  };
}

function openSocket(): number {
  const calls = libc as NonNullable<typeof libc>;
  const what = 'watch links';
  const [netlink, rawNonBlockingCloseOnExec, route] = [16, 3 | 0o2004000, 0];
  const socket = checked(calls, calls.socket(netlink, rawNonBlockingCloseOnExec, route), what, 'socket');
  try {
    const [links, neighbours, addresses4, routes4, addresses6, routes6] = [0x1, 0x4, 0x10, 0x40, 0x100, 0x400];
    const address = Buffer.alloc(12);
    address.writeUInt16LE(netlink, 0);
    address.writeUInt32LE(links | neighbours | addresses4 | routes4 | addresses6 | routes6, 8);
    checked(calls, calls.bind(socket, address, address.length), what, 'bind');
    return socket;
  } catch (error) {
    closeSync(socket);
    throw error;
  }
}

const datagram = Buffer.alloc(64 * 1024);

/** Everything that has queued up; `undefined`: so much that the kernel has thrown some of it away. */
function readLosses(socket: number): readonly Loss[] | undefined {
  const calls = libc as NonNullable<typeof libc>;
  const losses: Loss[] = [];
  const [doNotWait, EAGAIN, EINTR, ENOBUFS] = [0x40, 11, 4, 105];
  let isWhole = true;
  for (let count = 0; count < datagramsMax; count++) {
    const length = Number(calls.recv(socket, datagram, BigInt(datagram.length), doNotWait));
    if (length >= 0) losses.push(...decodeLosses(datagram.subarray(0, length)));
    else {
      const errno = calls.errno();
      if (errno === EAGAIN) break;
      if (errno !== EINTR && errno !== ENOBUFS) checked(calls, length, 'watch links', 'recv');
      if (errno === ENOBUFS) isWhole = false;
    }
  }
  return isWhole ? losses : undefined;
}
