import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Pod, type PodStatus } from '#api/core/v1/pod.ts';
import type { Container } from '#api/core/v1/pod-spec.ts';
import { isReason } from '#api/machinery/errors.ts';
import { timeMs } from '#api/machinery/time.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Client } from '#client/client.ts';
import type { EventRecorder } from '#client/events.ts';
import type {
  ContainerStatus,
  DnsConfig,
  LinuxContainerResources,
  PodSandboxConfig,
  PodSandboxStatus,
  Runtime,
  UserNamespace,
} from '#runtime/runtime.ts';
import { setUpVolumes, tearDownVolumes, type PodVolumes } from '#volumes/pod-volumes.ts';
import { environmentOf } from '../env/environment.ts';
import type { Objects } from '../objects.ts';
import { Prober, type ProbeKind, probeTitle } from '../probes/prober.ts';
import type { Target } from '../probes/handlers.ts';
import { podStatus } from '../status/pod-status.ts';
import { StatusWriter } from '../status/writer.ts';
import {
  containerConfig,
  logDirectory,
  podDirectory,
  sandboxConfig,
  type NodeFacts,
  type NodePaths,
} from './config.ts';
import {
  allContainers,
  decide,
  type Action,
  type ContainerKind,
  type Decision,
  type Failure,
  type Health,
  type PodView,
  type Stopping,
  type Waiting,
} from './decide.ts';
import type { Allocations } from '../resources/allocations.ts';
import { claimNames } from '../resources/claims.ts';
import { runHook } from './hooks.ts';
import { ImageError, type Images } from './images.ts';
import { mountsOf } from './mounts.ts';
import { isStatic, podText } from './names.ts';
import { containerResources, podResources } from './resources.ts';
import { readAllocation, writeAllocation } from './allocation-file.ts';
import {
  allocationOf,
  differs,
  explicit,
  granted,
  isSame,
  needsRestart,
  resizeMessage,
  widest,
  type Allocation,
} from './resize.ts';
import type { ContainerType, KubeletMetrics } from '../metrics.ts';
import { RestartBackoff } from './restarts.ts';
import { rootRefusal } from './security.ts';
import { terminationMessage } from './termination-message.ts';
import type { UserNamespaces } from './user-namespaces.ts';

/** What all pods of a node share. */
export interface PodHost {
  readonly client: Client;
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly log: Log;
  readonly events: EventRecorder;
  readonly metrics: KubeletMetrics;
  readonly objects: Objects;
  readonly images: Images;
  readonly allocations: Allocations;
  readonly userNamespaces: UserNamespaces;
  readonly paths: NodePaths;
  readonly facts: NodeFacts;
  readonly nodeIps: readonly string[];
  readonly dns: (pod: Pod) => DnsConfig;
  /** A container that ends again and again waits at most this long. */
  readonly restartDelayMsMax: number;
  /** Why a pod that runs already is not granted what it asks for now. */
  readonly resizeRefusal: (pod: Pod) => Waiting | undefined;
  /** A pod has got its control group. */
  readonly placed: () => void;
  /** A pod may take less than before. */
  readonly freed: () => void;
  /** Shows a static pod to the API. */
  readonly mirror: (pod: Pod) => Promise<void>;
  /** Nothing of the pod is left on the node. */
  readonly gone: (uid: string) => void;
}

/** How often a probe of a container has said the same. */
export interface ProbeCount {
  readonly container: string;
  readonly kind: ProbeKind;
  readonly result: 'successful' | 'failed';
  readonly count: number;
}

type Start = Extract<Action, { do: 'start' }>;
type Kill = Extract<Action, { do: 'kill' }>;

const maxRetryMs = 122_000;

const containerTypes = {
  main: 'container',
  init: 'init_container',
  ephemeral: 'ephemeral_container',
} as const satisfies Readonly<Record<ContainerKind, ContainerType>>;

/** Brings one pod to what is wanted of it, step by step, whenever something has happened. */
export class PodWorker {
  readonly #host: PodHost;
  readonly #writer: StatusWriter;
  readonly #uid: string;
  readonly #startTimeMs: number;
  readonly #sandboxes = new Map<string, PodSandboxStatus>();
  readonly #containers = new Map<string, ContainerStatus>();
  readonly #probers = new Map<string, Prober>();
  /** Containers whose post-start hook is over, and what has gone wrong with others. */
  readonly #hooked = new Set<string>();
  readonly #failed = new Map<string, NonNullable<Health['failed']>>();
  readonly #messages = new Map<string, string>();
  /** What a former agent's probes have said of containers that were taken over. */
  readonly #before = new Map<string, { readonly startup: boolean; readonly readiness: boolean }>();
  readonly #backoff: RestartBackoff;
  readonly #busy = new Set<string>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #retries = new Map<string, { atMs: number; delayMs: number }>();
  readonly #told = new Map<string, string>();
  readonly #abort = new AbortController();
  /** Aborted when the pod is to stop: pulls and hooks are not waited for. */
  readonly #starting = new AbortController();
  readonly #watchers = new Set<() => void>();
  /** As it was granted; `#asked` is what the API has. */
  #pod: Pod;
  #asked: Pod;
  #allocation: Allocation;
  #hasRun = false;
  #resizePending: Waiting | undefined;
  #resizing: Waiting | undefined;
  readonly #probeCounts = new Map<string, ProbeCount>();
  readonly #gave = new Map<string, LinuxContainerResources>();
  /** The CPUs that running containers were told. */
  readonly #cpus = new Map<string, string>();
  /** What the pod's own control group was told last. */
  #podLimits: LinuxContainerResources;
  #volumes: PodVolumes | undefined;
  #volumesStale = false;
  /** Until it is known whether the node has what the pod wants for itself, nothing happens to it. */
  #isHeld = false;
  #claimsReady: boolean;
  #stopping: Stopping | undefined;
  #stopNow = new AbortController();
  #failure: Failure | undefined;
  #removed = false;
  #initialized = false;
  #torn = false;
  /** Nothing is mounted any more, and the devices are given back. */
  #isUnmounted = false;
  /** What is left on the node is being removed; the status stays as it was written last. */
  #leaving = false;
  #finished = false;
  #turnDue = false;
  #cancelWake = () => {};

  constructor(pod: Pod, host: PodHost) {
    this.#asked = pod;
    this.#host = host;
    this.#backoff = new RestartBackoff(host.restartDelayMsMax);
    this.#uid = pod.metadata.uid ?? '';
    this.#allocation = readAllocation(this.#allocationFile) ?? allocationOf(pod);
    this.#pod = granted(pod, this.#allocation);
    this.#podLimits = this.#limitsOfPod();
    this.#claimsReady = claimNames(pod).length === 0 && !pod.spec?.resourceClaims?.length;
    this.#startTimeMs = timeMs(pod.status?.startTime ?? '') || host.clock.now();
    const { client, clock, log, mirror } = host;
    const { signal } = this.#abort;
    // The API knows a static pod under another uid.
    this.#writer = isStatic(pod)
      ? new StatusWriter({ metadata: nameOf(pod), status: {} } as Pod, client, clock, log, signal, () =>
          mirror(this.#pod),
        )
      : new StatusWriter(pod, client, clock, log, signal);
  }

  get pod(): Pod {
    return this.#pod;
  }

  /** The pod's resources are free again. */
  get isOver(): boolean {
    const { phase } = this.#pod.status ?? {};
    return this.#finished || this.#torn || phase === 'Succeeded' || phase === 'Failed';
  }

  get isStopping(): boolean {
    return this.#stopping !== undefined;
  }

  /** What runs already, found when the agent started. */
  adopt(sandboxes: readonly PodSandboxStatus[], containers: readonly ContainerStatus[]): void {
    for (const sandbox of sandboxes) this.#sandboxes.set(sandbox.id, sandbox);
    for (const container of containers) {
      // A former agent has run its hook; whether it had ended nobody knows.
      if (container.state === 'running') this.#hooked.add(container.id);
      const { containerStatuses = [], initContainerStatuses = [] } = this.#pod.status ?? {};
      const said = [...containerStatuses, ...initContainerStatuses].find(each => idOf(each) === container.id);
      // It stays what it was until a probe says otherwise: an agent that starts anew disturbs nobody.
      if (said) this.#before.set(container.id, { startup: said.started === true, readiness: said.ready });
      this.#observe(container);
    }
  }

  /** Nothing is done until `begin` or `fail`. */
  hold(): void {
    this.#isHeld = true;
  }

  begin(): void {
    this.#isHeld = false;
    // Only now it is known what the pod has for itself.
    this.#podLimits = this.#limitsOfPod();
    const { phase } = this.#pod.status ?? {};
    if (phase === 'Succeeded' || phase === 'Failed') this.#stop(this.#grace());
    this.update(this.#pod);
  }

  /** The API has a new version of the pod. */
  update(pod: Pod): void {
    const old = this.#asked;
    this.#asked = pod;
    this.#pod = granted(pod, this.#allocation);
    this.#writer.seen(pod);
    if (pod.metadata.deletionTimestamp !== undefined)
      this.#stop(pod.metadata.deletionGracePeriodSeconds ?? this.#grace());
    else if (old !== pod) {
      if (describes(old) !== describes(pod)) this.#refreshVolumes();
    }
    this.#turn();
  }

  /** The API has forgotten the pod. */
  remove(): void {
    this.#removed = true;
    this.#stop(Math.min(this.#grace(), this.#pod.metadata.deletionGracePeriodSeconds ?? Number.POSITIVE_INFINITY));
    this.#turn();
  }

  /** Ends the pod for a reason of the node's own: it is then Failed. */
  fail(failure: Failure, graceSeconds = this.#grace()): void {
    this.#isHeld = false;
    this.#failure ??= failure;
    this.#stop(graceSeconds);
    this.#turn();
  }

  /** What the pod's devices are like has changed. */
  devicesChanged(): void {
    this.#turn();
  }

  /** The CPUs that containers share have changed: those that run are moved to them. */
  async sharedCpusChanged(): Promise<void> {
    const { runtime, allocations } = this.#host;
    await Promise.all(
      this.running.map(async ({ id, metadata }) => {
        const bound = allocations.bound(this.#pod, metadata.name);
        if (bound.cpusetCpus === undefined || this.#cpus.get(id) === bound.cpusetCpus) return;
        await runtime.updateContainerResources(id, bound);
        this.#cpus.set(id, bound.cpusetCpus);
      }),
    );
  }

  /** Something has become free on the node. */
  reconsider(): void {
    if (this.#resizePending) this.#turn();
  }

  /** The runtime has told of a change. */
  observed(sandbox: PodSandboxStatus | undefined, sandboxId: string, containers: readonly ContainerStatus[]): void {
    const known = this.#sandboxes.get(sandboxId);
    if (!sandbox) this.#sandboxes.delete(sandboxId);
    else if (known?.state !== 'notReady') this.#sandboxes.set(sandboxId, sandbox);
    for (const container of containers) this.#observe(container);
    this.#turn();
  }

  /** A container has been removed from the runtime. */
  forgot(containerId: string): void {
    this.#forget(containerId);
    this.#turn();
  }

  /** A ConfigMap or Secret of the pod has changed. */
  objectChanged(): void {
    for (const key of this.#retries.keys()) this.#retries.delete(key);
    this.#refreshVolumes();
    this.#turn();
  }

  /** The newest container of a name, for logs and exec. */
  container(name: string, previous = false): ContainerStatus | undefined {
    const attempts = this.#byName().get(name) ?? [];
    const [newest, former] = attempts;
    if (!previous) return newest;
    return newest?.state === 'exited' && this.#waitingNow(name) ? newest : former;
  }

  /** Resolves after the next step, or when the signal aborts. */
  changed(signal: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      const finish = () => {
        this.#watchers.delete(finish);
        signal.removeEventListener('abort', finish);
        resolve();
      };
      this.#watchers.add(finish);
      signal.addEventListener('abort', finish, { once: true });
      if (signal.aborted || this.#finished) finish();
    });
  }

  get running(): readonly ContainerStatus[] {
    return [...this.#containers.values()].filter(({ state }) => state === 'running');
  }

  get probeCounts(): readonly ProbeCount[] {
    return [...this.#probeCounts.values()];
  }

  get sandbox(): PodSandboxStatus | undefined {
    return this.#sandboxList()[0];
  }

  get status(): PodStatus {
    return this.#status();
  }

  /** Resolves when the API has the status. */
  written(): Promise<void> {
    return this.#writer.flushed();
  }

  /** For a person who asks why a pod does not get on. */
  get diagnosis(): object {
    const nowMs = this.#host.clock.now();
    const { namespace, name, uid, deletionTimestamp } = this.#pod.metadata;
    return {
      pod: { namespace, name, uid, deletionTimestamp },
      underWay: [...this.#busy],
      retriesInMs: Object.fromEntries([...this.#retries].map(([step, { atMs }]) => [step, atMs - nowMs])),
      waiting: Object.fromEntries([...this.#waiting, ...this.#backoffs]),
      volumesReady: this.#volumes !== undefined,
      ...(this.#writer.waitingSinceMs !== undefined && { statusUnansweredMs: nowMs - this.#writer.waitingSinceMs }),
      stopping: this.#stopping,
      removed: this.#removed,
      sandboxes: this.#sandboxList().map(({ id, state }) => ({ id, state })),
      containers: [...this.#containers.values()].map(({ id, metadata, state, exitCode, reason }) => ({
        ...metadata,
        id,
        state,
        exitCode,
        reason,
        started: this.#isStarted(id),
        ready: this.#probers.get(id)?.state.readiness,
      })),
    };
  }

  /** Lets go of the pod; what runs goes on running. */
  async close(): Promise<void> {
    this.#finished = true;
    this.#cancelWake();
    for (const prober of this.#probers.values()) prober[Symbol.dispose]();
    await this.#writer.close();
    this.#abort.abort(new Error('the node agent was stopped'));
    this.#starting.abort(new Error('the node agent was stopped'));
  }

  #grace(): number {
    return this.#pod.spec?.terminationGracePeriodSeconds ?? 30;
  }

  /** A later request may only shorten the grace. */
  #stop(graceSeconds: number): void {
    const sinceMs = this.#host.clock.now();
    const old = this.#stopping;
    if (old && old.graceSeconds <= graceSeconds) return;
    this.#stopping = { sinceMs: old?.sinceMs ?? sinceMs, graceSeconds };
    this.#starting.abort(new Error('the pod is being stopped'));
    if (!old) return;
    // Hooks are cut short, and what is being stopped is stopped with the grace that is left.
    this.#stopNow.abort(new Error('the grace period was shortened'));
    this.#stopNow = new AbortController();
    for (const { id, state } of this.#containers.values())
      if (state === 'running') this.#background(() => this.#host.runtime.stopContainer(id, graceSeconds));
  }

  #observe(status: ContainerStatus): void {
    const known = this.#containers.get(status.id);
    if (known && rank(known) > rank(status)) return;
    this.#containers.set(status.id, status);
    // What was over before this agent came was counted by another.
    if (status.state === 'exited' && known && known.state !== 'exited') this.#countEnd(status);
    if (status.state === 'exited' && known?.state !== 'exited') {
      this.#probers.get(status.id)?.[Symbol.dispose]();
      this.#probers.delete(status.id);
      this.#messages.set(status.id, terminationMessage(status));
    }
    if (status.state === 'running') this.#probe(status);
  }

  #countEnd({ metadata, exitCode, reason }: ContainerStatus): void {
    const kind = allContainers(this.#pod).find(({ container }) => container.name === metadata.name)?.kind ?? 'main';
    this.#host.metrics.terminatedContainers.inc({
      container_type: containerTypes[kind],
      exit_code: String(exitCode),
      reason: reason || (exitCode === 0 ? 'Completed' : 'Error'),
    });
  }

  /** Once, when the last of the pod's containers has been started for the first time. */
  #countStart(attempt: number): void {
    const names = new Set(this.running.map(({ metadata }) => metadata.name));
    if (this.#hasRun || attempt > 0 || !this.#pod.spec?.containers.every(({ name }) => names.has(name))) return;
    this.#hasRun = true;
    this.#host.metrics.podStartDuration.observe(Math.max(0, this.#host.clock.now() - this.#startTimeMs) / 1000);
  }

  #forget(id: string): void {
    this.#containers.delete(id);
    this.#messages.delete(id);
    this.#hooked.delete(id);
    this.#failed.delete(id);
    this.#before.delete(id);
    this.#gave.delete(id);
    this.#cpus.delete(id);
    this.#probers.get(id)?.[Symbol.dispose]();
    this.#probers.delete(id);
  }

  /** Many things at once make one turn. */
  #turn(): void {
    if (this.#turnDue || this.#finished || this.#isHeld) return;
    this.#turnDue = true;
    queueMicrotask(() => {
      this.#turnDue = false;
      if (!this.#finished) this.#step();
    });
  }

  #step(): void {
    const nowMs = this.#host.clock.now();
    this.#checkDeadline(nowMs);
    this.#resize();
    const decision = decide(this.#view(), nowMs);
    this.#initialized ||= decision.initialized;
    if (!this.#stopping) this.#prepare(decision);
    for (const action of decision.actions) this.#launch(action, nowMs);
    this.#tellBackoffs(decision.waiting);
    this.#backoffs = decision.waiting;
    if (!this.#stopping && decision.completed && decision.stopped) this.#tearDown();
    if (this.#stopping && decision.stopped && this.#busy.size === 0) this.#finish();
    // A pod that the API has forgotten has no status.
    else if (!this.#removed && !this.#leaving) this.#writer.write(this.#status());
    this.#wake(decision, nowMs);
    for (const tell of this.#watchers) tell();
  }

  #backoffs: ReadonlyMap<string, Waiting> = new Map();

  #view(): PodView {
    return {
      pod: this.#pod,
      sandboxes: this.#sandboxList(),
      containers: this.#byName(),
      health: id => ({ started: this.#isStarted(id), failed: this.#failed.get(id) }),
      backoff: this.#backoff,
      volumesReady: this.#volumes !== undefined && this.#claimsReady,
      stopping: this.#stopping,
    };
  }

  #sandboxList(): PodSandboxStatus[] {
    return [...this.#sandboxes.values()].toSorted((a, b) => b.metadata.attempt - a.metadata.attempt);
  }

  #byName(): Map<string, ContainerStatus[]> {
    const found = new Map<string, ContainerStatus[]>();
    for (const status of this.#containers.values()) {
      const attempts = found.get(status.metadata.name);
      if (attempts) attempts.push(status);
      else found.set(status.metadata.name, [status]);
    }
    for (const attempts of found.values()) attempts.sort((a, b) => b.metadata.attempt - a.metadata.attempt);
    return found;
  }

  #isStarted(id: string): boolean {
    if (!this.#hooked.has(id)) return false;
    return this.#probers.get(id)?.state.startup ?? true;
  }

  #waitingNow(name: string): Waiting | undefined {
    return this.#backoffs.get(name) ?? this.#waiting.get(name);
  }

  #status(): PodStatus {
    const isOver = this.#torn || (this.#stopping !== undefined && !this.#isAnythingAlive());
    const view = {
      pod: this.#writer.ahead(this.#pod),
      sandbox: this.sandbox,
      podIps: this.#podIps(),
      hostIps: this.#host.nodeIps,
      containers: this.#byName(),
      waiting: new Map([...this.#waiting, ...this.#backoffs]),
      initialized: this.#initialized,
      health: (id: string) => ({
        started: this.#isStarted(id),
        ready: this.#isStarted(id) && (this.#probers.get(id)?.state.readiness ?? false),
      }),
      messageOf: (id: string) => this.#messages.get(id) ?? '',
      startTimeMs: this.#startTimeMs,
      over: isOver,
      failure: this.#failure,
      resizePending: this.#resizePending,
      resizing: this.#resizing,
      isResized: (container: Container, status: ContainerStatus) => this.#isResized(container, status),
    };
    return podStatus(view, this.#host.clock.now());
  }

  #isAnythingAlive(): boolean {
    return [...this.#containers.values()].some(({ state }) => state === 'running' || state === 'created');
  }

  #podIps(): readonly string[] {
    if (this.#pod.spec?.hostNetwork) return this.#host.nodeIps;
    const { network } = this.sandbox ?? {};
    const ips = network && network.ip !== '' ? [network.ip, ...network.additionalIps] : [];
    return ips.length > 0 || !this.#stopping ? ips : (this.#pod.status?.podIPs ?? []).map(({ ip }) => ip);
  }

  #checkDeadline(nowMs: number): void {
    const { activeDeadlineSeconds } = this.#pod.spec ?? {};
    if (activeDeadlineSeconds === undefined || this.#stopping) return;
    if (nowMs < this.#startTimeMs + activeDeadlineSeconds * 1000) return;
    const message = 'Pod was active on the node longer than the specified deadline';
    this.#event('Normal', 'DeadlineExceeded', message);
    this.#failure = { reason: 'DeadlineExceeded', message };
    this.#stop(this.#grace());
  }

  /** Volumes and the first images are on their way while the sandbox is made. */
  #prepare(decision: Decision): void {
    if (decision.completed) return;
    if (!this.#volumes || this.#volumesStale) this.#refreshVolumes();
    if (!this.#claimsReady) this.#prepareClaims();
  }

  /** Drivers make the devices of the pod's claims ready before anything of it starts. */
  #prepareClaims(): void {
    this.#run(
      'claims',
      async () => {
        await this.#host.allocations.claims.prepare(this.#pod);
        this.#claimsReady = true;
        this.#retries.delete('claims');
      },
      error => {
        this.#event(
          'Warning',
          'FailedPrepareDynamicResources',
          `Failed to prepare dynamic resources: ${textOf(error)}`,
        );
        this.#retryLater('claims', 1000);
      },
    );
  }

  #refreshVolumes(): void {
    if (this.#stopping || this.#torn) return;
    this.#volumesStale = true;
    this.#run(
      'volumes',
      async () => {
        const { clock, objects, paths } = this.#host;
        const directory = podDirectory(paths, this.#uid);
        await mkdir(directory, { recursive: true, mode: 0o750 });
        // What changes while they are being written is written afterwards.
        while (this.#volumesStale && !this.#stopping) {
          this.#volumesStale = false;
          this.#volumes = await setUpVolumes(this.#pod, directory, objects.forPod(this.#pod), clock.now());
        }
        this.#retries.delete('volumes');
      },
      error => {
        this.#event('Warning', 'FailedMount', textOf(error));
        this.#retryLater('volumes', 500);
      },
    );
  }

  #launch(action: Action, nowMs: number): void {
    switch (action.do) {
      case 'createSandbox':
        return this.#run(
          'sandbox',
          () => this.#createSandbox(action.attempt),
          error => {
            this.#event('Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${textOf(error)}`);
            this.#retryLater('sandbox', 1000);
          },
        );
      case 'stopSandbox':
        return this.#run(
          'sandbox',
          () => this.#stopSandbox(action.id),
          error => {
            this.#event('Warning', 'FailedKillPod', `error killing pod: ${textOf(error)}`);
            this.#retryLater('sandbox', 1000);
          },
        );
      case 'removeSandbox':
        return this.#run(`remove ${action.id}`, async () => {
          await this.#host.runtime.removePodSandbox(action.id);
          this.#sandboxes.delete(action.id);
        });
      case 'removeContainer':
        return this.#run(action.name ?? `remove ${action.id}`, () => this.#removeContainer(action.id));
      case 'start':
        return this.#run(action.container.name, () => this.#start(action, nowMs));
      case 'kill':
        return this.#run(action.container.name, () => this.#kill(action));
    }
  }

  /** Runs one thing of a name at a time, unless it has to wait after a failure; each end is a reason to look again. */
  #run(key: string, work: () => Promise<void>, failed?: (error: unknown) => void): void {
    if (this.#busy.has(key)) return;
    const retry = this.#retries.get(key);
    if (retry && retry.atMs > this.#host.clock.now()) return;
    this.#busy.add(key);
    void work()
      .catch((error: unknown) => {
        if (this.#abort.signal.aborted) return;
        if (failed) failed(error);
        else {
          this.#host.log.warn('a step of a pod failed', { pod: podText(this.#pod), step: key, error });
          this.#retryLater(key, 1000);
        }
      })
      .finally(() => {
        this.#busy.delete(key);
        this.#turn();
      });
  }

  #background(work: () => Promise<void>): void {
    work().catch((error: unknown) =>
      this.#host.log.warn('cannot stop a container', { pod: podText(this.#pod), error }),
    );
  }

  #retryLater(key: string, initialMs: number, atMs?: number): void {
    const delayMs = Math.min(maxRetryMs, (this.#retries.get(key)?.delayMs ?? initialMs / 2) * 2);
    this.#retries.set(key, { atMs: atMs ?? this.#host.clock.now() + delayMs, delayMs });
  }

  #wake({ wakeAtMs }: Decision, nowMs: number): void {
    this.#cancelWake();
    const { activeDeadlineSeconds } = this.#pod.spec ?? {};
    const times = [...this.#retries.values()].map(({ atMs }) => atMs).filter(atMs => atMs > nowMs);
    if (wakeAtMs !== undefined) times.push(wakeAtMs);
    if (activeDeadlineSeconds !== undefined && !this.#stopping)
      times.push(this.#startTimeMs + activeDeadlineSeconds * 1000);
    const renewals = [...(this.#volumes?.values() ?? [])].flatMap(each =>
      each.kind === 'path' && each.refreshAtMs ? [each.refreshAtMs] : [],
    );
    const renewAtMs = Math.min(...renewals);
    if (!this.#stopping && renewAtMs <= nowMs) this.#refreshVolumes();
    else if (!this.#stopping && renewals.length > 0) times.push(renewAtMs);
    if (times.length === 0) return;
    this.#cancelWake = this.#host.clock.after(Math.max(0, Math.min(...times) - nowMs), () => this.#turn());
  }

  #sandboxConfig(attempt: number, userNamespace: UserNamespace | undefined): PodSandboxConfig {
    const { paths, facts, dns } = this.#host;
    const config = sandboxConfig(this.#pod, attempt, dns(this.#pod), paths, facts, userNamespace);
    return { ...config, linux: { ...config.linux, resources: { ...config.linux?.resources, ...this.#limitsOfPod() } } };
  }

  /** What the pod's own control group is to have. One whose containers have CPUs for themselves is not held back. */
  #limitsOfPod(): LinuxContainerResources {
    const limits = podResources(this.#pod.spec);
    const { containers = [] } = this.#pod.spec ?? {};
    const isFree = containers.some(({ name }) => this.#host.allocations.hasOwnCpus(this.#pod, name));
    return isFree ? { ...limits, cpuQuota: -1 } : limits;
  }

  /** What a container is to have. */
  #limitsOf(container: Container): LinuxContainerResources {
    const { allocations, facts } = this.#host;
    const { cpuQuota, cpuPeriod, ...limits } = containerResources(this.#pod.spec, container, facts.memoryCapacityBytes);
    const isFree = cpuQuota === undefined || allocations.hasOwnCpus(this.#pod, container.name);
    return {
      ...limits,
      ...(!isFree && { cpuQuota, cpuPeriod: cpuPeriod ?? 100_000 }),
      ...allocations.bound(this.#pod, container.name),
    };
  }

  async #createSandbox(attempt: number): Promise<void> {
    const { runtime, paths, objects, userNamespaces } = this.#host;
    await mkdir(logDirectory(paths, this.#pod), { recursive: true, mode: 0o755 });
    const { runtimeClassName = '' } = this.#pod.spec ?? {};
    const handler = runtimeClassName === '' ? undefined : await objects.runtimeHandler(runtimeClassName);
    const handlers = this.#pod.spec?.hostUsers === false ? (await runtime.status()).runtimeHandlers : [];
    const userNamespace = userNamespaces.of(
      this.#pod,
      handlers.find(({ name }) => name === (handler ?? '')),
    );
    const config = this.#sandboxConfig(attempt, userNamespace);
    let id: string;
    try {
      id = await runtime.runPodSandbox(config, handler, this.#starting.signal);
    } catch (error) {
      this.#host.metrics.startedPodsErrors.inc();
      throw error;
    }
    this.#host.metrics.startedPods.inc();
    this.#sandboxes.set(id, await runtime.podSandboxStatus(id));
    this.#retries.delete('sandbox');
    this.#host.placed();
  }

  async #stopSandbox(id: string): Promise<void> {
    const { runtime } = this.#host;
    await runtime.stopPodSandbox(id);
    const known = this.#sandboxes.get(id);
    if (known) this.#sandboxes.set(id, { ...known, state: 'notReady' });
  }

  async #removeContainer(id: string): Promise<void> {
    await this.#host.runtime.removeContainer(id);
    this.#forget(id);
  }

  async #start(action: Start, nowMs: number): Promise<void> {
    const { runtime } = this.#host;
    const { container, attempt, afterMs } = action;
    const { name } = container;
    const { sandbox } = this;
    if (!sandbox) return;
    const signal = this.#starting.signal;
    const type = { container_type: containerTypes[action.kind] };
    const fail = (reason: string, error: unknown, retryAtMs?: number) => {
      if (signal.aborted) return;
      this.#host.metrics.startedContainersErrors.inc({ ...type, code: reason });
      this.#waiting.set(name, { reason, message: textOf(error) });
      this.#retryLater(name, 1000, retryAtMs);
    };
    const event = (type: 'Normal' | 'Warning', reason: string, message: string) =>
      this.#event(type, reason, message, action);
    const userNamespace = this.#host.userNamespaces.of(this.#pod, undefined);
    const config = this.#sandboxConfig(sandbox.metadata.attempt, userNamespace);
    let present;
    try {
      present = await this.#host.images.ensure(this.#pod, container, config, event, signal);
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      if (this.#waiting.get(name)?.reason !== error.reason) event('Warning', 'Failed', `Error: ${error.reason}`);
      return fail(error.reason, error, error.retryAtMs);
    }
    let wanted;
    try {
      const refusal = rootRefusal(this.#pod, container, present.image);
      if (refusal) throw new Error(refusal);
      wanted = await this.#configure(action, present);
    } catch (error) {
      event('Warning', 'Failed', `Error: ${textOf(error)}`);
      return fail('CreateContainerConfigError', error, this.#host.clock.now() + 10_000);
    }
    if (signal.aborted) return;
    let id: string;
    try {
      id = await runtime.createContainer(sandbox.id, wanted, config, signal);
    } catch (error) {
      event('Warning', 'Failed', `Error: ${textOf(error)}`);
      return fail('CreateContainerError', error);
    }
    event('Normal', 'Created', 'Container created');
    if (afterMs !== undefined && attempt > 0) this.#backoff.next(name, afterMs, nowMs);
    try {
      if (signal.aborted) return await this.#removeContainer(id);
      await runtime.startContainer(id);
    } catch (error) {
      event('Warning', 'Failed', `Error: ${textOf(error)}`);
      this.#observe(await runtime.containerStatus(id));
      return fail('RunContainerError', error);
    }
    event('Normal', 'Started', 'Container started');
    this.#host.metrics.startedContainers.inc(type);
    // What all share may have changed since it was told.
    const told = wanted.linux?.resources?.cpusetCpus;
    if (told !== undefined) this.#cpus.set(id, told);
    if (told !== this.#host.allocations.bound(this.#pod, name).cpusetCpus)
      this.#background(() => this.sharedCpusChanged());
    this.#waiting.delete(name);
    this.#retries.delete(name);
    this.#told.delete(name);
    await this.#started(id, container, attempt);
  }

  async #configure(
    { container, attempt }: Start,
    { image, ref }: { image: Parameters<typeof rootRefusal>[2]; ref: string },
  ) {
    const { objects, paths, facts, nodeIps } = this.#host;
    const podIps = this.#podIps();
    const place = { nodeName: facts.nodeName, podIps, hostIps: nodeIps };
    // What the API server itself runs in cannot wait for it.
    if (!isStatic(this.#pod)) await objects.synced;
    const environment = await environmentOf(this.#pod, container, place, objects.forPod(this.#pod));
    const directory = podDirectory(paths, this.#uid);
    const volumes: PodVolumes = this.#volumes ?? new Map();
    await this.#pullVolumes(container, volumes);
    const parts = { pod: this.#pod, container, attempt, environment };
    const mounts = await mountsOf({ ...parts, directory, volumes, podIps, clusterDomain: facts.clusterDomain });
    const targetName = this.#pod.spec?.ephemeralContainers?.find(
      ({ name }) => name === container.name,
    )?.targetContainerName;
    const targetId = targetName ? this.container(targetName)?.id : undefined;
    const extras = await this.#host.allocations.extras(this.#pod, container, this.#starting.signal);
    const resources = this.#limitsOf(container);
    const userNamespace = this.#host.userNamespaces.of(this.#pod, undefined);
    const all = { ...parts, image, imageRef: ref, mounts, targetId, extras, resources, userNamespace };
    return containerConfig(all, paths, facts);
  }

  /** The images that are mounted as volumes must be there, too. */
  async #pullVolumes(container: Container, volumes: PodVolumes): Promise<void> {
    for (const { name } of container.volumeMounts ?? []) {
      const volume = volumes.get(name);
      if (volume?.kind !== 'image') continue;
      const wanted = { image: volume.reference, imagePullPolicy: volume.pullPolicy as Container['imagePullPolicy'] };
      const event = (type: 'Normal' | 'Warning', reason: string, message: string) => this.#event(type, reason, message);
      await this.#host.images.ensure(this.#pod, wanted, undefined, event, this.#starting.signal);
    }
  }

  async #started(id: string, container: Container, attempt: number): Promise<void> {
    const hook = container.lifecycle?.postStart;
    if (!hook) this.#hooked.add(id);
    this.#observe(await this.#host.runtime.containerStatus(id));
    this.#countStart(attempt);
    this.#turn();
    if (!hook) return;
    const target = this.#target(id, container);
    const finding = target && (await runHook(hook, target, this.#host.clock, this.#starting.signal));
    if (finding && !finding.ok && !this.#starting.signal.aborted) {
      this.#event('Warning', 'FailedPostStartHook', 'PostStartHook failed', {
        container,
        kind: this.#kindOf(container),
      });
      this.#failed.set(id, 'postStart');
    }
    this.#hooked.add(id);
    this.#armProbes(id);
  }

  async #kill(action: Kill): Promise<void> {
    const { runtime, clock } = this.#host;
    const { id, container, why } = action;
    if (this.#containers.get(id)?.state === 'created') return this.#removeContainer(id);
    const about = { container, kind: this.#kindOf(container) };
    this.#event('Normal', 'Killing', killText(container.name, why), about);
    const sinceMs = clock.now();
    const preStop = container.lifecycle?.preStop;
    const target = this.#target(id, container);
    if (preStop && target && action.graceSeconds > 0) {
      const limit = new AbortController();
      const cancel = clock.after(action.graceSeconds * 1000, () => limit.abort(new Error('the grace period is over')));
      const signal = AbortSignal.any([limit.signal, this.#stopNow.signal, this.#abort.signal]);
      const aborted = new Promise<undefined>(resolve =>
        signal.addEventListener('abort', () => resolve(undefined), { once: true }),
      );
      const finding = await Promise.race([runHook(preStop, target, clock, signal), aborted]);
      cancel();
      if (!finding?.ok) this.#event('Warning', 'FailedPreStopHook', 'PreStopHook failed', about);
    }
    const spentSeconds = Math.floor((clock.now() - sinceMs) / 1000);
    const current = Math.min(
      action.graceSeconds,
      why === 'stop' ? (this.#stopping?.graceSeconds ?? action.graceSeconds) : action.graceSeconds,
    );
    await runtime.stopContainer(id, current === 0 ? 0 : Math.max(2, current - spentSeconds));
    this.#observe(await runtime.containerStatus(id));
  }

  #target(containerId: string, container: Container): Target | undefined {
    if (this.#containers.get(containerId)?.state !== 'running') return undefined;
    return { pod: this.#pod, container, containerId, podIp: this.#podIps()[0] ?? '', runtime: this.#host.runtime };
  }

  #probe(status: ContainerStatus): void {
    if (this.#hooked.has(status.id)) this.#armProbes(status.id);
  }

  #armProbes(id: string): void {
    const status = this.#containers.get(id);
    const container = status && this.#specOf(status.metadata.name);
    if (!container || status.state !== 'running' || this.#probers.has(id)) return;
    const about = { container, kind: this.#kindOf(container) };
    const prober = new Prober(container, status.startedAtMs, {
      clock: this.#host.clock,
      log: this.#host.log,
      target: () => this.#target(id, container),
      before: this.#before.get(id),
      asked: (kind, result) => {
        const key = `${container.name}/${kind}/${result}`;
        const known = this.#probeCounts.get(key) ?? { container: container.name, kind, result, count: 0 };
        this.#probeCounts.set(key, { ...known, count: known.count + 1 });
      },
      changed: () => {
        if (prober.state.startup === false) this.#failed.set(id, 'startup');
        else if (prober.state.liveness === false) this.#failed.set(id, 'liveness');
        this.#turn();
      },
      failed: (kind, output) =>
        this.#event('Warning', 'Unhealthy', `${probeTitle(kind)} probe failed: ${output}`, about),
      warned: (kind, output) =>
        this.#event('Warning', 'ProbeWarning', `${probeTitle(kind)} probe warning: ${output}`, about),
    });
    this.#probers.set(id, prober);
  }

  #specOf(name: string): Container | undefined {
    return allContainers(this.#pod).find(({ container }) => container.name === name)?.container;
  }

  #kindOf({ name }: Container): 'init' | 'main' | 'ephemeral' {
    return allContainers(this.#pod).find(({ container }) => container.name === name)?.kind ?? 'main';
  }

  get #allocationFile(): string {
    return join(podDirectory(this.#host.paths, this.#uid), 'allocation.json');
  }

  /** New amounts of CPU and memory are granted when the node has them, and given to running containers in place. */
  #resize(): void {
    if (this.#stopping || this.#torn) return;
    const asked = allocationOf(this.#asked);
    if (isSame(asked, this.#allocation)) this.#resizePending = undefined;
    else this.#grant(asked);
    const changing = allContainers(this.#pod).flatMap(({ kind, container }) => {
      const running = kind === 'ephemeral' ? undefined : this.container(container.name);
      if (running?.state !== 'running') return [];
      const wanted = this.#limitsOf(container);
      const actual = this.#given(running, wanted);
      return differs(wanted, actual) ? [{ container, running, wanted, actual }] : [];
    });
    const limits = this.#limitsOfPod();
    if (changing.length === 0 && !differs(limits, this.#podLimits)) {
      if (this.#resizing && !this.#busy.has('resize')) {
        this.#resizing = undefined;
        this.#event('Normal', 'ResizeCompleted', resizeMessage('completed', this.#pod));
      }
      return;
    }
    // What runs was started with something else: by a former agent, or before this was granted.
    this.#resizing ??= { reason: '', message: '' };
    const inPlace = changing.filter(({ container, running, wanted, actual }) => {
      if (!needsRestart(container, wanted, actual)) return true;
      this.#failed.set(running.id, 'resize');
      return false;
    });
    this.#run(
      'resize',
      async () => {
        const { runtime } = this.#host;
        const sandboxId = this.sandbox?.state === 'ready' ? this.sandbox.id : undefined;
        // Wide enough for both while the containers change, then as tight as it is to be.
        if (sandboxId !== undefined)
          await runtime.updatePodSandboxResources(sandboxId, widest(this.#podLimits, limits));
        for (const { running, wanted, actual } of inPlace) {
          await this.#refuseBelowUse(running.id, actual, wanted);
          // No limit can be taken away, only given or changed; crun fails where it is told that there is none.
          await runtime.updateContainerResources(running.id, wanted);
          this.#gave.set(running.id, wanted);
          this.#observe(await runtime.containerStatus(running.id));
        }
        if (sandboxId !== undefined) await runtime.updatePodSandboxResources(sandboxId, explicit(limits));
        this.#podLimits = limits;
        this.#retries.delete('resize');
      },
      error => {
        const message = textOf(error);
        if (this.#resizing?.message !== message)
          this.#event('Warning', 'ResizeError', resizeMessage('error', this.#pod, message));
        this.#resizing = { reason: 'Error', message };
        this.#retryLater('resize', 1000);
      },
    );
  }

  #isResized(container: Container, status: ContainerStatus): boolean {
    const wanted = this.#limitsOf(container);
    return !differs(wanted, this.#given(status, wanted));
  }

  /** What a container has. Not every runtime tells; then it is what it was given last. */
  #given({ id, resources }: ContainerStatus, wanted: LinuxContainerResources): LinuxContainerResources {
    if (resources.cpuShares !== undefined) return resources;
    const given = this.#gave.get(id) ?? wanted;
    this.#gave.set(id, given);
    return given;
  }

  #grant(asked: Allocation): void {
    const refused = this.#host.allocations.resizeRefusal(this.#asked) ?? this.#host.resizeRefusal(this.#asked);
    if (refused) {
      if (this.#resizePending?.reason !== refused.reason || this.#resizePending.message !== refused.message)
        this.#event('Warning', `Resize${refused.reason}`, resizeMessage(refused.reason, this.#asked, refused.message));
      this.#resizePending = refused;
      return;
    }
    this.#resizePending = undefined;
    this.#allocation = asked;
    writeAllocation(this.#allocationFile, asked);
    this.#pod = granted(this.#asked, asked);
    this.#resizing = { reason: '', message: '' };
    this.#event('Normal', 'ResizeStarted', resizeMessage('started', this.#pod));
    this.#host.freed();
  }

  /** The kernel would end the container; it is better off with what it has. */
  async #refuseBelowUse(id: string, actual: LinuxContainerResources, wanted: LinuxContainerResources): Promise<void> {
    const limit = wanted.memoryLimitBytes ?? 0;
    if (limit === 0 || limit >= (actual.memoryLimitBytes ?? Number.POSITIVE_INFINITY)) return;
    const { memory } = await this.#host.runtime.containerStats(id);
    if (memory && memory.usageBytes > limit && memory.workingSetBytes > limit)
      throw new Error(`attempting to set pod memory limit (${limit}) below current usage (${memory.workingSetBytes})`);
  }

  #tellBackoffs(waiting: ReadonlyMap<string, Waiting>): void {
    for (const [name, { message }] of waiting) {
      const about = this.#containers.size > 0 ? `${this.container(name)?.id}` : message;
      if (this.#told.get(name) === about) continue;
      this.#told.set(name, about);
      const container = this.#specOf(name);
      const text = `Back-off restarting failed container ${name} in pod ${podText(this.#pod)}`;
      if (container) this.#event('Warning', 'BackOff', text, { container, kind: this.#kindOf(container) });
    }
  }

  #event(
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
    about?: { readonly container: Container; readonly kind: 'init' | 'main' | 'ephemeral' },
  ): void {
    const { name, namespace, uid, resourceVersion } = this.#pod.metadata;
    const field = about && { init: 'initContainers', main: 'containers', ephemeral: 'ephemeralContainers' }[about.kind];
    const reference = {
      apiVersion: 'v1',
      kind: 'Pod',
      ...(name !== undefined && { name }),
      ...(namespace !== undefined && { namespace }),
      ...(uid !== undefined && { uid }),
      ...(resourceVersion !== undefined && { resourceVersion }),
      ...(about && { fieldPath: `spec.${field}{${about.container.name}}` }),
    };
    this.#host.events.event(reference, type, reason, message);
  }

  /** The work is done: the status stays, the volumes go. */
  #tearDown(): void {
    if (this.#isUnmounted) return;
    this.#run('volumes', () => this.#unmount());
    if (this.#torn) return;
    this.#torn = true;
    this.#turn();
  }

  async #unmount(): Promise<void> {
    const { allocations } = this.#host;
    if (this.#isUnmounted) return;
    await allocations.claims.unprepare(this.#uid);
    allocations.release(this.#uid);
    await tearDownVolumes(podDirectory(this.#host.paths, this.#uid));
    this.#host.userNamespaces.release(this.#uid);
    this.#host.objects.release(this.#uid);
    this.#isUnmounted = true;
    this.#retries.delete('volumes');
  }

  /** Everything has stopped. What the API still has to hear, it hears; then nothing of the pod stays. */
  #finish(): void {
    const isDeleted = this.#pod.metadata.deletionTimestamp !== undefined;
    this.#tearDown();
    if (!this.#removed && !this.#leaving) this.#writer.write(this.#status());
    if (!this.#isUnmounted) return;
    if (!isDeleted && !this.#removed) return;
    this.#run('finish', async () => {
      await this.#writer.flushed();
      // From here on there is less and less to tell of.
      this.#leaving = true;
      await this.#cleanUp();
      if (!this.#removed) await this.#deleteFromApi();
      this.#finished = true;
      this.#cancelWake();
      this.#host.gone(this.#uid);
    });
  }

  async #deleteFromApi(): Promise<void> {
    const { name = '', namespace = '', uid } = this.#pod.metadata;
    const preconditions = { ...(uid !== undefined && { uid }) };
    try {
      await this.#host.client.delete(Pod, name, { namespace, gracePeriodSeconds: 0, preconditions });
    } catch (error) {
      if (!isReason(error, 'NotFound', 'Conflict')) throw error;
    }
  }

  async #cleanUp(): Promise<void> {
    const { runtime, paths } = this.#host;
    for (const prober of this.#probers.values()) prober[Symbol.dispose]();
    for (const id of this.#sandboxes.keys()) await runtime.removePodSandbox(id);
    await rm(logDirectory(paths, this.#pod), { recursive: true, force: true });
  }
}

/** What downward API volumes show of a running pod. */
function describes({ metadata: { labels, annotations } }: Pod): string {
  return JSON.stringify([labels, annotations]);
}

function rank({ state }: ContainerStatus): number {
  return { unknown: 0, created: 1, running: 2, exited: 3 }[state];
}

function nameOf({ metadata: { name, namespace } }: Pod): Pod['metadata'] {
  return { ...(name !== undefined && { name }), ...(namespace !== undefined && { namespace }) };
}

function idOf({ containerID = '' }: { readonly containerID?: string }): string {
  return containerID.split('://')[1] ?? '';
}

function killText(name: string, why: Kill['why']): string {
  switch (why) {
    case 'stop':
      return `Stopping container ${name}`;
    case 'liveness':
      return `Container ${name} failed liveness probe, will be restarted`;
    case 'startup':
      return `Container ${name} failed startup probe, will be restarted`;
    case 'postStart':
      return 'FailedPostStartHook';
    case 'resize':
      return `Container ${name} resize requires restart`;
    case 'changed':
      return `Container ${name} definition changed, will be restarted`;
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
