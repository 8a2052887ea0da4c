import {
  chownSync,
  existsSync,
  type FSWatcher,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import type { Duplex, Readable } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import {
  type CgroupTree,
  completeHybrid,
  countOomKills,
  findCgroups,
  killCgroup,
  releaseHybrid,
  removeCgroup,
} from '#base/kernel/cgroup.ts';
import {
  bindMount,
  idmappedMount,
  listMounts,
  type MountPoint,
  mountOverlay,
  unmount,
  unmountTree,
  userNamespacesLack,
} from '#base/kernel/mount.ts';
import { Namespaces } from '#base/kernel/namespace.ts';
import { isAlive, sendSignal, spawnToEnd } from '#base/kernel/process.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import { ContainerEvents } from '../events.ts';
import { fitsContainer, fitsSandbox } from '../filter.ts';
import {
  type AttachRequest,
  type AttachSession,
  type AuthConfig,
  type Container,
  type ContainerConfig,
  type ContainerEvent,
  type ContainerEventType,
  type ContainerFilter,
  type ContainerStats,
  type ContainerStatsFilter,
  type ContainerStatus,
  type ExecRequest,
  type ExecSession,
  type ExecSyncResult,
  type IdMapping,
  type Image,
  type ImageFsInfo,
  type ImageLoader,
  type ImageSpec,
  type LinuxContainerResources,
  type Mount,
  type NetworkedSandbox,
  type PodNetwork,
  type PodSandbox,
  type PodSandboxConfig,
  type PodSandboxFilter,
  type PodSandboxStats,
  type PodSandboxStatsFilter,
  type PodSandboxStatus,
  type Runtime,
  type RuntimeConfig,
  RuntimeError,
  type RuntimeStatus,
  type RuntimeVersion,
} from '../runtime.ts';
import { attachTo } from './attach.ts';
import { withCdiDevices } from './cdi.ts';
import { decideCapabilities } from './capabilities.ts';
import { findDevices } from './devices.ts';
import { execIn, execToEnd } from './exec.ts';
import { Filters } from './filters.ts';
import { Images, type ResolvedImage } from './images/images.ts';
import type { HostConfig, Registries } from './images/registries.ts';
import { readBootId, readMachine } from './machine.ts';
import {
  buildSandbox,
  dismantleSandbox,
  eraseSandbox,
  hostnameOf,
  limitPod,
  podCgroup,
  removeReachableRoot,
  startPause,
} from './sandbox.ts';
import { defaultSeccompProfile } from './seccomp-default.ts';
import { compileSeccomp, parseSeccompProfile } from './seccomp.ts';
import {
  abandonLaunch,
  findLaunched,
  findShim,
  isWaiting,
  launch,
  type Programs,
  release,
  reopenLog,
  retireAgent,
  succeedAgent,
} from './shim.ts';
import { makeSpec, type Machine, type OciSpec, ownNamespaces, resourcesOf } from './spec.ts';
import {
  type ContainerRecord,
  layout,
  type Layout,
  makeLayout,
  reachableRoot,
  reachableRoots,
  readRecord,
  readRecords,
  type SandboxRecord,
  writeRecord,
} from './state.ts';
import { measureContainer, measureSandbox, type UsageHistory } from './stats.ts';
import { resolveUser } from './user.ts';

export interface OciRuntimeOptions {
  /** Everything of the runtime is below it; every process it starts has it in its arguments. */
  readonly root: string;
  readonly network: PodNetwork;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly version: string;
  readonly registries?: Registries;
  /** For a node in a network namespace: how it reaches registries on the machine's loopback. */
  readonly connectLoopback?: HostConfig['connectLoopback'];
  readonly programs?: Programs;
  /** Where the files of the Container Device Interface are; absent: the usual places. */
  readonly cdiDirectories?: readonly string[];
}

/** Why the embedded runtime cannot run here, in one sentence each; empty when it can. */
export async function missingForOci(programs: Programs = defaultPrograms): Promise<readonly string[]> {
  if (process.platform !== 'linux') return ['containers need Linux'];
  const missing: string[] = [];
  if (process.getuid?.() !== 0) missing.push('containers need root');
  for (const program of Object.values(programs)) {
    const found = await spawnToEnd(program, ['--version']).catch(() => undefined);
    if (found?.exitCode !== 0) missing.push(`the program ${program} is missing`);
  }
  if (missing.length === 0 && !findCgroups()) missing.push('control groups are not mounted');
  return missing;
}

export const defaultPrograms: Programs = { conmon: 'conmon', crun: 'crun' };

/** What a RuntimeClass may name: crun, which is also what runs where none is named. */
const handlers: readonly string[] = ['', 'crun'];

/** Opens the runtime on its data directory and takes over whatever runs there. */
export async function openOciRuntime(options: OciRuntimeOptions): Promise<OciRuntime> {
  const missing = await missingForOci(options.programs);
  if (missing.length > 0) throw new RuntimeError('FailedPrecondition', `cannot run containers: ${missing.join(', ')}`);
  const programs = await resolvePrograms(options.programs ?? defaultPrograms);
  const at = layout(options.root);
  makeLayout(at);
  await completeHybrid();
  const cgroups = findCgroups();
  if (!cgroups) throw new RuntimeError('FailedPrecondition', 'cannot run containers: control groups are not mounted');
  const images = await Images.open({ ...options, directory: at.images });
  const runtime = new OciRuntime(options, programs, at, cgroups, images);
  await runtime.takeOver();
  return runtime;
}

/** conmon needs crun's path, not its name. */
async function resolvePrograms(programs: Programs): Promise<Programs> {
  const find = async (name: string) => {
    if (isAbsolute(name)) return name;
    for (const directory of (process.env.PATH ?? '').split(':')) {
      const path = join(directory, name);
      if (statSync(path, { throwIfNoEntry: false })?.isFile()) return path;
    }
    throw new RuntimeError('FailedPrecondition', `cannot run containers: the program ${name} is missing`);
  };
  return { conmon: await find(programs.conmon), crun: await find(programs.crun) };
}

/** How often running containers are looked at whose shim may have been killed; exits are seen at once by other means. */
const sweepIntervalMs = 10_000;
/** A killed process that does not go away sits in the kernel; the caller tries again. */
const killTimeoutMs = 30_000;
const cgroupRetryMs = 20;
const cgroupAttemptsMax = 250;
const passwdBytesMax = 1024 * 1024;

export class OciRuntime implements Runtime, ImageLoader {
  readonly #options: OciRuntimeOptions;
  readonly #programs: Programs;
  readonly #at: Layout;
  readonly #cgroups: CgroupTree;
  readonly #machine: Machine;
  readonly #images: Images;
  readonly #filters: Filters;
  readonly #namespaces = new Namespaces();
  readonly #events = new ContainerEvents();
  readonly #bootId = readBootId();
  readonly #userNamespacesLack = userNamespacesLack();
  readonly #nodeName = hostname();
  readonly #sandboxes = new Map<string, SandboxRecord>();
  readonly #containers = new Map<string, ContainerRecord>();
  /** Containers by sandbox. */
  readonly #members = new Map<string, Set<string>>();
  readonly #exitWaiters = new Map<string, (() => void)[]>();
  readonly #removals = new Map<string, Promise<void>>();
  readonly #usage: UsageHistory = new Map();
  #watcher: FSWatcher | undefined;
  #cancelSweep: (() => void) | undefined;

  /** Use `openOciRuntime`. */
  constructor(options: OciRuntimeOptions, programs: Programs, at: Layout, cgroups: CgroupTree, images: Images) {
    this.#options = options;
    this.#programs = programs;
    this.#at = at;
    this.#cgroups = cgroups;
    this.#machine = readMachine(cgroups);
    this.#images = images;
    this.#filters = new Filters(at.root);
  }

  /** Finds what an earlier process of ours left: running containers go on, what was half-made is cleaned away. */
  async takeOver(): Promise<void> {
    await succeedAgent(this.#at, attempt => this.#retry(attempt));
    this.#namespaces.warm();
    const { granted } = decideCapabilities(undefined, false, this.#machine.capabilities);
    this.#filters.compile(compileSeccomp(defaultSeccompProfile, granted));
    const mounted = new Set(listMounts().map(point => point.target));
    const sandboxes = readRecords<SandboxRecord>(this.#at.sandboxes, 'sandbox.json');
    const containers = readRecords<ContainerRecord>(this.#at.containers, 'container.json');
    for (const record of sandboxes.records) {
      this.#sandboxes.set(record.id, record);
      this.#members.set(record.id, new Set());
    }
    // Before anything else: an exit that happens from here on is seen.
    this.#watchExits();
    for (const record of containers.records)
      if (this.#sandboxes.has(record.podSandboxId)) await this.#adoptContainer(record);
      else await this.#eraseContainer(record.id, record);
    for (const id of containers.halfMade) {
      await abandonLaunch(id, attempt => this.#retry(attempt));
      await this.#eraseContainer(id, readRecord<ContainerRecord>(this.#at.container(id).record));
    }
    for (const id of sandboxes.halfMade) {
      const record = readRecord<SandboxRecord>(this.#at.sandbox(id).record);
      await abandonLaunch(id, attempt => this.#retry(attempt));
      await this.#eraseSandbox(id, record);
    }
    for (const record of sandboxes.records) {
      const own = ownNamespaces(record.config);
      const lost = record.bootId !== this.#bootId || (own.net && !mounted.has(this.#at.sandbox(record.id).net));
      if (record.phase === 'ready' && lost) await this.stopPodSandbox(record.id);
    }
    await this.#eraseLeaks();
    await this.#options.network.reconcile?.(
      [...this.#sandboxes.values()].map(record => this.#networked(record)).filter(sandbox => sandbox !== undefined),
    );
    this.#images.keepSnapshots(() => this.#snapshotsInUse());
    await this.#images.collectGarbage();
    this.#sweepLater();
  }

  async version(): Promise<RuntimeVersion> {
    return {
      version: '0.1.0',
      runtimeName: 'windlass',
      runtimeVersion: this.#options.version,
      runtimeApiVersion: 'v1',
    };
  }

  async status(): Promise<RuntimeStatus> {
    const notReady = this.#options.network.notReady?.();
    return {
      conditions: [
        { type: 'RuntimeReady', status: true, reason: '', message: '' },
        {
          type: 'NetworkReady',
          status: notReady === undefined,
          reason: notReady === undefined ? '' : 'NetworkPluginNotReady',
          message: notReady ?? '',
        },
      ],
      runtimeHandlers: handlers.map(name => ({
        name,
        features: { recursiveReadOnlyMounts: true, userNamespaces: this.#userNamespacesLack === undefined },
      })),
      features: { supplementalGroupsPolicy: true },
    };
  }

  async runtimeConfig(): Promise<RuntimeConfig> {
    return { linux: { cgroupDriver: 'cgroupfs' } };
  }

  async updateRuntimeConfig({ podCidrs }: { readonly podCidrs: readonly string[] }): Promise<void> {
    await this.#options.network.updatePodCidrs?.(podCidrs);
  }

  async runPodSandbox(config: PodSandboxConfig, runtimeHandler = '', signal?: AbortSignal): Promise<string> {
    signal?.throwIfAborted();
    if (!handlers.includes(runtimeHandler))
      throw new RuntimeError('InvalidArgument', `no runtime for "${runtimeHandler}" is configured`);
    const { user } = ownNamespaces(config);
    if (user && this.#userNamespacesLack !== undefined)
      throw new RuntimeError('Unimplemented', `user namespaces are not supported here: ${this.#userNamespacesLack}`);
    if (user && !ownNamespaces(config).net)
      throw new RuntimeError('InvalidArgument', 'a pod on the host’s network cannot have users of its own');
    const id = this.#newId();
    const paths = this.#at.sandbox(id);
    let record: SandboxRecord = {
      id,
      config,
      runtimeHandler,
      createdAtMs: this.#options.clock.now(),
      bootId: this.#bootId,
      phase: 'creating',
      ips: [],
    };
    mkdirSync(paths.directory, { mode: 0o711 });
    writeRecord(paths.record, record);
    try {
      // Another cluster on this machine may have taken it back when it ended; a group in it keeps it from then on.
      await completeHybrid();
      await buildSandbox(this.#at, id, config, {
        namespaces: this.#namespaces,
        cgroups: this.#cgroups,
        nodeName: this.#nodeName,
      });
      signal?.throwIfAborted();
      if (config.linux?.securityContext?.namespaceOptions?.pid === 'pod')
        record = { ...record, pause: await startPause(this.#programs, this.#at, id, config) };
      if (ownNamespaces(config).net) {
        const { ips } = await this.#options.network.setup({ id, netnsPath: paths.net, config }, signal);
        record = { ...record, ips };
      }
      signal?.throwIfAborted();
    } catch (error) {
      await this.#eraseSandbox(id, record);
      throw error;
    }
    this.#members.set(id, new Set());
    this.#saveSandbox({ ...record, phase: 'ready' });
    this.#publish('started', id, id);
    return id;
  }

  async stopPodSandbox(podSandboxId: string): Promise<void> {
    const record = this.#sandboxes.get(podSandboxId);
    if (!record) return;
    await Promise.all([...this.#membersOf(podSandboxId)].map(id => this.stopContainer(id, 0)));
    if (record.phase === 'notReady') return;
    const own = ownNamespaces(record.config);
    if (own.net) {
      const netnsPath = this.#networked(record)?.netnsPath;
      await this.#options.network.teardown({ id: record.id, config: record.config, netnsPath });
    }
    await dismantleSandbox(this.#at, record.id, record.config, this.#cgroups, record.pause);
    if (!this.#sandboxes.has(podSandboxId)) return;
    this.#saveSandbox({ ...record, phase: 'notReady', ips: [] });
    this.#publish('stopped', record.id, record.id);
  }

  async removePodSandbox(podSandboxId: string): Promise<void> {
    if (!this.#sandboxes.has(podSandboxId)) return;
    await this.#once(podSandboxId, async () => {
      await this.stopPodSandbox(podSandboxId);
      for (const id of this.#membersOf(podSandboxId)) await this.removeContainer(id);
      const record = this.#sandboxes.get(podSandboxId);
      if (!record) return;
      await this.#eraseSandbox(podSandboxId, record);
      this.#sandboxes.delete(podSandboxId);
      this.#members.delete(podSandboxId);
      this.#usage.delete(podSandboxId);
      this.#publish('deleted', podSandboxId, podSandboxId);
    });
  }

  async podSandboxStatus(podSandboxId: string): Promise<PodSandboxStatus> {
    return this.#sandboxStatus(this.#sandbox(podSandboxId));
  }

  async listPodSandbox(filter?: PodSandboxFilter): Promise<readonly PodSandbox[]> {
    const all = [...this.#sandboxes.values()].map(record => sandboxOf(record));
    return all.filter(sandbox => fitsSandbox(sandbox, filter));
  }

  async updatePodSandboxResources(podSandboxId: string, resources: LinuxContainerResources): Promise<void> {
    const record = this.#sandbox(podSandboxId);
    limitPod(this.#cgroups, podCgroup(record.id, record.config), resources);
  }

  async createContainer(
    podSandboxId: string,
    config: ContainerConfig,
    sandboxConfig: PodSandboxConfig,
    signal?: AbortSignal,
  ): Promise<string> {
    signal?.throwIfAborted();
    const sandbox = this.#readySandbox(podSandboxId);
    const image = await this.#images.resolve(config.image);
    const id = this.#newId();
    const paths = this.#at.container(id);
    let record: ContainerRecord = {
      id,
      podSandboxId: sandbox.id,
      config,
      imageId: image.id,
      imageRef: image.reference,
      snapshots: image.snapshots,
      user: { uid: 0, gid: 0, supplementalGroups: [] },
      stopSignal: config.stopSignal || image.config.stopSignal || 'SIGTERM',
      logPath: logPathOf(config, sandboxConfig),
      cgroupPath: join(podCgroup(sandbox.id, sandbox.config), id),
      createdAtMs: this.#options.clock.now(),
      bootId: this.#bootId,
      phase: 'creating',
      startedAtMs: 0,
      finishedAtMs: 0,
      exitCode: 0,
      reason: '',
      message: '',
    };
    for (const directory of [paths.directory, paths.rootfs, paths.upper, paths.work])
      mkdirSync(directory, { mode: directory === paths.directory ? 0o711 : 0o755 });
    writeRecord(paths.record, record);
    try {
      await this.#mountRootfs(id, image, sandbox);
      record = { ...record, user: await this.#resolveUser(paths.rootfs, config, image) };
      const spec = await this.#makeSpec(record, image, sandbox);
      writeFileSync(paths.spec, JSON.stringify(spec), { mode: 0o600 });
      signal?.throwIfAborted();
      this.#readySandbox(podSandboxId);
    } catch (error) {
      await this.#eraseContainer(id, record);
      throw error;
    }
    this.#membersOf(sandbox.id).add(id);
    this.#saveContainer({ ...record, phase: 'created' });
    this.#publish('created', id, sandbox.id);
    return id;
  }

  async startContainer(containerId: string, signal?: AbortSignal): Promise<void> {
    const record = this.#container(containerId);
    if (record.phase !== 'created')
      throw new RuntimeError('FailedPrecondition', `container "${containerId}" is in state ${record.phase}`);
    this.#readySandbox(record.podSandboxId);
    const { id, config, logPath } = record;
    try {
      // Another cluster on this machine may have taken it back when it ended.
      await completeHybrid();
      if (logPath) mkdirSync(dirname(logPath), { recursive: true });
      const process = await launch(
        this.#programs,
        this.#at,
        {
          id,
          logPath,
          stdin: config.stdin ?? false,
          stdinOnce: config.stdinOnce ?? false,
          tty: config.tty ?? false,
        },
        signal,
      );
      // The pod may have been stopped meanwhile.
      this.#readySandbox(record.podSandboxId);
      // Written before the start, so that whatever ran is known to have run.
      this.#saveContainer({ ...record, process, phase: 'running', startedAtMs: this.#options.clock.now() });
      release(this.#at, id);
    } catch (error) {
      await this.#failStart(record, error);
      throw error;
    }
    this.#publish('started', id, record.podSandboxId);
  }

  async stopContainer(containerId: string, timeoutSeconds: number, signal?: AbortSignal): Promise<void> {
    const record = this.#containers.get(containerId);
    if (record?.phase !== 'running' || !record.process) return;
    const exited = this.#exited(record.id);
    if (timeoutSeconds > 0) {
      sendSignal(record.process, signalNumber(record.stopSignal));
      if (await this.#within(exited, timeoutSeconds * 1000, signal)) return;
    }
    this.#kill(record);
    if (await this.#within(exited, killTimeoutMs, signal)) return;
    throw new RuntimeError('DeadlineExceeded', `cannot kill container "${containerId}": its process does not end`);
  }

  async removeContainer(containerId: string): Promise<void> {
    if (!this.#containers.has(containerId)) return;
    await this.#once(containerId, async () => {
      await this.stopContainer(containerId, 0);
      const record = this.#containers.get(containerId);
      if (!record) return;
      this.#containers.delete(containerId);
      this.#members.get(record.podSandboxId)?.delete(containerId);
      this.#usage.delete(containerId);
      await this.#eraseContainer(containerId, record);
      this.#publish('deleted', containerId, record.podSandboxId);
    });
  }

  async listContainers(filter?: ContainerFilter): Promise<readonly Container[]> {
    const all = [...this.#containers.values()].map(record => containerOf(record));
    return all.filter(container => fitsContainer(container, filter));
  }

  async containerStatus(containerId: string): Promise<ContainerStatus> {
    return statusOf(this.#container(containerId));
  }

  async updateContainerResources(containerId: string, resources: LinuxContainerResources): Promise<void> {
    const record = this.#container(containerId);
    const merged = { ...record.config.linux?.resources, ...resources };
    const config = { ...record.config, linux: { ...record.config.linux, resources: merged } };
    if (record.phase === 'running') {
      const paths = this.#at.container(containerId);
      const file = join(paths.directory, 'resources.json');
      writeFileSync(file, JSON.stringify(resourcesOf(resources, this.#machine)));
      const args = [`--root=${this.#at.crun}`, 'update', '--resources', file, containerId];
      const { exitCode, stderr } = await spawnToEnd(this.#programs.crun, args);
      if (exitCode !== 0)
        throw new RuntimeError('Internal', `cannot update container "${containerId}": ${stderr.toString().trim()}`);
    } else if (record.phase === 'created') {
      const paths = this.#at.container(containerId);
      const spec = JSON.parse(readFileSync(paths.spec, 'utf8')) as OciSpec;
      const wanted = { ...spec.linux.resources, ...resourcesOf(merged, this.#machine) };
      writeFileSync(paths.spec, JSON.stringify({ ...spec, linux: { ...spec.linux, resources: wanted } }));
    }
    this.#saveContainer({ ...this.#container(containerId), config });
  }

  async reopenContainerLog(containerId: string): Promise<void> {
    const record = this.#runningContainer(containerId);
    if (record.logPath) reopenLog(this.#at, containerId);
  }

  async containerStats(containerId: string): Promise<ContainerStats> {
    return this.#containerStats(this.#container(containerId));
  }

  async listContainerStats(filter?: ContainerStatsFilter): Promise<readonly ContainerStats[]> {
    const fitting = [...this.#containers.values()].filter(record => fitsContainer(containerOf(record), filter));
    return Promise.all(fitting.map(record => this.#containerStats(record)));
  }

  async podSandboxStats(podSandboxId: string): Promise<PodSandboxStats> {
    return this.#sandboxStats(this.#sandbox(podSandboxId));
  }

  async listPodSandboxStats(filter?: PodSandboxStatsFilter): Promise<readonly PodSandboxStats[]> {
    const fitting = [...this.#sandboxes.values()].filter(record => fitsSandbox(sandboxOf(record), filter));
    return Promise.all(fitting.map(record => this.#sandboxStats(record)));
  }

  async execSync(
    containerId: string,
    command: readonly string[],
    timeoutSeconds = 0,
    signal?: AbortSignal,
  ): Promise<ExecSyncResult> {
    const record = this.#runningContainer(containerId);
    return execToEnd(this.#exec(record), command, timeoutSeconds * 1000, this.#options.clock, signal);
  }

  async exec(containerId: string, request: ExecRequest, signal?: AbortSignal): Promise<ExecSession> {
    const record = this.#runningContainer(containerId);
    return execIn(this.#exec(record), request, signal);
  }

  async attach(containerId: string, request: AttachRequest, signal?: AbortSignal): Promise<AttachSession> {
    const record = this.#runningContainer(containerId);
    const ended = this.#exited(containerId);
    const tty = record.config.tty ?? false;
    return attachTo(this.#at, containerId, { ...request, tty }, ended, this.#options.clock, signal);
  }

  async portForward(podSandboxId: string, port: number): Promise<Duplex> {
    const record = this.#readySandbox(podSandboxId);
    const own = ownNamespaces(record.config);
    const netns = own.net ? this.#at.sandbox(record.id).net : '/proc/self/ns/net';
    return this.#namespaces.connect(netns, port).catch((cause: unknown) => {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new RuntimeError('Unavailable', `failed to connect to localhost:${port} inside the pod: ${why}`, { cause });
    });
  }

  events(signal: AbortSignal): AsyncIterable<ContainerEvent> {
    return this.#events.subscribe(signal);
  }

  listImages(filter?: { readonly image?: ImageSpec }): Promise<readonly Image[]> {
    return this.#images.list(filter?.image);
  }

  imageStatus(image: ImageSpec): Promise<Image | undefined> {
    return this.#images.status(image);
  }

  pullImage(
    image: ImageSpec,
    auth?: AuthConfig,
    _sandboxConfig?: PodSandboxConfig,
    signal?: AbortSignal,
  ): Promise<string> {
    return this.#images.pull(image, auth, signal);
  }

  removeImage(image: ImageSpec): Promise<void> {
    return this.#images.remove(image);
  }

  imageFsInfo(): Promise<ImageFsInfo> {
    return this.#images.fileSystems(this.#at.containers);
  }

  loadImage(archive: Readable, signal?: AbortSignal): Promise<readonly string[]> {
    return this.#images.load(archive, signal);
  }

  /** Ends the service. Containers go on running. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancelSweep?.();
    this.#watcher?.close();
    this.#events.end();
    await this.#images[Symbol.asyncDispose]();
    await this.#namespaces[Symbol.asyncDispose]();
    retireAgent(this.#at);
    if (this.#sandboxes.size === 0) await releaseHybrid();
  }

  #newId(): string {
    return Buffer.from(this.#options.random.bytes(32)).toString('hex');
  }

  #sandbox(id: string): SandboxRecord {
    const record = this.#sandboxes.get(id);
    if (record) return record;
    throw new RuntimeError('NotFound', `an error occurred when try to find sandbox "${id}": not found`);
  }

  #readySandbox(id: string): SandboxRecord {
    const record = this.#sandbox(id);
    if (record.phase === 'ready') return record;
    throw new RuntimeError('FailedPrecondition', `sandbox "${id}" is not ready`);
  }

  #container(id: string): ContainerRecord {
    const record = this.#containers.get(id);
    if (record) return record;
    throw new RuntimeError('NotFound', `an error occurred when try to find container "${id}": not found`);
  }

  #runningContainer(id: string): ContainerRecord {
    const record = this.#container(id);
    if (record.phase === 'running') return record;
    throw new RuntimeError('FailedPrecondition', `container "${id}" is not running: it is ${record.phase}`);
  }

  #membersOf(podSandboxId: string): Set<string> {
    return this.#members.get(podSandboxId) ?? new Set();
  }

  #saveSandbox(record: SandboxRecord): void {
    writeRecord(this.#at.sandbox(record.id).record, record);
    this.#sandboxes.set(record.id, record);
  }

  #saveContainer(record: ContainerRecord): void {
    writeRecord(this.#at.container(record.id).record, record);
    this.#containers.set(record.id, record);
  }

  /** The file is written by the kernel's clock, so its age is the container's. */
  #networked(record: SandboxRecord): NetworkedSandbox | undefined {
    if (record.phase !== 'ready' || record.bootId !== this.#bootId || !ownNamespaces(record.config).net)
      return undefined;
    return { id: record.id, netnsPath: this.#at.sandbox(record.id).net, config: record.config };
  }

  #sandboxStatus(record: SandboxRecord): PodSandboxStatus {
    const [ip = '', ...additionalIps] = record.ips;
    return {
      ...sandboxOf(record),
      network: { ip, additionalIps },
      linux: { namespaces: record.config.linux?.securityContext?.namespaceOptions ?? {} },
      netnsPath: this.#networked(record)?.netnsPath,
    };
  }

  #publish(type: ContainerEventType, containerId: string, podSandboxId: string): void {
    if (!this.#events.hasReaders) return;
    const sandbox = this.#sandboxes.get(podSandboxId);
    const containers = [...this.#membersOf(podSandboxId)].map(id => this.#containers.get(id));
    this.#events.publish({
      type,
      containerId,
      podSandboxId,
      createdAtMs: this.#options.clock.now(),
      podSandboxStatus: sandbox && this.#sandboxStatus(sandbox),
      containersStatuses: containers.filter(record => record !== undefined).map(statusOf),
    });
  }

  /** Two callers who remove the same thing wait for one removal. */
  #once(id: string, remove: () => Promise<void>): Promise<void> {
    const running = this.#removals.get(id);
    if (running) return running;
    const removal = remove().finally(() => this.#removals.delete(id));
    this.#removals.set(id, removal);
    return removal;
  }

  async #mountRootfs(id: string, image: ResolvedImage, sandbox: SandboxRecord): Promise<void> {
    const { rootfs, upper, work, shifted } = this.#at.container(id);
    const { user } = ownNamespaces(sandbox.config);
    // What the container writes belongs to the pod's users on the disk.
    if (user) for (const directory of [upper, work]) chownSync(directory, hostIdOf(user.uids), hostIdOf(user.gids));
    await this.#withLayers(image, sandbox, shifted, lower =>
      mountOverlay({ target: rootfs, lower, upper: { directory: upper, work } }),
    );
    if (!user) return;
    const reachable = reachableRoot(this.#at, id);
    mkdirSync(reachable, { recursive: true, mode: 0o711 });
    await bindMount(rootfs, reachable);
  }

  /** Hands the layers of an image to `run`; in a pod with users of its own they belong to those. */
  async #withLayers(
    image: ResolvedImage,
    sandbox: SandboxRecord,
    directory: string,
    run: (lower: readonly string[]) => Promise<void>,
  ): Promise<void> {
    const lower = image.snapshots.map(name => this.#images.snapshotDirectory(name));
    if (!ownNamespaces(sandbox.config).user) return run(lower);
    const namespace = this.#at.sandbox(sandbox.id).user;
    const shifted = lower.map((_, index) => join(directory, String(index)));
    try {
      for (const [index, target] of shifted.entries()) {
        mkdirSync(target, { recursive: true });
        idmappedMount(lower[index] ?? '', target, namespace);
      }
      await run(shifted);
    } finally {
      // What was made of them holds them itself.
      for (const target of shifted) await unmount(target);
    }
  }

  async #resolveUser(rootfs: string, config: ContainerConfig, image: ResolvedImage) {
    const security = config.linux?.securityContext;
    const [passwd, group] = await Promise.all([
      this.#images.readInside(rootfs, 'etc/passwd', passwdBytesMax),
      this.#images.readInside(rootfs, 'etc/group', passwdBytesMax),
    ]);
    return resolveUser(security, image.config.user, { passwd, group });
  }

  async #makeSpec(record: ContainerRecord, image: ResolvedImage, sandbox: SandboxRecord): Promise<OciSpec> {
    const { config } = record;
    const security = config.linux?.securityContext;
    const own = ownNamespaces(sandbox.config);
    const files = this.#at.sandbox(sandbox.id);
    const spec = makeSpec({
      machine: this.#machine,
      config,
      image: image.config,
      user: record.user,
      rootfs: own.user ? reachableRoot(this.#at, record.id) : this.#at.container(record.id).rootfs,
      cgroupPath: record.cgroupPath,
      namespaces: {
        ...(own.net ? { net: files.net } : {}),
        ...(own.ipc ? { ipc: files.ipc } : {}),
        ...(own.uts ? { uts: files.uts } : {}),
        ...(own.user && { user: { path: files.user, ids: own.user } }),
        ...this.#processNamespace(config, sandbox),
      },
      hostname: hostnameOf(sandbox.config, this.#nodeName),
      files: { ...files, shm: own.ipc ? files.shm : '/dev/shm' },
      mounts: await this.#prepareMounts(record, sandbox),
      devices: await findDevices(config.devices ?? [], security?.privileged ?? false),
      seccomp: await this.#seccomp(config),
    });
    return this.#filters.precompile(withCdiDevices(spec, config.cdiDevices ?? [], this.#options.cdiDirectories));
  }

  #processNamespace(config: ContainerConfig, sandbox: SandboxRecord): { pid?: string } {
    const options = config.linux?.securityContext?.namespaceOptions;
    switch (options?.pid) {
      case 'node':
        return {};
      case 'pod':
        if (!sandbox.pause) throw new RuntimeError('InvalidArgument', 'the sandbox shares no process namespace');
        return { pid: `/proc/${sandbox.pause.pid}/ns/pid` };
      case 'target': {
        const target = this.#container(options.targetId ?? '');
        if (target.podSandboxId !== sandbox.id)
          throw new RuntimeError('InvalidArgument', `container "${target.id}" is in another sandbox`);
        return { pid: `/proc/${this.#runningContainer(target.id).process?.pid}/ns/pid` };
      }
      default:
        return { pid: 'new' };
    }
  }

  async #seccomp(config: ContainerConfig) {
    const profile = config.linux?.securityContext?.seccomp;
    if (profile === undefined || profile.profileType === 'unconfined') return undefined;
    if (profile.profileType === 'runtimeDefault')
      return (capabilities: readonly string[]) => compileSeccomp(defaultSeccompProfile, capabilities);
    const path = profile.localhostRef ?? '';
    const text = await readFile(path, 'utf8').catch((cause: unknown) => {
      throw new RuntimeError('InvalidArgument', `cannot load seccomp profile "${path}"`, { cause });
    });
    const parsed = parseSeccompProfile(text, path);
    return (capabilities: readonly string[]) => compileSeccomp(parsed, capabilities);
  }

  /** Sources that are missing are made, as upstream's runtimes do; image volumes become read-only directories. */
  async #prepareMounts(record: ContainerRecord, sandbox: SandboxRecord): Promise<readonly Mount[]> {
    const { volumes } = this.#at.container(record.id);
    const prepared: Mount[] = [];
    for (const [index, mount] of (record.config.mounts ?? []).entries()) {
      if (mount.image) {
        const image = await this.#images.resolve(mount.image);
        const target = join(volumes, String(index));
        const hostPath = await this.#mountImage(target, image, mount.imageSubPath ?? '', sandbox);
        prepared.push({ ...mount, hostPath, readonly: true });
        continue;
      }
      if (!isAbsolute(mount.hostPath))
        throw new RuntimeError('InvalidArgument', `the host path of ${mount.containerPath} is not absolute`);
      if (!statSync(mount.hostPath, { throwIfNoEntry: false })) mkdirSync(mount.hostPath, { recursive: true });
      checkPropagation(mount);
      const { user } = ownNamespaces(sandbox.config);
      prepared.push(mount.idMapped && user ? this.#shifted(mount, join(volumes, String(index)), sandbox) : mount);
    }
    return prepared;
  }

  /** The same mount with its owners shifted; crun would ask for the users of a process that may not have them yet. */
  #shifted(mount: Mount, target: string, sandbox: SandboxRecord): Mount {
    mkdirSync(statSync(mount.hostPath).isDirectory() ? target : dirname(target), { recursive: true });
    if (!existsSync(target)) writeFileSync(target, '');
    try {
      idmappedMount(mount.hostPath, target, this.#at.sandbox(sandbox.id).user, { recursive: true });
    } catch (cause) {
      const why = 'its file system cannot shift owners, which a pod with users of its own needs';
      throw new RuntimeError('FailedPrecondition', `cannot mount ${mount.hostPath} at ${mount.containerPath}: ${why}`, {
        cause,
      });
    }
    return { ...mount, hostPath: target };
  }

  async #mountImage(target: string, image: ResolvedImage, subPath: string, sandbox: SandboxRecord): Promise<string> {
    mkdirSync(target, { recursive: true });
    await this.#withLayers(image, sandbox, `${target}-shifted`, async lower => {
      const [only] = lower;
      if (lower.length === 1 && only) await bindMount(only, target, { readonly: true });
      else await mountOverlay({ target, lower });
    });
    return this.#images.resolveInside(target, subPath);
  }

  async #failStart(record: ContainerRecord, error: unknown): Promise<void> {
    const { id } = record;
    const process = findLaunched(this.#at, id);
    const shim = findShim(this.#at, id);
    if (process) sendSignal(process, 'SIGKILL');
    if (shim) sendSignal(shim, 'SIGKILL');
    const now = this.#options.clock.now();
    this.#saveContainer({
      ...record,
      phase: 'exited',
      startedAtMs: now,
      finishedAtMs: now,
      // As containerd: 128 and StartError for what never ran.
      exitCode: 128,
      reason: 'StartError',
      message: error instanceof Error ? error.message : String(error),
    });
    await this.#releaseContainer(record);
    this.#settleExit(id);
  }

  #kill(record: ContainerRecord): void {
    if (record.process) sendSignal(record.process, 'SIGKILL');
    killCgroup(this.#cgroups, record.cgroupPath);
  }

  #exec(record: ContainerRecord) {
    return { at: this.#at, crun: this.#programs.crun, id: record.id };
  }

  #watchExits(): void {
    this.#watcher = watch(this.#at.exits, (_, name) => {
      if (name && this.#containers.has(name)) this.#noticeExit(name);
    });
    this.#watcher.on('error', cause => this.#options.log.error('cannot watch for exits', { cause }));
    this.#watcher.unref();
  }

  /** Reads the exit code that conmon left, if it did. */
  #noticeExit(id: string): boolean {
    const record = this.#containers.get(id);
    if (record?.phase !== 'running') return false;
    const file = join(this.#at.exits, id);
    const found = statSync(file, { throwIfNoEntry: false });
    if (!found) return false;
    const text = readFileSync(file, 'utf8');
    if (text === '') return false;
    this.#finish(record, Number.parseInt(text, 10), found.mtimeMs);
    return true;
  }

  #finish(record: ContainerRecord, exitCode: number, finishedAtMs: number, lost?: string): void {
    const killed =
      countOomKills(this.#cgroups, record.cgroupPath) > 0 ||
      statSync(this.#at.container(record.id).oom, { throwIfNoEntry: false }) !== undefined;
    const reason = killed ? 'OOMKilled' : exitCode === 0 ? 'Completed' : 'Error';
    this.#saveContainer({
      ...record,
      phase: 'exited',
      exitCode,
      // A clock of coarse file times may be a tick behind the start.
      finishedAtMs: Math.max(finishedAtMs, record.startedAtMs),
      reason: lost === undefined ? reason : 'ContainerStatusUnknown',
      message: lost ?? '',
    });
    rmSync(join(this.#at.exits, record.id), { force: true });
    this.#settleExit(record.id);
    this.#publish('stopped', record.id, record.podSandboxId);
    this.#releaseContainer(record).catch((cause: unknown) =>
      this.#options.log.warn('cannot release an exited container yet', { container: record.id, cause }),
    );
  }

  #settleExit(id: string): void {
    for (const resolve of this.#exitWaiters.get(id) ?? []) resolve();
    this.#exitWaiters.delete(id);
  }

  #exited(id: string): Promise<void> {
    if (this.#containers.get(id)?.phase !== 'running') return Promise.resolve();
    return new Promise(resolve => {
      const waiters = this.#exitWaiters.get(id);
      if (waiters) waiters.push(resolve);
      else this.#exitWaiters.set(id, [resolve]);
    });
  }

  async #within(done: Promise<void>, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    const timer = new AbortController();
    const stop = signal ? AbortSignal.any([timer.signal, signal]) : timer.signal;
    try {
      return await Promise.race([done.then(() => true), this.#options.clock.sleep(timeoutMs, stop).then(() => false)]);
    } finally {
      timer.abort();
    }
  }

  /** What an exited container no longer needs: processes, control group, crun's state, mounts. Its files stay. */
  async #releaseContainer(record: ContainerRecord): Promise<void> {
    killCgroup(this.#cgroups, record.cgroupPath);
    const removed = await this.#retry(() => removeCgroup(this.#cgroups, record.cgroupPath));
    rmSync(join(this.#at.crun, record.id), { recursive: true, force: true });
    await removeReachableRoot(this.#at, record.id);
    await unmountTree(this.#at.container(record.id).directory);
    if (!removed) throw new Error(`cannot remove the cgroup ${record.cgroupPath}: it still has processes`);
  }

  /** A killed process leaves its control group a moment later. */
  async #retry(attempt: () => boolean): Promise<boolean> {
    for (let count = 0; count < cgroupAttemptsMax; count++) {
      if (attempt()) return true;
      await this.#options.clock.sleep(cgroupRetryMs);
    }
    return false;
  }

  async #eraseContainer(id: string, record: ContainerRecord | undefined): Promise<void> {
    const process = findLaunched(this.#at, id);
    if (process) sendSignal(process, 'SIGKILL');
    const shim = findShim(this.#at, id);
    if (shim) sendSignal(shim, 'SIGKILL');
    if (record) await this.#releaseContainer(record);
    await removeReachableRoot(this.#at, id);
    await unmountTree(this.#at.container(id).directory);
    rmSync(join(this.#at.crun, id), { recursive: true, force: true });
    rmSync(join(this.#at.exits, id), { force: true });
    await rm(this.#at.container(id).directory, { recursive: true, force: true });
  }

  async #eraseSandbox(id: string, record: SandboxRecord | undefined): Promise<void> {
    if (record && ownNamespaces(record.config).net && record.phase !== 'notReady')
      await this.#options.network.teardown({ id, config: record.config, netnsPath: this.#boundNetns(id) });
    await dismantleSandbox(this.#at, id, record?.config, this.#cgroups, record?.pause);
    const shared = [...this.#sandboxes.values()].some(
      other => record && other.id !== id && podCgroup(other.id, other.config) === podCgroup(id, record.config),
    );
    await eraseSandbox(this.#at, id, shared ? undefined : record?.config, this.#cgroups, attempt =>
      this.#retry(attempt),
    );
  }

  #boundNetns(id: string): string | undefined {
    const path = this.#at.sandbox(id).net;
    return listMounts().some(point => point.target === path) ? path : undefined;
  }

  async #adoptContainer(found: ContainerRecord): Promise<void> {
    this.#membersOf(found.podSandboxId).add(found.id);
    this.#containers.set(found.id, found);
    if (found.phase === 'exited') return;
    if (found.bootId !== this.#bootId) {
      if (found.phase === 'running') this.#finish(found, 255, this.#options.clock.now(), 'the machine was restarted');
      else await this.#remountCreated(found);
      return;
    }
    if (found.phase === 'created') {
      // Killed between launching and starting it: the launched one goes, a new start launches again.
      await this.#discardLaunched(found);
      return;
    }
    if (this.#noticeExit(found.id)) return;
    if (found.process && isWaiting(this.#at, found.id, found.process)) {
      await this.#discardLaunched(found);
      this.#saveContainer({ ...found, phase: 'created', process: undefined, startedAtMs: 0 });
      return;
    }
    this.#checkAlive(found);
  }

  async #discardLaunched(record: ContainerRecord): Promise<void> {
    await abandonLaunch(record.id, attempt => this.#retry(attempt));
    const process = record.process ?? findLaunched(this.#at, record.id);
    if (process) sendSignal(process, 'SIGKILL');
    killCgroup(this.#cgroups, record.cgroupPath);
    await this.#retry(() => removeCgroup(this.#cgroups, record.cgroupPath));
    rmSync(join(this.#at.crun, record.id), { recursive: true, force: true });
    rmSync(join(this.#at.exits, record.id), { force: true });
    const paths = this.#at.container(record.id);
    for (const file of [
      paths.pidFile,
      paths.conmonPidFile,
      paths.attach,
      paths.control,
      join(paths.directory, 'winsz'),
    ])
      rmSync(file, { force: true });
  }

  /** After a reboot a container that never ran would need its mounts again; its sandbox is gone, so it only waits for removal. */
  async #remountCreated(record: ContainerRecord): Promise<void> {
    const now = this.#options.clock.now();
    this.#saveContainer({
      ...record,
      phase: 'exited',
      finishedAtMs: now,
      exitCode: 255,
      reason: 'ContainerStatusUnknown',
      message: 'the machine was restarted',
    });
  }

  /** A container whose process is gone, and whose shim too, has lost its exit code. */
  #checkAlive(record: ContainerRecord): void {
    if (record.phase !== 'running' || !record.process || isAlive(record.process)) return;
    if (this.#noticeExit(record.id) || findShim(this.#at, record.id)) return;
    // The shim may have written between the two looks.
    if (this.#noticeExit(record.id)) return;
    const exitCode = 255;
    this.#finish(record, exitCode, this.#options.clock.now(), 'the process ended and its shim was killed');
  }

  #sweepLater(): void {
    this.#cancelSweep = this.#options.clock.after(sweepIntervalMs, () => {
      for (const record of this.#containers.values()) this.#checkAlive(record);
      this.#sweepLater();
    });
  }

  /** Mounts and crun's state that belong to nothing known. */
  async #eraseLeaks(): Promise<void> {
    const known = (name: string) => this.#containers.has(name) || this.#sandboxes.has(name);
    for (const name of readdirSync(this.#at.crun))
      if (!known(name) && !name.startsWith('.')) rmSync(join(this.#at.crun, name), { recursive: true, force: true });
    for (const name of readdirSync(this.#at.exits))
      if (!this.#containers.has(name)) rmSync(join(this.#at.exits, name), { recursive: true, force: true });
    const reachable = reachableRoots(this.#at);
    for (const name of existsSync(reachable) ? readdirSync(reachable) : [])
      if (!known(name)) await removeReachableRoot(this.#at, name);
    for (const [base, has] of [
      [this.#at.containers, this.#containers],
      [this.#at.sandboxes, this.#sandboxes],
    ] as const)
      for (const { target } of listMounts().toReversed()) {
        const [id] = target.startsWith(`${base}/`) ? target.slice(base.length + 1).split('/') : [];
        if (id !== undefined && !has.has(id)) await unmount(target);
      }
  }

  #snapshotsInUse(): ReadonlySet<string> {
    return new Set([...this.#containers.values()].flatMap(record => record.snapshots));
  }

  #containerStats(record: ContainerRecord): Promise<ContainerStats> {
    const writableLayer = this.#at.container(record.id).upper;
    const now = this.#options.clock.now();
    return measureContainer(this.#cgroups, record, writableLayer, now, this.#usage);
  }

  async #sandboxStats(record: SandboxRecord): Promise<PodSandboxStats> {
    const members = [...this.#membersOf(record.id)].map(id => this.#containers.get(id));
    const running = members.filter(member => member?.phase === 'running') as ContainerRecord[];
    const containers = await Promise.all(running.map(member => this.#containerStats(member)));
    const own = this.#networked(record);
    // Any of the pod's processes shows its network; without one a thread has to go and look.
    const pid = running[0]?.process?.pid;
    const devices = !own
      ? undefined
      : pid === undefined
        ? await this.#namespaces.readFile(own.netnsPath, '/proc/thread-self/net/dev')
        : await readFile(`/proc/${pid}/net/dev`, 'utf8').catch(() => undefined);
    const now = this.#options.clock.now();
    return measureSandbox(this.#cgroups, record, containers, devices, now, this.#usage);
  }
}

/** Mounts can only travel between the host and a container where the host's own mount lets them. */
function checkPropagation({ hostPath, propagation = 'private' }: Mount): void {
  if (propagation === 'private') return;
  const path = realpathSync(hostPath);
  const holds = ({ target }: MountPoint) => target === '/' || path === target || path.startsWith(`${target}/`);
  const holder = listMounts()
    .filter(holds)
    .reduce((one, other) => (other.target.length >= one.target.length ? other : one));
  const isShared = holder.propagation.some(tag => tag.startsWith('shared:'));
  const isSlave = holder.propagation.some(tag => tag.startsWith('master:'));
  if (isShared || (propagation === 'hostToContainer' && isSlave)) return;
  const wanted = propagation === 'bidirectional' ? 'a shared mount' : 'a shared or slave mount';
  throw new RuntimeError(
    'FailedPrecondition',
    `path "${hostPath}" is mounted on "${holder.target}" but it is not ${wanted}`,
  );
}

/** Who the host says that the root of a user namespace is. */
function hostIdOf(ids: readonly IdMapping[]): number {
  return ids.find(({ containerId }) => containerId === 0)?.hostId ?? 0;
}

function sandboxOf(record: SandboxRecord): PodSandbox {
  return {
    id: record.id,
    metadata: record.config.metadata,
    state: record.phase === 'ready' ? 'ready' : 'notReady',
    createdAtMs: record.createdAtMs,
    labels: record.config.labels ?? {},
    annotations: record.config.annotations ?? {},
    runtimeHandler: record.runtimeHandler,
  };
}

function containerOf(record: ContainerRecord): Container {
  return {
    id: record.id,
    podSandboxId: record.podSandboxId,
    metadata: record.config.metadata,
    image: record.config.image,
    imageRef: record.imageRef,
    imageId: record.imageId,
    state: record.phase === 'creating' ? 'unknown' : record.phase,
    createdAtMs: record.createdAtMs,
    labels: record.config.labels ?? {},
    annotations: record.config.annotations ?? {},
  };
}

function statusOf(record: ContainerRecord): ContainerStatus {
  return {
    ...containerOf(record),
    startedAtMs: record.startedAtMs,
    finishedAtMs: record.finishedAtMs,
    exitCode: record.exitCode,
    reason: record.reason,
    message: record.message,
    mounts: record.config.mounts ?? [],
    logPath: record.logPath,
    resources: record.config.linux?.resources ?? {},
    user: record.user,
    stopSignal: record.stopSignal,
    pid: record.phase === 'running' ? record.process?.pid : undefined,
  };
}

function logPathOf(config: ContainerConfig, sandbox: PodSandboxConfig): string {
  if (!config.logPath || !sandbox.logDirectory) return '';
  const path = normalize(join(sandbox.logDirectory, config.logPath));
  if (path.startsWith(join(sandbox.logDirectory, '/'))) return path;
  throw new RuntimeError('InvalidArgument', `the log path ${config.logPath} leads out of the log directory`);
}

/** `SIGTERM`, `TERM` or a number, as images write it. */
function signalNumber(name: string): NodeJS.Signals | number {
  if (/^\d+$/.test(name)) return Number(name);
  const real = /^(?:SIG)?RTMIN(?:\+(\d+))?$/.exec(name);
  if (real) return 34 + Number(real[1] ?? 0);
  return (name.startsWith('SIG') ? name : `SIG${name}`) as NodeJS.Signals;
}
