import type { Node, NodeCondition, NodeStatus } from '#api/core/v1/node.ts';
import { canonicalQuantity } from '#api/machinery/quantity.ts';
import { formatTime } from '#api/machinery/time.ts';
import { kubernetesVersion } from '#api/machinery/version.ts';
import type { Image, RuntimeStatus, RuntimeVersion } from '#runtime/runtime.ts';
import { type KubeletConfiguration, reservedOf } from '../configuration.ts';
import { amountIn, type Pressure, type Signal, thresholdsOf } from '../eviction/thresholds.ts';
import { declaredFeatures } from './declared-features.ts';
import type { Machine, MachineIdentity } from './machine.ts';

export interface NodeView {
  readonly nodeName: string;
  readonly hostname: string;
  readonly nodeIps: readonly string[];
  readonly port: number;
  readonly configuration: KubeletConfiguration;
  readonly pressures: ReadonlySet<Pressure>;
  readonly isShuttingDown: boolean;
  readonly devices: ReadonlyMap<string, { readonly capacity: number; readonly allocatable: number }>;
  readonly machine: Machine;
  readonly identity: MachineIdentity;
  readonly version: RuntimeVersion;
  readonly runtime: RuntimeStatus;
  readonly images: readonly Image[];
}

/** Images that are named in the status: the biggest, for the scheduler's image locality. */
const imagesMax = 50;

/** The status of the node. Pure; `old` keeps the times of conditions that have not changed. */
export function nodeStatus(view: NodeView, old: Node | undefined, nowMs: number): NodeStatus {
  const { nodeIps, hostname, identity, version, runtime } = view;
  return {
    addresses: [...nodeIps.map(address => ({ type: 'InternalIP', address })), { type: 'Hostname', address: hostname }],
    ...amounts(view),
    conditions: conditions(view, old, nowMs),
    daemonEndpoints: { kubeletEndpoint: { Port: view.port } },
    nodeInfo: {
      ...identity,
      operatingSystem: 'linux',
      containerRuntimeVersion: `${version.runtimeName}://${version.runtimeVersion}`,
      kubeletVersion: kubernetesVersion.gitVersion,
      kubeProxyVersion: '',
    },
    images: view.images
      .toSorted((a, b) => b.sizeBytes - a.sizeBytes)
      .slice(0, imagesMax)
      .map(({ repoDigests, repoTags, sizeBytes }) => ({ names: [...repoDigests, ...repoTags], sizeBytes })),
    runtimeHandlers: runtime.runtimeHandlers.map(({ name, features }) => ({ name, features })),
    declaredFeatures,
    features: { supplementalGroupsPolicy: runtime.features.supplementalGroupsPolicy },
  };
}

const noHugepages = [
  ['hugepages-1Gi', 0],
  ['hugepages-2Mi', 0],
] as const;

function amounts({ machine, configuration, devices }: NodeView) {
  const kibi = (bytes: number) => `${Math.floor(bytes / 1024)}Ki`;
  const { maxPods, podsPerCore } = configuration;
  const pods = podsPerCore > 0 ? Math.min(maxPods, podsPerCore * machine.cpuCount) : maxPods;
  const hugepages = new Map([...noHugepages, ...machine.hugepages]);
  const pagesBytes = [...hugepages.values()].reduce((sum, bytes) => sum + bytes, 0);
  const capacity = {
    cpu: String(machine.cpuCount),
    'ephemeral-storage': kibi(machine.diskBytes),
    ...Object.fromEntries([...hugepages].map(([name, bytes]) => [name, canonicalQuantity(`${bytes / 1024}Ki`) ?? '0'])),
    memory: kibi(machine.memoryBytes),
    pods: String(pods),
    ...Object.fromEntries([...devices].map(([name, each]) => [name, String(each.capacity)])),
  };
  const reserved = reservedOf(configuration);
  // What is evicted for is not for pods either.
  const kept = (signal: Signal, of: number) =>
    thresholdsOf(configuration)
      .filter(each => each.isHard && each.signal === signal)
      .reduce((most, { below }) => Math.max(most, amountIn(below, of)), 0);
  // Memory in huge pages is nothing else.
  const memory =
    machine.memoryBytes - pagesBytes - reserved.memoryBytes - kept('memory.available', machine.memoryBytes);
  const disk = machine.diskBytes - reserved.ephemeralStorageBytes - kept('nodefs.available', machine.diskBytes);
  const allocatable = {
    ...capacity,
    cpu: reserved.cpuMilli === 0 ? capacity.cpu : `${Math.max(0, machine.cpuCount * 1000 - reserved.cpuMilli)}m`,
    'ephemeral-storage': String(Math.max(0, Math.floor(disk))),
    memory: kibi(Math.max(0, memory)),
    ...Object.fromEntries([...devices].map(([name, each]) => [name, String(each.allocatable)])),
  };
  return { capacity, allocatable };
}

function conditions(
  { runtime, pressures, isShuttingDown }: NodeView,
  old: Node | undefined,
  nowMs: number,
): NodeCondition[] {
  const now = formatTime(nowMs);
  const condition = (type: string, status: 'True' | 'False', reason: string, message: string): NodeCondition => {
    const known = old?.status?.conditions?.find(each => each.type === type);
    const since = known?.status === status ? known.lastTransitionTime : undefined;
    return { type, status, reason, message, lastHeartbeatTime: now, lastTransitionTime: since ?? now };
  };
  const pressure = (type: Pressure, bad: readonly [string, string], good: readonly [string, string]) =>
    condition(type, pressures.has(type) ? 'True' : 'False', ...(pressures.has(type) ? bad : good));
  const problems = runtime.conditions.filter(({ status }) => !status);
  const why = problems.map(({ type, reason, message }) => {
    const what = type === 'NetworkReady' ? 'container runtime network not ready' : 'container runtime not ready';
    return `${what}: ${type}=false reason:${reason} message:${message}`;
  });
  if (isShuttingDown) why.push('node is shutting down');
  return [
    pressure(
      'MemoryPressure',
      ['KubeletHasInsufficientMemory', 'kubelet has insufficient memory available'],
      ['KubeletHasSufficientMemory', 'kubelet has sufficient memory available'],
    ),
    pressure(
      'DiskPressure',
      ['KubeletHasDiskPressure', 'kubelet has disk pressure'],
      ['KubeletHasNoDiskPressure', 'kubelet has no disk pressure'],
    ),
    pressure(
      'PIDPressure',
      ['KubeletHasInsufficientPID', 'kubelet has insufficient PID available'],
      ['KubeletHasSufficientPID', 'kubelet has sufficient PID available'],
    ),
    why.length === 0
      ? condition('Ready', 'True', 'KubeletReady', 'kubelet is posting ready status')
      : condition('Ready', 'False', 'KubeletNotReady', `[${why.join(', ')}]`),
  ];
}

/** Whether a status says something new; that it was asked again does not count. */
export function differs(a: NodeStatus, b: NodeStatus | undefined): boolean {
  const plain = ({ conditions: found, ...rest }: NodeStatus) =>
    JSON.stringify([rest, found?.map(({ lastHeartbeatTime: _, ...each }) => each)]);
  return b === undefined || plain(a) !== plain(b);
}
