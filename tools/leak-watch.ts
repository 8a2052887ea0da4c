import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** One thing that is there and was not, as a line for people. */
export interface Left {
  readonly what: string;
  /** Nobody else can have made it: it carries the run's mark, or its directory. */
  readonly isOurs: boolean;
}

/** What is made in the environment can be told from what others make on the machine at the same time. */
export interface Marked {
  readonly env: Readonly<Record<string, string>>;
  /** What is still there, once it stands still: a process that is just ending is nothing that was left. */
  left(): Promise<readonly Left[]>;
  /** Takes its directory away, with all that was left in it. */
  close(): void;
}

const settleMsDefault = 6_000;
const lookMs = 300;

/** Looks at the machine, and gives an environment with a mark and a temporary directory of its own. */
export function startLeakWatch({ settleMs = settleMsDefault } = {}): Marked {
  const mark = randomBytes(6).toString('hex');
  // Short: paths of sockets below it have 108 characters.
  const directory = mkdtempSync(join(tmpdir(), 'wt-'));
  const before = new Set(namesOnMachine());
  const now = (): readonly Left[] => [
    ...processes(mark, directory).map(what => ({ what, isOurs: true })),
    ...mounts(directory).map(what => ({ what, isOurs: true })),
    ...entriesIn(directory).map(name => ({ what: `temporary file: ${name}`, isOurs: true })),
    ...namesOnMachine()
      .filter(name => !before.has(name))
      .map(what => ({ what, isOurs: false })),
  ];
  return {
    env: { [variable]: mark, TMPDIR: directory },
    async left() {
      let found = now();
      for (let waitedMs = 0; waitedMs < settleMs && found.length > 0; waitedMs += lookMs) {
        await pause(lookMs);
        const again = now();
        found = again.filter(({ what }) => found.some(each => identityOf(each.what) === identityOf(what)));
      }
      return found;
    },
    close: () => {
      for (const each of mounts(directory).toReversed()) run('umount', ['--lazy', each.slice('mount: '.length)]);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Whether somebody else runs tests or clusters on this machine, whose things have no name that tells them from ours. */
export function othersAreThere(): boolean {
  const ours = ancestors();
  return pids().some(pid => {
    if (ours.has(pid)) return false;
    const words = read(`/proc/${pid}/cmdline`).split('\0');
    return words.some(word => /(^|\/)(windlass\.js|tools\/test\.ts|cli\.ts)$/.test(word)) || words.includes('--test');
  });
}

/** A process stays the same when it becomes another program. */
function identityOf(what: string): string {
  return /^process \d+/.exec(what)?.[0] ?? what;
}

const variable = 'WINDLASS_TEST_RUN';

function processes(mark: string, directory: string): readonly string[] {
  return (
    pids()
      .filter(pid => pid !== process.pid)
      .filter(
        pid =>
          read(`/proc/${pid}/environ`).split('\0').includes(`${variable}=${mark}`) ||
          link(`/proc/${pid}/cwd`).startsWith(`${directory}/`) ||
          link(`/proc/${pid}/root`).startsWith(`${directory}/`),
      )
      .map(pid => ({ pid, words: read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim() }))
      // One that has ended and was not waited for yet has no words.
      .filter(({ words }) => words !== '')
      .map(({ pid, words }) => `process ${pid}: ${words}`)
  );
}

function mounts(directory: string): readonly string[] {
  return mountsWhere(({ point }) => point.startsWith(`${directory}/`));
}

/** A hierarchy of control groups that a kubelet mounted bears our name as its source. */
function mountsByName(): readonly string[] {
  return mountsWhere(({ source }) => source === 'windlass');
}

function mountsWhere(isLookedFor: (mount: { point: string; source: string }) => boolean): readonly string[] {
  return read('/proc/self/mountinfo')
    .split('\n')
    .map(line => ({ point: line.split(' ')[4] ?? '', source: / - \S+ (\S+) /.exec(line)?.[1] ?? '' }))
    .filter(isLookedFor)
    .map(({ point }) => `mount: ${point}`);
}

/** Names that everybody on the machine shares. */
function namesOnMachine(): readonly string[] {
  return [
    ...entriesIn('/sys/class/net').map(name => `link: ${name}`),
    ...mountsByName(),
    ...entriesIn('/run/netns').map(name => `network namespace: ${name}`),
    ...run('nft', ['list', 'tables'])
      .split('\n')
      .filter(Boolean)
      .map(line => `nftables: ${line}`),
    ...['/sys/fs/cgroup', ...entriesIn('/sys/fs/cgroup').map(name => `/sys/fs/cgroup/${name}`)].flatMap(hierarchy =>
      entriesIn(hierarchy)
        .filter(name => name.startsWith('windlass'))
        .map(name => `cgroup: ${hierarchy}/${name}`),
    ),
    ...entriesIn('/run/windlass').map(name => `claim: /run/windlass/${name}`),
    ...entriesIn('/sys/block')
      .filter(name => name.startsWith('loop'))
      .map(name => [name, read(`/sys/block/${name}/loop/backing_file`).trim()])
      .filter(([, file]) => file !== '')
      .map(([name, file]) => `loop device: ${name} of ${file}`),
  ];
}

function ancestors(): ReadonlySet<number> {
  const found = new Set<number>();
  for (let pid = process.pid; pid > 1; ) {
    found.add(pid);
    pid = Number(/^PPid:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0);
  }
  return found;
}

function pids(): readonly number[] {
  return entriesIn('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number);
}

/* What goes away while one looks is not there. */

function entriesIn(directory: string): readonly string[] {
  return attempt(() => readdirSync(directory), []);
}

function read(file: string): string {
  return attempt(() => readFileSync(file, 'utf8'), '');
}

function link(file: string): string {
  return attempt(() => readlinkSync(file), '');
}

function run(command: string, args: readonly string[]): string {
  return attempt(() => execFileSync(command, [...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }), '');
}

function attempt<Value>(look: () => Value, nothing: Value): Value {
  try {
    return look();
  } catch {
    return nothing;
  }
}
