import { execFile, spawn } from 'node:child_process';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { systemClock } from '#base/clock.ts';
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

export async function startContainerd(): Promise<Containerd> {
  const directory = await mkdtemp(join(tmpdir(), 'windlass-containerd-'));
  const socket = join(directory, 'containerd.sock');
  const logDirectory = join(directory, 'logs');
  const bridge = `wlcri${process.pid}`;
  await mkdir(join(directory, 'net.d'));
  const subnet = `10.${100 + (process.pid % 100)}.0.0/24`;
  await writeFile(
    join(directory, 'net.d', '10-windlass.conflist'),
    cniConfig({ podCidr: subnet, name: bridge, dataDirectory: join(directory, 'cni') }),
  );
  await writeFile(join(directory, 'config.toml'), configuration(directory, socket));
  const child = spawn('containerd', ['--config', join(directory, 'config.toml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => {
    words = `${words}${chunk}`.slice(-65_536);
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
    for (const { target } of listMounts().toReversed()) if (target.startsWith(`${directory}/`)) await unmount(target);
    if (existsSync(`/sys/class/net/${bridge}`)) await run('ip', ['link', 'del', bridge]);
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await ready(socket, ended);
    await loadImages(directory, socket);
    const endpoint = `unix://${socket}`;
    const runtime = await openCriRuntime({ endpoint, clock: systemClock, log: silentLog });
    return {
      endpoint,
      directory,
      runtime,
      logDirectory,
      async [Symbol.asyncDispose]() {
        for (const { id } of await runtime.listPodSandbox()) await runtime.removePodSandbox(id);
        await runtime[Symbol.asyncDispose]();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw new Error(`cannot start containerd: ${words.trim() || 'it does not answer'}`, { cause: error });
  }
}

function configuration(directory: string, socket: string): string {
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
    conf_dir = "${directory}/net.d"
`;
}

const pauseImage = 'registry.local/pause:v1';

async function ready(socket: string, ended: Promise<void>): Promise<void> {
  for (let attempt = 0; attempt < startAttemptsMax; attempt++) {
    const dead = await Promise.race([ended.then(() => true), wait(startPauseMs, false)]);
    if (dead) break;
    if (await run('ctr', ['--address', socket, 'version']).catch(() => undefined)) return;
  }
  throw new Error('it does not answer');
}

async function loadImages(directory: string, socket: string): Promise<void> {
  const images = await buildImages();
  // A shell that waits until it is told to end is all that a pause image is.
  const pauses = images.filter(({ name }) => name.startsWith('client')).map(image => ({ ...image, name: pauseImage }));
  const file = join(directory, 'images.tar');
  await pipeline(dockerArchive([...pauses, ...images]), createWriteStream(file));
  await run('ctr', ['--address', socket, '--namespace', 'k8s.io', 'images', 'import', file]);
}
