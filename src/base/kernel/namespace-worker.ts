import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { checked, libc, SystemError } from './libc.ts';
import type { NamespaceCall, NamespaceReply, NamespaceRequest } from './namespace.ts';

// The thread in which namespaces are made and entered. Everything here is synchronous: no thread may be started while
// this one is elsewhere, or it would be born there.

type Kind = 'net' | 'ipc' | 'uts';

const kinds: Readonly<Record<Kind, number>> = { net: 0x40000000, ipc: 0x08000000, uts: 0x04000000 };

if (!libc || !parentPort) throw new Error('cannot enter namespaces: no ffi in this thread');
const calls = libc;
const port = parentPort;
const home: Readonly<Record<Kind, number>> = {
  net: openSync('/proc/thread-self/ns/net', 'r'),
  ipc: openSync('/proc/thread-self/ns/ipc', 'r'),
  uts: openSync('/proc/thread-self/ns/uts', 'r'),
};

port.on('message', (call: NamespaceCall) => port.postMessage(answer(call)));

function answer(call: NamespaceCall): NamespaceReply {
  try {
    switch (call.call) {
      case 'create':
        create(call.request);
        return { value: 0 };
      case 'connect':
        return { value: within(call.netnsPath, () => connect(call.port)) };
      case 'read':
        return { value: within(call.netnsPath, () => readFileSync(call.file, 'utf8')) };
    }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
    return { error: error instanceof Error ? error.message : String(error), code };
  }
}

function create({ paths, hostname, sysctls = [], fromPid }: NamespaceRequest & { readonly fromPid?: number }): void {
  const wanted = (Object.keys(kinds) as Kind[]).filter(kind => paths[kind] !== undefined);
  const made: string[] = [];
  try {
    for (const kind of wanted) {
      const path = paths[kind] as string;
      closeSync(openSync(path, 'wx'));
      made.push(path);
    }
    const flags = wanted.reduce((sum, kind) => sum | kinds[kind], 0);
    if (fromPid === undefined) checked(calls, calls.unshare(flags), 'make namespaces', 'unshare');
    else for (const kind of wanted) join(fromPid, kind);
    if (hostname !== undefined && paths.uts) {
      const length = BigInt(Buffer.byteLength(hostname));
      checked(calls, calls.sethostname(hostname, length), `set the host name ${hostname}`, 'sethostname');
    }
    if (paths.net) bringUpLoopback();
    for (const [file, value] of sysctls) writeFileSync(file, value);
    const bind = 4096n;
    for (const kind of wanted) {
      const path = paths[kind] as string;
      const source = `/proc/thread-self/ns/${kind}`;
      checked(calls, calls.mount(source, path, null, bind, null), `bind a namespace to ${path}`, 'mount');
    }
  } catch (error) {
    for (const path of made) {
      calls.umount2(path, 2);
      rmSync(path, { force: true });
    }
    throw error;
  } finally {
    goHome(wanted);
  }
}

/** Into a namespace that another process has made for us. */
function join(pid: number, kind: Kind): void {
  const namespace = openSync(`/proc/${pid}/ns/${kind}`, 'r');
  try {
    checked(calls, calls.setns(namespace, kinds[kind]), `enter a namespace of process ${pid}`, 'setns');
  } finally {
    closeSync(namespace);
  }
}

function within<Value>(netnsPath: string, run: () => Value): Value {
  const namespace = openSync(netnsPath, 'r');
  try {
    checked(calls, calls.setns(namespace, kinds.net), `enter ${netnsPath}`, 'setns');
    return run();
  } finally {
    closeSync(namespace);
    goHome(['net']);
  }
}

/** A thread that cannot come home must not serve again. */
function goHome(left: readonly Kind[]): void {
  for (const kind of left) if (calls.setns(home[kind], kinds[kind]) !== 0) process.exit(1);
}

const IPv4 = 2;
const IPv6 = 10;
const STREAM = 1;
const DATAGRAM = 2;
const NONBLOCK_CLOEXEC = 0o2004000;
const EINPROGRESS = 115;
const ECONNREFUSED = 111;
const ETIMEDOUT = 110;

/** `struct ifreq` with the flags IFF_UP and IFF_RUNNING. */
function bringUpLoopback(): void {
  const socket = checked(calls, calls.socket(IPv4, DATAGRAM, 0), 'open a socket', 'socket');
  try {
    const request = Buffer.alloc(40);
    request.write('lo', 0, 'latin1');
    request.writeUInt16LE(0x41, 16);
    const setInterfaceFlags = 0x8914n;
    checked(calls, calls.ioctl(socket, setInterfaceFlags, request), 'bring up the loopback interface', 'ioctl');
  } finally {
    closeSync(socket);
  }
}

/** As `localhost`: IPv4 first, then IPv6. */
function connect(port: number): number {
  const v4 = Buffer.alloc(16);
  v4.writeUInt16LE(IPv4, 0);
  v4.writeUInt16BE(port, 2);
  v4.set([127, 0, 0, 1], 4);
  const v6 = Buffer.alloc(28);
  v6.writeUInt16LE(IPv6, 0);
  v6.writeUInt16BE(port, 2);
  v6.writeUInt8(1, 23);
  try {
    return connectTo(IPv4, v4, port);
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno !== ECONNREFUSED) throw error;
    try {
      return connectTo(IPv6, v6, port);
    } catch {
      // IPv6 may be off altogether; what IPv4 said is what the user understands.
      throw error;
    }
  }
}

function connectTo(family: number, address: Buffer, port: number): number {
  const what = `connect to port ${port}`;
  const fd = checked(calls, calls.socket(family, STREAM | NONBLOCK_CLOEXEC, 0), 'open a socket', 'socket');
  try {
    if (calls.connect(fd, address, address.length) === 0) return fd;
    const errno = calls.errno();
    if (errno !== EINPROGRESS) throw new SystemError(what, 'connect', errno);
    const writable = 4;
    const poll = Buffer.alloc(8);
    poll.writeInt32LE(fd, 0);
    poll.writeInt16LE(writable, 4);
    if (checked(calls, calls.poll(poll, 1n, 1000), what, 'poll') === 0)
      throw new SystemError(what, 'connect', ETIMEDOUT);
    const [error, length] = [Buffer.alloc(4), Buffer.from([4, 0, 0, 0])];
    const [SOL_SOCKET, SO_ERROR] = [1, 4];
    checked(calls, calls.getsockopt(fd, SOL_SOCKET, SO_ERROR, error, length), what, 'getsockopt');
    if (error.readInt32LE(0) !== 0) throw new SystemError(what, 'connect', error.readInt32LE(0));
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
