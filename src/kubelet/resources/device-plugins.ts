import { join } from 'node:path';
import { mkdir, readdir, rm } from 'node:fs/promises';
import type { Pod } from '#api/core/v1/pod.ts';
import type { Container } from '#api/core/v1/pod-spec.ts';
import { isExtendedResource } from '#api/core/v1/pod-resources.ts';
import { wholeValue } from '#api/machinery/quantity.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { connectPlugin, type PluginConnection, servePlugins, textOf } from '../plugins/connection.ts';
import { pluginCodec, type Received } from '../plugins/messages.ts';
import { type Hints, hintsFor, type NodeSet } from './alignment.ts';
import { AllocationError, type ExclusiveResource, isPassing, together } from './exclusive.ts';
import { readState, writeState } from './state-file.ts';

export interface DevicePluginsOptions {
  /** Where plugins find the kubelet's socket and put their own: `device-plugins`. */
  readonly directory: string;
  readonly numaNodes: readonly number[];
  readonly clock: Clock;
  readonly log: Log;
  /** The node has other devices than before. */
  readonly changed: () => void;
}

interface Device {
  readonly healthy: boolean;
  readonly nodes: readonly number[];
}

interface Plugin {
  readonly connection: PluginConnection;
  readonly abort: AbortController;
  options: { readonly preStart: boolean; readonly preferred: boolean };
}

type AllocateResponse = Received<'ContainerAllocateResponse'>;

/** What a container has of one resource, and what its plugin said to do for it. */
export interface GrantedDevices {
  readonly resource: string;
  readonly ids: readonly string[];
  readonly nodes: readonly number[];
  readonly response: AllocateResponse;
}

/** As upstream's `kubelet_internal_checkpoint`, without its checksum. */
interface Checkpoint {
  readonly Data: {
    readonly PodDeviceEntries: readonly {
      readonly PodUID: string;
      readonly ContainerName: string;
      readonly ResourceName: string;
      /** By NUMA node; -1: of none. */
      readonly DeviceIDs: Readonly<Record<string, readonly string[]>>;
      readonly AllocResp: string;
    }[];
    readonly RegisteredDevices: Readonly<Record<string, readonly string[]>>;
  };
}

export const devicePluginVersion = 'v1beta1';
const callTimeoutMs = 10_000;
/** As upstream: so long a plugin that went away may take to come back before its resource is forgotten. */
const absenceMsMax = 5 * 60_000;
/** How many devices a plugin may list. */
const devicesMax = 100_000;

/** The devices that plugins bring: told to the API as the node's resources, and handed to containers that ask for them. */
export class DevicePlugins implements ExclusiveResource, AsyncDisposable {
  readonly #options: DevicePluginsOptions;
  readonly #checkpoint: string;
  readonly #plugins = new Map<string, Plugin>();
  readonly #devices = new Map<string, ReadonlyMap<string, Device>>();
  readonly #granted = new Map<string, Map<string, GrantedDevices[]>>();
  readonly #leaving = new Map<string, () => void>();
  /** Resources that the node had once: they are said to be none. */
  readonly #former = new Set<string>();
  #server: AsyncDisposable | undefined;

  constructor(options: DevicePluginsOptions) {
    this.#options = options;
    this.#checkpoint = join(options.directory, 'kubelet_internal_checkpoint');
    const { Data } = readState<Checkpoint>(this.#checkpoint) ?? {};
    for (const resource of Object.keys(Data?.RegisteredDevices ?? {})) {
      // Nobody knows whether they are well until their plugin is back.
      this.#devices.set(resource, new Map());
      this.#expectBack(resource);
    }
    for (const entry of Data?.PodDeviceEntries ?? []) {
      const containers = this.#granted.get(entry.PodUID) ?? new Map<string, GrantedDevices[]>();
      this.#granted.set(entry.PodUID, containers);
      const ids = Object.values(entry.DeviceIDs).flat();
      const nodes = Object.keys(entry.DeviceIDs)
        .map(Number)
        .filter(node => node >= 0);
      const response = pluginCodec.decode('ContainerAllocateResponse', Buffer.from(entry.AllocResp, 'base64'));
      const known = containers.get(entry.ContainerName) ?? [];
      containers.set(entry.ContainerName, [...known, { resource: entry.ResourceName, ids, nodes, response }]);
    }
  }

  /** From here on plugins can register. Their old sockets go, so that they see that a new kubelet is there. */
  async listen(): Promise<void> {
    const { directory } = this.#options;
    await mkdir(directory, { recursive: true, mode: 0o750 });
    for (const entry of await readdir(directory, { withFileTypes: true }))
      if (entry.isSocket()) await rm(join(directory, entry.name), { force: true });
    this.#server = await servePlugins(join(directory, 'kubelet.sock'), {
      '/v1beta1.Registration/Register': async ({ version, endpoint, resource_name: resource, options }) => {
        if (version !== devicePluginVersion)
          throw new Error(
            `requested API version "${version}" is not supported by kubelet. Supported version is "${devicePluginVersion}"`,
          );
        if (endpoint === '' || endpoint.includes('/')) throw new Error(`the endpoint "${endpoint}" is invalid`);
        await this.register(resource, join(directory, endpoint), options);
        return {};
      },
    });
  }

  /** Takes a plugin into service; one that had the resource before is let go of. */
  async register(
    resource: string,
    socket: string,
    options?: { readonly pre_start_required: boolean; readonly get_preferred_allocation_available: boolean },
  ): Promise<void> {
    if (!isExtendedResource(resource)) throw new Error(`the ResourceName "${resource}" is invalid`);
    const { clock, log } = this.#options;
    const connection = await connectPlugin(socket, clock);
    const plugin: Plugin = {
      connection,
      abort: new AbortController(),
      options: {
        preStart: options?.pre_start_required ?? false,
        preferred: options?.get_preferred_allocation_available ?? false,
      },
    };
    this.#letGo(resource);
    this.#plugins.set(resource, plugin);
    log.info('a device plugin has registered', { resource, socket });
    void this.#follow(resource, plugin);
  }

  /** The plugin of this resource is gone; its devices are not to be had until another comes. */
  unregister(resource: string): void {
    this.#letGo(resource);
    this.#lost(resource);
  }

  /** What the node has of each resource, and how much of that is well. */
  amounts(): ReadonlyMap<string, { readonly capacity: number; readonly allocatable: number }> {
    const found = [...this.#devices].map(([resource, devices]) => {
      const healthy = [...devices.values()].filter(each => each.healthy).length;
      return [resource, { capacity: devices.size, allocatable: healthy }] as const;
    });
    const none = { capacity: 0, allocatable: 0 };
    return new Map([...[...this.#former].map(resource => [resource, none] as const), ...found]);
  }

  /** All devices that are well, with their nodes. */
  get healthy(): readonly { readonly resource: string; readonly id: string; readonly nodes: readonly number[] }[] {
    return [...this.#devices].flatMap(([resource, devices]) =>
      [...devices].filter(([, { healthy }]) => healthy).map(([id, { nodes }]) => ({ resource, id, nodes })),
    );
  }

  /** Whether a device is well; `undefined` when nobody says. */
  isHealthy(resource: string, id: string): boolean | undefined {
    return this.#plugins.has(resource) ? this.#devices.get(resource)?.get(id)?.healthy : undefined;
  }

  of(podUid: string, container: string): readonly GrantedDevices[] {
    return this.#granted.get(podUid)?.get(container) ?? [];
  }

  /** Whether a container asks for something that a plugin brings. */
  concerns(containers: readonly Container[]): boolean {
    return containers.some(each => this.#asked(each).size > 0);
  }

  hints(pod: Pod, containers: readonly Container[]): ReadonlyMap<string, Hints> {
    const { uid = '' } = pod.metadata;
    const resources = new Set(containers.flatMap(each => [...this.#asked(each).keys()]));
    const hints = [...resources].map((resource): readonly [string, Hints] => {
      const devices = this.#devices.get(resource) ?? new Map<string, Device>();
      if (![...devices.values()].some(({ nodes }) => nodes.length > 0)) return [resource, undefined];
      const wanted = together(pod, containers, each => this.#asked(each).get(resource) ?? 0);
      const own = new Set(containers.flatMap(({ name }) => this.#idsOf(uid, name, resource)));
      const free = new Set([...this.#free(pod, resource), ...own]);
      const within = (set: NodeSet, of: Iterable<string>) =>
        [...of].filter(id => devices.get(id)?.nodes.some(node => (set >> node) & 1)).length;
      return [
        resource,
        hintsFor(
          this.#options.numaNodes,
          set => within(set, devices.keys()),
          set => within(set, free),
          wanted,
        ),
      ];
    });
    return new Map(hints);
  }

  async take(pod: Pod, container: Container, nodes: NodeSet | undefined): Promise<void> {
    const { uid = '' } = pod.metadata;
    for (const [resource, wanted] of this.#asked(container)) {
      if (this.#idsOf(uid, container.name, resource).length > 0) continue;
      const plugin = this.#plugins.get(resource);
      if (!plugin) throw new AllocationError(`can't allocate unregistered device ${resource}`);
      const ids = await this.#choose(pod, resource, plugin, wanted, nodes);
      const response = await this.#allocate(plugin, resource, ids);
      const devices = this.#devices.get(resource);
      const near = [...new Set(ids.flatMap(id => devices?.get(id)?.nodes ?? []))];
      const containers = this.#granted.get(uid) ?? new Map<string, GrantedDevices[]>();
      this.#granted.set(uid, containers);
      const known = containers.get(container.name) ?? [];
      containers.set(container.name, [...known, { resource, ids, nodes: near, response }]);
      this.#save();
    }
  }

  /** What a plugin wants to do before each start of a container. */
  async preStart(podUid: string, container: string, signal: AbortSignal): Promise<void> {
    for (const { resource, ids } of this.of(podUid, container)) {
      const plugin = this.#plugins.get(resource);
      if (!plugin?.options.preStart) continue;
      try {
        const request = { devices_ids: ids };
        await plugin.connection.call('/v1beta1.DevicePlugin/PreStartContainer', request, callTimeoutMs * 3, signal);
      } catch (cause) {
        throw new Error(`device plugin PreStartContainer rpc failed with err: ${textOf(cause)}`, { cause });
      }
    }
  }

  release(podUid: string): void {
    if (this.#granted.delete(podUid)) this.#save();
  }

  keepOnly(podUids: ReadonlySet<string>): void {
    for (const uid of this.#granted.keys()) if (!podUids.has(uid)) this.release(uid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cancel of this.#leaving.values()) cancel();
    for (const resource of this.#plugins.keys()) this.#letGo(resource);
    await this.#server?.[Symbol.asyncDispose]();
  }

  #asked({ resources }: Container): ReadonlyMap<string, number> {
    const limits = Object.entries(resources?.limits ?? {}).filter(
      ([name, amount]) => (this.#devices.has(name) || this.#plugins.has(name)) && wholeValue(amount) > 0,
    );
    return new Map(limits.map(([name, amount]) => [name, wholeValue(amount)]));
  }

  #idsOf(podUid: string, container: string, resource: string): readonly string[] {
    return this.of(podUid, container).flatMap(each => (each.resource === resource ? each.ids : []));
  }

  /** Well, and nobody's; what init containers of the same pod have counts as free, but is not first choice for others. */
  #free(pod: Pod, resource: string): readonly string[] {
    const { uid = '' } = pod.metadata;
    const inUse = new Set<string>();
    for (const [podUid, containers] of this.#granted)
      for (const [name, grants] of containers) {
        if (podUid === uid && isPassing(pod, { name } as Container)) continue;
        for (const grant of grants) if (grant.resource === resource) grant.ids.forEach(id => inUse.add(id));
      }
    const devices = this.#devices.get(resource) ?? new Map<string, Device>();
    return [...devices].filter(([id, { healthy }]) => healthy && !inUse.has(id)).map(([id]) => id);
  }

  async #choose(
    pod: Pod,
    resource: string,
    { connection, options }: Plugin,
    wanted: number,
    set: NodeSet | undefined,
  ): Promise<readonly string[]> {
    const free = this.#free(pod, resource);
    if (free.length < wanted)
      throw new AllocationError(
        `requested number of devices unavailable for ${resource}. Requested: ${wanted}, Available: ${free.length}`,
      );
    const devices = this.#devices.get(resource);
    const nodesOf = (id: string) => devices?.get(id)?.nodes ?? [];
    const isNear = (id: string) => set !== undefined && nodesOf(id).some(node => (set >> node) & 1);
    const { uid = '' } = pod.metadata;
    const passing = (pod.spec?.initContainers ?? []).filter(each => isPassing(pod, each));
    const reused = new Set(passing.flatMap(({ name }) => this.#idsOf(uid, name, resource)));
    // First what the pod's init containers had, then what is near, then what is of no node, then the rest.
    const rank = (id: string) => (reused.has(id) ? 0 : isNear(id) ? 1 : nodesOf(id).length === 0 ? 2 : 3);
    const sorted = free.toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
    if (!options.preferred) return sorted.slice(0, wanted);
    const must = sorted.filter(id => reused.has(id)).slice(0, wanted);
    // As long as there are enough of a better rank, the plugin chooses among those alone.
    const last = rank(sorted[wanted - 1] ?? '');
    const better = sorted.filter(id => rank(id) < last);
    const among = sorted.filter(id => rank(id) <= last);
    const request = {
      container_requests: [
        {
          available_deviceIDs: among,
          must_include_deviceIDs: [...new Set([...must, ...better])],
          allocation_size: wanted,
        },
      ],
    };
    const answer = await connection
      .call('/v1beta1.DevicePlugin/GetPreferredAllocation', request, callTimeoutMs)
      .catch((error: unknown) => {
        throw new AllocationError(`device plugin GetPreferredAllocation rpc failed with err: ${textOf(error)}`);
      });
    const preferred = (answer.container_responses[0]?.deviceIDs ?? []).filter(id => among.includes(id));
    // The plugin's word is a wish: what it lacks is filled up, what is too much is left out.
    return [...new Set([...must, ...better, ...preferred, ...among])].slice(0, wanted);
  }

  async #allocate({ connection }: Plugin, resource: string, ids: readonly string[]): Promise<AllocateResponse> {
    const request = { container_requests: [{ devices_ids: ids }] };
    try {
      const answer = await connection.call('/v1beta1.DevicePlugin/Allocate', request, callTimeoutMs * 6);
      const [response] = answer.container_responses;
      if (response) return response;
    } catch (error) {
      throw new AllocationError(`rpc error: code = Unknown desc = ${textOf(error)}`);
    }
    throw new AllocationError(`no containers return in allocation response of ${resource}`);
  }

  async #follow(resource: string, plugin: Plugin): Promise<void> {
    const { log } = this.#options;
    const { connection, abort } = plugin;
    try {
      if (!plugin.options.preStart && !plugin.options.preferred) {
        const said = await connection.call('/v1beta1.DevicePlugin/GetDevicePluginOptions', {}, callTimeoutMs);
        plugin.options = {
          preStart: said.pre_start_required,
          preferred: said.get_preferred_allocation_available,
        };
      }
      await connection.stream(
        '/v1beta1.DevicePlugin/ListAndWatch',
        {},
        ({ devices }) => this.#listed(resource, plugin, devices),
        abort.signal,
      );
      log.warn('a device plugin has ended its list', { resource });
    } catch (error) {
      if (abort.signal.aborted) return;
      log.warn('lost a device plugin', { resource, error });
    }
    if (this.#plugins.get(resource) !== plugin) return;
    this.#letGo(resource);
    this.#lost(resource);
  }

  #listed(resource: string, plugin: Plugin, devices: readonly Received<'PluginDevice'>[]): void {
    if (this.#plugins.get(resource) !== plugin) return;
    this.#leaving.get(resource)?.();
    this.#leaving.delete(resource);
    const found = devices.slice(0, devicesMax).map(({ ID, health, topology }) => {
      const nodes = (topology?.nodes ?? []).map(each => Number(each.ID));
      return [ID, { healthy: health === 'Healthy', nodes }] as const;
    });
    this.#devices.set(resource, new Map(found));
    this.#save();
    this.#options.changed();
  }

  /** All of them count as ill, and after a while as not there. */
  #lost(resource: string): void {
    const devices = this.#devices.get(resource);
    if (!devices) return;
    this.#devices.set(resource, new Map([...devices].map(([id, each]) => [id, { ...each, healthy: false }])));
    this.#expectBack(resource);
    this.#options.changed();
  }

  #expectBack(resource: string): void {
    this.#leaving.get(resource)?.();
    const cancel = this.#options.clock.after(absenceMsMax, () => {
      this.#leaving.delete(resource);
      this.#devices.delete(resource);
      this.#former.add(resource);
      this.#save();
      this.#options.changed();
    });
    this.#leaving.set(resource, cancel);
  }

  #letGo(resource: string): void {
    const plugin = this.#plugins.get(resource);
    if (!plugin) return;
    this.#plugins.delete(resource);
    plugin.abort.abort(new Error('the plugin was replaced'));
    plugin.connection[Symbol.dispose]();
  }

  #save(): void {
    const entries = [...this.#granted].flatMap(([PodUID, containers]) =>
      [...containers].flatMap(([ContainerName, grants]) =>
        grants.map(({ resource, ids, nodes, response }) => ({
          PodUID,
          ContainerName,
          ResourceName: resource,
          DeviceIDs: { [nodes[0] ?? -1]: ids },
          AllocResp: pluginCodec.encode('ContainerAllocateResponse', response).toString('base64'),
        })),
      ),
    );
    const registered = [...this.#devices].map(([resource, devices]) => [
      resource,
      [...devices].filter(([, { healthy }]) => healthy).map(([id]) => id),
    ]);
    const checkpoint: Checkpoint = {
      Data: { PodDeviceEntries: entries, RegisteredDevices: Object.fromEntries(registered) },
    };
    writeState(this.#checkpoint, checkpoint);
  }
}
