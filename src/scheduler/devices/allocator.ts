import { formatQuantity, parseQuantity } from '#api/machinery/quantity.ts';
import { toleratesDeviceTaint } from '#api/resource/pod-claims.ts';
import type { NodeSelector } from '#api/core/v1/node-selector.ts';
import type { DeviceClass } from '#api/resource/v1/device-class.ts';
import type { DeviceSelector } from '#api/resource/v1/device-selector.ts';
import type { DeviceConstraint, DeviceRequest } from '#api/resource/v1/resource-claim-spec.ts';
import type { CapacityRequirements } from '#api/resource/v1/resource-claim-spec.ts';
import type { DeviceToleration } from '#api/resource/v1/device-toleration.ts';
import type {
  AllocationResult,
  DeviceAllocationConfiguration,
  DeviceRequestAllocationResult,
  ResourceClaim,
} from '#api/resource/v1/resource-claim.ts';
import type { Device, DeviceAttribute } from '#api/resource/v1/resource-slice.ts';
import type { NodeInfo } from '../node-info.ts';
import { amountsTaken, isLeft, nano, type Amounts } from './consumable-capacity.ts';
import type { DeviceState, PlacedDevice, PoolOnNode } from './device-state.ts';

/** What came out for one node: an allocation for each claim, or why there is none. */
export type Allocated =
  | { readonly results: readonly AllocationResult[]; readonly rank: number; readonly why: undefined }
  | { readonly results: undefined; readonly why: string };

/** More devices than this do not fit into one claim's status. */
const resultsMax = 32;
/** How many devices are tried on one node before the search is given up. Upstream gives it ten seconds. */
const stepsMax = 100_000;
const alternativesMax = 8;

/**
 * Searches devices for claims on one node after the other: every request against every device, one claim after the other,
 * with the first full solution taken. KEP-4381.
 */
export class Allocator {
  readonly #claims: readonly ResourceClaim[];
  readonly #state: DeviceState;
  /** What is left of the shared counters of a pool; nothing is allocated while one pod is looked at. */
  readonly #counters = new Map<string, ReadonlyMap<string, bigint>>();

  constructor(claims: readonly ResourceClaim[], state: DeviceState) {
    this.#claims = claims;
    this.#state = state;
  }

  allocate(node: NodeInfo): Allocated {
    const pools = this.#state.poolsFor(node);
    const wanted: Wanted[] = [];
    for (const claim of this.#claims) {
      const requests: (readonly Wish[])[] = [];
      for (const request of claim.spec.devices?.requests ?? []) {
        const wishes = this.#wishesOf(claim, request, pools);
        if (typeof wishes === 'string') return { results: undefined, why: wishes };
        requests.push(wishes);
      }
      const least = requests.reduce((sum, wishes) => sum + Math.min(...wishes.map(each => each.count)), 0);
      if (least > resultsMax)
        return {
          results: undefined,
          why: `claim ${keyOf(claim)}: number of requested devices ${least} exceeds the claim limit of ${resultsMax}`,
        };
      wanted.push({ claim, requests, constraints: claim.spec.devices?.constraints ?? [] });
    }
    const usable = pools.filter(({ pool }) => pool.complete && !pool.invalid).flatMap(({ devices }) => devices);
    const search = new Search(wanted, usable, this.#state, pool => this.#countersOf(pool));
    const found = search.run();
    if (found === 'too long') return { results: undefined, why: 'timed out trying to allocate devices' };
    if (!found) {
      if (search.error !== undefined) return { results: undefined, why: search.error };
      const invalid = pools.some(({ pool }) => pool.invalid);
      return {
        results: undefined,
        why: invalid ? 'invalid resource pools were encountered' : 'cannot allocate all claims',
      };
    }
    return {
      results: wanted.map((each, index) => this.#resultFor(each, search.taken[index] ?? [], node)),
      rank: rankOf(wanted, search.taken),
      why: undefined,
    };
  }

  /** The ways to serve a request, the best first; a sentence where it cannot be served on this node at all. */
  #wishesOf(claim: ResourceClaim, request: DeviceRequest, pools: readonly PoolOnNode[]): readonly Wish[] | string {
    const parts = request.exactly
      ? [
          {
            name: request.name,
            sub: undefined,
            adminAccess: request.exactly.adminAccess === true,
            ...fields(request.exactly),
          },
        ]
      : (request.firstAvailable ?? []).map(part => ({
          name: `${request.name}/${part.name}`,
          sub: part.name,
          adminAccess: false,
          ...fields(part),
        }));
    const wishes: Wish[] = [];
    for (const part of parts) {
      const deviceClass = this.#state.classes.get(part.deviceClassName);
      if (!deviceClass)
        return `claim ${keyOf(claim)}, request ${part.name}: could not retrieve device class ${part.deviceClassName}`;
      const wish = { ...part, base: request.name, deviceClass };
      if (part.mode !== 'All') {
        wishes.push(wish);
        continue;
      }
      const all: PlacedDevice[] = [];
      for (const { pool, devices } of pools) {
        if (!pool.complete)
          return `claim ${keyOf(claim)}, request ${part.name}: asks for all devices, but resource pool ${pool.id} is currently being updated`;
        if (pool.invalid)
          return `claim ${keyOf(claim)}, request ${part.name}: asks for all devices, but resource pool ${pool.id} is currently invalid`;
        for (const each of devices) {
          const selected = selects(this.#state, wish, each);
          if (typeof selected === 'string') return selected;
          if (selected && amountsTaken(each.device, wish.capacity)) all.push(each);
        }
      }
      wishes.push({ ...wish, all, count: all.length });
    }
    return wishes;
  }

  #countersOf({ id, slices, counterSets }: PlacedDevice['pool']): ReadonlyMap<string, bigint> {
    const known = this.#counters.get(id);
    if (known) return known;
    const left = new Map<string, bigint>();
    for (const { name, counters } of counterSets)
      for (const [counter, { value }] of Object.entries(counters)) left.set(`${name}/${counter}`, nano(value));
    for (const { spec } of slices)
      for (const device of spec.devices ?? []) {
        if ((device.consumesCounters ?? []).length === 0) continue;
        const full = `${id}/${device.name}`;
        if (!this.#state.isAllocated(full) && this.#state.consumedOf(full) === undefined) continue;
        for (const [counter, amount] of countersOf(device))
          if (left.has(counter)) left.set(counter, (left.get(counter) ?? 0n) - amount);
      }
    this.#counters.set(id, left);
    return left;
  }

  #resultFor({ claim, requests }: Wanted, taken: readonly Taken[], node: NodeInfo): AllocationResult {
    const results = taken.map(({ wish, placed, amounts }): DeviceRequestAllocationResult => {
      const { device, slice } = placed;
      const { bindingConditions = [], bindingFailureConditions = [] } = device;
      return {
        request: wish.name,
        driver: slice.spec.driver,
        pool: slice.spec.pool.name,
        device: device.name,
        ...(wish.adminAccess && { adminAccess: true }),
        ...(wish.tolerations.length > 0 && { tolerations: wish.tolerations }),
        ...(bindingConditions.length > 0 && { bindingConditions }),
        ...(bindingFailureConditions.length > 0 && { bindingFailureConditions }),
        ...(device.allowMultipleAllocations === true && { shareID: this.#state.random.uuid() }),
        ...(amounts && amounts.size > 0 && { consumedCapacity: capacityTexts(device, amounts) }),
      };
    });
    const config = configurationOf(claim, requests, taken);
    const nodeSelector = nodeSelectorOf(taken, node.name);
    return {
      devices: { results, ...(config.length > 0 && { config }) },
      ...(nodeSelector && { nodeSelector }),
    };
  }
}

interface Wish {
  /** As the result names it: `request` or `request/part`. */
  readonly name: string;
  readonly base: string;
  readonly sub: string | undefined;
  readonly deviceClass: DeviceClass;
  readonly selectors: readonly DeviceSelector[];
  readonly tolerations: readonly DeviceToleration[];
  readonly capacity: CapacityRequirements | undefined;
  readonly adminAccess: boolean;
  readonly count: number;
  /** These and no others. */
  readonly all?: readonly PlacedDevice[];
}

interface Wanted {
  readonly claim: ResourceClaim;
  /** For each request the ways to serve it. */
  readonly requests: readonly (readonly Wish[])[];
  readonly constraints: readonly DeviceConstraint[];
}

interface Taken {
  readonly wish: Wish;
  readonly placed: PlacedDevice;
  readonly amounts: Amounts | undefined;
}

function fields(wish: {
  readonly deviceClassName: string;
  readonly selectors?: readonly DeviceSelector[] | undefined;
  readonly tolerations?: readonly DeviceToleration[] | undefined;
  readonly capacity?: CapacityRequirements | undefined;
  readonly allocationMode?: string | undefined;
  readonly count?: number | bigint | undefined;
}) {
  const { deviceClassName, selectors = [], tolerations = [], capacity, allocationMode: mode, count } = wish;
  return { deviceClassName, selectors, tolerations, capacity, mode, count: Number(count ?? 1) };
}

function selects(state: DeviceState, wish: Wish, { id, device, slice }: PlacedDevice): boolean | string {
  const sets = [
    [`class ${wish.deviceClass.metadata.name}`, wish.deviceClass.spec.selectors ?? []],
    [`request ${wish.name}`, wish.selectors],
  ] as const;
  for (const [whose, selectors] of sets)
    for (const [index, { cel }] of selectors.entries()) {
      if (cel === undefined) return `${whose}: selector #${index}: CEL expression empty (unsupported selector type?)`;
      const answer = state.selects(cel.expression, slice.spec.driver, device);
      if (typeof answer === 'string') return `${whose}: selector #${index} on device ${id}: ${answer}`;
      if (!answer) return false;
    }
  return true;
}

/** One search on one node, by trying and taking back. */
class Search {
  readonly #wanted: readonly Wanted[];
  readonly #devices: readonly PlacedDevice[];
  readonly #state: DeviceState;
  readonly #countersOf: (pool: PlacedDevice['pool']) => ReadonlyMap<string, bigint>;
  /** By claim. */
  readonly taken: Taken[][];
  /** Why a selector could not be asked: nothing is found then. */
  error: string | undefined;
  #steps = 0;

  constructor(
    wanted: readonly Wanted[],
    devices: readonly PlacedDevice[],
    state: DeviceState,
    countersOf: (pool: PlacedDevice['pool']) => ReadonlyMap<string, bigint>,
  ) {
    this.#wanted = wanted;
    this.#devices = devices;
    this.#state = state;
    this.#countersOf = countersOf;
    this.taken = wanted.map(() => []);
  }

  run(): boolean | 'too long' {
    const found = this.#request(0, 0);
    return !found && this.#steps > stepsMax ? 'too long' : found;
  }

  #request(claimIndex: number, requestIndex: number): boolean {
    const wanted = this.#wanted[claimIndex];
    if (!wanted) return true;
    const wishes = wanted.requests[requestIndex];
    if (!wishes) return this.#request(claimIndex + 1, 0);
    for (const wish of wishes) {
      if (wish.all && wish.all.length === 0) continue;
      if ((this.taken[claimIndex]?.length ?? 0) + wish.count > resultsMax) continue;
      if (this.#device(claimIndex, requestIndex, wish, 0, 0)) return true;
    }
    return false;
  }

  /** Within one request the order of devices makes no difference: the next is looked for behind the last. */
  #device(claimIndex: number, requestIndex: number, wish: Wish, deviceIndex: number, from: number): boolean {
    if (deviceIndex >= wish.count) return this.#request(claimIndex, requestIndex + 1);
    const candidates = wish.all ?? this.#devices;
    const until = wish.all ? from + 1 : candidates.length;
    for (let at = from; at < until; at++) {
      if (++this.#steps > stepsMax || this.error !== undefined) return false;
      const placed = candidates[at] as PlacedDevice;
      if (this.#isTaken(placed, wish, claimIndex)) continue;
      if (!wish.all) {
        const selected = selects(this.#state, wish, placed);
        if (typeof selected === 'string') {
          this.error = selected;
          return false;
        }
        if (!selected) continue;
      }
      const taken = this.#tryTaking(placed, wish, claimIndex);
      if (!taken) continue;
      const own = this.taken[claimIndex] as Taken[];
      own.push(taken);
      if (this.#device(claimIndex, requestIndex, wish, deviceIndex + 1, at + 1)) return true;
      own.pop();
    }
    return false;
  }

  #isTaken({ id, device }: PlacedDevice, wish: Wish, claimIndex: number): boolean {
    if (device.allowMultipleAllocations === true) return !wish.adminAccess && this.#state.isAllocated(id);
    // An administrator looks at devices of others, but has each once a claim.
    if (wish.adminAccess) return (this.taken[claimIndex] ?? []).some(each => each.placed.id === id);
    return this.#state.isAllocated(id) || this.taken.some(own => own.some(each => each.placed.id === id));
  }

  #tryTaking(placed: PlacedDevice, wish: Wish, claimIndex: number): Taken | undefined {
    const { device, id } = placed;
    const taints = (device.taints ?? []).filter(({ effect }) => effect === 'NoSchedule' || effect === 'NoExecute');
    if (taints.some(taint => !wish.tolerations.some(each => toleratesDeviceTaint(each, taint)))) return undefined;
    const amounts = amountsTaken(device, wish.capacity);
    if (!amounts) return undefined;
    const isShared = device.allowMultipleAllocations === true;
    if (isShared && !wish.adminAccess) {
      const beside = this.taken.flat().filter(each => each.placed.id === id && !each.wish.adminAccess);
      if (!isLeft(device, amounts, this.#state.consumedOf(id), ...beside.map(each => each.amounts))) return undefined;
    }
    if (!this.#hasCounters(placed, isShared)) return undefined;
    const { constraints } = this.#wanted[claimIndex] as Wanted;
    for (const constraint of constraints) if (!this.#meets(constraint, placed, wish, claimIndex)) return undefined;
    return { wish, placed, amounts: isShared ? amounts : undefined };
  }

  #hasCounters({ id, device, pool }: PlacedDevice, isShared: boolean): boolean {
    if ((device.consumesCounters ?? []).length === 0) return true;
    const inUse = (each: string) => this.taken.some(own => own.some(taken => taken.placed.id === each));
    // Who shares a device that somebody has already takes no more of its counters.
    if (isShared && (this.#state.consumedOf(id) !== undefined || inUse(id))) return true;
    const left = this.#countersOf(pool);
    const used = new Map<string, bigint>();
    const counted = new Set<string>();
    for (const { placed } of this.taken.flat()) {
      if (placed.pool.id !== pool.id || counted.has(placed.id)) continue;
      counted.add(placed.id);
      for (const [counter, amount] of countersOf(placed.device)) used.set(counter, (used.get(counter) ?? 0n) + amount);
    }
    for (const [counter, amount] of countersOf(device))
      if (amount + (used.get(counter) ?? 0n) > (left.get(counter) ?? 0n)) return false;
    return true;
  }

  #meets(constraint: DeviceConstraint, placed: PlacedDevice, wish: Wish, claimIndex: number): boolean {
    const { requests = [], matchAttribute, distinctAttribute } = constraint;
    const concerns = (each: Wish) =>
      requests.length === 0 || requests.includes(each.base) || (each.sub !== undefined && requests.includes(each.name));
    if (!concerns(wish)) return true;
    const name = matchAttribute ?? distinctAttribute;
    // Somebody wrote a constraint that is not known yet.
    if (name === undefined) return false;
    const own = attributeOf(placed, name);
    if (own === undefined) return false;
    const others = (this.taken[claimIndex] ?? []).filter(each => concerns(each.wish));
    const same = (each: Taken) => attributeOf(each.placed, name) === own;
    return matchAttribute !== undefined ? others.slice(0, 1).every(same) : !others.some(same);
  }
}

/** The value of an attribute with its type, as text; names without domain are the driver's own. */
function attributeOf({ device, slice }: PlacedDevice, name: string): string | undefined {
  const { attributes = {} } = device;
  const slash = name.indexOf('/');
  const short = name.slice(0, slash) === slice.spec.driver ? name.slice(slash + 1) : undefined;
  const found = Object.hasOwn(attributes, name)
    ? attributes[name]
    : short !== undefined && Object.hasOwn(attributes, short)
      ? attributes[short]
      : undefined;
  return found && valueText(found);
}

function valueText({ string, int, bool, version }: DeviceAttribute): string | undefined {
  if (string !== undefined) return `string ${string}`;
  if (int !== undefined) return `int ${int}`;
  if (bool !== undefined) return `bool ${bool}`;
  return version === undefined ? undefined : `version ${version}`;
}

function* countersOf({ consumesCounters = [] }: Device): Iterable<readonly [counter: string, amount: bigint]> {
  for (const { counterSet, counters } of consumesCounters)
    for (const [name, { value }] of Object.entries(counters)) yield [`${counterSet}/${name}`, nano(value)];
}

function capacityTexts(device: Device, amounts: Amounts): Record<string, string> {
  return Object.fromEntries(
    Array.from(amounts, ([name, amount]) => {
      const format = parseQuantity(device.capacity?.[name]?.value ?? '')?.format ?? 'decimal';
      return [name, formatQuantity({ nano: amount, format })];
    }),
  );
}

/** What classes and the claim say to the drivers; what concerns all requests names none. */
function configurationOf(
  { spec }: ResourceClaim,
  requests: Wanted['requests'],
  taken: readonly Taken[],
): DeviceAllocationConfiguration[] {
  const chosen = requests.flatMap(wishes => wishes.find(wish => taken.some(each => each.wish === wish)) ?? []);
  const byClass = Map.groupBy(chosen, wish => wish.deviceClass);
  const fromClasses = Array.from(
    byClass,
    ([
      {
        spec: { config = [] },
      },
      wishes,
    ]) => config.map(each => ({ ...each, source: 'FromClass', requests: wishes.map(wish => wish.name) })),
  ).flat();
  const names = new Set(chosen.flatMap(wish => [wish.base, wish.name]));
  const fromClaim = (spec.devices?.config ?? [])
    .filter(each => (each.requests ?? []).length === 0 || each.requests?.some(name => names.has(name)))
    .map(each => ({ ...each, source: 'FromClaim' }));
  const count = spec.devices?.requests?.length ?? 0;
  return [...fromClasses, ...fromClaim].map(({ requests: concerned = [], ...rest }) => ({
    ...rest,
    ...(concerned.length > 0 && concerned.length < count && { requests: concerned }),
  })) as DeviceAllocationConfiguration[];
}

/** Where a claim can be used from now on: `undefined` means everywhere. */
function nodeSelectorOf(taken: readonly Taken[], nodeName: string): NodeSelector | undefined {
  const matchFields: Requirement[] = [];
  const matchExpressions: Requirement[] = [];
  for (const { placed } of taken) {
    const { spec } = placed.slice;
    const reach = spec.perDeviceNodeSelection === true ? placed.device : spec;
    if (reach.nodeName !== undefined || placed.device.bindsToNode === true)
      return {
        nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [nodeName] }] }],
      };
    const [term] = reach.nodeSelector?.nodeSelectorTerms ?? [];
    addNew(matchFields, term?.matchFields ?? []);
    addNew(matchExpressions, term?.matchExpressions ?? []);
  }
  if (matchFields.length + matchExpressions.length === 0) return undefined;
  return {
    nodeSelectorTerms: [
      { ...(matchFields.length > 0 && { matchFields }), ...(matchExpressions.length > 0 && { matchExpressions }) },
    ],
  };
}

type Requirement = NonNullable<NodeSelector['nodeSelectorTerms'][number]['matchFields']>[number];

function addNew(requirements: Requirement[], more: readonly Requirement[]): void {
  const textOf = ({ key, operator, values }: Requirement) => JSON.stringify([key, operator, values?.toSorted()]);
  for (const each of more) if (!requirements.some(known => textOf(known) === textOf(each))) requirements.push(each);
}

/** Of requests with alternatives: how far in front what was taken stands. */
function rankOf(wanted: readonly Wanted[], taken: readonly (readonly Taken[])[]): number {
  let rank = 0;
  for (const [index, { requests }] of wanted.entries())
    for (const wishes of requests) {
      const at = wishes.findIndex(wish => wish.sub !== undefined && taken[index]?.some(each => each.wish === wish));
      if (at >= 0) rank += alternativesMax - at;
    }
  return rank;
}

function keyOf({ metadata }: ResourceClaim): string {
  return `${metadata.namespace}/${metadata.name}`;
}
