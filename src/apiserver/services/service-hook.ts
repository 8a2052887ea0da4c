import type { Random } from '#base/random.ts';
import { Service } from '#api/core/v1/service.ts';
import { isHeadless, needsClusterIp, needsHealthCheck, needsNodePort } from '#api/core/v1/service-strategy.ts';
import { errors } from '#api/machinery/errors.ts';
import type { Draft } from '#api/machinery/kind.ts';
import type { FieldError } from '#api/machinery/validation.ts';
import type { WatchCache } from '../cache/watch-cache.ts';
import type { Allocation, KindHook } from '../hooks.ts';
import type { Registry } from '../registry.ts';
import { AddressAllocator, type AllocationProblem } from './address-allocator.ts';
import { PortAllocator } from './port-allocator.ts';

type Spec = Draft<Service['spec']>;

/** Addresses and node ports of Services: kept in memory, rebuilt from the cache, so that nothing can leak. */
export function serviceHook(parts: {
  readonly registry: Registry;
  readonly cache: WatchCache;
  readonly random: Random;
  /** One network, or one of each family separated by a comma. */
  readonly serviceCIDR: string;
  readonly nodePorts: { readonly first: number; readonly last: number };
}): KindHook {
  const { registry, cache, random } = parts;
  const addresses = parts.serviceCIDR.split(',').map(cidr => new AddressAllocator(cidr.trim(), random));
  const ports = new PortAllocator(parts.nodePorts, random);
  const services = registry.find(Service.group, Service.version, Service.plural);
  const taken = new Ledger(addresses, ports);
  for (const entry of services?.cache.all() ?? []) taken.confirm(entry.object as Service);
  cache.listen((resource, event) => {
    if (resource !== services?.cache) return;
    const now = event.deleted ? undefined : (event.entry.object as Service);
    if (event.previous) taken.forget(event.previous.object as Service, now);
    if (now) taken.confirm(now);
  });
  return {
    allocate(object, old, dryRun) {
      const service = object as Draft<Service>;
      const before = old as Service | undefined;
      const allocation = new ServiceAllocation(service.metadata.name ?? '', addresses, ports);
      try {
        allocation.addresses(service.spec, before?.spec);
        allocation.ports(service.spec, before?.spec);
      } catch (error) {
        allocation.release();
        throw error;
      }
      if (dryRun) allocation.release();
      return allocation;
    },
  };
}

/** Brings the allocators in line with what the store holds. */
class Ledger {
  readonly #addresses: readonly AddressAllocator[];
  readonly #ports: PortAllocator;

  constructor(addresses: readonly AddressAllocator[], ports: PortAllocator) {
    this.#addresses = addresses;
    this.#ports = ports;
  }

  confirm({ spec }: Service): void {
    for (const address of addressesOf(spec))
      for (const allocator of this.#addresses) if (allocator.contains(address)) allocator.confirm(address);
    for (const port of nodePortsOf(spec)) this.#ports.confirm(port);
  }

  forget({ spec }: Service, now: Service | undefined): void {
    const keptAddresses = new Set(now ? addressesOf(now.spec) : []);
    const keptPorts = new Set(now ? nodePortsOf(now.spec) : []);
    for (const address of addressesOf(spec))
      if (!keptAddresses.has(address)) for (const allocator of this.#addresses) allocator.release(address);
    for (const port of nodePortsOf(spec)) if (!keptPorts.has(port)) this.#ports.release(port);
  }
}

/** What one write takes; given back when it fails. */
class ServiceAllocation implements Allocation {
  readonly #name: string;
  readonly #addresses: readonly AddressAllocator[];
  readonly #ports: PortAllocator;
  #undo: (() => void)[] = [];

  constructor(name: string, addresses: readonly AddressAllocator[], ports: PortAllocator) {
    this.#name = name;
    this.#addresses = addresses;
    this.#ports = ports;
  }

  release(): void {
    for (const undo of this.#undo) undo();
    this.#undo = [];
  }

  addresses(spec: Spec, old: Service['spec'] | undefined): void {
    if (!needsClusterIp(spec as Service['spec'])) return;
    const wanted = spec.clusterIPs ?? [];
    this.#families(spec, wanted);
    if (isHeadless(spec as Service['spec'])) {
      spec.clusterIP = 'None';
      return;
    }
    const before = new Set(old ? addressesOf(old) : []);
    const families = spec.ipFamilies ?? [];
    const given: string[] = [];
    for (const [index, family] of families.entries()) {
      const allocator = this.#addresses.find(each => each.family === family);
      if (!allocator) throw this.#unavailable(index, family);
      const asked = wanted[index] ?? '';
      if (asked !== '' && before.has(asked)) given.push(asked);
      else
        given.push(
          asked === '' ? this.#nextAddress(allocator, wanted) : this.#certainAddress(allocator, asked, wanted),
        );
    }
    spec.clusterIPs = given;
    spec.clusterIP = given[0] ?? '';
  }

  ports(spec: Spec, old: Service['spec'] | undefined): void {
    if (!needsNodePort(spec as Service['spec'])) {
      if (!needsHealthCheck(spec as Service['spec'])) return;
    } else this.#nodePorts(spec, old);
    if (!needsHealthCheck(spec as Service['spec'])) return;
    const before = old?.healthCheckNodePort ?? 0;
    const asked = spec.healthCheckNodePort ?? 0;
    if (asked !== 0 && asked === before) return;
    spec.healthCheckNodePort =
      asked === 0 ? this.#nextPort('spec.healthCheckNodePort') : this.#certainPort(asked, 'spec.healthCheckNodePort');
  }

  #nodePorts(spec: Spec, old: Service['spec'] | undefined): void {
    const before = new Set(old ? nodePortsOf(old) : []);
    // The same number for TCP and UDP of one port, as upstream gives it.
    const mine = new Map<number, Set<string>>();
    for (const [index, port] of (spec.ports ?? []).entries()) {
      const field = `spec.ports[${index}].nodePort`;
      const asked = port.nodePort ?? 0;
      const protocol = port.protocol ?? 'TCP';
      if (asked === 0) {
        const shared = this.#sharedPort(spec, index, mine, protocol);
        port.nodePort = shared ?? this.#nextPort(field);
      } else if (!before.has(asked) && !(mine.has(asked) && !mine.get(asked)?.has(protocol))) {
        this.#certainPort(asked, field);
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
    const available = this.#addresses.map(each => each.family);
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

  #nextAddress(allocator: AddressAllocator, wanted: readonly string[]): string {
    const address = allocator.next();
    if (address === undefined)
      throw this.#invalid('spec.clusterIPs', wanted, 'failed to allocate a serviceIP: range is full');
    this.#undo.push(() => allocator.release(address));
    return address;
  }

  #certainAddress(allocator: AddressAllocator, address: string, wanted: readonly string[]): string {
    const problem = allocator.take(address);
    if (problem)
      throw this.#invalid('spec.clusterIPs', wanted, `failed to allocate IP ${address}: ${addressProblems[problem]}`);
    this.#undo.push(() => allocator.release(address));
    return address;
  }

  #nextPort(field: string): number {
    const port = this.#ports.next();
    if (port === undefined)
      throw this.#fail({
        type: 'InternalError',
        field,
        message: 'Internal error: failed to allocate a nodePort: range is full',
      });
    this.#undo.push(() => this.#ports.release(port));
    return port;
  }

  #certainPort(port: number, field: string): number {
    const problem = this.#ports.take(port);
    if (problem === 'taken') throw this.#invalid(field, port, 'provided port is already allocated');
    if (problem === 'outside')
      throw this.#invalid(
        field,
        port,
        `provided port is not in the valid range. The range of valid ports is ${this.#ports.first}-${this.#ports.last}`,
      );
    this.#undo.push(() => this.#ports.release(port));
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
    return errors.invalid('', 'Service', this.#name, [problem]);
  }
}

const addressProblems: Readonly<Record<AllocationProblem, string>> = {
  full: 'range is full',
  taken: 'provided IP is already allocated',
  outside: 'the provided network does not match the current range',
  malformed: 'the provided network does not match the current range',
};

function addressesOf(spec: Service['spec']): readonly string[] {
  return (spec.clusterIPs ?? []).filter(address => address !== 'None' && address !== '');
}

function nodePortsOf(spec: Service['spec']): readonly number[] {
  const own = (spec.ports ?? []).map(port => port.nodePort ?? 0);
  return [...own, spec.healthCheckNodePort ?? 0].filter(port => port !== 0);
}
