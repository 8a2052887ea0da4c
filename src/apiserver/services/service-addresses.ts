import type { Clock } from '#base/clock.ts';
import { formatIp, parseIp } from '#base/ip.ts';
import type { Random } from '#base/random.ts';
import { Service } from '#api/core/v1/service.ts';
import { trackUpdate } from '#api/machinery/apply/apply.ts';
import type { ApiObject, Draft, Kind } from '#api/machinery/kind.ts';
import { formatTime } from '#api/machinery/time.ts';
import { IPAddress } from '#api/networking/v1/ip-address.ts';
import { ServiceCIDR } from '#api/networking/v1/service-cidr.ts';
import type { CachedObject } from '../cache/entry.ts';
import type { WatchCache } from '../cache/watch-cache.ts';
import type { Registry, Resource } from '../registry.ts';
import { StaleError, type Writer } from '../writer.ts';
import { AddressRange, type AddressFamily } from './address-range.ts';

/** The allocator's name in the objects it makes: upstream's. */
export const allocatorName = 'ipallocator.k8s.io';
const familyLabel = 'ipaddress.kubernetes.io/ip-family';
const managedByLabel = 'ipaddress.kubernetes.io/managed-by';

export type AddressProblem = 'taken' | 'elsewhere' | { readonly notGivenIn: string };

export interface ServiceName {
  readonly namespace: string;
  readonly name: string;
}

/**
 * Addresses of Services, out of the ServiceCIDRs. Each is an IPAddress object of its name (KEP-1880): making it is what
 * takes the address, so that servers beside each other never give out one twice.
 */
export class ServiceAddresses {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #writer: Writer;
  /** Undefined where the kind is not served: then only this process keeps what is taken. */
  readonly #addresses: Resource | undefined;
  readonly #serviceCidrs: Resource | undefined;
  readonly #configured: readonly AddressRange[];
  /** Address → how many Services have it. */
  readonly #inServices = new Map<string, number>();
  readonly #pending = new Set<string>();
  #ranges: readonly AddressRange[] | undefined;

  constructor(parts: {
    readonly registry: Registry;
    readonly cache: WatchCache;
    readonly writer: Writer;
    readonly clock: Clock;
    readonly random: Random;
    /** Hold as long as there is no ServiceCIDR. */
    readonly configured: readonly string[];
  }) {
    const { registry, cache } = parts;
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.#writer = parts.writer;
    this.#configured = parts.configured.map(cidr => new AddressRange(cidr));
    const find = ({ group, version, plural }: { group: string; version: string; plural: string }) =>
      registry.find(group, version, plural);
    this.#addresses = find(IPAddress);
    this.#serviceCidrs = find(ServiceCIDR);
    cache.listen(resource => {
      if (resource === this.#serviceCidrs?.cache) this.#ranges = undefined;
    });
  }

  /** Those that the cluster was set up with, the first one first. */
  get families(): readonly AddressFamily[] {
    return this.#configured.map(range => range.family);
  }

  contains(address: string): boolean {
    return this.#current().some(range => range.contains(address));
  }

  /** A free one, taken; undefined when there is none. */
  async next(family: AddressFamily, service: ServiceName, dryRun: boolean): Promise<string | undefined> {
    for (const range of this.#current()) {
      if (range.family !== family) continue;
      for (const address of range.candidates(this.#random)) {
        if (this.#isTaken(address)) continue;
        if (dryRun || (await this.#make(address, service))) return address;
      }
    }
    return undefined;
  }

  async take(asked: string, service: ServiceName, dryRun: boolean): Promise<AddressProblem | undefined> {
    const parsed = parseIp(asked);
    const range = parsed && this.#current().find(each => each.contains(asked));
    if (!range) return 'elsewhere';
    const address = formatIp(parsed);
    if (!range.isGiven(address)) return { notGivenIn: range.cidr };
    if (this.#isTaken(address)) return 'taken';
    return dryRun || (await this.#make(address, service)) ? undefined : 'taken';
  }

  /** Removes the object of an address that a Service had. One that is somebody else's stays. */
  async release(asked: string, service: ServiceName): Promise<void> {
    const parsed = parseIp(asked);
    if (!parsed) return;
    const address = formatIp(parsed);
    this.settle(address);
    const resource = this.#addresses;
    if (!resource) return;
    const entry = resource.cache.get(address);
    if (entry && isOf(entry, service)) await this.#remove(resource, entry);
  }

  /** What was taken is in a Service now, or never will be. */
  settle(address: string): void {
    this.#pending.delete(address);
  }

  /** What the Services have is taken, whatever else is known. */
  count({ spec }: Service, by: 1 | -1): void {
    for (const address of addressesOf(spec)) {
      const count = (this.#inServices.get(address) ?? 0) + by;
      if (count > 0) this.#inServices.set(address, count);
      else this.#inServices.delete(address);
    }
  }

  /**
   * Makes what is missing for the Services that are there, and removes what was left behind by those that are not: a server
   * may have died between the two writes. What is young may belong to a Service that is just being made.
   */
  async repair(services: Resource): Promise<void> {
    const resource = this.#addresses;
    if (!resource) return;
    for (const entry of services.cache.all()) {
      const service = entry.object as Service;
      for (const address of addressesOf(service.spec)) {
        if (!this.contains(address)) continue;
        const found = resource.cache.get(address);
        if (found && isWrong(found, services)) await this.#remove(resource, found);
        else if (found) continue;
        await this.#make(address, nameOf(service));
        this.settle(address);
      }
    }
    for (const entry of resource.cache.all()) {
      const { metadata } = entry.object as IPAddress;
      const ageMs = this.#clock.now() - Date.parse(metadata.creationTimestamp ?? '');
      if (metadata.labels?.[managedByLabel] !== allocatorName || ageMs < orphanMsMax) continue;
      if (isWrong(entry, services)) await this.#remove(resource, entry);
    }
  }

  /** Ready ones, the oldest first. */
  #current(): readonly AddressRange[] {
    if (this.#ranges) return this.#ranges;
    const objects = (this.#serviceCidrs?.cache.all() ?? [])
      .toSorted((a, b) => a.createRevision - b.createRevision)
      .map(entry => entry.object as ServiceCIDR);
    const cidrs = new Set(objects.filter(isReady).flatMap(({ spec }) => spec.cidrs ?? []));
    this.#ranges = objects.length === 0 ? this.#configured : [...cidrs].map(cidr => new AddressRange(cidr));
    return this.#ranges;
  }

  #isTaken(address: string): boolean {
    return (
      this.#pending.has(address) || this.#inServices.has(address) || this.#addresses?.cache.get(address) !== undefined
    );
  }

  /** False when somebody else was faster. */
  async #make(address: string, { namespace, name }: ServiceName): Promise<boolean> {
    this.#pending.add(address);
    if (!this.#addresses) return true;
    const nowMs = this.#clock.now();
    const object = {
      apiVersion: `${IPAddress.group}/${IPAddress.version}`,
      kind: IPAddress.kind,
      metadata: {
        name: address,
        uid: this.#random.uuid(),
        creationTimestamp: formatTime(nowMs),
        labels: { [familyLabel]: address.includes(':') ? 'IPv6' : 'IPv4', [managedByLabel]: allocatorName },
      },
      spec: { parentRef: { resource: Service.plural, namespace, name } },
    } as unknown as Draft<ApiObject>;
    trackUpdate({ kind: IPAddress as unknown as Kind, old: undefined, updated: object, manager, nowMs });
    try {
      await this.#writer.create(this.#addresses, address, object as ApiObject);
      return true;
    } catch (error) {
      this.settle(address);
      if (!(error instanceof StaleError)) throw error;
      return false;
    }
  }

  async #remove(resource: Resource, entry: CachedObject): Promise<void> {
    try {
      await this.#writer.delete(resource, entry);
    } catch (error) {
      // Somebody else has removed it, or has changed it since: then it is no longer what was looked at.
      if (!(error instanceof StaleError)) throw error;
    }
  }
}

const manager = 'kube-apiserver';

/** Upstream's: as long as a request may take. */
const orphanMsMax = 60_000;

export function addressesOf(spec: Service['spec']): readonly string[] {
  return (spec.clusterIPs ?? []).filter(address => address !== 'None' && address !== '');
}

export function nameOf({ metadata }: Service): ServiceName {
  return { namespace: metadata.namespace ?? '', name: metadata.name ?? '' };
}

function isOf(entry: CachedObject, { namespace, name }: ServiceName): boolean {
  const { parentRef } = (entry.object as IPAddress).spec;
  return (
    (parentRef.group ?? '') === '' &&
    parentRef.resource === Service.plural &&
    parentRef.namespace === namespace &&
    parentRef.name === name
  );
}

/** The Service that it names is not there, or has another address. */
function isWrong(entry: CachedObject, services: Resource): boolean {
  const { parentRef } = (entry.object as IPAddress).spec;
  const service = services.cache.get(`${parentRef.namespace}/${parentRef.name}`)?.object as Service | undefined;
  return !service || !isOf(entry, nameOf(service)) || !addressesOf(service.spec).includes(entry.key);
}

/** Without a condition it is: the controllers may not run yet. */
function isReady({ metadata, status }: ServiceCIDR): boolean {
  if (metadata.deletionTimestamp !== undefined) return false;
  const ready = status?.conditions?.find(condition => condition.type === 'Ready');
  return ready === undefined || ready.status === 'True';
}
