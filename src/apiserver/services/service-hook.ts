import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import { Service } from '#api/core/v1/service.ts';
import { isHeadless, needsClusterIp, needsHealthCheck, needsNodePort } from '#api/core/v1/service-strategy.ts';
import { errors } from '#api/machinery/errors.ts';
import type { Draft } from '#api/machinery/kind.ts';
import type { FieldError } from '#api/machinery/validation.ts';
import type { Storage } from '#storage/storage.ts';
import type { WatchCache } from '../cache/watch-cache.ts';
import type { Allocation, KindHook } from '../hooks.ts';
import type { Registry, Resource } from '../registry.ts';
import type { Writer } from '../writer.ts';
import type { AddressFamily } from './address-range.ts';
import { NodePorts, nodePortsOf, type PortRange } from './node-ports.ts';
import { type AddressProblem, addressesOf, nameOf, ServiceAddresses, type ServiceName } from './service-addresses.ts';

type Spec = Draft<Service['spec']>;

/** Addresses and node ports of Services, taken in the store, and put right where a server died between two writes. */
export function serviceHook(
  parts: {
    readonly registry: Registry;
    readonly cache: WatchCache;
    readonly writer: Writer;
    readonly storage: Storage;
    readonly clock: Clock;
    readonly random: Random;
    readonly log: Log;
    /** One network, or one of each family separated by a comma. */
    readonly serviceCIDR: string;
    readonly nodePorts: PortRange;
  },
  signal: AbortSignal,
): KindHook {
  const { registry, cache, clock, random, log, storage } = parts;
  const configured = parts.serviceCIDR.split(',').map(cidr => cidr.trim());
  const addresses = new ServiceAddresses({ ...parts, configured });
  const ports = new NodePorts(parts.nodePorts, random, storage);
  const services = registry.find(Service.group, Service.version, Service.plural);
  const count = (service: Service, by: 1 | -1) => {
    addresses.count(service, by);
    ports.count(service.spec, by);
  };
  if (services) {
    for (const entry of services.cache.all()) count(entry.object as Service, 1);
    cache.listen((resource, event) => {
      if (resource !== services.cache) return;
      if (!event.deleted) count(event.entry.object as Service, 1);
      if (event.previous) count(event.previous.object as Service, -1);
    });
    repairRegularly({ addresses, ports, services, clock, log }, signal);
  }
  const giveBack: GiveBack = async (service, addressesGiven, portsGiven) => {
    try {
      for (const address of addressesGiven) await addresses.release(address, service);
      await ports.release(portsGiven);
    } catch (error) {
      // The write itself is done, and the client hears that; the next repair gives back what is left.
      log.warn('cannot give back what a Service had', { ...service, error });
    }
  };
  return {
    async allocate(object, old, dryRun) {
      const service = object as Draft<Service>;
      const before = old as Service | undefined;
      const allocation = new ServiceAllocation(service as Service, before, { addresses, ports, dryRun, giveBack });
      try {
        await allocation.addresses(service.spec);
        await allocation.ports(service.spec);
      } catch (error) {
        await allocation.release();
        throw error;
      }
      return allocation;
    },
    async deleted(object) {
      const service = object as Service;
      await giveBack(nameOf(service), addressesOf(service.spec), nodePortsOf(service.spec));
    },
  };
}

type GiveBack = (service: ServiceName, addresses: readonly string[], ports: readonly number[]) => Promise<void>;

/** Upstream's interval. */
const repairIntervalMs = 180_000;

/** At once, for Services from before there were such objects, and then every three minutes. */
function repairRegularly(
  parts: {
    readonly addresses: ServiceAddresses;
    readonly ports: NodePorts;
    readonly services: Resource;
    readonly clock: Clock;
    readonly log: Log;
  },
  signal: AbortSignal,
): void {
  const { addresses, ports, services, clock, log } = parts;
  const repair = async () => {
    try {
      await addresses.repair(services);
      await ports.repair(services);
    } catch (error) {
      if (!signal.aborted) log.warn('cannot repair the addresses of Services', { error });
    }
    if (!signal.aborted) cancel = clock.after(repairIntervalMs, () => void repair());
  };
  let cancel = clock.after(0, () => void repair());
  signal.addEventListener('abort', () => cancel(), { once: true });
}

/** What one write takes; given back when it fails. */
class ServiceAllocation implements Allocation {
  readonly #service: ServiceName;
  readonly #old: Service | undefined;
  readonly #pool: ServiceAddresses;
  readonly #portPool: NodePorts;
  readonly #dryRun: boolean;
  readonly #giveBack: GiveBack;
  readonly #object: Service;
  readonly #takenAddresses: string[] = [];
  readonly #takenPorts: number[] = [];

  constructor(
    object: Service,
    old: Service | undefined,
    parts: {
      readonly addresses: ServiceAddresses;
      readonly ports: NodePorts;
      readonly dryRun: boolean;
      readonly giveBack: GiveBack;
    },
  ) {
    this.#object = object;
    this.#service = nameOf(object);
    this.#old = old;
    this.#pool = parts.addresses;
    this.#portPool = parts.ports;
    this.#dryRun = parts.dryRun;
    this.#giveBack = parts.giveBack;
  }

  release(): Promise<void> {
    return this.#giveBack(this.#service, this.#takenAddresses.splice(0), this.#takenPorts.splice(0));
  }

  async settle(): Promise<void> {
    for (const address of this.#takenAddresses) this.#pool.settle(address);
    this.#portPool.settle(this.#takenPorts);
    if (!this.#old) return;
    const keptAddresses = new Set(addressesOf(this.#object.spec));
    const keptPorts = new Set(nodePortsOf(this.#object.spec));
    await this.#giveBack(
      this.#service,
      addressesOf(this.#old.spec).filter(address => !keptAddresses.has(address)),
      nodePortsOf(this.#old.spec).filter(port => !keptPorts.has(port)),
    );
  }

  async addresses(spec: Spec): Promise<void> {
    if (!needsClusterIp(spec as Service['spec'])) return;
    const wanted = spec.clusterIPs ?? [];
    this.#families(spec, wanted);
    if (isHeadless(spec as Service['spec'])) {
      spec.clusterIP = 'None';
      return;
    }
    const before = new Set(this.#old ? addressesOf(this.#old.spec) : []);
    const families = spec.ipFamilies ?? [];
    const given: string[] = [];
    for (const [index, family] of families.entries()) {
      if (!this.#pool.families.includes(family as AddressFamily)) throw this.#unavailable(index, family);
      const asked = wanted[index] ?? '';
      if (asked !== '' && before.has(asked)) given.push(asked);
      else if (asked === '') given.push(await this.#nextAddress(family as AddressFamily, wanted));
      else given.push(await this.#certainAddress(asked, wanted));
    }
    spec.clusterIPs = given;
    spec.clusterIP = given[0] ?? '';
  }

  async ports(spec: Spec): Promise<void> {
    if (needsNodePort(spec as Service['spec'])) await this.#nodePorts(spec);
    if (!needsHealthCheck(spec as Service['spec'])) return;
    const before = this.#old?.spec.healthCheckNodePort ?? 0;
    const asked = spec.healthCheckNodePort ?? 0;
    if (asked !== 0 && asked === before) return;
    spec.healthCheckNodePort = await (asked === 0
      ? this.#nextPort('spec.healthCheckNodePort')
      : this.#certainPort(asked, 'spec.healthCheckNodePort'));
  }

  async #nodePorts(spec: Spec): Promise<void> {
    const before = new Set(this.#old ? nodePortsOf(this.#old.spec) : []);
    // The same number for TCP and UDP of one port, as upstream gives it.
    const mine = new Map<number, Set<string>>();
    for (const [index, port] of (spec.ports ?? []).entries()) {
      const field = `spec.ports[${index}].nodePort`;
      const asked = port.nodePort ?? 0;
      const protocol = port.protocol ?? 'TCP';
      if (asked === 0) {
        const shared = this.#sharedPort(spec, index, mine, protocol);
        port.nodePort = shared ?? (await this.#nextPort(field));
      } else if (!before.has(asked) && !(mine.has(asked) && !mine.get(asked)?.has(protocol))) {
        await this.#certainPort(asked, field);
      }
      const number = port.nodePort as number;
      mine.set(number, (mine.get(number) ?? new Set<string>()).add(protocol));
    }
  }

  #sharedPort(
    spec: Spec,
    index: number,
    mine: ReadonlyMap<number, ReadonlySet<string>>,
    protocol: string,
  ): number | undefined {
    const { port } = (spec.ports ?? [])[index] as { port: number };
    for (const other of (spec.ports ?? []).slice(0, index)) {
      const number = other.nodePort ?? 0;
      if (other.port === port && number !== 0 && !mine.get(number)?.has(protocol)) return number;
    }
    return undefined;
  }

  /** Which families a Service has, from what it asks for and what the cluster has. */
  #families(spec: Spec, wanted: readonly string[]): void {
    const available: readonly string[] = this.#pool.families;
    const selectorless = isHeadless(spec as Service['spec']) && Object.keys(spec.selector ?? {}).length === 0;
    const families: string[] = [...(spec.ipFamilies ?? [])];
    if (families.length === 0)
      for (const address of wanted) if (address !== 'None') families.push(address.includes(':') ? 'IPv6' : 'IPv4');
    if (families.length === 0) families.push(available[0] as string);
    spec.ipFamilyPolicy ??=
      selectorless && (spec.ipFamilies ?? []).length !== 1
        ? 'RequireDualStack'
        : families.length > 1
          ? 'RequireDualStack'
          : 'SingleStack';
    if (spec.ipFamilyPolicy === 'RequireDualStack' && !selectorless && available.length < 2)
      throw this.#invalid(
        'spec.ipFamilyPolicy',
        spec.ipFamilyPolicy,
        'this cluster is not configured for dual-stack services',
      );
    const other = families[0] === 'IPv4' ? 'IPv6' : 'IPv4';
    const wantsOther =
      spec.ipFamilyPolicy === 'RequireDualStack' ||
      (spec.ipFamilyPolicy === 'PreferDualStack' && (available.includes(other) || selectorless));
    if (families.length === 1 && wantsOther) families.push(other);
    if (spec.ipFamilyPolicy === 'SingleStack') families.length = 1;
    spec.ipFamilies = families;
  }

  async #nextAddress(family: AddressFamily, wanted: readonly string[]): Promise<string> {
    const address = await this.#pool.next(family, this.#service, this.#dryRun);
    if (address === undefined)
      throw this.#invalid('spec.clusterIPs', wanted, 'failed to allocate a serviceIP: range is full');
    if (!this.#dryRun) this.#takenAddresses.push(address);
    return address;
  }

  async #certainAddress(address: string, wanted: readonly string[]): Promise<string> {
    const problem = await this.#pool.take(address, this.#service, this.#dryRun);
    if (problem)
      throw this.#invalid(
        'spec.clusterIPs',
        wanted,
        `failed to allocate IP ${address}: ${sentenceOf(problem, address)}`,
      );
    if (!this.#dryRun) this.#takenAddresses.push(address);
    return address;
  }

  async #nextPort(field: string): Promise<number> {
    const port = await this.#portPool.next(this.#dryRun);
    if (port === undefined)
      throw this.#fail({
        type: 'InternalError',
        field,
        message: 'Internal error: failed to allocate a nodePort: range is full',
      });
    if (!this.#dryRun) this.#takenPorts.push(port);
    return port;
  }

  async #certainPort(port: number, field: string): Promise<number> {
    const problem = await this.#portPool.take(port, this.#dryRun);
    if (problem === 'taken') throw this.#invalid(field, port, 'provided port is already allocated');
    // Upstream does not try those that it gives to nobody.
    if (problem === 'outside' && !this.#dryRun) {
      const { first, last } = this.#portPool;
      throw this.#invalid(
        field,
        port,
        `provided port is not in the valid range. The range of valid ports is ${first}-${last}`,
      );
    }
    if (!this.#dryRun) this.#takenPorts.push(port);
    return port;
  }

  #unavailable(index: number, family: string) {
    return this.#invalid(`spec.ipFamilies[${index}]`, family, 'not configured on this cluster');
  }

  #invalid(field: string, value: unknown, detail: string) {
    return this.#fail({
      type: 'FieldValueInvalid',
      field,
      message: `Invalid value: ${JSON.stringify(value)}: ${detail}`,
    });
  }

  #fail(problem: FieldError) {
    return errors.invalid('', 'Service', this.#service.name, [problem]);
  }
}

function sentenceOf(problem: AddressProblem, address: string): string {
  if (problem === 'taken') return 'provided IP is already allocated';
  if (problem === 'elsewhere') return 'the provided network does not match the current range';
  return `the provided IP (${address}) is not in the valid range. The range of valid IPs is ${problem.notGivenIn}`;
}
