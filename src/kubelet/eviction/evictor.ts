import { statfs } from 'node:fs/promises';
import { parseGoDuration } from '#api/machinery/duration.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { EventRecorder } from '#client/events.ts';
import type { PodSandboxStats, Runtime } from '#runtime/runtime.ts';
import type { KubeletConfiguration } from '../configuration.ts';
import type { KubeletMetrics } from '../metrics.ts';
import { byPod, measurePodDisk, type PodDiskUse } from '../node/disk-use.ts';
import { measureMachine, type Machine } from '../node/machine.ts';
import type { NodePaths } from '../pods/config.ts';
import { labels } from '../pods/names.ts';
import type { PodWorker } from '../pods/worker.ts';
import {
  assess,
  evictionMessage,
  localStorageExcess,
  noPressure,
  ranked,
  type ContainerUse,
  type Observation,
  type Observations,
  type PodUse,
} from './decide.ts';
import { resourceOf, thresholdsOf, type Pressure, type Signal, type Threshold } from './thresholds.ts';

export interface EvictorOptions {
  readonly configuration: KubeletConfiguration;
  readonly runtime: Pick<Runtime, 'listPodSandboxStats' | 'imageFsInfo'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly events: EventRecorder;
  readonly metrics: KubeletMetrics;
  readonly nodeName: string;
  readonly workers: ReadonlyMap<string, PodWorker>;
  readonly paths: NodePaths;
  /** Removes every image that no container uses; answers whether there was one. */
  readonly removeImages: () => Promise<boolean>;
  /** The node's conditions have changed. */
  readonly changed: () => void;
  /** Absent: what the machine says. */
  readonly observe?: () => Promise<Observations>;
}

/** Upstream's: how often everything is measured. */
const everyMs = 10_000;
/** With hard thresholds a pod gets this long. */
const hardGraceSeconds = 1;
/** The disk of every pod is walked again only after this. */
const walkEveryMs = 60_000;

/** Watches what the node runs short of, and ends pods before the kernel ends anything. */
export class Evictor implements Disposable {
  readonly #options: EvictorOptions;
  readonly #thresholds: readonly Threshold[];
  readonly #transitionMs: number;
  readonly #walked = new Map<string, { readonly atMs: number; readonly use: PodDiskUse }>();
  #memory = noPressure;
  #pressures: ReadonlySet<Pressure> = new Set();
  #cancel = () => {};
  #closed = false;

  constructor(options: EvictorOptions) {
    this.#options = options;
    this.#thresholds = thresholdsOf(options.configuration);
    this.#transitionMs = parseGoDuration(options.configuration.evictionPressureTransitionPeriod);
    this.#schedule();
  }

  /** What the node is short of, as its conditions say. */
  get pressures(): ReadonlySet<Pressure> {
    return this.#pressures;
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#cancel();
  }

  #schedule(): void {
    if (this.#closed) return;
    const { clock, log } = this.#options;
    this.#cancel = clock.after(everyMs, () => {
      this.look()
        .catch((error: unknown) => log.warn('cannot look for what the node runs short of', { error }))
        .finally(() => this.#schedule());
    });
  }

  /** One look, and what follows from it: at most one pod is evicted for the node's sake. */
  async look(): Promise<void> {
    await this.#evictGreedy();
    const nowMs = this.#options.clock.now();
    const observations = await this.#observe();
    const { memory, pressures, due } = assess(this.#thresholds, observations, this.#memory, this.#transitionMs, nowMs);
    this.#memory = memory;
    const isNew = pressures.size !== this.#pressures.size || [...pressures].some(each => !this.#pressures.has(each));
    this.#pressures = pressures;
    if (isNew) this.#options.changed();
    const [threshold] = due;
    const seen = threshold && observations.get(threshold.signal);
    if (threshold && seen) await this.#relieve(threshold, seen);
  }

  async #relieve(threshold: Threshold, seen: Observation): Promise<void> {
    const { log, events, nodeName, configuration } = this.#options;
    const resource = resourceOf[threshold.signal];
    log.warn('the node is running short', { signal: threshold.signal, available: seen.available });
    const about = { kind: 'Node', name: nodeName, uid: nodeName };
    events.event(about, 'Warning', 'EvictionThresholdMet', `Attempting to reclaim ${resource}`);
    const isDisk = resource === 'ephemeral-storage' || resource === 'inodes';
    // The next look tells whether that was enough.
    if (isDisk && (await this.#options.removeImages())) return;
    const uses = await this.#uses(isDisk);
    const grace = threshold.isHard ? hardGraceSeconds : configuration.evictionMaxPodGracePeriod;
    for (const [pod, use] of ranked(threshold.signal, uses)) {
      const worker = this.#options.workers.get(pod.metadata.uid ?? '');
      if (!worker) continue;
      this.#options.metrics.evictions.inc({ eviction_signal: threshold.signal });
      this.#evict(worker, evictionMessage(threshold, seen, pod, use), grace);
      return;
    }
    log.error('the node is running short, and no pod can be evicted', { signal: threshold.signal });
  }

  /** Pods that have taken more of the disk than they said. */
  async #evictGreedy(): Promise<void> {
    const { workers, configuration, paths } = this.#options;
    if (!configuration.localStorageCapacityIsolation) return;
    const limited = this.#alive().filter(({ pod }) => hasDiskLimit(pod));
    if (limited.length === 0) return;
    const stats = byPod(await this.#options.runtime.listPodSandboxStats());
    for (const { pod } of limited) {
      const uid = pod.metadata.uid ?? '';
      const disk = await measurePodDisk(pod, paths);
      const emptyDirs = [...disk.volumes].map(([name, { usedBytes }]) => ({ name, usedBytes }));
      const excess = localStorageExcess(pod, useOf(stats.get(uid), disk), emptyDirs);
      const worker = workers.get(uid);
      if (excess !== undefined && worker) this.#evict(worker, excess, hardGraceSeconds);
    }
  }

  #evict(worker: PodWorker, message: string, graceSeconds: number): void {
    const { pod } = worker;
    this.#options.log.info('evicting a pod', { namespace: pod.metadata.namespace, pod: pod.metadata.name, message });
    this.#options.events.event({ ...pod, kind: 'Pod', apiVersion: 'v1' }, 'Warning', 'Evicted', message);
    worker.fail({ reason: 'Evicted', message, disruption: 'TerminationByKubelet' }, graceSeconds);
  }

  #alive(): readonly PodWorker[] {
    return [...this.#options.workers.values()].filter(each => !each.isOver && !each.isStopping);
  }

  async #uses(withDisk: boolean): Promise<readonly (readonly [Pod, PodUse])[]> {
    const { clock, paths, runtime } = this.#options;
    const stats = byPod(await runtime.listPodSandboxStats());
    const uses: [Pod, PodUse][] = [];
    for (const { pod } of this.#alive()) {
      const uid = pod.metadata.uid ?? '';
      let known = this.#walked.get(uid);
      if (withDisk && (!known || clock.now() - known.atMs > walkEveryMs)) {
        known = { atMs: clock.now(), use: await measurePodDisk(pod, paths) };
        this.#walked.set(uid, known);
      }
      uses.push([pod, useOf(stats.get(uid), known?.use)]);
    }
    for (const uid of this.#walked.keys()) if (!this.#options.workers.has(uid)) this.#walked.delete(uid);
    return uses;
  }

  async #observe(): Promise<Observations> {
    const { observe, paths, runtime } = this.#options;
    if (observe) return observe();
    const needed = new Set(this.#thresholds.map(({ signal }) => signal));
    const machine = measureMachine(paths.pods);
    const found = new Map<Signal, Observation>(machineObservations(machine));
    if (needed.has('imagefs.available') || needed.has('imagefs.inodesFree')) {
      const { imageFilesystems } = await runtime.imageFsInfo();
      const [{ mountpoint } = { mountpoint: '' }] = imageFilesystems;
      const disk = mountpoint === '' ? undefined : await statfs(mountpoint).catch(() => undefined);
      if (disk) {
        found.set('imagefs.available', { available: disk.bavail * disk.bsize, capacity: disk.blocks * disk.bsize });
        if (disk.files > 0) found.set('imagefs.inodesFree', { available: disk.ffree, capacity: disk.files });
      }
    }
    return found;
  }
}

function machineObservations(machine: Machine): readonly (readonly [Signal, Observation])[] {
  return [
    ['memory.available', { available: machine.memoryAvailableBytes, capacity: machine.memoryBytes }],
    ['nodefs.available', { available: machine.diskAvailableBytes, capacity: machine.diskBytes }],
    ...(machine.inodes > 0
      ? ([['nodefs.inodesFree', { available: machine.inodesFree, capacity: machine.inodes }]] as const)
      : []),
    ['pid.available', { available: machine.pidsMax - machine.pids, capacity: machine.pidsMax }],
  ];
}

function hasDiskLimit({ spec }: Pod): boolean {
  return (
    (spec?.volumes ?? []).some(({ emptyDir }) => emptyDir?.sizeLimit !== undefined && (emptyDir.medium ?? '') === '') ||
    (spec?.containers ?? []).some(({ resources }) => resources?.limits?.['ephemeral-storage'] !== undefined)
  );
}

function useOf(stats: PodSandboxStats | undefined, disk: PodDiskUse | undefined): PodUse {
  const containers = new Map<string, ContainerUse>();
  const pids = stats?.process?.processCount ?? 0;
  for (const each of stats?.containers ?? []) {
    const name = each.attributes.labels[labels.containerName] ?? each.attributes.metadata.name;
    const log = disk?.logs.get(name);
    containers.set(name, {
      memoryBytes: each.memory?.workingSetBytes ?? 0,
      diskBytes: (each.writableLayer?.usedBytes ?? 0) + (log?.usedBytes ?? 0),
      inodes: (each.writableLayer?.inodesUsed ?? 0) + (log?.inodesUsed ?? 0),
      // The runtime counts them for the pod as a whole.
      pids: containers.size === 0 ? pids : 0,
    });
  }
  const sum = (field: 'usedBytes' | 'inodesUsed') =>
    [...(disk?.volumes.values() ?? [])].reduce((total, each) => total + each[field], 0);
  return { containers, volumes: { diskBytes: sum('usedBytes'), inodes: sum('inodesUsed') } };
}
