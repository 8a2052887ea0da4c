import { Duplex, PassThrough } from 'node:stream';
import type { Clock } from '#base/clock.ts';
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
  type Image,
  type ImageFsInfo,
  type ImageSpec,
  type LinuxContainerResources,
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
import { Addresses } from './addresses.ts';
import { type Behaviour, behaviourOf, type BehaviourRule } from './behaviour.ts';

export interface HollowRuntimeOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Where pretended pods get their addresses; `updateRuntimeConfig` replaces it. */
  readonly podCidr?: string;
  readonly behaviours?: readonly BehaviourRule[];
  /** Images that a pull does not find; their names as written in the pod. */
  readonly missingImages?: ReadonlySet<string>;
}

interface Sandbox {
  status: PodSandboxStatus;
  readonly config: PodSandboxConfig;
  readonly containers: Set<Pretended>;
}

interface Pretended {
  status: ContainerStatus;
  readonly sandbox: Sandbox;
  readonly behaviour: Behaviour;
  cancel: () => void;
  exited: PromiseWithResolvers<void>;
}

/** A runtime that only pretends: no process, no file, no socket; a few hundred bytes a container. */
export class HollowRuntime implements Runtime {
  readonly #options: HollowRuntimeOptions;
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #containers = new Map<string, Pretended>();
  readonly #images = new Map<string, Image>();
  readonly #events = new ContainerEvents();
  #addresses: Addresses;

  constructor(options: HollowRuntimeOptions) {
    this.#options = options;
    this.#addresses = new Addresses(options.podCidr ?? '10.244.0.0/24');
  }

  async version(): Promise<RuntimeVersion> {
    return { version: '0.1.0', runtimeName: 'hollow', runtimeVersion: '0.1.0', runtimeApiVersion: 'v1' };
  }

  async status(): Promise<RuntimeStatus> {
    return {
      conditions: ['RuntimeReady', 'NetworkReady'].map(type => ({ type, status: true, reason: '', message: '' })),
      runtimeHandlers: [{ name: '', features: { recursiveReadOnlyMounts: true, userNamespaces: true } }],
      features: { supplementalGroupsPolicy: true },
    };
  }

  async runtimeConfig(): Promise<RuntimeConfig> {
    return { linux: { cgroupDriver: 'cgroupfs' } };
  }

  async updateRuntimeConfig({ podCidrs }: { readonly podCidrs: readonly string[] }): Promise<void> {
    const range = podCidrs.find(cidr => cidr.includes('.'));
    if (range === undefined) return;
    this.#addresses = new Addresses(range);
  }

  async runPodSandbox(config: PodSandboxConfig, runtimeHandler = '', signal?: AbortSignal): Promise<string> {
    signal?.throwIfAborted();
    const id = this.#newId();
    const namespaces = config.linux?.securityContext?.namespaceOptions ?? {};
    const ip = namespaces.network === 'node' ? '' : this.#addresses.take();
    if (ip === undefined) throw new RuntimeError('ResourceExhausted', 'no IP addresses available in range set');
    const sandbox: Sandbox = {
      config,
      containers: new Set(),
      status: {
        id,
        metadata: config.metadata,
        state: 'ready',
        createdAtMs: this.#options.clock.now(),
        labels: config.labels ?? {},
        annotations: config.annotations ?? {},
        runtimeHandler,
        network: { ip, additionalIps: [] },
        linux: { namespaces },
        netnsPath: undefined,
      },
    };
    this.#sandboxes.set(id, sandbox);
    this.#publish('started', id, sandbox);
    return id;
  }

  async stopPodSandbox(podSandboxId: string): Promise<void> {
    const sandbox = this.#sandboxes.get(podSandboxId);
    if (sandbox?.status.state !== 'ready') return;
    for (const container of sandbox.containers) this.#end(container, 137);
    const { ip } = sandbox.status.network;
    if (ip !== '') this.#addresses.release(ip);
    sandbox.status = { ...sandbox.status, state: 'notReady', network: { ip: '', additionalIps: [] } };
    this.#publish('stopped', podSandboxId, sandbox);
  }

  async removePodSandbox(podSandboxId: string): Promise<void> {
    const sandbox = this.#sandboxes.get(podSandboxId);
    if (!sandbox) return;
    await this.stopPodSandbox(podSandboxId);
    for (const container of sandbox.containers) await this.removeContainer(container.status.id);
    this.#sandboxes.delete(podSandboxId);
    this.#publish('deleted', podSandboxId, sandbox);
  }

  async podSandboxStatus(podSandboxId: string): Promise<PodSandboxStatus> {
    return this.#sandbox(podSandboxId).status;
  }

  async listPodSandbox(filter?: PodSandboxFilter): Promise<readonly PodSandbox[]> {
    return [...this.#sandboxes.values()].map(({ status }) => status).filter(status => fitsSandbox(status, filter));
  }

  async updatePodSandboxResources(podSandboxId: string): Promise<void> {
    this.#sandbox(podSandboxId);
  }

  async createContainer(
    podSandboxId: string,
    config: ContainerConfig,
    sandboxConfig: PodSandboxConfig,
    signal?: AbortSignal,
  ): Promise<string> {
    signal?.throwIfAborted();
    const sandbox = this.#readySandbox(podSandboxId);
    const image = this.#images.get(config.image.image);
    if (!image) throw new RuntimeError('NotFound', `image "${config.image.image}": not found`);
    const id = this.#newId();
    const security = config.linux?.securityContext;
    const container: Pretended = {
      sandbox,
      behaviour: behaviourOf(this.#options.behaviours ?? [], config, sandboxConfig),
      cancel: () => {},
      exited: Promise.withResolvers(),
      status: {
        id,
        podSandboxId,
        metadata: config.metadata,
        image: config.image,
        imageRef: image.id,
        imageId: image.id,
        state: 'created',
        createdAtMs: this.#options.clock.now(),
        labels: config.labels ?? {},
        annotations: config.annotations ?? {},
        startedAtMs: 0,
        finishedAtMs: 0,
        exitCode: 0,
        reason: '',
        message: '',
        mounts: config.mounts ?? [],
        logPath: config.logPath && sandboxConfig.logDirectory ? `${sandboxConfig.logDirectory}/${config.logPath}` : '',
        resources: config.linux?.resources ?? {},
        user: { uid: security?.runAsUser ?? 0, gid: security?.runAsGroup ?? 0, supplementalGroups: [] },
        stopSignal: config.stopSignal ?? 'SIGTERM',
        pid: undefined,
      },
    };
    this.#containers.set(id, container);
    sandbox.containers.add(container);
    this.#publish('created', id, sandbox);
    return id;
  }

  async startContainer(containerId: string, signal?: AbortSignal): Promise<void> {
    const container = this.#container(containerId);
    const { state } = container.status;
    if (state !== 'created')
      throw new RuntimeError('FailedPrecondition', `container "${containerId}" is in state ${state}`);
    const { startDelayMs, startError, runMs, exitCode } = container.behaviour;
    if (startDelayMs > 0) await this.#options.clock.sleep(startDelayMs, signal);
    const now = this.#options.clock.now();
    if (startError !== '') {
      const failed = { exitCode: 128, reason: 'StartError', message: startError, startedAtMs: now, finishedAtMs: now };
      container.status = { ...container.status, state: 'exited', ...failed };
      throw new RuntimeError('Internal', startError);
    }
    container.status = { ...container.status, state: 'running', startedAtMs: now };
    if (runMs !== undefined) container.cancel = this.#options.clock.after(runMs, () => this.#end(container, exitCode));
    this.#publish('started', containerId, container.sandbox);
  }

  async stopContainer(containerId: string, timeoutSeconds: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const container = this.#containers.get(containerId);
    if (container?.status.state !== 'running') return;
    const { stopDelayMs } = container.behaviour;
    const graceful = stopDelayMs < timeoutSeconds * 1000;
    const delayMs = graceful ? stopDelayMs : timeoutSeconds * 1000;
    const exitCode = graceful ? 143 : 137;
    if (delayMs === 0) return this.#end(container, exitCode);
    container.cancel();
    container.cancel = this.#options.clock.after(delayMs, () => this.#end(container, exitCode));
    await container.exited.promise;
  }

  async removeContainer(containerId: string): Promise<void> {
    const container = this.#containers.get(containerId);
    if (!container) return;
    this.#end(container, 137);
    this.#containers.delete(containerId);
    container.sandbox.containers.delete(container);
    this.#publish('deleted', containerId, container.sandbox);
  }

  async listContainers(filter?: ContainerFilter): Promise<readonly Container[]> {
    return [...this.#containers.values()].map(({ status }) => status).filter(status => fitsContainer(status, filter));
  }

  async containerStatus(containerId: string): Promise<ContainerStatus> {
    return this.#container(containerId).status;
  }

  async updateContainerResources(containerId: string, resources: LinuxContainerResources): Promise<void> {
    const container = this.#container(containerId);
    container.status = { ...container.status, resources: { ...container.status.resources, ...resources } };
  }

  async reopenContainerLog(containerId: string): Promise<void> {
    this.#runningContainer(containerId);
  }

  async containerStats(containerId: string): Promise<ContainerStats> {
    return this.#stats(this.#container(containerId));
  }

  async listContainerStats(filter?: ContainerStatsFilter): Promise<readonly ContainerStats[]> {
    const fitting = [...this.#containers.values()].filter(({ status }) => fitsContainer(status, filter));
    return fitting.map(container => this.#stats(container));
  }

  async podSandboxStats(podSandboxId: string): Promise<PodSandboxStats> {
    return this.#podStats(this.#sandbox(podSandboxId));
  }

  async listPodSandboxStats(filter?: PodSandboxStatsFilter): Promise<readonly PodSandboxStats[]> {
    const fitting = [...this.#sandboxes.values()].filter(({ status }) => fitsSandbox(status, filter));
    return fitting.map(sandbox => this.#podStats(sandbox));
  }

  async execSync(containerId: string): Promise<ExecSyncResult> {
    const { behaviour } = this.#runningContainer(containerId);
    return { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0), exitCode: behaviour.execExitCode };
  }

  async exec(containerId: string, request: ExecRequest): Promise<ExecSession> {
    const { behaviour } = this.#runningContainer(containerId);
    const session = sessionOf(request, Promise.resolve());
    return { ...session, exitCode: Promise.resolve(behaviour.execExitCode) };
  }

  async attach(containerId: string, request: AttachRequest, signal?: AbortSignal): Promise<AttachSession> {
    const { exited } = this.#runningContainer(containerId);
    const detached = new Promise<void>(resolve => signal?.addEventListener('abort', () => resolve(), { once: true }));
    return sessionOf(request, Promise.race([exited.promise, detached]));
  }

  async portForward(podSandboxId: string, port: number): Promise<Duplex> {
    this.#readySandbox(podSandboxId);
    throw new RuntimeError('Unavailable', `failed to connect to localhost:${port} inside the pod: the pod is hollow`);
  }

  events(signal: AbortSignal): AsyncIterable<ContainerEvent> {
    return this.#events.subscribe(signal);
  }

  async listImages(filter?: { readonly image?: ImageSpec }): Promise<readonly Image[]> {
    const all = [...new Set(this.#images.values())];
    return filter?.image ? all.filter(image => image === this.#images.get(filter.image?.image ?? '')) : all;
  }

  async imageStatus(image: ImageSpec): Promise<Image | undefined> {
    return this.#images.get(image.image);
  }

  async pullImage(spec: ImageSpec, _auth?: AuthConfig, _sandbox?: PodSandboxConfig): Promise<string> {
    const name = spec.image;
    if (this.#options.missingImages?.has(name))
      throw new RuntimeError('NotFound', `failed to resolve reference "${name}": not found`);
    const known = this.#images.get(name);
    if (known) return known.id;
    const image: Image = {
      id: `sha256:${hashText(name)}`,
      repoTags: [name],
      repoDigests: [],
      sizeBytes: 1_000_000,
      uid: 0,
      spec: { image: name },
      pinned: false,
    };
    for (const key of [name, image.id]) this.#images.set(key, image);
    return image.id;
  }

  async removeImage(spec: ImageSpec): Promise<void> {
    const image = this.#images.get(spec.image);
    for (const [key, other] of this.#images) if (other === image) this.#images.delete(key);
  }

  async imageFsInfo(): Promise<ImageFsInfo> {
    const timestampMs = this.#options.clock.now();
    const none = [{ timestampMs, mountpoint: '/', usedBytes: 0, inodesUsed: 0 }];
    return { imageFilesystems: none, containerFilesystems: none };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const container of this.#containers.values()) container.cancel();
    this.#events.end();
  }

  #end(container: Pretended, exitCode: number): void {
    if (container.status.state !== 'running') return;
    container.cancel();
    const reason = exitCode === 0 ? 'Completed' : 'Error';
    const finishedAtMs = this.#options.clock.now();
    container.status = { ...container.status, state: 'exited', exitCode, reason, finishedAtMs };
    container.exited.resolve();
    this.#publish('stopped', container.status.id, container.sandbox);
  }

  #publish(type: ContainerEventType, containerId: string, sandbox: Sandbox): void {
    if (!this.#events.hasReaders) return;
    this.#events.publish({
      type,
      containerId,
      podSandboxId: sandbox.status.id,
      createdAtMs: this.#options.clock.now(),
      podSandboxStatus: this.#sandboxes.has(sandbox.status.id) ? sandbox.status : undefined,
      containersStatuses: [...sandbox.containers].map(({ status }) => status),
    });
  }

  #stats({ status }: Pretended): ContainerStats {
    const { id, podSandboxId, metadata, labels, annotations } = status;
    const attributes = { id, podSandboxId, metadata, labels, annotations };
    if (status.state !== 'running') return { attributes };
    return { attributes, ...this.#idle() };
  }

  #podStats({ status, containers }: Sandbox): PodSandboxStats {
    const { id, metadata, labels, annotations } = status;
    const running = [...containers].filter(container => container.status.state === 'running');
    return {
      attributes: { id, metadata, labels, annotations },
      ...this.#idle(),
      containers: running.map(container => this.#stats(container)),
    };
  }

  #idle() {
    const timestampMs = this.#options.clock.now();
    return {
      cpu: { timestampMs, usageCoreNanoseconds: 0, usageNanocores: 0 },
      memory: { timestampMs, workingSetBytes: 0, usageBytes: 0, rssBytes: 0, pageFaults: 0, majorPageFaults: 0 },
      process: { timestampMs, processCount: 0 },
    };
  }

  #sandbox(id: string): Sandbox {
    const sandbox = this.#sandboxes.get(id);
    if (sandbox) return sandbox;
    throw new RuntimeError('NotFound', `an error occurred when try to find sandbox "${id}": not found`);
  }

  #readySandbox(id: string): Sandbox {
    const sandbox = this.#sandbox(id);
    if (sandbox.status.state === 'ready') return sandbox;
    throw new RuntimeError('FailedPrecondition', `sandbox "${id}" is not ready`);
  }

  #container(id: string): Pretended {
    const container = this.#containers.get(id);
    if (container) return container;
    throw new RuntimeError('NotFound', `an error occurred when try to find container "${id}": not found`);
  }

  #runningContainer(id: string): Pretended {
    const container = this.#container(id);
    if (container.status.state === 'running') return container;
    throw new RuntimeError('FailedPrecondition', `container "${id}" is not running: it is ${container.status.state}`);
  }

  #newId(): string {
    return Buffer.from(this.#options.random.bytes(32)).toString('hex');
  }
}

/** Streams that say nothing and end when the session does. */
function sessionOf(request: AttachRequest, closed: Promise<void>): AttachSession {
  const output = () => {
    const stream = new PassThrough();
    void closed.then(() => stream.end());
    return stream;
  };
  const swallow = () => new PassThrough().resume();
  return {
    stdin: request.stdin ? swallow() : undefined,
    stdout: request.stdout === false ? undefined : output(),
    stderr: request.stderr === false || request.tty ? undefined : output(),
    closed,
    resize() {},
  };
}

/** Sixty-four hex digits that differ when the names do; no more is asked of a pretended digest. */
function hashText(text: string): string {
  let [low, high] = [0x811c9dc5, 0x01000193];
  for (const character of text) {
    low = Math.imul(low ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
    high = (Math.imul(high, 31) + low) >>> 0;
  }
  return `${low.toString(16).padStart(8, '0')}${high.toString(16).padStart(8, '0')}`.repeat(4);
}
