import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import {
  type AttachRequest,
  type AttachSession,
  type AuthConfig,
  type Container,
  type ContainerConfig,
  type ContainerEvent,
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
  isRuntimeError,
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
import { type CgroupDriver, measureContainer, type PodCgroups, podCgroups } from './cgroups.ts';
import { Changes, type Listing, type Look } from './changes.ts';
import { connectCri, type CriConnection } from './connection.ts';
import {
  containerConfigMessage,
  containerFilterMessage,
  imageMessage,
  resourcesMessage,
  sandboxConfigMessage,
  sandboxFilterMessage,
} from './requests.ts';
import {
  cgroupParentIn,
  cgroupsPathIn,
  containerOf,
  containerStatsOf,
  containerStatusOf,
  filesystemOf,
  imageOf,
  sandboxIdIn,
  sandboxOf,
  sandboxStatsOf,
  sandboxStatusOf,
  usesSystemdCgroups,
} from './responses.ts';
import { joinPort, joinSession, wantedStreams } from './streams.ts';

export interface CriOptions {
  /** `unix:///run/containerd/containerd.sock` */
  readonly endpoint: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Upstream's --runtime-request-timeout; making a sandbox (network plugins, pause image) gets twice as long. */
const callTimeoutMs = 2 * 60_000;
const sandboxTimeoutMs = 2 * callTimeoutMs;

/**
 * containerd or CRI-O by CRI v1. Rejects with one sentence for people when nothing answers at the endpoint or it does
 * not speak CRI v1. The pods' network is the runtime's own (CNI).
 */
export async function openCriRuntime({ endpoint, clock, log }: CriOptions): Promise<Runtime> {
  const connection = await connectCri(endpoint, clock);
  try {
    const { runtime_name: name, runtime_version: version } = await connection.call(
      'Version',
      {},
      { timeoutMs: callTimeoutMs },
    );
    const driver = await cgroupDriver(connection);
    log.info('speaking CRI', { endpoint, runtime: name, version, cgroupDriver: driver });
    return new CriRuntime(connection, podCgroups(driver), driver, clock, log);
  } catch (error) {
    connection[Symbol.dispose]();
    if (!isRuntimeError(error, 'Unimplemented')) throw error;
    const message = `cannot use the container runtime at ${endpoint}: it does not speak CRI v1 (containerd: its plugin "cri" may be disabled)`;
    throw new RuntimeError('Unimplemented', message, { cause: error });
  }
}

/** Runtimes before 2024 do not say it by CRI; containerd then shows its configuration. */
async function cgroupDriver(connection: CriConnection): Promise<CgroupDriver> {
  const options = { timeoutMs: callTimeoutMs };
  try {
    const { linux } = await connection.call('RuntimeConfig', {}, options);
    return linux?.cgroup_driver ?? 'cgroupfs';
  } catch (error) {
    if (!isRuntimeError(error, 'Unimplemented')) throw error;
  }
  const { info } = await connection.call('Status', { verbose: true }, options);
  return usesSystemdCgroups(info) ? 'systemd' : 'cgroupfs';
}

/** What a container's status lacks and its list entry has. */
interface KnownContainer {
  readonly podSandboxId: string;
  readonly imageId: string;
}

class CriRuntime implements Runtime {
  readonly #connection: CriConnection;
  readonly #cgroups: PodCgroups;
  readonly #cgroupDriver: CgroupDriver;
  readonly #clock: Clock;
  readonly #changes: Changes;
  /** Neither ever changes for a container. */
  readonly #known = new Map<string, KnownContainer>();
  /** Groups of pods that are being started, which an older sandbox of theirs must leave alone. */
  readonly #preparing = new Set<string>();

  constructor(connection: CriConnection, cgroups: PodCgroups, driver: CgroupDriver, clock: Clock, log: Log) {
    this.#connection = connection;
    this.#cgroups = cgroups;
    this.#cgroupDriver = driver;
    this.#clock = clock;
    this.#changes = new Changes(
      {
        list: (podSandboxId, signal) => this.#listing(podSandboxId, signal),
        look: (podSandboxId, signal) => this.#look(podSandboxId, signal),
        hints: (hint, signal) =>
          connection.stream(
            'GetContainerEvents',
            {},
            ({ pod_sandbox_status: status, container_id: id }) => {
              const pod = status?.id || this.#known.get(id)?.podSandboxId || id;
              if (pod) hint(pod);
            },
            signal,
          ),
      },
      clock,
      log,
    );
  }

  async version(signal?: AbortSignal): Promise<RuntimeVersion> {
    const answer = await this.#connection.call('Version', {}, within(callTimeoutMs, signal));
    return {
      version: answer.version,
      runtimeName: answer.runtime_name,
      runtimeVersion: answer.runtime_version,
      runtimeApiVersion: answer.runtime_api_version,
    };
  }

  async status(signal?: AbortSignal): Promise<RuntimeStatus> {
    const answer = await this.#connection.call('Status', {}, within(callTimeoutMs, signal));
    return {
      conditions: answer.status?.conditions ?? [],
      runtimeHandlers: answer.runtime_handlers.map(({ name, features }) => ({
        name,
        features: {
          recursiveReadOnlyMounts: features?.recursive_read_only_mounts ?? false,
          userNamespaces: features?.user_namespaces ?? false,
        },
      })),
      features: { supplementalGroupsPolicy: answer.features?.supplemental_groups_policy ?? false },
      info: answer.info,
    };
  }

  async runtimeConfig(signal?: AbortSignal): Promise<RuntimeConfig> {
    signal?.throwIfAborted();
    return { linux: { cgroupDriver: this.#cgroupDriver } };
  }

  async updateRuntimeConfig(config: { readonly podCidrs: readonly string[] }, signal?: AbortSignal): Promise<void> {
    const network = { network_config: { pod_cidr: config.podCidrs.join(',') } };
    await this.#connection.call('UpdateRuntimeConfig', { runtime_config: network }, within(callTimeoutMs, signal));
  }

  async runPodSandbox(config: PodSandboxConfig, runtimeHandler = '', signal?: AbortSignal): Promise<string> {
    signal?.throwIfAborted();
    const { cgroupParent, resources } = config.linux ?? {};
    if (cgroupParent !== undefined) {
      this.#preparing.add(cgroupParent);
      this.#cgroups.prepare(cgroupParent, resources);
    }
    try {
      const { pod_sandbox_id: id } = await this.#connection.call(
        'RunPodSandbox',
        { config: this.#sandboxConfig(config), runtime_handler: runtimeHandler },
        within(sandboxTimeoutMs, signal),
      );
      if (cgroupParent !== undefined) this.#cgroups.limit(cgroupParent, resources);
      this.#changes.sandboxIs(id, 'ready');
      return id;
    } catch (error) {
      if (cgroupParent !== undefined) this.#cgroups.remove(cgroupParent);
      throw error;
    } finally {
      if (cgroupParent !== undefined) this.#preparing.delete(cgroupParent);
    }
  }

  async stopPodSandbox(podSandboxId: string, signal?: AbortSignal): Promise<void> {
    const request = { pod_sandbox_id: podSandboxId };
    await unlessUnknown(this.#connection.call('StopPodSandbox', request, within(callTimeoutMs, signal)));
    this.#changes.happenedIn(podSandboxId);
  }

  async removePodSandbox(podSandboxId: string, signal?: AbortSignal): Promise<void> {
    const options = within(callTimeoutMs, signal);
    const found = await unlessUnknown(
      this.#connection.call('PodSandboxStatus', { pod_sandbox_id: podSandboxId, verbose: true }, options),
    );
    if (!found) return;
    // containerd stops what still runs, CRI-O wants it stopped first.
    await unlessUnknown(this.#connection.call('StopPodSandbox', { pod_sandbox_id: podSandboxId }, options));
    await unlessUnknown(this.#connection.call('RemovePodSandbox', { pod_sandbox_id: podSandboxId }, options));
    for (const [id, known] of this.#known) if (known.podSandboxId === podSandboxId) this.#known.delete(id);
    const parent = cgroupParentIn(found.info);
    if (parent !== undefined && !this.#preparing.has(parent)) this.#cgroups.remove(parent);
    this.#changes.happenedIn(podSandboxId);
  }

  async podSandboxStatus(podSandboxId: string, signal?: AbortSignal): Promise<PodSandboxStatus> {
    const request = { pod_sandbox_id: podSandboxId, verbose: true };
    const { status, info } = await this.#connection.call('PodSandboxStatus', request, within(callTimeoutMs, signal));
    if (!status)
      throw new RuntimeError('Internal', `the container runtime says nothing about sandbox "${podSandboxId}"`);
    return sandboxStatusOf(status, info);
  }

  async listPodSandbox(filter?: PodSandboxFilter, signal?: AbortSignal): Promise<readonly PodSandbox[]> {
    const request = { filter: sandboxFilterMessage(filter) };
    const { items } = await this.#connection.call('ListPodSandbox', request, within(callTimeoutMs, signal));
    return items.map(sandboxOf);
  }

  /** The pod's group is limited here; the runtime is only told, where it wants to know. */
  async updatePodSandboxResources(
    podSandboxId: string,
    resources: LinuxContainerResources,
    signal?: AbortSignal,
  ): Promise<void> {
    const options = within(callTimeoutMs, signal);
    const request = { pod_sandbox_id: podSandboxId, verbose: true };
    const { info } = await this.#connection.call('PodSandboxStatus', request, options);
    const parent = cgroupParentIn(info);
    if (parent !== undefined) this.#cgroups.limit(parent, resources);
    try {
      const update = { pod_sandbox_id: podSandboxId, resources: resourcesMessage(resources) };
      await this.#connection.call('UpdatePodSandboxResources', update, options);
    } catch (error) {
      if (!isRuntimeError(error, 'Unimplemented')) throw error;
    }
  }

  async createContainer(
    podSandboxId: string,
    config: ContainerConfig,
    sandboxConfig: PodSandboxConfig,
    signal?: AbortSignal,
  ): Promise<string> {
    try {
      const { container_id: id } = await this.#connection.call(
        'CreateContainer',
        {
          pod_sandbox_id: podSandboxId,
          config: containerConfigMessage(config),
          sandbox_config: this.#sandboxConfig(sandboxConfig),
        },
        within(callTimeoutMs, signal),
      );
      this.#changes.containerIs(id, podSandboxId, 'created');
      return id;
    } catch (error) {
      const sandbox = await this.#stateAfter(error, () => this.podSandboxStatus(podSandboxId, signal));
      if (sandbox?.state !== 'notReady') throw error;
      throw new RuntimeError('FailedPrecondition', `sandbox "${podSandboxId}" is not ready`, { cause: error });
    }
  }

  async startContainer(containerId: string, signal?: AbortSignal): Promise<void> {
    const { podSandboxId } = await this.#knownContainer(containerId, signal);
    try {
      await this.#connection.call('StartContainer', { container_id: containerId }, within(callTimeoutMs, signal));
      this.#changes.containerIs(containerId, podSandboxId, 'running');
    } catch (error) {
      this.#changes.happenedIn(podSandboxId);
      const container = await this.#stateAfter(error, () => this.containerStatus(containerId, signal));
      // One that could not be started has exited with a reason that is worth more.
      if (!container || container.state === 'created' || container.reason === 'StartError') throw error;
      const message = `container "${containerId}" was started before: it is ${container.state}`;
      throw new RuntimeError('FailedPrecondition', message, { cause: error });
    }
  }

  async stopContainer(containerId: string, timeoutSeconds: number, signal?: AbortSignal): Promise<void> {
    const request = { container_id: containerId, timeout: timeoutSeconds };
    const options = within(callTimeoutMs + timeoutSeconds * 1000, signal);
    await unlessUnknown(this.#connection.call('StopContainer', request, options));
    await this.#happenedTo(containerId, signal);
  }

  async removeContainer(containerId: string, signal?: AbortSignal): Promise<void> {
    const known = await unlessUnknown(this.#knownContainer(containerId, signal));
    if (!known) return;
    const request = { container_id: containerId };
    await unlessUnknown(this.#connection.call('RemoveContainer', request, within(callTimeoutMs, signal)));
    this.#known.delete(containerId);
    this.#changes.happenedIn(known.podSandboxId);
  }

  async listContainers(filter?: ContainerFilter, signal?: AbortSignal): Promise<readonly Container[]> {
    const request = { filter: containerFilterMessage(filter) };
    const { containers } = await this.#connection.call('ListContainers', request, within(callTimeoutMs, signal));
    const found = containers.map(containerOf);
    for (const { id, podSandboxId, imageId } of found) this.#known.set(id, { podSandboxId, imageId });
    return found;
  }

  async containerStatus(containerId: string, signal?: AbortSignal): Promise<ContainerStatus> {
    const request = { container_id: containerId, verbose: true };
    const { status, info } = await this.#connection.call('ContainerStatus', request, within(callTimeoutMs, signal));
    if (!status)
      throw new RuntimeError('Internal', `the container runtime says nothing about container "${containerId}"`);
    const podSandboxId = sandboxIdIn(info);
    const isComplete = podSandboxId !== undefined && status.image_id !== '';
    const known = isComplete ? { podSandboxId, imageId: '' } : await this.#knownContainer(status.id, signal);
    return containerStatusOf(status, info, known);
  }

  async updateContainerResources(
    containerId: string,
    resources: LinuxContainerResources,
    signal?: AbortSignal,
  ): Promise<void> {
    const request = { container_id: containerId, linux: resourcesMessage(resources) };
    await this.#connection.call('UpdateContainerResources', request, within(callTimeoutMs, signal));
  }

  async reopenContainerLog(containerId: string, signal?: AbortSignal): Promise<void> {
    const request = { container_id: containerId };
    await this.#running(containerId, signal, () =>
      this.#connection.call('ReopenContainerLog', request, within(callTimeoutMs, signal)),
    );
  }

  async containerStats(containerId: string, signal?: AbortSignal): Promise<ContainerStats> {
    const { podSandboxId } = await this.#knownContainer(containerId, signal);
    const request = { container_id: containerId };
    try {
      const { stats } = await this.#connection.call('ContainerStats', request, within(callTimeoutMs, signal));
      if (stats?.attributes) return await this.#measured(containerStatsOf(stats, podSandboxId), signal);
    } catch (error) {
      // containerd has no numbers for a container that does not run, and none where it cannot read its control group.
      if (!isRuntimeError(error, 'Internal')) throw error;
    }
    const { id, metadata, labels, annotations } = await this.containerStatus(containerId, signal);
    return this.#measured({ attributes: { id, podSandboxId, metadata, labels, annotations } }, signal);
  }

  async listContainerStats(filter?: ContainerStatsFilter, signal?: AbortSignal): Promise<readonly ContainerStats[]> {
    const containers = await this.listContainers(filter, signal);
    const podOf = new Map(containers.map(({ id, podSandboxId }) => [id, podSandboxId]));
    const request = { filter: containerFilterMessage(filter) };
    const { stats } = await this.#connection.call('ListContainerStats', request, within(callTimeoutMs, signal));
    const known = stats.flatMap(each => {
      const podSandboxId = podOf.get(each.attributes?.id ?? '');
      return podSandboxId === undefined ? [] : [containerStatsOf(each, podSandboxId)];
    });
    return this.#allMeasured(known, signal);
  }

  async podSandboxStats(podSandboxId: string, signal?: AbortSignal): Promise<PodSandboxStats> {
    const request = { pod_sandbox_id: podSandboxId };
    const { stats } = await this.#connection.call('PodSandboxStats', request, within(callTimeoutMs, signal));
    if (!stats) throw new RuntimeError('Internal', `the container runtime has no stats of sandbox "${podSandboxId}"`);
    return this.#podMeasured(sandboxStatsOf(stats), signal);
  }

  async listPodSandboxStats(filter?: PodSandboxStatsFilter, signal?: AbortSignal): Promise<readonly PodSandboxStats[]> {
    const request = { filter: sandboxFilterMessage(filter) };
    const { stats } = await this.#connection.call('ListPodSandboxStats', request, within(callTimeoutMs, signal));
    return Promise.all(stats.map(each => this.#podMeasured(sandboxStatsOf(each), signal)));
  }

  async execSync(
    containerId: string,
    command: readonly string[],
    timeoutSeconds = 0,
    signal?: AbortSignal,
  ): Promise<ExecSyncResult> {
    const request = { container_id: containerId, cmd: command, timeout: timeoutSeconds };
    // The runtime keeps the time; ours is for one that does not answer any more.
    const options = timeoutSeconds > 0 ? within(callTimeoutMs + timeoutSeconds * 1000, signal) : { signal };
    const timedOut = (cause?: unknown) =>
      new RuntimeError(
        'DeadlineExceeded',
        `command ${JSON.stringify(command.join(' '))} timed out after ${timeoutSeconds}s`,
        { cause },
      );
    const result = await this.#running(containerId, signal, () =>
      this.#connection.call('ExecSync', request, options),
    ).catch((error: unknown) => {
      throw timeoutSeconds > 0 && isRuntimeError(error) && saysTimeout(error) ? timedOut(error) : error;
    });
    const { stdout, stderr, exit_code: exitCode } = result;
    // CRI-O's way to say it.
    if (exitCode === -1 && stderr.includes('command timed out')) throw timedOut();
    return { stdout, stderr, exitCode };
  }

  async exec(containerId: string, request: ExecRequest, signal?: AbortSignal): Promise<ExecSession> {
    const wanted = wantedStreams(request, request.tty ?? false);
    const { url } = await this.#running(containerId, signal, () =>
      this.#connection.call(
        'Exec',
        { container_id: containerId, cmd: request.command, ...wanted },
        within(callTimeoutMs, signal),
      ),
    );
    return joinSession(url, wanted, this.#clock, signal);
  }

  async attach(containerId: string, request: AttachRequest, signal?: AbortSignal): Promise<AttachSession> {
    const wanted = wantedStreams(request, request.tty ?? false);
    const { url } = await this.#running(containerId, signal, () =>
      this.#connection.call('Attach', { container_id: containerId, ...wanted }, within(callTimeoutMs, signal)),
    );
    const { stdin, stdout, stderr, closed, resize } = await joinSession(url, wanted, this.#clock, signal);
    return { stdin, stdout, stderr, closed, resize };
  }

  async portForward(podSandboxId: string, port: number, signal?: AbortSignal): Promise<Duplex> {
    const request = { pod_sandbox_id: podSandboxId, port: [port] };
    const { url } = await this.#connection.call('PortForward', request, within(callTimeoutMs, signal));
    return joinPort(url, port, this.#clock, signal);
  }

  events(signal: AbortSignal): AsyncIterable<ContainerEvent> {
    return this.#changes.subscribe(signal);
  }

  async listImages(filter?: { readonly image?: ImageSpec }, signal?: AbortSignal): Promise<readonly Image[]> {
    const request = { filter: { image: filter?.image && imageMessage(filter.image) } };
    const { images } = await this.#connection.call('ListImages', request, within(callTimeoutMs, signal));
    return images.map(imageOf);
  }

  async imageStatus(image: ImageSpec, signal?: AbortSignal): Promise<Image | undefined> {
    const request = { image: imageMessage(image) };
    const answer = await this.#connection.call('ImageStatus', request, within(callTimeoutMs, signal));
    return answer.image && imageOf(answer.image);
  }

  /** As long as it takes: the signal ends it. */
  async pullImage(
    image: ImageSpec,
    auth?: AuthConfig,
    sandboxConfig?: PodSandboxConfig,
    signal?: AbortSignal,
  ): Promise<string> {
    const { image_ref: reference } = await this.#connection.call(
      'PullImage',
      {
        image: imageMessage(image),
        auth: auth && {
          username: auth.username,
          password: auth.password,
          auth: auth.auth,
          server_address: auth.serverAddress,
          identity_token: auth.identityToken,
          registry_token: auth.registryToken,
        },
        sandbox_config: sandboxConfig && this.#sandboxConfig(sandboxConfig),
      },
      { signal },
    );
    return reference;
  }

  async removeImage(image: ImageSpec, signal?: AbortSignal): Promise<void> {
    const request = { image: imageMessage(image) };
    await unlessUnknown(this.#connection.call('RemoveImage', request, within(callTimeoutMs, signal)));
  }

  async imageFsInfo(signal?: AbortSignal): Promise<ImageFsInfo> {
    const answer = await this.#connection.call('ImageFsInfo', {}, within(callTimeoutMs, signal));
    const imageFilesystems = answer.image_filesystems.map(filesystemOf);
    const containerFilesystems = answer.container_filesystems.map(filesystemOf);
    // Runtimes that know only one have both on it.
    return {
      imageFilesystems,
      containerFilesystems: containerFilesystems.length > 0 ? containerFilesystems : imageFilesystems,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#changes.end();
    this.#connection[Symbol.dispose]();
  }

  #sandboxConfig(config: PodSandboxConfig) {
    const parent = config.linux?.cgroupParent;
    return sandboxConfigMessage(config, parent === undefined ? undefined : this.#cgroups.nameOf(parent));
  }

  async #knownContainer(containerId: string, signal?: AbortSignal): Promise<KnownContainer> {
    const known = this.#known.get(containerId);
    if (known) return known;
    const [found] = await this.listContainers({ id: containerId }, signal);
    if (found) return found;
    throw new RuntimeError('NotFound', `an error occurred when try to find container "${containerId}": not found`);
  }

  async #happenedTo(containerId: string, signal?: AbortSignal): Promise<void> {
    const known = await unlessUnknown(this.#knownContainer(containerId, signal));
    if (known) this.#changes.happenedIn(known.podSandboxId);
  }

  /** containerd 1.x says nothing of running containers on machines with both generations of control groups. */
  async #measured(stats: ContainerStats, signal?: AbortSignal): Promise<ContainerStats> {
    if (stats.cpu) return stats;
    const request = { container_id: stats.attributes.id, verbose: true };
    const call = this.#connection.call('ContainerStatus', request, within(callTimeoutMs, signal));
    const found = await unlessUnknown(call);
    const path = found?.status?.state === 'running' ? cgroupsPathIn(found.info) : undefined;
    return path === undefined ? stats : { ...stats, ...measureContainer(path, this.#clock.now()) };
  }

  #allMeasured(stats: readonly ContainerStats[], signal?: AbortSignal): Promise<readonly ContainerStats[]> {
    return Promise.all(stats.map(each => this.#measured(each, signal)));
  }

  async #podMeasured(stats: PodSandboxStats, signal?: AbortSignal): Promise<PodSandboxStats> {
    return { ...stats, containers: await this.#allMeasured(stats.containers, signal) };
  }

  /** Runtimes do not say by their error code that a container does not run. */
  async #running<Answer>(
    containerId: string,
    signal: AbortSignal | undefined,
    call: () => Promise<Answer>,
  ): Promise<Answer> {
    try {
      return await call();
    } catch (error) {
      const container = await this.#stateAfter(error, () => this.containerStatus(containerId, signal));
      if (!container || container.state === 'running') throw error;
      const message = `container "${containerId}" is not running: it is ${container.state}`;
      throw new RuntimeError('FailedPrecondition', message, { cause: error });
    }
  }

  /** Asks how things are after an error that says nothing precise; `undefined` when there is nothing to ask. */
  async #stateAfter<State>(error: unknown, ask: () => Promise<State>): Promise<State | undefined> {
    if (!isRuntimeError(error, 'Internal') && !isRuntimeError(error, 'NotFound')) return undefined;
    try {
      return await ask();
    } catch {
      // The first error is the better one.
      return undefined;
    }
  }

  async #listing(podSandboxId: string | undefined, signal: AbortSignal): Promise<Listing> {
    const [sandboxes, containers] = await Promise.all([
      this.listPodSandbox(podSandboxId === undefined ? {} : { id: podSandboxId }, signal),
      this.listContainers(podSandboxId === undefined ? {} : { podSandboxId }, signal),
    ]);
    if (podSandboxId !== undefined) return { sandboxes, containers };
    const present = new Set(containers.map(({ id }) => id));
    for (const id of this.#known.keys()) if (!present.has(id)) this.#known.delete(id);
    return { sandboxes, containers };
  }

  async #look(podSandboxId: string, signal: AbortSignal): Promise<Look | undefined> {
    const status = await unlessUnknown(this.podSandboxStatus(podSandboxId, signal));
    if (!status) return undefined;
    const containers = await this.listContainers({ podSandboxId }, signal);
    const statuses = await Promise.all(containers.map(({ id }) => unlessUnknown(this.containerStatus(id, signal))));
    return { status, containers: statuses.filter(each => each !== undefined) };
  }
}

function within(timeoutMs: number, signal: AbortSignal | undefined) {
  return { timeoutMs, signal };
}

/** `undefined` in place of `NotFound`. */
async function unlessUnknown<Answer>(call: Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isRuntimeError(error, 'NotFound')) return undefined;
    throw error;
  }
}

function saysTimeout(error: RuntimeError): boolean {
  return error.code === 'DeadlineExceeded' || /timed out|timeout .* exceeded|deadline exceeded/i.test(error.message);
}
