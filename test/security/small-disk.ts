import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why no file system can be mounted here; undefined: it can. */
export const noDisks: string | undefined =
  process.platform !== 'linux' || process.getuid?.() !== 0
    ? 'mounting needs root on Linux'
    : ['losetup --find', 'mkfs.ext4 -V'].every(
          words => spawnSync('sh', ['-c', words], { stdio: 'ignore' }).status === 0,
        )
      ? undefined
      : 'there are no loop devices, or no mkfs.ext4';

/** A small file system of its own, which can be filled, cut off from its disk, and made read-only. */
export interface SmallDisk extends Disposable {
  readonly path: string;
  /** Writes until nothing more fits. */
  fill(): void;
  /** Takes away what `fill` wrote. */
  empty(): void;
  /** What is written does not reach the disk any more: EIO. */
  fail(): void;
  mend(): void;
  /** As the kernel does it after an error, with files open. */
  makeReadOnly(): void;
}

/**
 * A file system in a file, the file in a memory of a given size. The file promises more than that memory holds: when
 * something else takes it, the loop device has nowhere to write, and says EIO as a broken disk does.
 */
export function openSmallDisk({ megabytes }: { readonly megabytes: number }): SmallDisk {
  const root = mkdtempSync(join(tmpdir(), 'windlass-disk-'));
  const [memory, path] = [join(root, 'memory'), join(root, 'disk')];
  mkdirSync(memory);
  mkdirSync(path);
  const image = join(memory, 'image');
  const ballast = join(memory, 'ballast');
  const filler = join(path, 'filler');
  const mounted: string[] = [];
  const dispose = () => {
    for (const each of mounted.toReversed()) unmount(each);
    rmSync(root, { recursive: true, force: true });
  };
  try {
    run('mount', '-t', 'tmpfs', '-o', `size=${megabytes + 4}m`, 'tmpfs', memory);
    mounted.push(memory);
    writeFileSync(image, '');
    truncateSync(image, megabytes * 1024 * 1024);
    // Without a journal: that would make the file system read-only at the first error.
    run('mkfs.ext4', '-q', '-O', '^has_journal', '-E', 'nodiscard,lazy_itable_init=1', '-m', '0', image);
    run('mount', '-o', 'loop,errors=continue', image, path);
    mounted.push(path);
  } catch (error) {
    dispose();
    throw error;
  }
  return {
    path,
    fill: () => writeAll(filler, freeBytes(path)),
    empty: () => rmSync(filler, { force: true }),
    fail: () => writeAll(ballast, freeBytes(memory)),
    mend: () => rmSync(ballast, { force: true }),
    makeReadOnly: () => run('mount', '-o', 'remount,abort', path),
    [Symbol.dispose]: dispose,
  };
}

function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}

/** Up to the last byte: what does not fit is left out. */
function writeAll(file: string, bytes: number): void {
  for (const blockBytes of [1024 * 1024, 4096, 512])
    spawnSync(
      'dd',
      [
        'if=/dev/zero',
        `of=${file}`,
        `bs=${blockBytes}`,
        `count=${Math.ceil(bytes / blockBytes)}`,
        'oflag=append',
        'conv=notrunc,fsync',
      ],
      {
        stdio: 'ignore',
      },
    );
}

/** A process that has just ended may still have it for a moment. */
function unmount(path: string): void {
  for (let tries = 0; tries < 50; tries++) {
    if (spawnSync('umount', [path], { stdio: 'ignore' }).status === 0) return;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  }
  run('umount', path);
}

function run(command: string, ...args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] });
  if (status !== 0) throw new Error(`cannot ${command} ${args.join(' ')}: ${stderr.trim()}`);
}
