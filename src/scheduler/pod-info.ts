import type { Container, PodSpec } from '#api/core/v1/pod-spec.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { milliValue, wholeValue } from '#api/machinery/quantity.ts';

/** Amounts of resources, in the units of the scheduler: millicores, bytes, counts. */
export interface Resources {
  milliCPU: number;
  memoryBytes: number;
  ephemeralBytes: number;
  /** Extended resources and huge pages by name. */
  readonly scalar: Map<string, number>;
}

export interface HostPort {
  readonly protocol: string;
  readonly ip: string;
  readonly port: number;
}

/** What the scheduler wants to know of a pod, worked out once. */
export interface PodInfo {
  readonly pod: Pod;
  /** `namespace/name`. */
  readonly key: string;
  readonly priority: number;
  readonly requests: Resources;
  /** What scoring assumes: containers without requests count as 100m and 200 MiB. */
  readonly assumedMilliCPU: number;
  readonly assumedMemoryBytes: number;
  readonly hostPorts: readonly HostPort[];
  /** Pods with the same class fit the same nodes: everything that filters and scores look at. */
  readonly classKey: string;
}

/** Upstream's assumption for containers that ask for nothing (DefaultMilliCPURequest, DefaultMemoryRequest). */
const assumedContainerMilliCPU = 100;
const assumedContainerMemoryBytes = 200 * 1024 * 1024;

export function podInfo(pod: Pod): PodInfo {
  const { spec } = pod;
  const requests = requestsOf(spec, amountsOf);
  const assumed = requestsOf(spec, assumedAmountsOf);
  return {
    pod,
    key: `${pod.metadata.namespace}/${pod.metadata.name}`,
    priority: spec.priority ?? 0,
    requests,
    assumedMilliCPU: assumed.milliCPU,
    assumedMemoryBytes: assumed.memoryBytes,
    hostPorts: hostPortsOf(spec),
    classKey: classKeyOf(spec),
  };
}

/** The same pod with another spec, for asking what would be. What it requests and which host ports it wants stay as given. */
export function withSpec(info: PodInfo, spec: Partial<PodSpec>): PodInfo {
  return { ...info, pod: { ...info.pod, spec: { ...info.pod.spec, ...spec } } };
}

export function noResources(): Resources {
  return { milliCPU: 0, memoryBytes: 0, ephemeralBytes: 0, scalar: new Map() };
}

export function resourcesFrom(amounts: Readonly<Record<string, string>> | null | undefined): Resources {
  const resources = noResources();
  for (const [name, amount] of Object.entries(amounts ?? {})) {
    if (name === 'cpu') resources.milliCPU = milliValue(amount);
    else if (name === 'memory') resources.memoryBytes = wholeValue(amount);
    else if (name === 'ephemeral-storage') resources.ephemeralBytes = wholeValue(amount);
    else resources.scalar.set(name, wholeValue(amount));
  }
  return resources;
}

export function addTo(total: Resources, more: Resources, sign: 1 | -1 = 1): void {
  total.milliCPU += sign * more.milliCPU;
  total.memoryBytes += sign * more.memoryBytes;
  total.ephemeralBytes += sign * more.ephemeralBytes;
  for (const [name, amount] of more.scalar) total.scalar.set(name, (total.scalar.get(name) ?? 0) + sign * amount);
}

/** An amount in the scheduler's units as people write it; shortages are rounded up, so that what is said is enough. */
export function amountText(name: string, amount: number): string {
  if (name === 'cpu') return amount % 1000 === 0 ? `${amount / 1000}` : `${amount}m`;
  if (name !== 'memory' && name !== 'ephemeral-storage' && !name.startsWith('hugepages-')) return `${amount}`;
  if (amount < 1024) return `${amount}`;
  const units = ['Ki', 'Mi', 'Gi', 'Ti'];
  let value = amount / 1024;
  let unit = 0;
  // As large a unit as leaves four digits at most, or a whole number.
  while (unit < units.length - 1 && (Number.isInteger(value / 1024) || value >= 10_240)) {
    value /= 1024;
    unit++;
  }
  return `${Math.ceil(value)}${units[unit]}`;
}

/**
 * What a pod holds at its peak: all containers with the sidecars together, or the hungriest moment of its
 * initialisation, whichever is more; plus overhead. Pod-level requests replace the sum. KEP-753, KEP-2837.
 */
function requestsOf(spec: PodSpec, of: (container: Container) => Resources): Resources {
  const running = noResources();
  for (const container of spec.containers) addTo(running, of(container));
  const sidecars = noResources();
  let peak = noResources();
  for (const container of spec.initContainers ?? []) {
    const own = of(container);
    if (container.restartPolicy === 'Always') {
      addTo(running, own);
      addTo(sidecars, own);
      peak = larger(peak, sidecars);
    } else {
      addTo(own, sidecars);
      peak = larger(peak, own);
    }
  }
  const total = larger(running, peak);
  const podLevel = spec.resources?.requests;
  if (podLevel) replaceWith(total, podLevel);
  if (spec.overhead) addTo(total, resourcesFrom(spec.overhead));
  return total;
}

function replaceWith(total: Resources, podLevel: Readonly<Record<string, string>>): void {
  const asked = resourcesFrom(podLevel);
  if ('cpu' in podLevel) total.milliCPU = asked.milliCPU;
  if ('memory' in podLevel) total.memoryBytes = asked.memoryBytes;
  for (const [name, amount] of asked.scalar) total.scalar.set(name, amount);
}

function larger(a: Resources, b: Resources): Resources {
  const scalar = new Map(a.scalar);
  for (const [name, amount] of b.scalar) scalar.set(name, Math.max(amount, scalar.get(name) ?? 0));
  return {
    milliCPU: Math.max(a.milliCPU, b.milliCPU),
    memoryBytes: Math.max(a.memoryBytes, b.memoryBytes),
    ephemeralBytes: Math.max(a.ephemeralBytes, b.ephemeralBytes),
    scalar,
  };
}

function amountsOf(container: Container): Resources {
  return resourcesFrom(container.resources?.requests);
}

function assumedAmountsOf(container: Container): Resources {
  const asked = container.resources?.requests;
  const amounts = resourcesFrom(asked);
  if (asked?.cpu === undefined) amounts.milliCPU = assumedContainerMilliCPU;
  if (asked?.memory === undefined) amounts.memoryBytes = assumedContainerMemoryBytes;
  return amounts;
}

function hostPortsOf(spec: PodSpec): readonly HostPort[] {
  const sidecars = (spec.initContainers ?? []).filter(each => each.restartPolicy === 'Always');
  return [...sidecars, ...spec.containers].flatMap(container =>
    (container.ports ?? [])
      .filter(port => (port.hostPort ?? 0) > 0)
      .map(port => ({ protocol: port.protocol ?? 'TCP', ip: port.hostIP || '0.0.0.0', port: port.hostPort ?? 0 })),
  );
}

/** Made of values in an order of our own: a client that writes a pod back may put its fields in another one. */
function classKeyOf(spec: PodSpec): string {
  return JSON.stringify([
    spec.nodeName,
    sortedEntries(spec.nodeSelector),
    spec.affinity?.nodeAffinity,
    spec.tolerations?.map(each => [each.key, each.operator, each.value, each.effect, each.tolerationSeconds]),
    sortedEntries(spec.overhead),
    sortedEntries(spec.resources?.requests),
    spec.containers.map(shapeOf),
    spec.initContainers?.map(shapeOf),
  ]);
}

function shapeOf({ image, resources, ports, restartPolicy }: Container): unknown {
  const onHost = ports?.filter(port => (port.hostPort ?? 0) > 0);
  return [
    image,
    sortedEntries(resources?.requests),
    onHost?.map(({ protocol, hostIP, hostPort }) => [protocol, hostIP, hostPort]),
    restartPolicy,
  ];
}

function sortedEntries(amounts: Readonly<Record<string, string>> | undefined): unknown {
  return amounts && Object.entries(amounts).sort(([a], [b]) => (a < b ? -1 : 1));
}
