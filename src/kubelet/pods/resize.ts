import type { Node } from '#api/core/v1/node.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import type { Container } from '#api/core/v1/pod-spec.ts';
import { aggregateRequests } from '#api/core/v1/pod-resources.ts';
import type { ResourceRequirements } from '#api/core/v1/resource-requirements.ts';
import { milliValue, wholeValue } from '#api/machinery/quantity.ts';
import type { LinuxContainerResources } from '#runtime/runtime.ts';
import type { Waiting } from './decide.ts';

/** What a pod has been granted, by container; what its spec asks for may be more. */
export type Allocation = ReadonlyMap<string, ResourceRequirements>;

export function allocationOf({ spec }: Pod): Allocation {
  return new Map(
    [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].map(each => [each.name, each.resources ?? {}]),
  );
}

/** The pod as it was granted; the same object when it was granted what it asks for. */
export function granted(pod: Pod, allocation: Allocation): Pod {
  if (isSame(allocationOf(pod), allocation)) return pod;
  const given = (container: Container): Container => {
    const resources = allocation.get(container.name);
    return resources ? { ...container, resources } : container;
  };
  const { spec } = pod;
  const initContainers = spec.initContainers?.map(given);
  return {
    ...pod,
    spec: { ...spec, containers: spec.containers.map(given), ...(initContainers && { initContainers }) },
  };
}

export function isSame(a: Allocation, b: Allocation): boolean {
  return a.size === b.size && [...a].every(([name, resources]) => changed(resources, b.get(name)).length === 0);
}

type Resizable = 'cpu' | 'memory';

function changed(a: ResourceRequirements | undefined, b: ResourceRequirements | undefined): readonly Resizable[] {
  const amount = (of: ResourceRequirements | undefined, kind: 'requests' | 'limits', name: Resizable) => {
    const text = of?.[kind]?.[name];
    return text === undefined ? undefined : name === 'cpu' ? milliValue(text) : wholeValue(text);
  };
  return (['cpu', 'memory'] as const).filter(name =>
    (['requests', 'limits'] as const).some(kind => amount(a, kind, name) !== amount(b, kind, name)),
  );
}

/** Whether the kernel has to be told something. */
export function differs(wanted: LinuxContainerResources, actual: LinuxContainerResources): boolean {
  return cpuDiffers(wanted, actual) || memoryDiffers(wanted, actual);
}

function cpuDiffers(a: LinuxContainerResources, b: LinuxContainerResources): boolean {
  return (a.cpuShares ?? 0) !== (b.cpuShares ?? 0) || Math.max(0, a.cpuQuota ?? 0) !== Math.max(0, b.cpuQuota ?? 0);
}

function memoryDiffers(a: LinuxContainerResources, b: LinuxContainerResources): boolean {
  return Math.max(0, a.memoryLimitBytes ?? 0) !== Math.max(0, b.memoryLimitBytes ?? 0);
}

/** Whether the container wants to be started anew for this change. */
export function needsRestart(
  container: Container,
  wanted: LinuxContainerResources,
  actual: LinuxContainerResources,
): boolean {
  const restarts = (name: Resizable) =>
    container.resizePolicy?.some(each => each.resourceName === name && each.restartPolicy === 'RestartContainer') ??
    false;
  return (cpuDiffers(wanted, actual) && restarts('cpu')) || (memoryDiffers(wanted, actual) && restarts('memory'));
}

/** Of two limits the wider one: what holds while containers change from one to the other. */
export function widest(a: LinuxContainerResources, b: LinuxContainerResources): LinuxContainerResources {
  const wider = (x: number | undefined, y: number | undefined) =>
    x === undefined || y === undefined || x < 0 || y < 0 ? -1 : Math.max(x, y);
  return {
    cpuShares: Math.max(a.cpuShares ?? 2, b.cpuShares ?? 2),
    cpuPeriod: a.cpuPeriod ?? b.cpuPeriod ?? 100_000,
    cpuQuota: wider(a.cpuQuota, b.cpuQuota),
    memoryLimitBytes: wider(a.memoryLimitBytes, b.memoryLimitBytes),
  };
}

/** What is not limited any more, or not yet, is told so. */
export function explicit(resources: LinuxContainerResources): LinuxContainerResources {
  return { ...resources, cpuQuota: resources.cpuQuota ?? -1, memoryLimitBytes: resources.memoryLimitBytes ?? -1 };
}

/** Why the node does not grant a resize; the reason says whether it ever could. */
export function resizeRefusal(pod: Pod, node: Node | undefined, others: Iterable<Pod>): Waiting | undefined {
  if (!node) return undefined;
  const all = [...others];
  const requests = aggregateRequests(pod.spec);
  for (const name of ['memory', 'cpu'] as const) {
    const value = name === 'cpu' ? milliValue : wholeValue;
    const requested = value(requests[name]);
    const capacity = value(node.status?.allocatable?.[name]);
    if (requested > capacity) {
      const message = `Node didn't have enough capacity: ${name}, requested: ${requested}, capacity: ${capacity}`;
      return { reason: 'Infeasible', message };
    }
    const used = all.reduce((sum, { spec }) => sum + (spec ? value(aggregateRequests(spec)[name]) : 0), 0);
    if (used + requested > capacity) {
      const message = `Node didn't have enough resource: ${name}, requested: ${requested}, used: ${used}, capacity: ${capacity}`;
      return { reason: 'Deferred', message };
    }
  }
  return undefined;
}

/** The message of an Event about a resize, as upstream writes it. */
export function resizeMessage(what: string, { metadata, spec }: Pod, error?: string): string {
  const list = (containers: readonly Container[] | undefined) =>
    containers?.map(({ name, resources = {} }) => {
      const { limits, requests } = resources;
      return { name, resources: { ...(limits && { limits }), ...(requests && { requests }) } };
    });
  const summary = {
    ...(spec.initContainers?.length && { initContainers: list(spec.initContainers) }),
    containers: list(spec.containers),
    generation: metadata.generation ?? 0,
    ...(error !== undefined && error !== '' && { error }),
  };
  return `Pod resize ${what}: ${JSON.stringify(summary)}`;
}
