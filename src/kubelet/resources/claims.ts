import type { Pod } from '#api/core/v1/pod.ts';
import type { Container } from '#api/core/v1/pod-spec.ts';
import { ResourceClaim } from '#api/resource/v1/resource-claim.ts';
import { ResourceSlice } from '#api/resource/v1/resource-slice.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Client } from '#client/client.ts';
import { connectPlugin, type PluginConnection, textOf } from '../plugins/connection.ts';
import type { Method, Received } from '../plugins/messages.ts';
import type { PluginHandler, RegisteredPlugin } from '../plugins/plugin-watcher.ts';
import { readState, writeState } from './state-file.ts';

export interface ClaimsOptions {
  readonly client: Client;
  readonly nodeName: string;
  /** `dra_manager_state` */
  readonly stateFile: string;
  readonly clock: Clock;
  readonly log: Log;
  /** The health of devices that this pod uses has changed. */
  readonly changed: (podUid: string) => void;
}

export interface PreparedDevice {
  readonly driver: string;
  readonly pool: string;
  readonly device: string;
  /** None: of all requests. */
  readonly requests: readonly string[];
  readonly cdi: readonly string[];
  readonly shareId?: string;
}

/** A claim that pods of this node use. */
interface ClaimInfo {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly drivers: readonly string[];
  readonly pods: readonly string[];
  readonly prepared: boolean;
  readonly devices: readonly PreparedDevice[];
}

interface State {
  readonly claims: readonly ClaimInfo[];
}

interface Driver {
  readonly plugin: RegisteredPlugin;
  readonly connection: PluginConnection;
  readonly version: 'v1' | 'v1beta1';
  readonly abort: AbortController;
}

/** Services that are understood, the best first. */
const services = [
  ['v1.DRAPlugin', 'v1'],
  ['v1beta1.DRAPlugin', 'v1beta1'],
] as const;
const healthServices = [
  ['v1beta1.DRAResourceHealth', '/v1beta1.DRAResourceHealth/NodeWatchResources'],
  ['v1alpha1.DRAResourceHealth', '/v1alpha1.DRAResourceHealth/NodeWatchResources'],
] as const satisfies readonly (readonly [string, Method])[];
/** As upstream: how long a driver may take. */
const callTimeoutMs = 45_000;
/** As upstream: so long a driver that went away may take to come back before what it offers is taken back. */
const absenceMs = 30_000;
/** As upstream's default: what a driver has said of a device is forgotten then. */
const healthMs = 30_000;

/** Devices of resource claims: prepared by their drivers before a pod starts, given back behind its last one. */
export class Claims implements PluginHandler, AsyncDisposable {
  readonly #options: ClaimsOptions;
  readonly #drivers = new Map<string, Driver>();
  readonly #claims = new Map<string, ClaimInfo>();
  readonly #leaving = new Map<string, () => void>();
  readonly #health = new Map<string, { readonly health: string; readonly cancel: () => void }>();
  readonly #orphans = new Set<string>();
  /** One at a time: two pods that share a claim prepare it once. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: ClaimsOptions) {
    this.#options = options;
    for (const claim of readState<State>(options.stateFile)?.claims ?? []) this.#claims.set(keyOf(claim), claim);
  }

  /** Drivers that do not come back after a start of the agent have nothing to offer any more. */
  start(): void {
    this.#leaving.set(
      '',
      this.#options.clock.after(absenceMs, () => void this.#withdraw()),
    );
  }

  async register(plugin: RegisteredPlugin): Promise<void> {
    const version = services.find(([service]) => plugin.versions.includes(service))?.[1];
    // Drivers from before services had names list versions alone.
    const found = version ?? (plugin.versions.some(each => /^v?1\.\d|^1\./.test(each)) ? 'v1beta1' : undefined);
    if (plugin.name === '') throw new Error('DRA plugin name is empty');
    if (!found)
      throw new Error(
        `invalid versions of plugin ${plugin.name}: none of the DRA plugin services are supported: ${plugin.versions.join(', ')}`,
      );
    const connection = await connectPlugin(plugin.endpoint, this.#options.clock);
    this.#letGo(plugin.name);
    this.#leaving.get(plugin.name)?.();
    this.#leaving.delete(plugin.name);
    const driver = { plugin, connection, version: found, abort: new AbortController() };
    this.#drivers.set(plugin.name, driver);
    const health = healthServices.find(([service]) => plugin.versions.includes(service))?.[1];
    if (health) void this.#followHealth(driver, health);
    this.#freeOrphans();
  }

  unregister({ name, endpoint }: RegisteredPlugin): void {
    if (this.#drivers.get(name)?.plugin.endpoint !== endpoint) return;
    this.#letGo(name);
    this.#leaving.get(name)?.();
    this.#leaving.set(
      name,
      this.#options.clock.after(absenceMs, () => void this.#withdraw(name)),
    );
  }

  /** All claims of the pod are ready for it. Rejects with upstream's words. */
  prepare(pod: Pod): Promise<void> {
    return this.#inTurn(() => this.#prepare(pod));
  }

  /** The pod's containers have ended: claims that nobody else uses are given back. */
  unprepare(podUid: string): Promise<void> {
    return this.#inTurn(() => this.#unprepare(podUid));
  }

  /** Pods that are gone while no agent was there: what they hold is given back as soon as its driver is there. */
  keepOnly(podUids: ReadonlySet<string>): void {
    const held = [...this.#claims.values()].flatMap(({ pods }) => pods);
    for (const uid of held) if (!podUids.has(uid)) this.#orphans.add(uid);
    this.#freeOrphans();
  }

  /** What a container gets, by claim. */
  of(
    pod: Pod,
    container: Container,
  ): readonly { readonly claim: ClaimInfo; readonly devices: readonly PreparedDevice[] }[] {
    return usesOf(pod, container).flatMap(({ claimName, request }) => {
      const claim = this.#claims.get(`${pod.metadata.namespace}/${claimName}`);
      if (!claim) return [];
      // A request with alternatives is named `request/alternative` by what was chosen.
      const fits = ({ requests }: PreparedDevice) =>
        request === undefined ||
        requests.length === 0 ||
        requests.some(each => each === request || each.startsWith(`${request}/`));
      return [{ claim, devices: claim.devices.filter(fits) }];
    });
  }

  /** What a driver says of a device. */
  healthOf({ driver, pool, device }: PreparedDevice): string {
    return this.#health.get(`${driver}/${pool}/${device}`)?.health ?? 'Unknown';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cancel of this.#leaving.values()) cancel();
    for (const { cancel } of this.#health.values()) cancel();
    for (const name of this.#drivers.keys()) this.#letGo(name);
    await this.#turn;
  }

  #freeOrphans(): void {
    for (const uid of this.#orphans)
      this.unprepare(uid).then(
        () => this.#orphans.delete(uid),
        (error: unknown) =>
          this.#options.log.warn('cannot give back the devices of a pod that is gone', { uid, error }),
      );
  }

  #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #prepare(pod: Pod): Promise<void> {
    const { uid = '', name: podName = '', namespace = '' } = pod.metadata;
    for (const { name } of pod.spec?.resourceClaims ?? [])
      if (claimNameOf(pod, name) === undefined)
        throw new Error(`pod ${JSON.stringify(`${namespace}/${podName}`)}: ResourceClaim not created yet: ${name}`);
    const wanted: ClaimInfo[] = [];
    for (const name of claimNames(pod)) {
      const key = `${namespace}/${name}`;
      const known = this.#claims.get(key);
      if (known?.prepared && known.pods.includes(uid)) continue;
      const claim = await this.#read(pod, name);
      if (known && known.uid !== claim.uid)
        throw new Error(`claim ${name} was deleted and made anew: its old devices are not given back yet`);
      const info: ClaimInfo = {
        ...claim,
        ...(known?.prepared && { prepared: true, devices: known.devices }),
        pods: [...new Set([...(known?.pods ?? []), uid])],
      };
      // Known before the driver is asked, so that a killed agent gives it back.
      this.#claims.set(key, info);
      wanted.push(info);
    }
    this.#save();
    const open = wanted.filter(({ prepared }) => !prepared);
    const drivers = new Set(open.flatMap(each => each.drivers));
    const devices = new Map<string, PreparedDevice[]>();
    for (const driver of drivers) {
      const claims = open.filter(each => each.drivers.includes(driver));
      const answers = await this.#ask(driver, 'NodePrepareResources', claims);
      for (const claim of claims) {
        const answer = answers.claims[claim.uid];
        const why = answer === undefined ? 'NodePrepareResources skipped it' : answer.error;
        if (!answer || why !== '')
          throw new Error(`NodePrepareResources failed for claim ${claim.namespace}/${claim.name}: ${why}`);
        const found = 'devices' in answer ? answer.devices.map(each => deviceOf(driver, each)) : [];
        devices.set(claim.uid, [...(devices.get(claim.uid) ?? []), ...found]);
      }
    }
    for (const claim of open)
      this.#claims.set(keyOf(claim), { ...claim, prepared: true, devices: devices.get(claim.uid) ?? [] });
    this.#save();
  }

  async #read(pod: Pod, name: string): Promise<ClaimInfo> {
    const { uid = '', name: podName = '', namespace = '' } = pod.metadata;
    let claim: ResourceClaim;
    try {
      claim = await this.#options.client.get(ResourceClaim, name, { namespace });
    } catch (cause) {
      throw new Error(`fetch ResourceClaim ${namespace}/${name}: ${textOf(cause)}`, { cause });
    }
    const { allocation, reservedFor = [] } = claim.status ?? {};
    if (!allocation) throw new Error(`claim ${name} not allocated`);
    if (!reservedFor.some(each => each.uid === uid))
      throw new Error(`pod ${podName}(${uid}) is not allowed to use ResourceClaim ${name}(${claim.metadata.uid})`);
    const drivers = new Set((allocation.devices?.results ?? []).map(each => each.driver));
    return {
      uid: claim.metadata.uid ?? '',
      namespace,
      name,
      drivers: [...drivers],
      pods: [],
      prepared: false,
      devices: [],
    };
  }

  async #unprepare(podUid: string): Promise<void> {
    const held = [...this.#claims.values()].filter(({ pods }) => pods.includes(podUid));
    if (held.length === 0) return;
    const last = held.filter(({ pods }) => pods.length === 1);
    for (const driver of new Set(last.flatMap(each => each.drivers))) {
      const claims = last.filter(each => each.drivers.includes(driver));
      const answers = await this.#ask(driver, 'NodeUnprepareResources', claims);
      for (const { uid, name, namespace } of claims) {
        const answer = answers.claims[uid];
        const why = answer === undefined ? 'NodeUnprepareResources skipped it' : answer.error;
        if (why !== '') throw new Error(`NodeUnprepareResources failed for claim ${namespace}/${name}: ${why}`);
      }
    }
    for (const claim of held) {
      const pods = claim.pods.filter(each => each !== podUid);
      if (pods.length === 0) this.#claims.delete(keyOf(claim));
      else this.#claims.set(keyOf(claim), { ...claim, pods });
    }
    this.#save();
  }

  async #ask<Verb extends 'NodePrepareResources' | 'NodeUnprepareResources'>(
    name: string,
    verb: Verb,
    claims: readonly ClaimInfo[],
  ): Promise<Received<`${Verb}Response`>> {
    const driver = this.#drivers.get(name);
    if (!driver) throw new Error(`plugin name ${name} not found in the list of registered DRA plugins`);
    const method: Method = `/k8s.io.kubelet.pkg.apis.dra.${driver.version}.DRAPlugin/${verb}`;
    const request = { claims: claims.map(({ namespace, uid, name: claim }) => ({ namespace, uid, name: claim })) };
    try {
      const answer = await driver.connection.call(method, request, callTimeoutMs);
      return answer as Received<`${Verb}Response`>;
    } catch (cause) {
      throw new Error(`${verb} of ${name} failed: ${textOf(cause)}`, { cause });
    }
  }

  async #followHealth(driver: Driver, method: (typeof healthServices)[number][1]): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = driver.abort;
    while (!signal.aborted) {
      try {
        await driver.connection.stream(method, {}, ({ devices }) => this.#heard(driver.plugin.name, devices), signal);
      } catch (error) {
        if (signal.aborted) return;
        log.debug('lost the health of devices', { driver: driver.plugin.name, error });
      }
      await clock.sleep(5_000, signal).catch(() => undefined);
    }
  }

  #heard(driver: string, devices: readonly Received<'DeviceHealth'>[]): void {
    for (const { device, health, health_check_timeout_seconds: seconds } of devices) {
      const path = `${driver}/${device?.pool_name}/${device?.device_name}`;
      const known = this.#health.get(path);
      known?.cancel();
      const lasts = Number(seconds) > 0 ? Number(seconds) * 1000 : healthMs;
      const cancel = this.#options.clock.after(lasts, () => {
        this.#health.delete(path);
        this.#tellUsers(path);
      });
      this.#health.set(path, { health, cancel });
      if (known?.health !== health) this.#tellUsers(path);
    }
  }

  #tellUsers(path: string): void {
    for (const { devices, pods } of this.#claims.values())
      if (devices.some(each => `${each.driver}/${each.pool}/${each.device}` === path))
        pods.forEach(uid => this.#options.changed(uid));
  }

  /** What drivers that are not here have told the scheduler of this node is not true any more. */
  async #withdraw(driver?: string): Promise<void> {
    const { client, nodeName, log } = this.#options;
    this.#leaving.delete(driver ?? '');
    const ofNode = `spec.nodeName=${nodeName}`;
    try {
      if (driver !== undefined)
        return await client.deleteCollection(ResourceSlice, { fieldSelector: `${ofNode},spec.driver=${driver}` });
      const others = [...this.#drivers.keys()].map(name => `,spec.driver!=${name}`).join('');
      await client.deleteCollection(ResourceSlice, { fieldSelector: `${ofNode}${others}` });
    } catch (error) {
      log.warn('cannot take back what a driver offered', { driver, error });
    }
  }

  #letGo(name: string): void {
    const driver = this.#drivers.get(name);
    if (!driver) return;
    this.#drivers.delete(name);
    driver.abort.abort(new Error('the plugin was replaced'));
    driver.connection[Symbol.dispose]();
  }

  #save(): void {
    const state: State = { claims: [...this.#claims.values()] };
    writeState(this.#options.stateFile, state);
  }
}

function keyOf({ namespace, name }: ClaimInfo): string {
  return `${namespace}/${name}`;
}

function deviceOf(driver: string, device: Received<'PreparedDevice'>): PreparedDevice {
  return {
    driver,
    pool: device.pool_name,
    device: device.device_name,
    requests: device.request_names,
    cdi: device.cdi_device_ids,
    ...(device.share_id !== '' && { shareId: device.share_id }),
  };
}

/** The claim behind a name of the pod; `null` when it needs none, `undefined` when nobody has made it yet. */
function claimNameOf(pod: Pod, name: string): string | null | undefined {
  const { resourceClaimName } = pod.spec?.resourceClaims?.find(each => each.name === name) ?? {};
  if (resourceClaimName !== undefined) return resourceClaimName;
  const made = pod.status?.resourceClaimStatuses?.find(each => each.name === name);
  return made ? (made.resourceClaimName ?? null) : undefined;
}

/** Every claim of the pod, that for extended resources among them. */
export function claimNames(pod: Pod): readonly string[] {
  const named = (pod.spec?.resourceClaims ?? []).flatMap(({ name }) => claimNameOf(pod, name) ?? []);
  const { resourceClaimName: extended } = pod.status?.extendedResourceClaimStatus ?? {};
  return [...new Set(extended ? [...named, extended] : named)];
}

function usesOf(
  pod: Pod,
  container: Container,
): readonly { readonly claimName: string; readonly request: string | undefined }[] {
  const own = (container.resources?.claims ?? []).flatMap(({ name, request }) => {
    const claimName = claimNameOf(pod, name);
    return claimName ? [{ claimName, request: request === '' ? undefined : request }] : [];
  });
  const { resourceClaimName = '', requestMappings = [] } = pod.status?.extendedResourceClaimStatus ?? {};
  const extended = requestMappings
    .filter(({ containerName }) => containerName === container.name)
    .map(({ requestName }) => ({ claimName: resourceClaimName, request: requestName }));
  return [...own, ...extended];
}
