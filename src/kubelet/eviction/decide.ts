import type { Pod } from '#api/core/v1/pod.ts';
import { aggregateRequests, qosClass } from '#api/core/v1/pod-resources.ts';
import { formatQuantity, quantityOf, wholeValue } from '#api/machinery/quantity.ts';
import { isStatic } from '../pods/names.ts';
import { amountIn, pressureOf, resourceOf, type Pressure, type Signal, type Threshold } from './thresholds.ts';

/** What the node has of something, in bytes, files or processes. */
export interface Observation {
  readonly available: number;
  readonly capacity: number;
}

export type Observations = ReadonlyMap<Signal, Observation>;

/** What one container uses. */
export interface ContainerUse {
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly inodes: number;
  readonly pids: number;
}

/** What a pod uses: its containers by name, and what is no container's: its volumes. */
export interface PodUse {
  readonly containers: ReadonlyMap<string, ContainerUse>;
  readonly volumes: { readonly diskBytes: number; readonly inodes: number };
}

/** What is remembered from one look to the next. */
export interface PressureMemory {
  /** Since when a threshold is met, by its place in the list. */
  readonly sinceMs: ReadonlyMap<number, number>;
  readonly lastSeenMs: ReadonlyMap<Pressure, number>;
}

export const noPressure: PressureMemory = { sinceMs: new Map(), lastSeenMs: new Map() };

export interface Assessment {
  readonly memory: PressureMemory;
  readonly pressures: ReadonlySet<Pressure>;
  /** What has to be acted on now, the most urgent first. */
  readonly due: readonly Threshold[];
}

/** Pure: the same figures, memory and time give the same answer. */
export function assess(
  thresholds: readonly Threshold[],
  observations: Observations,
  memory: PressureMemory,
  transitionMs: number,
  nowMs: number,
): Assessment {
  const sinceMs = new Map<number, number>();
  for (const [index, threshold] of thresholds.entries()) {
    const seen = observations.get(threshold.signal);
    if (!seen) continue;
    // Once met, it stays so until the wanted amount has been given back.
    const more = memory.sinceMs.has(index) && threshold.reclaim ? amountIn(threshold.reclaim, seen.capacity) : 0;
    if (seen.available < amountIn(threshold.below, seen.capacity) + more)
      sinceMs.set(index, memory.sinceMs.get(index) ?? nowMs);
  }
  const lastSeenMs = new Map(memory.lastSeenMs);
  for (const index of sinceMs.keys()) {
    const threshold = thresholds[index];
    if (threshold) lastSeenMs.set(pressureOf[threshold.signal], nowMs);
  }
  for (const [pressure, atMs] of lastSeenMs) if (nowMs - atMs > transitionMs) lastSeenMs.delete(pressure);
  const due = [...sinceMs]
    .map(([index, since]) => ({ threshold: thresholds[index], since }))
    .filter(({ threshold, since }) => threshold && nowMs - since >= threshold.graceMs)
    .map(({ threshold }) => threshold as Threshold)
    .toSorted((a, b) => Number(b.signal === 'memory.available') - Number(a.signal === 'memory.available'));
  return { memory: { sinceMs, lastSeenMs }, pressures: new Set(lastSeenMs.keys()), due };
}

/** Upstream's: pods of these priorities are never evicted by a node. */
const criticalPriority = 2_000_000_000;

export function isCritical(pod: Pod): boolean {
  return isStatic(pod) || (pod.spec?.priority ?? 0) >= criticalPriority;
}

/** Who is evicted first when the node runs short of something. */
export function ranked(signal: Signal, pods: readonly (readonly [Pod, PodUse])[]): readonly (readonly [Pod, PodUse])[] {
  const priority = (pod: Pod) => pod.spec?.priority ?? 0;
  const resource = resourceOf[signal];
  const excess = ([pod, use]: readonly [Pod, PodUse]) => total(use, resource) - requestOf(pod, resource);
  const exceeds = (each: readonly [Pod, PodUse]) => resource !== 'pids' && excess(each) > 0;
  return pods
    .filter(([pod]) => !isCritical(pod))
    .toSorted(
      (a, b) => Number(exceeds(b)) - Number(exceeds(a)) || priority(a[0]) - priority(b[0]) || excess(b) - excess(a),
    );
}

function total({ containers, volumes }: PodUse, resource: string): number {
  const sum = [...containers.values()].reduce((all, each) => all + useOf(each, resource), 0);
  if (resource === 'ephemeral-storage') return sum + volumes.diskBytes;
  return resource === 'inodes' ? sum + volumes.inodes : sum;
}

function useOf(use: ContainerUse, resource: string): number {
  switch (resource) {
    case 'memory':
      return use.memoryBytes;
    case 'ephemeral-storage':
      return use.diskBytes;
    case 'inodes':
      return use.inodes;
    default:
      return use.pids;
  }
}

function requestOf({ spec }: Pod, resource: string): number {
  return spec ? wholeValue(aggregateRequests(spec)[resource]) : 0;
}

/** Upstream's words. */
export function evictionMessage(threshold: Threshold, seen: Observation, pod: Pod, use: PodUse): string {
  const resource = resourceOf[threshold.signal];
  const isBytes = resource === 'memory' || resource === 'ephemeral-storage';
  const text = (value: number) => (isBytes ? bytesText(value) : String(value));
  const quantity = 'share' in threshold.below ? text(amountIn(threshold.below, seen.capacity)) : threshold.below.text;
  const guilty = (pod.spec?.containers ?? []).flatMap(({ name, resources }) => {
    const used = use.containers.get(name);
    const request = resources?.requests?.[resource];
    if (!used || useOf(used, resource) <= wholeValue(request)) return [];
    return [
      `Container ${name} was using ${text(useOf(used, resource))}, request is ${request ?? 0}, has larger consumption of ${resource}. `,
    ];
  });
  return `The node was low on resource: ${resource}. Threshold quantity: ${quantity}, available: ${text(seen.available)}. ${guilty.join('')}`;
}

function bytesText(bytes: number): string {
  return formatQuantity(quantityOf(BigInt(Math.round(bytes / 1024) * 1024), 'binary'));
}

/** Why a node under pressure does not take a pod; `undefined`: it does. */
export function pressureRefusal(pod: Pod, pressures: ReadonlySet<Pressure>): string | undefined {
  if (pressures.size === 0 || isCritical(pod)) return undefined;
  if (pressures.size === 1 && pressures.has('MemoryPressure')) {
    if (pod.spec && qosClass(pod.spec) !== 'BestEffort') return undefined;
    const tolerates = pod.spec?.tolerations?.some(
      ({ key = '', operator = 'Equal', effect = '' }) =>
        (key === 'node.kubernetes.io/memory-pressure' || (key === '' && operator === 'Exists')) &&
        (effect === '' || effect === 'NoSchedule'),
    );
    if (tolerates) return undefined;
  }
  return `The node had condition: [${[...pressures].toSorted().join(', ')}]. `;
}

export interface VolumeUse {
  readonly name: string;
  readonly usedBytes: number;
}

/** Whether a pod has taken more of the disk than it may; the message is upstream's. */
export function localStorageExcess(pod: Pod, use: PodUse, emptyDirs: readonly VolumeUse[]): string | undefined {
  const { spec } = pod;
  if (!spec) return undefined;
  for (const { name, emptyDir } of spec.volumes ?? []) {
    const limit = emptyDir?.sizeLimit;
    const used = emptyDirs.find(each => each.name === name)?.usedBytes ?? 0;
    if (limit !== undefined && wholeValue(limit) > 0 && used > wholeValue(limit))
      return `Usage of EmptyDir volume ${JSON.stringify(name)} exceeds the limit ${JSON.stringify(limit)}. `;
  }
  const limited = spec.containers.filter(each => each.resources?.limits?.['ephemeral-storage'] !== undefined);
  if (limited.length === spec.containers.length && limited.length > 0) {
    const limit = limited.reduce((sum, each) => sum + wholeValue(each.resources?.limits?.['ephemeral-storage']), 0);
    if (total(use, 'ephemeral-storage') > limit)
      return `Pod ephemeral local storage usage exceeds the total limit of containers ${bytesLimitText(limit)}. `;
  }
  for (const { name, resources } of limited) {
    const limit = resources?.limits?.['ephemeral-storage'];
    if ((use.containers.get(name)?.diskBytes ?? 0) > wholeValue(limit))
      return `Container ${name} exceeded its local ephemeral storage limit ${JSON.stringify(limit)}. `;
  }
  return undefined;
}

function bytesLimitText(bytes: number): string {
  return formatQuantity(quantityOf(BigInt(bytes), 'binary'));
}
