import { closeSync, openSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { checked, libc } from './libc.ts';
import { spawnOrThrow, spawnToEnd } from './process.ts';

export type MountFlag =
  | 'ro'
  | 'nosuid'
  | 'nodev'
  | 'noexec'
  | 'remount'
  | 'bind'
  | 'rec'
  | 'private'
  | 'slave'
  | 'shared';

export interface MountRequest {
  readonly source: string;
  readonly target: string;
  readonly type?: string;
  readonly flags?: readonly MountFlag[];
  readonly data?: string;
}

const flagBits: Readonly<Record<MountFlag, bigint>> = {
  ro: 1n,
  nosuid: 2n,
  nodev: 4n,
  noexec: 8n,
  remount: 32n,
  bind: 4096n,
  rec: 16384n,
  private: 1n << 18n,
  slave: 1n << 19n,
  shared: 1n << 20n,
};

export async function mount(request: MountRequest, signal?: AbortSignal): Promise<void> {
  const { source, target, type, flags = [], data } = request;
  if (!libc) return spawnOrThrow('mount', spawnArguments(request), signal);
  const bits = flags.reduce((sum, flag) => sum | flagBits[flag], 0n);
  const result = libc.mount(source, target, type ?? null, bits, data ?? null);
  checked(libc, result, `mount ${source} on ${target}`, 'mount');
}

/** Makes `source` (a file or a directory) visible at the existing `target`. */
export async function bindMount(
  source: string,
  target: string,
  options: { readonly readonly?: boolean; readonly recursive?: boolean } = {},
): Promise<void> {
  const flags: MountFlag[] = options.recursive ? ['bind', 'rec'] : ['bind'];
  await mount({ source, target, flags });
  if (options.readonly) await mount({ source: 'none', target, flags: ['remount', 'bind', 'ro'] });
}

/**
 * Makes `source` visible at `target` with its owners shifted as the user namespace says: what belongs to the host's user 0
 * belongs to the namespace's. Throws a SystemError with EINVAL where the file system of the source cannot do that.
 */
export function idmappedMount(
  source: string,
  target: string,
  userNamespace: string,
  options: { readonly recursive?: boolean } = {},
): void {
  const calls = libc?.mountCalls;
  if (!libc || !calls)
    throw new Error('cannot shift the owners of a mount: the C library lacks the calls (glibc 2.36)');
  const [clone, closeOnExec, ofTree, fromEmptyPath] = [1, 0o2000000, 0x8000, 0x1000];
  const deep = options.recursive ? ofTree : 0;
  const currentDirectory = -100;
  const what = `shift the owners of ${source}`;
  const tree = checked(libc, calls.open_tree(currentDirectory, source, clone | closeOnExec | deep), what, 'open_tree');
  const namespace = openSync(userNamespace, 'r');
  try {
    // struct mount_attr: what to set, what to clear, propagation, the namespace.
    const attributes = Buffer.alloc(32);
    const idmap = 0x00100000n;
    attributes.writeBigUInt64LE(idmap, 0);
    attributes.writeBigUInt64LE(BigInt(namespace), 24);
    const set = calls.mount_setattr(tree, '', fromEmptyPath | deep, attributes, BigInt(attributes.length));
    checked(libc, set, what, 'mount_setattr');
    const moveFromEmptyPath = 4;
    checked(libc, calls.move_mount(tree, '', currentDirectory, target, moveFromEmptyPath), what, 'move_mount');
  } finally {
    closeSync(namespace);
    closeSync(tree);
  }
}

/** Detaches what is mounted at `target`, all layers of it. Nothing mounted there, or nothing there at all, is fine. */
export async function unmount(target: string): Promise<void> {
  if (!libc) {
    while (isMountpoint(target)) {
      const { exitCode, stderr } = await spawnToEnd('umount', ['--lazy', target]);
      // Somebody else may have been quicker.
      if (exitCode !== 0 && isMountpoint(target))
        throw new Error(`cannot unmount ${target}: ${stderr.toString().trim()}`);
    }
    return;
  }
  const detach = 2;
  const noFollow = 8;
  // EINVAL: not a mount point.
  for (let round = 0; round < 16; round++) {
    if (libc.umount2(target, detach | noFollow) === 0) continue;
    const errno = libc.errno();
    if (errno === EINVAL || errno === ENOENT) return;
    libc.umount2(target, detach | noFollow);
    checked(libc, -1, `unmount ${target}`, 'umount2');
  }
}

const ENOENT = 2;
const EINVAL = 22;

/**
 * Whether pods can have user namespaces here: overlayfs (5.19) and tmpfs (6.3) must be able to shift owners.
 * `undefined`: they can; otherwise why not.
 */
export function userNamespacesLack(kernel = release()): string | undefined {
  if (!libc?.mountCalls) return 'the C library lacks mount_setattr, or Node runs without --experimental-ffi';
  const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number);
  if (major < 6 || (major === 6 && minor < 3)) return `Linux ${kernel} cannot shift the owners of tmpfs (6.3 can)`;
  const most = Number(readFileSync('/proc/sys/user/max_user_namespaces', 'utf8'));
  return most > 0 ? undefined : 'user.max_user_namespaces is 0';
}

export interface OverlayRequest {
  readonly target: string;
  /** The topmost first. */
  readonly lower: readonly string[];
  /** Absent for a read-only view. */
  readonly upper?: { readonly directory: string; readonly work: string };
}

/** Overlays directories. By the new mount calls there is no bound on paths' length; by mount(2) all fit into one page. */
export async function mountOverlay(request: OverlayRequest, signal?: AbortSignal): Promise<void> {
  const calls = libc?.mountCalls;
  if (libc && calls && mountOverlayByParts(request)) return;
  const escaped = (path: string) => path.replaceAll(/[\\:,]/g, '\\$&');
  const parts = [`lowerdir=${request.lower.map(escaped).join(':')}`];
  if (request.upper)
    parts.push(`upperdir=${escaped(request.upper.directory)}`, `workdir=${escaped(request.upper.work)}`);
  await mount({ source: 'overlay', target: request.target, type: 'overlay', data: parts.join(',') }, signal);
}

/** False when this kernel does not know `lowerdir+` (before 6.5). */
function mountOverlayByParts({ target, lower, upper }: OverlayRequest): boolean {
  const calls = libc?.mountCalls;
  if (!libc || !calls) return false;
  const closeOnExec = 1;
  const what = `mount an overlay on ${target}`;
  const context = checked(libc, calls.fsopen('overlay', closeOnExec), what, 'fsopen');
  try {
    const setString = 1;
    const create = 6;
    const set = (key: string, value: string) => calls.fsconfig(context, setString, key, value, 0);
    for (const directory of lower) {
      const result = set('lowerdir+', directory);
      if (result < 0 && libc.errno() === EINVAL) return false;
      checked(libc, result, `${what} over ${directory}`, 'fsconfig');
    }
    if (upper) {
      checked(libc, set('upperdir', upper.directory), `${what} with ${upper.directory}`, 'fsconfig');
      checked(libc, set('workdir', upper.work), `${what} with ${upper.work}`, 'fsconfig');
    }
    checked(libc, calls.fsconfig(context, create, null, null, 0), what, 'fsconfig');
    const tree = checked(libc, calls.fsmount(context, closeOnExec, 0), what, 'fsmount');
    try {
      const fromEmptyPath = 4;
      const currentDirectory = -100;
      checked(libc, calls.move_mount(tree, '', currentDirectory, target, fromEmptyPath), what, 'move_mount');
    } finally {
      closeSync(tree);
    }
    return true;
  } finally {
    closeSync(context);
  }
}

export interface MountPoint {
  readonly target: string;
  readonly root: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
  /** `shared:N`, `master:N` and the like. */
  readonly propagation: readonly string[];
  readonly superOptions: readonly string[];
}

/** Every mount of this process, in mount order. */
export function listMounts(): MountPoint[] {
  return readFileSync('/proc/self/mountinfo', 'utf8').trimEnd().split('\n').map(parseMountLine);
}

export function isMountpoint(path: string): boolean {
  return listMounts().some(point => point.target === path);
}

/** Detaches every mount at or under `directory`, the last one first. */
export async function unmountTree(directory: string): Promise<void> {
  const under = listMounts().filter(point => point.target === directory || point.target.startsWith(`${directory}/`));
  for (const point of under.toReversed()) await unmount(point.target);
}

/** `36 35 98:0 /root /target rw,noatime shared:1 - ext4 /dev/root rw` */
function parseMountLine(line: string): MountPoint {
  const [head = '', tail = ''] = line.split(' - ');
  const [, , , root = '', target = '', options = '', ...propagation] = head.split(' ');
  const [type = '', source = '', superOptions = ''] = tail.split(' ');
  return {
    target: unescapeOctal(target),
    root: unescapeOctal(root),
    type,
    source: unescapeOctal(source),
    options: options.split(','),
    propagation,
    superOptions: superOptions.split(','),
  };
}

function unescapeOctal(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

function spawnArguments({ source, target, type, flags = [], data }: MountRequest): string[] {
  const propagation = flags.find(flag => flag === 'private' || flag === 'slave' || flag === 'shared');
  if (propagation) return [`--make-${flags.includes('rec') ? 'r' : ''}${propagation}`, target];
  const words: string[] = flags.filter(flag => flag !== 'rec' && flag !== 'bind');
  if (flags.includes('bind')) words.push(flags.includes('rec') ? 'rbind' : 'bind');
  if (data) words.push(data);
  return [...(type ? ['-t', type] : []), ...(words.length > 0 ? ['-o', words.join(',')] : []), source, target];
}
