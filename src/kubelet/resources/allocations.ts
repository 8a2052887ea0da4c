import { totalmem } from 'node:os';
import { join } from 'node:path';
import type { Pod } from '#api/core/v1/pod.ts';
import type { Container } from '#api/core/v1/pod-spec.ts';
import type { Clock } from '#base/clock.ts';
import { Lifetime } from '#base/lifetime.ts';
import type { Log } from '#base/log.ts';
import type { Client } from '#client/client.ts';
import type { ContainerConfig, LinuxContainerResources, Mount } from '#runtime/runtime.ts';
import { type KubeletConfiguration, reservedOf } from '../configuration.ts';
import { amountIn, thresholdsOf } from '../eviction/thresholds.ts';
import { servePlugins } from '../plugins/connection.ts';
import { type PluginHandler, PluginWatcher } from '../plugins/plugin-watcher.ts';
import { allContainers, type Failure } from '../pods/decide.ts';
import { align, type NodeSet } from './alignment.ts';
import { Claims } from './claims.ts';
import { DevicePlugins, devicePluginVersion } from './device-plugins.ts';
import { AllocationError, type ExclusiveResource } from './exclusive.ts';
import { ExclusiveCpus, exclusiveCpus } from './exclusive-cpus.ts';
import { formatCpus, type MachineTopology, parseCpus, readTopology } from './machine-topology.ts';
import { memoryNodes, NodeMemory } from './node-memory.ts';
import { podResourcesHandlers } from './pod-resources.ts';

export interface AllocationsOptions {
  readonly client: Client;
  readonly nodeName: string;
  readonly rootDir: string;
  readonly configuration: KubeletConfiguration;
  readonly clock: Clock;
  readonly log: Log;
  readonly machine?: MachineTopology;
  /** What the node has to give has changed. */
  readonly amountsChanged: () => void;
  /** The CPUs that most containers share have changed. */
  readonly sharedCpusChanged: () => void;
  /** Something about the devices of this pod has changed. */
  readonly podChanged: (podUid: string) => void;
  /** The pods that are on the node. */
  readonly pods: () => readonly Pod[];
}

/** What a container is given beside what its spec says. */
export interface Extras {
  readonly envs: readonly { readonly key: string; readonly value: string }[];
  readonly mounts: readonly Mount[];
  readonly devices: NonNullable<ContainerConfig['devices']>;
  readonly cdiDevices: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * What pods of a node have for themselves: whole CPUs, memory of certain nodes, devices of plugins and of resource claims,
 * as near to each other as the policy wants them. One pod is admitted at a time.
 */
export class Allocations implements AsyncDisposable {
  readonly devices: DevicePlugins;
  readonly claims: Claims;
  readonly cpus: ExclusiveCpus | undefined;
  readonly memory: NodeMemory | undefined;
  readonly machine: MachineTopology;
  readonly #options: AllocationsOptions;
  readonly #lifetime = new Lifetime();
  #admitting: Promise<unknown> = Promise.resolve();

  constructor(options: AllocationsOptions) {
    this.#options = options;
    const { configuration, rootDir, clock, log, client, nodeName } = options;
    this.machine = options.machine ?? readTopology(undefined, totalmem());
    const reserved = reservedOf(configuration);
    const { reservedSystemCPUs, cpuManagerPolicyOptions } = configuration;
    if (configuration.cpuManagerPolicy === 'static')
      this.cpus = new ExclusiveCpus({
        machine: this.machine,
        reserved: reservedSystemCPUs === '' ? Math.ceil(reserved.cpuMilli / 1000) : parseCpus(reservedSystemCPUs),
        wholeCoresOnly: cpuManagerPolicyOptions['full-pcpus-only'] === 'true',
        strictReservation: cpuManagerPolicyOptions['strict-cpu-reservation'] === 'true',
        stateFile: join(rootDir, 'cpu_manager_state'),
        changed: options.sharedCpusChanged,
      });
    if (configuration.memoryManagerPolicy === 'Static')
      this.memory = new NodeMemory({
        machine: this.machine,
        reserved: configuration.reservedMemory,
        reservedTotal: new Map([['memory', reserved.memoryBytes + evictedMemory(configuration)]]),
        stateFile: join(rootDir, 'memory_manager_state'),
      });
    this.devices = new DevicePlugins({
      directory: join(rootDir, 'device-plugins'),
      numaNodes: this.machine.nodes.map(({ id }) => id),
      clock,
      log,
      changed: options.amountsChanged,
    });
    this.#lifetime.own(this.devices);
    this.claims = new Claims({
      client,
      nodeName,
      stateFile: join(rootDir, 'dra_manager_state'),
      clock,
      log,
      changed: options.podChanged,
    });
    this.#lifetime.own(this.claims);
  }

  /** From here on plugins are heard. A node without them works all the same. */
  async start(): Promise<void> {
    const { rootDir, clock, log } = this.#options;
    try {
      await this.devices.listen();
      this.#lifetime.own(
        await servePlugins(
          join(rootDir, 'pod-resources', 'kubelet.sock'),
          podResourcesHandlers(this, () => this.#options.pods()),
        ),
      );
      const handlers = new Map<string, PluginHandler>([
        ['DRAPlugin', this.claims],
        ['DevicePlugin', this.#deviceHandler()],
      ]);
      const directory = join(rootDir, 'plugins_registry');
      const watcher = this.#lifetime.own(new PluginWatcher({ directory, handlers, clock, log }));
      this.claims.start();
      await watcher.start();
    } catch (error) {
      log.warn('plugins cannot register at this node', { error });
    }
  }

  /** Pods that are gone while no agent was there have nothing any more. */
  keepOnly(podUids: ReadonlySet<string>): void {
    for (const each of [this.claims, this.devices, this.cpus, this.memory]) each?.keepOnly(podUids);
  }

  /** `undefined`: the pod wants nothing of this, and may start at once. Otherwise why it may not, or nothing. */
  admit(pod: Pod): Promise<Failure | undefined> | undefined {
    const containers = allContainers(pod).flatMap(each => (each.kind === 'ephemeral' ? [] : [each.container]));
    const isPlain =
      !this.devices.concerns(containers) &&
      this.memory === undefined &&
      !(this.cpus && containers.some(each => exclusiveCpus(pod, each) > 0));
    if (isPlain) return undefined;
    const admitted = this.#admitting.then(() => this.#admit(pod, containers));
    this.#admitting = admitted.catch(() => undefined);
    return admitted;
  }

  /** The pod is over. */
  release(podUid: string): void {
    for (const each of this.#resources) each.release(podUid);
  }

  /** The CPUs and nodes that a container is bound to, and the quota it is freed from. */
  bound(pod: Pod, container: string): Pick<LinuxContainerResources, 'cpusetCpus' | 'cpusetMems'> {
    const { uid = '' } = pod.metadata;
    const cpus = this.cpus && (this.cpus.of(uid, container) ?? this.cpus.shared);
    const nodes = memoryNodes(this.memory?.of(uid, container) ?? []);
    return {
      ...(cpus && { cpusetCpus: formatCpus(cpus) }),
      ...(nodes.length > 0 && { cpusetMems: formatCpus(nodes) }),
    };
  }

  /** Whether a container has CPUs for itself: then nothing else limits it. */
  hasOwnCpus(pod: Pod, container: string): boolean {
    return this.cpus?.of(pod.metadata.uid ?? '', container) !== undefined;
  }

  /** Why a pod that has something for itself cannot be resized. */
  resizeRefusal(pod: Pod): { readonly reason: string; readonly message: string } | undefined {
    const { uid = '' } = pod.metadata;
    const containers = allContainers(pod).map(each => each.container);
    const policy = containers.some(({ name }) => this.cpus?.of(uid, name))
      ? 'CPU Manager static policy'
      : containers.some(({ name }) => (this.memory?.of(uid, name) ?? []).length > 0)
        ? 'Memory Manager Static policy'
        : undefined;
    if (policy === undefined) return undefined;
    return { reason: 'Infeasible', message: `Resize is infeasible for Guaranteed Pods alongside ${policy}` };
  }

  /** What plugins want a container to have. */
  async extras(pod: Pod, container: Container, signal: AbortSignal): Promise<Extras> {
    const { uid = '' } = pod.metadata;
    await this.devices.preStart(uid, container.name, signal);
    const answers = this.devices.of(uid, container.name).map(({ response }) => response);
    const claimed = this.claims.of(pod, container).flatMap(({ devices }) => devices.flatMap(({ cdi }) => cdi));
    return {
      envs: answers.flatMap(({ envs }) => Object.entries(envs).map(([key, value]) => ({ key, value }))),
      mounts: answers.flatMap(({ mounts }) =>
        mounts.map(each => ({
          containerPath: each.container_path,
          hostPath: each.host_path,
          readonly: each.read_only,
        })),
      ),
      devices: answers.flatMap(({ devices }) =>
        devices.map(each => ({
          containerPath: each.container_path,
          hostPath: each.host_path,
          permissions: each.permissions,
        })),
      ),
      cdiDevices: [...new Set([...answers.flatMap(each => each.cdi_devices.map(({ name }) => name)), ...claimed])],
      annotations: Object.fromEntries(answers.flatMap(({ annotations }) => Object.entries(annotations))),
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#lifetime[Symbol.asyncDispose]();
  }

  get #resources(): readonly ExclusiveResource[] {
    return [this.cpus, this.memory, this.devices].filter(each => each !== undefined);
  }

  async #admit(pod: Pod, containers: readonly Container[]): Promise<Failure | undefined> {
    const { topologyManagerScope } = this.#options.configuration;
    const { uid = '' } = pod.metadata;
    try {
      const ofPod = topologyManagerScope === 'pod' ? this.#align(pod, containers) : undefined;
      for (const container of containers) {
        const nodes = ofPod ? ofPod.nodes : this.#align(pod, [container]).nodes;
        for (const resource of this.#resources) await resource.take(pod, container, nodes);
      }
      return undefined;
    } catch (error) {
      this.release(uid);
      if (!(error instanceof AllocationError)) throw error;
      const { reason, message } = error;
      const text =
        reason === 'UnexpectedAdmissionError' ? `Allocate failed due to ${message}, which is unexpected` : message;
      return { reason, message: `Pod was rejected: ${text}` };
    }
  }

  #align(pod: Pod, containers: readonly Container[]): { readonly nodes: NodeSet | undefined } {
    const { topologyManagerPolicy } = this.#options.configuration;
    const hints = this.#resources.flatMap(each => [...each.hints(pod, containers).values()]);
    const nodes = this.machine.nodes.map(({ id }) => id);
    const { hint, admitted } = align(topologyManagerPolicy, nodes, hints);
    if (!admitted)
      throw new AllocationError('Resources cannot be allocated with Topology locality', 'TopologyAffinityError');
    return hint;
  }

  /** Device plugins may also register as all others do. */
  #deviceHandler() {
    return {
      register: async ({
        name,
        endpoint,
        versions,
      }: {
        name: string;
        endpoint: string;
        versions: readonly string[];
      }) => {
        if (!versions.includes(devicePluginVersion))
          throw new Error(
            `requested API version ${JSON.stringify(versions)} is not supported by kubelet. Supported version is "${devicePluginVersion}"`,
          );
        await this.devices.register(name, endpoint);
      },
      unregister: ({ name }: { name: string }) => this.devices.unregister(name),
    };
  }
}

/** Memory that is kept free by evicting: it is not for pods either. */
function evictedMemory(configuration: KubeletConfiguration): number {
  return thresholdsOf(configuration)
    .filter(each => each.isHard && each.signal === 'memory.available')
    .reduce((most, { below }) => Math.max(most, amountIn(below, totalmem())), 0);
}
