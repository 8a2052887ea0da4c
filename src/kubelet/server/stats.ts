import os from 'node:os';
import type { Node } from '#api/core/v1/node.ts';
import { formatTime } from '#api/machinery/time.ts';
import type { Clock } from '#base/clock.ts';
import type { ContainerStats, FilesystemUsage, PodSandboxStats, RuntimeService } from '#runtime/runtime.ts';
import { measurePodDisk, type DirectoryUse } from '../node/disk-use.ts';
import { measureMachine } from '../node/machine.ts';
import type { NodePaths } from '../pods/config.ts';
import { labels, nodeLabel } from '../pods/names.ts';
import { probeTitle } from '../probes/prober.ts';
import type { PodWorker } from '../pods/worker.ts';

type Stats = Pick<RuntimeService, 'listPodSandboxStats'>;

async function podStats(runtime: Stats, nodeName: string): Promise<readonly PodSandboxStats[]> {
  return runtime.listPodSandboxStats({ labelSelector: { [nodeLabel]: nodeName } });
}

interface Workers {
  readonly workers: ReadonlyMap<string, PodWorker>;
}

/** When a container of the runtime's figures was started. */
function startedMs({ workers }: Workers): (stats: ContainerStats) => number | undefined {
  const times = new Map<string, number>();
  for (const worker of workers.values()) for (const { id, startedAtMs } of worker.running) times.set(id, startedAtMs);
  return stats => times.get(stats.attributes.id);
}

/** `/stats/summary`. `onlyCpuAndMemory` spares the disks. */
export async function summary(
  options: Workers & {
    readonly runtime: Stats;
    readonly nodeName: string;
    readonly clock: Clock;
    readonly paths: NodePaths;
    readonly node: Node | undefined;
  },
  onlyCpuAndMemory: boolean,
): Promise<object> {
  const { runtime, nodeName, clock, paths, node, workers } = options;
  const nowMs = clock.now();
  const time = formatTime(nowMs);
  const pods = await podStats(runtime, nodeName);
  const machine = measureMachine(paths.pods);
  const disk = {
    time,
    availableBytes: machine.diskAvailableBytes,
    capacityBytes: machine.diskBytes,
    inodesFree: machine.inodesFree,
    inodes: machine.inodes,
  };
  const fs = {
    ...disk,
    usedBytes: machine.diskBytes - machine.diskAvailableBytes,
    inodesUsed: machine.inodes - machine.inodesFree,
  };
  const started = startedMs(options);
  const described = pods.map(async pod => {
    const { name, namespace, uid } = pod.attributes.metadata;
    const worker = workers.get(uid);
    const use = onlyCpuAndMemory || !worker ? undefined : await measurePodDisk(worker.pod, paths);
    const of = (used: DirectoryUse | FilesystemUsage | undefined) =>
      used && { ...disk, usedBytes: used.usedBytes, inodesUsed: used.inodesUsed };
    const containers = pod.containers.map(container => {
      const log = use?.logs.get(nameOf(container));
      return {
        name: nameOf(container),
        startTime: formatTime(started(container) ?? nowMs),
        ...usage(container),
        ...(use && {
          ...(container.writableLayer && { rootfs: of(container.writableLayer) }),
          ...(log && { logs: of(log) }),
        }),
      };
    });
    return {
      podRef: { name, namespace, uid },
      startTime: worker?.pod.status?.startTime ?? time,
      containers,
      ...usage(pod),
      ...(pod.network && { network: { time, ...networkOf(pod) } }),
      ...(use && {
        volume: [...use.volumes].map(([volume, used]) => ({ ...of(used), name: volume })),
        'ephemeral-storage': of(sumOf([...use.volumes.values(), ...use.logs.values(), ...layersOf(pod)])),
      }),
      ...(pod.process && { process_stats: { process_count: pod.process.processCount } }),
    };
  });
  return {
    node: {
      nodeName,
      startTime: node?.metadata.creationTimestamp ?? time,
      cpu: { time, usageCoreNanoSeconds: machineCpuNanoseconds() },
      memory: {
        time,
        availableBytes: machine.memoryAvailableBytes,
        usageBytes: machine.memoryBytes - machine.memoryAvailableBytes,
        workingSetBytes: machine.memoryBytes - machine.memoryAvailableBytes,
      },
      ...(!onlyCpuAndMemory && { fs, runtime: { imageFs: fs, containerFs: fs } }),
      rlimit: { time, maxpid: machine.pidsMax, curproc: machine.pids },
    },
    pods: await Promise.all(described),
  };
}

function layersOf(pod: PodSandboxStats): readonly DirectoryUse[] {
  return pod.containers.flatMap(({ writableLayer }) => (writableLayer ? [writableLayer] : []));
}

function sumOf(parts: readonly DirectoryUse[]): DirectoryUse {
  return {
    usedBytes: parts.reduce((sum, each) => sum + each.usedBytes, 0),
    inodesUsed: parts.reduce((sum, each) => sum + each.inodesUsed, 0),
  };
}

function nameOf({ attributes }: ContainerStats): string {
  return attributes.labels[labels.containerName] ?? attributes.metadata.name;
}

function usage({ cpu, memory }: Pick<ContainerStats, 'cpu' | 'memory'>): object {
  return {
    ...(cpu && {
      cpu: {
        time: formatTime(cpu.timestampMs),
        usageCoreNanoSeconds: cpu.usageCoreNanoseconds,
        ...(cpu.usageNanocores !== undefined && { usageNanoCores: cpu.usageNanocores }),
      },
    }),
    ...(memory && {
      memory: {
        time: formatTime(memory.timestampMs),
        ...(memory.availableBytes !== undefined && { availableBytes: memory.availableBytes }),
        usageBytes: memory.usageBytes,
        workingSetBytes: memory.workingSetBytes,
        rssBytes: memory.rssBytes,
        pageFaults: memory.pageFaults,
        majorPageFaults: memory.majorPageFaults,
      },
    }),
  };
}

function networkOf({ network }: PodSandboxStats): object {
  const plain = (each: NonNullable<PodSandboxStats['network']>['interfaces'][number]) => ({
    name: each.name,
    rxBytes: each.rxBytes,
    rxErrors: each.rxErrors,
    txBytes: each.txBytes,
    txErrors: each.txErrors,
  });
  return {
    ...(network?.defaultInterface && plain(network.defaultInterface)),
    interfaces: network?.interfaces.map(plain) ?? [],
  };
}

function machineCpuNanoseconds(): number {
  const busyMs = os.cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
  return busyMs * 1e6;
}

/** `/metrics/resource`, which metrics-server reads. */
export async function resourceMetrics(
  runtime: Stats,
  nodeName: string,
  clock: Clock,
  workers: ReadonlyMap<string, PodWorker>,
): Promise<string> {
  const pods = await podStats(runtime, nodeName);
  const started = startedMs({ workers });
  const nowMs = clock.now();
  const used = os.totalmem() - os.freemem();
  const families = [
    family('node_cpu_usage_seconds_total', 'counter', 'Cumulative cpu time consumed by the node in core-seconds', [
      [{}, machineCpuNanoseconds() / 1e9, nowMs],
    ]),
    family('node_memory_working_set_bytes', 'gauge', 'Current working set of the node in bytes', [[{}, used, nowMs]]),
    family(
      'container_cpu_usage_seconds_total',
      'counter',
      'Cumulative cpu time consumed by the container in core-seconds',
      containerSamples(pods, each => each.cpu && [each.cpu.usageCoreNanoseconds / 1e9, each.cpu.timestampMs]),
    ),
    family(
      'container_memory_working_set_bytes',
      'gauge',
      'Current working set of the container in bytes',
      containerSamples(pods, each => each.memory && [each.memory.workingSetBytes, each.memory.timestampMs]),
    ),
    family(
      'container_start_time_seconds',
      'gauge',
      'Start time of the container since unix epoch in seconds',
      containerSamples(pods, each => {
        const startedAtMs = started(each);
        return startedAtMs === undefined ? undefined : [startedAtMs / 1000, nowMs];
      }),
    ),
    family(
      'pod_cpu_usage_seconds_total',
      'counter',
      'Cumulative cpu time consumed by the pod in core-seconds',
      podSamples(pods, each => each.cpu && [each.cpu.usageCoreNanoseconds / 1e9, each.cpu.timestampMs]),
    ),
    family(
      'pod_memory_working_set_bytes',
      'gauge',
      'Current working set of the pod in bytes',
      podSamples(pods, each => each.memory && [each.memory.workingSetBytes, each.memory.timestampMs]),
    ),
    family('resource_scrape_error', 'gauge', '1 if there was an error while getting container metrics, 0 otherwise', [
      [{}, 0],
    ]),
  ];
  return families.join('');
}

/** `/metrics/cadvisor`: the figures that dashboards read. */
export async function cadvisorMetrics(runtime: Stats, nodeName: string, _clock: Clock): Promise<string> {
  const pods = await podStats(runtime, nodeName);
  const families = [
    family(
      'container_cpu_usage_seconds_total',
      'counter',
      'Cumulative cpu time consumed in seconds.',
      containerSamples(pods, each => each.cpu && [each.cpu.usageCoreNanoseconds / 1e9, each.cpu.timestampMs]),
    ),
    family(
      'container_memory_working_set_bytes',
      'gauge',
      'Current working set in bytes.',
      containerSamples(pods, each => each.memory && [each.memory.workingSetBytes, each.memory.timestampMs]),
    ),
    family(
      'container_memory_usage_bytes',
      'gauge',
      'Current memory usage in bytes, including all memory regardless of when it was accessed',
      containerSamples(pods, each => each.memory && [each.memory.usageBytes, each.memory.timestampMs]),
    ),
    family(
      'container_memory_rss',
      'gauge',
      'Size of RSS in bytes.',
      containerSamples(pods, each => each.memory && [each.memory.rssBytes, each.memory.timestampMs]),
    ),
    family(
      'container_network_receive_bytes_total',
      'counter',
      'Cumulative count of bytes received',
      podSamples(
        pods,
        each => each.network?.defaultInterface && [each.network.defaultInterface.rxBytes, each.network.timestampMs],
      ),
    ),
    family(
      'container_network_transmit_bytes_total',
      'counter',
      'Cumulative count of bytes transmitted',
      podSamples(
        pods,
        each => each.network?.defaultInterface && [each.network.defaultInterface.txBytes, each.network.timestampMs],
      ),
    ),
    family('machine_cpu_cores', 'gauge', 'Number of logical CPU cores.', [[{}, os.availableParallelism()]]),
    family('machine_memory_bytes', 'gauge', 'Amount of memory installed on the machine.', [[{}, os.totalmem()]]),
  ];
  return families.join('');
}

/** `/metrics`: of the agent itself. */
export function kubeletMetrics(nodeName: string, workers: ReadonlyMap<string, PodWorker>): string {
  const running = [...workers.values()].map(each => each.running.length);
  const memory = process.memoryUsage();
  const cpu = process.cpuUsage();
  const families = [
    family('kubelet_node_name', 'gauge', "The node's name. The count is always 1.", [[{ node: nodeName }, 1]]),
    family('kubelet_running_pods', 'gauge', 'Number of pods that have a running pod sandbox', [
      [{}, running.filter(count => count > 0).length],
    ]),
    family('kubelet_running_containers', 'gauge', 'Number of containers currently running', [
      [{ container_state: 'running' }, running.reduce((sum, count) => sum + count, 0)],
    ]),
    family('kubelet_desired_pods', 'gauge', 'The number of pods the kubelet is being instructed to run', [
      [{ static: '' }, workers.size],
    ]),
    family('process_cpu_seconds_total', 'counter', 'Total user and system CPU time spent in seconds.', [
      [{}, (cpu.user + cpu.system) / 1e6],
    ]),
    family('process_resident_memory_bytes', 'gauge', 'Resident memory size in bytes.', [[{}, memory.rss]]),
  ];
  return families.join('');
}

/** `/metrics/probes`: how often each probe has said what, since the agent was started. */
export function probeMetrics(workers: ReadonlyMap<string, PodWorker>): string {
  const samples = [...workers.values()].flatMap(worker => {
    const { name = '', namespace = '', uid = '' } = worker.pod.metadata;
    return worker.probeCounts.map(({ container, kind, result, count }) => [
      { container, namespace, pod: name, pod_uid: uid, probe_type: probeTitle(kind), result },
      count,
    ]) as Sample[];
  });
  return family(
    'prober_probe_total',
    'counter',
    'Cumulative number of a liveness, readiness or startup probe for a container by result.',
    samples,
  );
}

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number, timestampMs?: number];
type Measured = readonly [value: number, timestampMs: number] | undefined;

function containerSamples(pods: readonly PodSandboxStats[], measure: (each: ContainerStats) => Measured): Sample[] {
  return pods.flatMap(pod =>
    pod.containers.flatMap(container => {
      const found = measure(container);
      const { name, namespace } = pod.attributes.metadata;
      return found ? [[{ container: nameOf(container), namespace, pod: name }, ...found] as const] : [];
    }),
  );
}

function podSamples(pods: readonly PodSandboxStats[], measure: (each: PodSandboxStats) => Measured): Sample[] {
  return pods.flatMap(pod => {
    const found = measure(pod);
    const { name, namespace } = pod.attributes.metadata;
    return found ? [[{ namespace, pod: name }, ...found] as const] : [];
  });
}

function family(name: string, type: 'counter' | 'gauge', help: string, samples: readonly Sample[]): string {
  const lines = samples.map(([each, value, timestampMs]) => {
    const inside = Object.entries(each).map(([key, text]) => `${key}="${text.replaceAll(/["\\\n]/g, escaped)}"`);
    const set = inside.length > 0 ? `{${inside.join(',')}}` : '';
    return `${name}${set} ${value}${timestampMs === undefined ? '' : ` ${Math.round(timestampMs)}`}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

function escaped(character: string): string {
  return character === '\n' ? '\\n' : `\\${character}`;
}
