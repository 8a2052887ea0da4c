import { execFile, spawn } from 'node:child_process';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { systemClock } from '#base/clock.ts';
import { findCgroups, pruneCgroup } from '#base/kernel/cgroup.ts';
import { listMounts, unmount } from '#base/kernel/mount.ts';
import { silentLog } from '#base/log.ts';
import { cniConfig } from '#runtime/cri/cni.ts';
import { openCriRuntime } from '#runtime/cri/runtime.ts';
import { type Runtime } from '#runtime/runtime.ts';
import { buildImages, dockerArchive } from '../../tools/images.ts';

const run = promisify(execFile);
const cniPlugins = ['/usr/lib/cni', '/opt/cni/bin'];
const startAttemptsMax = 500;
const startPauseMs = 20;

/** A containerd of one's own on a directory that goes away with it, with the test images loaded. */
export interface Containerd extends AsyncDisposable {
  readonly endpoint: string;
  readonly directory: string;
  readonly runtime: Runtime;
  readonly logDirectory: string;
  /** The link that the pods hang on, and its address. */
  readonly bridge: string;
  readonly gateway: string;
  /** Ends the process, does what is to be done meanwhile, and starts it again. Containers go on. */
  restart(meanwhile: () => Promise<void>): Promise<void>;
}

/** Why containerd cannot be tried here, for a test's `skip`. */
export async function cannotRunContainerd(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'containerd needs root';
  for (const program of ['containerd', 'ctr', 'runc', 'iptables'])
    if (!(await run('which', [program]).catch(() => undefined)))
      return `${program} is missing (Debian: containerd, runc, iptables)`;
  if (!cniPlugins.some(directory => existsSync(join(directory, 'bridge'))))
    return 'the CNI plugins are missing (Debian: containernetworking-plugins)';
  return undefined;
}

/** `cniDirectory`: where it looks for its network; absent: a folder of its own, with one. */
export async function startContainerd({ cniDirectory }: { readonly cniDirectory?: string } = {}): Promise<Containerd> {
  const directory = await mkdtemp(join(tmpdir(), 'windlass-containerd-'));
  const socket = join(directory, 'containerd.sock');
  const endpoint = `unix://${socket}`;
  const bridge = `wlcri${process.pid}`;
  const network = `10.${100 + (process.pid % 100)}.0`;
  const ownDirectory = join(directory, 'net.d');
  if (cniDirectory === undefined) {
    await mkdir(ownDirectory);
    await writeFile(
      join(ownDirectory, '10-windlass.conflist'),
      cniConfig({ podCidr: `${network}.0/24`, name: bridge, dataDirectory: join(directory, 'cni') }),
    );
  }
  await writeFile(join(directory, 'config.toml'), configuration(directory, socket, cniDirectory ?? ownDirectory));
  const tables = await nftTables();
  const chains = await natChains();
  let child: Process | undefined;
  const cleanUp = async () => {
    await child?.stop();
    for (const { target } of listMounts().toReversed()) if (target.startsWith(`${directory}/`)) await unmount(target);
    if (existsSync(`/sys/class/net/${bridge}`)) await run('ip', ['link', 'del', bridge]);
    await removeHostPortChains(chains);
    for (const table of await nftTables())
      if (/^table ip6? nat$/.test(table) && !tables.has(table)) await run('nft', ['delete', ...table.split(' ')]);
    const cgroups = findCgroups();
    if (cgroups) pruneCgroup(cgroups, '/kubepods');
    await rm(directory, { recursive: true, force: true });
  };
  try {
    child = await startProcess(directory, socket);
    await loadImages(directory, socket);
    const runtime = await openCriRuntime({ endpoint, clock: systemClock, log: silentLog });
    return {
      endpoint,
      directory,
      runtime,
      logDirectory: join(directory, 'logs'),
      bridge,
      gateway: `${network}.1`,
      async restart(meanwhile) {
        await child?.stop();
        await meanwhile();
        child = await startProcess(directory, socket);
      },
      async [Symbol.asyncDispose]() {
        for (const { id } of await runtime.listPodSandbox()) await runtime.removePodSandbox(id);
        await runtime[Symbol.asyncDispose]();
        await cleanUp();
      },
    };
  } catch (error) {
    await cleanUp();
    throw error;
  }
}

interface Process {
  stop(): Promise<void>;
}

async function startProcess(directory: string, socket: string): Promise<Process> {
  const args = ['--config', join(directory, 'config.toml')];
  const child = spawn('containerd', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => {
    words = `${words}${chunk}`.slice(-16_384);
  });
  const ended = new Promise<void>(resolve => {
    child.on('exit', () => resolve());
    child.on('error', error => {
      words = error.message;
      resolve();
    });
  });
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await ended;
  };
  for (let attempt = 0; attempt < startAttemptsMax; attempt++) {
    const dead = await Promise.race([ended.then(() => true), wait(startPauseMs, false)]);
    if (dead) break;
    if (await run('ctr', ['--address', socket, 'version']).catch(() => undefined)) return { stop };
  }
  await stop();
  throw new Error(`cannot start containerd: ${words.trim() || 'it does not answer'}`);
}

/** What the portmap plugin makes once and leaves: its chains, and the jumps to them. */
async function removeHostPortChains(before: ReadonlySet<string>): Promise<void> {
  const left = [...(await natChains())].filter(chain => !before.has(chain) && chain.startsWith('CNI-HOSTPORT-'));
  const { stdout } = await run('iptables', ['-t', 'nat', '-S']);
  for (const line of stdout.split('\n'))
    if (line.startsWith('-A ') && left.some(chain => line.includes(`-j ${chain}`)))
      await run('sh', ['-c', `iptables -t nat -D ${line.slice('-A '.length)}`]);
  for (const chain of left) await run('iptables', ['-t', 'nat', '-F', chain]);
  for (const chain of left) await run('iptables', ['-t', 'nat', '-X', chain]);
}

/** The plugins' iptables, and a look with it, make those that are missing. */
async function nftTables(): Promise<ReadonlySet<string>> {
  const { stdout } = await run('nft', ['list', 'tables']);
  return new Set(stdout.split('\n').filter(Boolean));
}

async function natChains(): Promise<ReadonlySet<string>> {
  const { stdout } = await run('iptables', ['-t', 'nat', '-S']);
  return new Set([...stdout.matchAll(/^-N (\S+)/gm)].map(match => match[1] ?? ''));
}

function configuration(directory: string, socket: string, cniDirectory: string): string {
  const cri = 'io.containerd.grpc.v1.cri';
  const plugins = cniPlugins.find(each => existsSync(join(each, 'bridge')));
  return `
version = 2
root = "${directory}/root"
state = "${directory}/state"
disabled_plugins = []
[grpc]
  address = "${socket}"
[ttrpc]
  address = "${socket}.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "${directory}/opt"
[plugins."${cri}"]
  sandbox_image = "${pauseImage}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."${cri}".cni]
    bin_dir = "${plugins}"
    conf_dir = "${cniDirectory}"
`;
}

const pauseImage = 'registry.local/pause:v1';

async function loadImages(directory: string, socket: string): Promise<void> {
  const images = await buildImages();
  // A shell that waits until it is told to end is all that a pause image is.
  const pauses = images.filter(({ name }) => name.startsWith('client')).map(image => ({ ...image, name: pauseImage }));
  const file = join(directory, 'images.tar');
  await pipeline(dockerArchive([...pauses, ...images]), createWriteStream(file));
  await run('ctr', ['--address', socket, '--namespace', 'k8s.io', 'images', 'import', file]);
}
