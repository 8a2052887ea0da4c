import { getSystemErrorName } from 'node:util';

/**
 * The C library through Node's built-in ffi, or `undefined` when Node runs without `--experimental-ffi` or not on Linux.
 * The calls are synchronous and take strings and integers only; every caller has a fallback that spawns a tool.
 */
export const libc = open();

export type Libc = NonNullable<ReturnType<typeof open>>;

/** A system call that failed, with the same fields as Node's own file system errors. */
export class SystemError extends Error {
  override readonly name = 'SystemError';
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;

  constructor(what: string, syscall: string, errno: number) {
    const code = getSystemErrorName(-errno);
    super(`cannot ${what}: ${code}`);
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
  }
}

/** Turns -1 into a `SystemError`. Must directly follow the call: the next one overwrites errno. */
export function checked(calls: Libc, result: number, what: string, syscall: string): number {
  if (result >= 0) return result;
  throw new SystemError(what, syscall, calls.errno());
}

function open() {
  // Newer Nodes have ffi without the flag; it stays our switch, so that the fallbacks can be chosen.
  const flags = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? '').split(' ')];
  if (process.platform !== 'linux' || !flags.includes('--experimental-ffi')) return undefined;
  const ffi = process.getBuiltinModule('node:ffi');
  if (!ffi) return undefined;
  // `functions` of the main program's own symbols: Node is linked against the C library.
  const { functions } = ffi.dlopen(null, {
    __errno_location: { arguments: [], return: 'pointer' },
    mount: { arguments: ['string', 'string', 'string', 'uint64', 'string'], return: 'int32' },
    umount2: { arguments: ['string', 'int32'], return: 'int32' },
    unshare: { arguments: ['int32'], return: 'int32' },
    setns: { arguments: ['int32', 'int32'], return: 'int32' },
    sethostname: { arguments: ['string', 'uint64'], return: 'int32' },
    mknod: { arguments: ['string', 'uint32', 'uint64'], return: 'int32' },
    lsetxattr: { arguments: ['string', 'string', 'buffer', 'uint64', 'int32'], return: 'int32' },
    syncfs: { arguments: ['int32'], return: 'int32' },
    socket: { arguments: ['int32', 'int32', 'int32'], return: 'int32' },
    connect: { arguments: ['int32', 'buffer', 'uint32'], return: 'int32' },
    bind: { arguments: ['int32', 'buffer', 'uint32'], return: 'int32' },
    listen: { arguments: ['int32', 'int32'], return: 'int32' },
    accept4: { arguments: ['int32', 'pointer', 'pointer', 'int32'], return: 'int32' },
    recvmsg: { arguments: ['int32', 'buffer', 'int32'], return: 'int64' },
    shutdown: { arguments: ['int32', 'int32'], return: 'int32' },
    send: { arguments: ['int32', 'buffer', 'uint64', 'int32'], return: 'int64' },
    recv: { arguments: ['int32', 'buffer', 'uint64', 'int32'], return: 'int64' },
    if_nametoindex: { arguments: ['string'], return: 'uint32' },
    poll: { arguments: ['buffer', 'uint64', 'int32'], return: 'int32' },
    getsockopt: { arguments: ['int32', 'int32', 'int32', 'buffer', 'buffer'], return: 'int32' },
    ioctl: { arguments: ['int32', 'uint64', 'buffer'], return: 'int32' },
  });
  const errnoAt = functions.__errno_location();
  return {
    ...functions,
    ...openMountCalls(ffi),
    errno: () => ffi.getInt32(errnoAt),
    /** For structures that point to others, which the caller keeps while the kernel reads them. */
    addressOf: (bytes: Buffer) => ffi.getRawPointer(bytes),
  };
}

/** The newer mount calls are missing from C libraries before glibc 2.36. */
function openMountCalls(ffi: typeof import('node:ffi')) {
  try {
    const { functions } = ffi.dlopen(null, {
      fsopen: { arguments: ['string', 'uint32'], return: 'int32' },
      fsconfig: { arguments: ['int32', 'uint32', 'string', 'string', 'int32'], return: 'int32' },
      fsmount: { arguments: ['int32', 'uint32', 'uint32'], return: 'int32' },
      move_mount: { arguments: ['int32', 'string', 'int32', 'string', 'uint32'], return: 'int32' },
      open_tree: { arguments: ['int32', 'string', 'uint32'], return: 'int32' },
      mount_setattr: { arguments: ['int32', 'string', 'uint32', 'buffer', 'uint64'], return: 'int32' },
    });
    return { mountCalls: functions };
  } catch {
    // The symbols are not there: overlay mounts go through mount(2), with its limit on the number of layers.
    return { mountCalls: undefined };
  }
}
