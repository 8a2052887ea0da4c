import { systemRandom, type Random } from '#base/random.ts';
import type { DeviceClass } from '#api/resource/v1/device-class.ts';
import type { AllocationResult, ResourceClaim } from '#api/resource/v1/resource-claim.ts';
import type { CounterSet, Device, ResourceSlice } from '#api/resource/v1/resource-slice.ts';
import { compileDeviceSelector, selectsDevice } from '#api/resource/device-expressions.ts';
import { parseQuantity } from '#api/machinery/quantity.ts';
import type { NodeInfo } from '../node-info.ts';
import { matchesTerm } from '../plugins/node-affinity.ts';

/** All devices of one driver that are managed together, in their newest generation. */
export interface Pool {
  /** `driver/pool`. */
  readonly id: string;
  /** All slices of the generation are there. */
  readonly complete: boolean;
  /** Two devices have the same name. */
  readonly invalid: boolean;
  readonly slices: readonly ResourceSlice[];
  readonly counterSets: readonly CounterSet[];
}

/** A device with where it stands. */
export interface PlacedDevice {
  /** `driver/pool/device`. */
  readonly id: string;
  readonly device: Device;
  readonly slice: ResourceSlice;
  readonly pool: Pool;
}

export interface PoolOnNode {
  readonly pool: Pool;
  /** Those that the node can use. */
  readonly devices: readonly PlacedDevice[];
}

/** Expressions that are kept compiled; the oldest goes first. */
const expressionsMax = 1_000;
/** The name under which every class is an extended resource, whether it says so or not. KEP-5004. */
const implicitResourcePrefix = 'deviceclass.resource.kubernetes.io/';

/**
 * Claims, devices and classes, ahead of the API by what the scheduler has promised to pods whose binding is on its way.
 * What is allocated is counted when a claim changes, not when somebody asks.
 */
export class DeviceState {
  readonly classes = new Map<string, DeviceClass>();
  /** Names the shares of devices. */
  random: Random = systemRandom;
  readonly #claims = new Map<string, ResourceClaim>();
  readonly #slices = new Map<string, ResourceSlice>();
  readonly #poolSlices = new Map<string, Map<string, ResourceSlice>>();
  /** Worked out when first asked for after a change. */
  readonly #pools = new Map<string, Pool>();
  readonly #poolsOfNode = new Map<string, Map<string, number>>();
  readonly #poolsElsewhere = new Map<string, number>();
  /** Devices that one claim has for itself: how many allocations say so. */
  readonly #allocated = new Map<string, number>();
  /** What is taken of devices that several can share, by capacity, in nano units. */
  readonly #consumed = new Map<string, { shares: number; readonly amounts: Map<string, bigint> }>();
  /** Allocations that are on their way to the API, by the claim's uid. */
  readonly #promised = new Map<string, AllocationResult>();
  /** Slices and classes never change in place, so what an expression says of a device stays true. */
  readonly #selected = new WeakMap<Device, Map<string, boolean | string>>();
  readonly #expressions = new Map<string, ReturnType<typeof compileDeviceSelector>>();
  readonly #classOfResource = new Map<string, string>();
  readonly #resourcesRenamed: () => void;

  /** Told when other extended resources are served by devices than before. */
  constructor(resourcesRenamed: () => void = () => {}) {
    this.#resourcesRenamed = resourcesRenamed;
  }

  /** By `namespace/name`. */
  claim(key: string): ResourceClaim | undefined {
    return this.#claims.get(key);
  }

  /** News of a claim: from a watch, or from what our own write came to. Whichever is older is left out. */
  setClaim(claim: ResourceClaim): ResourceClaim | undefined {
    const key = keyOf(claim);
    const before = this.#claims.get(key);
    if (before !== undefined && before.metadata.uid === claim.metadata.uid && isOlder(claim, before)) return before;
    if (before !== undefined) this.#count(before.status?.allocation, -1);
    this.#claims.set(key, claim);
    this.#count(claim.status?.allocation, 1);
    return before;
  }

  removeClaim(claim: ResourceClaim): void {
    const known = this.#claims.get(keyOf(claim));
    if (known === undefined || known.metadata.uid !== claim.metadata.uid) return;
    this.#claims.delete(keyOf(claim));
    this.#count(known.status?.allocation, -1);
  }

  /** From now on the devices are taken; the result takes that back. */
  promise(claim: ResourceClaim, allocation: AllocationResult): () => void {
    const { uid = '' } = claim.metadata;
    this.#promised.set(uid, allocation);
    this.#count(allocation, 1);
    return () => {
      if (!this.#promised.delete(uid)) return;
      this.#count(allocation, -1);
    };
  }

  isPromised(claim: ResourceClaim): boolean {
    return this.#promised.has(claim.metadata.uid ?? '');
  }

  setSlice(slice: ResourceSlice): void {
    const { name = '' } = slice.metadata;
    const before = this.#slices.get(name);
    if (before) this.#index(before, -1);
    this.#slices.set(name, slice);
    this.#index(slice, 1);
  }

  removeSlice({ metadata: { name = '' } }: ResourceSlice): void {
    const before = this.#slices.get(name);
    if (!before) return;
    this.#slices.delete(name);
    this.#index(before, -1);
  }

  setClass(deviceClass: DeviceClass): void {
    this.classes.set(deviceClass.metadata.name ?? '', deviceClass);
    this.#nameResources();
  }

  removeClass({ metadata: { name = '' } }: DeviceClass): void {
    this.classes.delete(name);
    this.#nameResources();
  }

  /** The class whose devices serve an extended resource where nodes do not have it themselves. */
  classOfResource(resource: string): string | undefined {
    return this.#classOfResource.get(resource);
  }

  isAllocated(deviceId: string): boolean {
    return this.#allocated.has(deviceId);
  }

  /** What is taken of a device that several can share; `undefined` while nobody has it. */
  consumedOf(deviceId: string): ReadonlyMap<string, bigint> | undefined {
    return this.#consumed.get(deviceId)?.amounts;
  }

  /** The pools of which a node can use devices: those without binding conditions first, then by name. */
  poolsFor(node: NodeInfo): readonly PoolOnNode[] {
    const ids = new Set([...(this.#poolsOfNode.get(node.name)?.keys() ?? []), ...this.#poolsElsewhere.keys()]);
    const found: PoolOnNode[] = [];
    for (const id of ids) {
      const pool = this.#pool(id);
      const devices = pool.slices.flatMap(slice => devicesFor(node, slice, pool));
      if (devices.length > 0) found.push({ pool, devices });
    }
    return found.toSorted(
      (a, b) => Number(waits(a)) - Number(waits(b)) || (a.pool.id < b.pool.id ? -1 : a.pool.id > b.pool.id ? 1 : 0),
    );
  }

  /** Whether an expression takes a device; a sentence where it cannot tell. */
  selects(expression: string, driver: string, device: Device): boolean | string {
    let known = this.#selected.get(device);
    if (!known) this.#selected.set(device, (known = new Map()));
    const before = known.get(expression);
    if (before !== undefined) return before;
    const answer = this.#evaluate(expression, driver, device);
    known.set(expression, answer);
    return answer;
  }

  #evaluate(expression: string, driver: string, device: Device): boolean | string {
    let known = this.#expressions.get(expression);
    if (!known) {
      if (this.#expressions.size >= expressionsMax)
        this.#expressions.delete(this.#expressions.keys().next().value ?? '');
      known = compileDeviceSelector(expression);
      this.#expressions.set(expression, known);
    }
    if (known.compiled === undefined) return `CEL compile error: ${known.problem}`;
    const { attributes, capacity, allowMultipleAllocations } = device;
    const answer = selectsDevice(known.compiled, { driver, attributes, capacity, allowMultipleAllocations });
    return typeof answer === 'boolean' ? answer : `CEL runtime error: ${answer.message}`;
  }

  #nameResources(): void {
    const before = JSON.stringify([...this.#classOfResource]);
    this.#classOfResource.clear();
    // Of several that name the same resource the newest is taken, then the first by name.
    const sorted = [...this.classes.values()].toSorted(
      (a, b) => createdMs(a) - createdMs(b) || ((a.metadata.name ?? '') > (b.metadata.name ?? '') ? -1 : 1),
    );
    for (const { metadata, spec } of sorted) {
      const { name = '' } = metadata;
      this.#classOfResource.set(`${implicitResourcePrefix}${name}`, name);
      if (spec.extendedResourceName !== undefined) this.#classOfResource.set(spec.extendedResourceName, name);
    }
    if (JSON.stringify([...this.#classOfResource]) !== before) this.#resourcesRenamed();
  }

  #index(slice: ResourceSlice, sign: 1 | -1): void {
    const { name = '' } = slice.metadata;
    const id = poolIdOf(slice);
    this.#pools.delete(id);
    const slices = this.#poolSlices.get(id) ?? new Map<string, ResourceSlice>();
    if (sign > 0) this.#poolSlices.set(id, slices.set(name, slice));
    else if (slices.delete(name) && slices.size === 0) this.#poolSlices.delete(id);
    const { nodeName } = slice.spec;
    if (nodeName === undefined) return step(this.#poolsElsewhere, id, sign);
    const ofNode = this.#poolsOfNode.get(nodeName) ?? new Map<string, number>();
    this.#poolsOfNode.set(nodeName, ofNode);
    step(ofNode, id, sign);
    if (ofNode.size === 0) this.#poolsOfNode.delete(nodeName);
  }

  #pool(id: string): Pool {
    const known = this.#pools.get(id);
    if (known) return known;
    const all = [...(this.#poolSlices.get(id)?.values() ?? [])];
    const generation = Math.max(...all.map(({ spec }) => Number(spec.pool.generation)));
    const slices = all
      .filter(({ spec }) => Number(spec.pool.generation) === generation)
      .toSorted((a, b) => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1));
    const names = slices.flatMap(({ spec }) => (spec.devices ?? []).map(device => device.name));
    const pool: Pool = {
      id,
      complete: slices.length === Number(slices[0]?.spec.pool.resourceSliceCount ?? -1),
      invalid: new Set(names).size < names.length,
      slices,
      counterSets: slices.flatMap(({ spec }) => spec.sharedCounters ?? []),
    };
    this.#pools.set(id, pool);
    return pool;
  }

  #count(allocation: AllocationResult | undefined, sign: 1 | -1): void {
    for (const result of allocation?.devices?.results ?? []) {
      // Administrators look at devices without taking them.
      if (result.adminAccess === true) continue;
      const id = deviceId(result.driver, result.pool, result.device);
      if (result.shareID === undefined) step(this.#allocated, id, sign);
      else this.#share(id, result.consumedCapacity ?? {}, sign);
    }
  }

  #share(id: string, capacity: Readonly<Record<string, string>>, sign: 1 | -1): void {
    const known = this.#consumed.get(id) ?? { shares: 0, amounts: new Map<string, bigint>() };
    known.shares += sign;
    if (known.shares === 0) {
      this.#consumed.delete(id);
      return;
    }
    this.#consumed.set(id, known);
    for (const [name, text] of Object.entries(capacity))
      known.amounts.set(name, (known.amounts.get(name) ?? 0n) + BigInt(sign) * (parseQuantity(text)?.nano ?? 0n));
  }
}

export function deviceId(driver: string, pool: string, device: string): string {
  return `${driver}/${pool}/${device}`;
}

function poolIdOf({ spec }: ResourceSlice): string {
  return `${spec.driver}/${spec.pool.name}`;
}

function devicesFor(node: NodeInfo, slice: ResourceSlice, pool: Pool): readonly PlacedDevice[] {
  const { spec } = slice;
  const each = spec.perDeviceNodeSelection === true;
  if (!each && !reaches(node, spec)) return [];
  return (spec.devices ?? []).flatMap(device =>
    each && !reaches(node, device)
      ? []
      : { id: deviceId(spec.driver, spec.pool.name, device.name), device, slice, pool },
  );
}

type Reach = Pick<Device, 'nodeName' | 'allNodes' | 'nodeSelector'>;

function reaches(node: NodeInfo, { nodeName, allNodes, nodeSelector }: Reach): boolean {
  if (nodeName !== undefined) return nodeName === node.name;
  if (allNodes === true) return true;
  return (nodeSelector?.nodeSelectorTerms ?? []).some(term => matchesTerm(term, node.node));
}

function waits({ devices }: PoolOnNode): boolean {
  return devices.some(({ device }) => (device.bindingConditions ?? []).length > 0);
}

function step(counts: Map<string, number>, key: string, sign: 1 | -1): void {
  const count = (counts.get(key) ?? 0) + sign;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}

function isOlder(a: ResourceClaim, b: ResourceClaim): boolean {
  return Number(a.metadata.resourceVersion) < Number(b.metadata.resourceVersion);
}

function createdMs({ metadata }: DeviceClass): number {
  return Date.parse(metadata.creationTimestamp ?? '') || 0;
}

function keyOf({ metadata }: ResourceClaim): string {
  return `${metadata.namespace}/${metadata.name}`;
}
