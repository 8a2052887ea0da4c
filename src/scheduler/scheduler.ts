import { eventLoopTurn, type Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import { isReason } from '#api/machinery/errors.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Node } from '#api/core/v1/node.ts';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { PodDisruptionBudget } from '#api/policy/v1/pod-disruption-budget.ts';
import type { Client } from '#client/client.ts';
import type { EventRecorder } from '#client/events.ts';
import type { Informers } from '#client/informers.ts';
import { advise, type Adviser } from './advisers.ts';
import { bindVolumes, reserveVolumes } from './bind-volumes.ts';
import { bindClaims, deallocateClaim, promiseDevices, unbindClaims, type ClaimBinder } from './devices/bind-claims.ts';
import { followDevices } from './devices/follow-devices.ts';
import { usesClaims } from './devices/pod-devices.ts';
import { ClusterState } from './cluster-state.ts';
import { defaultConfiguration, type SchedulerConfiguration } from './configuration.ts';
import { SchedulingCycle, type Placement } from './cycle.ts';
import { fitErrorMessage } from './fit-error.ts';
import type { AttemptResult, SchedulerMetrics } from './metrics.ts';
import type { NodeInfo } from './node-info.ts';
import type { ClusterEvent, DeviceReservation, Rejection, VolumeReservation } from './plugin.ts';
import { claimMissing, claimToDeallocate, dynamicResources } from './plugins/dynamic-resources.ts';
import { podInfo, type PodInfo } from './pod-info.ts';
import { cheapest, preempt, type Preemption } from './preemption.ts';
import { SchedulingQueue, type QueuedPod } from './queue.ts';
import { Reports } from './reports.ts';
import { claimsOf } from './storage-state.ts';
import { followWorkloads } from './follow-workloads.ts';
import { followStorage } from './follow-storage.ts';

export interface SchedulerOptions {
  readonly client: Client;
  readonly informers: Informers;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly configuration?: SchedulerConfiguration;
  readonly metrics?: SchedulerMetrics;
  /** Who else is asked where pods go: extenders, plugins from users' files. */
  readonly advisers?: readonly Adviser[];
  /** Records Events under the name of a profile, as their source. */
  readonly eventsOf: (schedulerName: string) => EventRecorder;
}

export interface Scheduler {
  /** How many pods wait, by queue. */
  readonly pending: {
    readonly active: number;
    readonly backoff: number;
    readonly unschedulable: number;
    readonly gated: number;
  };
}

export const schedulerName = 'default-scheduler';
/** Bindings under way at once; more would only queue in the API server. */
const bindingsMax = 128;
/** How long the scheduler keeps the event loop for itself. */
const sliceMs = 4;
const flushEveryMs = 30_000;

/** Places pods on nodes until the signal aborts. */
export async function startScheduler(options: SchedulerOptions): Promise<Scheduler> {
  const { client, informers, eventsOf, clock, random, log, signal } = options;
  const { configuration = defaultConfiguration, metrics, advisers = [] } = options;
  const cluster = new ClusterState();
  const queue = new SchedulingQueue(clock, configuration);
  const profiles = new Map(
    configuration.profiles.map(profile => {
      const { schedulerName: name, plugins, clusterPlugins, scoredPercentage } = profile;
      const cycle = new SchedulingCycle(plugins, clusterPlugins, cluster, random, scoredPercentage);
      return [name, { profile, cycle, events: eventsOf(name) }] as const;
    }),
  );
  const hints = new Map(
    configuration.profiles
      .flatMap(profile => profile.clusterPlugins)
      .flatMap(plugin => (plugin.hint ? [[plugin.name, plugin.hint] as const] : [])),
  );
  const budgets = informers.of(PodDisruptionBudget);
  const pods = informers.of(Pod);
  const nodes = informers.of(Node);
  const namespaces = informers.of(Namespace);
  const claims = informers.of(PersistentVolumeClaim);
  /** Pods that wait for their victims to go, with the node they are promised. */
  const nominated = new Map<string, { readonly pod: PodInfo; readonly node: string }>();
  const reports = new Reports(clock, signal);
  let binding = 0;
  let running = false;

  const workloads = followWorkloads(informers);
  cluster.workloads = workloads.workloads;
  const storage = followStorage(informers, cluster.storage, storageChanged);
  cluster.devices.random = random;
  const devices = followDevices(informers, cluster.devices, devicesChanged);
  const unsubscribe = [
    nodes.subscribe({
      added: seeNode,
      updated: seeNode,
      deleted(node) {
        cluster.removeNode(node.metadata.name ?? '');
        happened({ type: 'nodes changed' });
      },
    }),
    namespaces.subscribe({ added: seeNamespace, updated: seeNamespace, deleted: forgetNamespace }),
    pods.subscribe({ added: seePod, updated: seePod, deleted: forgetPod }),
    storage.end,
    devices.end,
  ];
  queue.onReady = wake;
  metrics?.pendingFrom(() => queue.counts);
  let cancelFlush = clock.after(flushEveryMs, function flush() {
    queue.flushOld();
    cancelFlush = clock.after(flushEveryMs, flush);
  });
  signal.addEventListener(
    'abort',
    () => {
      cancelFlush();
      for (const end of unsubscribe) end();
    },
    { once: true },
  );
  const others = [budgets, storage, devices, workloads].map(each => each.synced);
  await Promise.all([nodes.synced, pods.synced, namespaces.synced, ...others]);
  wake();
  return {
    get pending() {
      return queue.counts;
    },
  };

  function seeNode(node: Node): void {
    const { topology } = cluster;
    roomOn(cluster.setNode(node));
    if (cluster.topology !== topology) happened({ type: 'nodes changed' });
  }

  /** Something beyond one node: the plugins say to whom of those that they refused it can matter. */
  function happened(event: ClusterEvent): void {
    for (const [name, hint] of hints) queue.retryRefusedBy(name, pod => hint(event, pod, cluster));
  }

  function seeNamespace(namespace: Namespace): void {
    const { name = '', labels = {} } = namespace.metadata;
    const before = cluster.namespaceLabels.get(name);
    cluster.namespaceLabels.set(name, labels);
    if (before !== undefined && JSON.stringify(before) !== JSON.stringify(labels)) {
      cluster.counts.forget();
      happened({ type: 'namespace relabelled' });
    }
  }

  function forgetNamespace(namespace: Namespace): void {
    cluster.namespaceLabels.delete(namespace.metadata.name ?? '');
  }

  function seePod(pod: Pod): void {
    const info = infoOf(pod);
    if (pod.spec.nodeName) {
      queue.remove(info.key);
      dropNomination(info.key);
      if (isTerminal(pod)) freeRoomOf(info.key);
      else {
        const news = cluster.nodeOfPod(info.key) === undefined;
        cluster.setPod(info, pod.spec.nodeName);
        if (news) happened({ type: 'pod placed', pod: info });
      }
      return;
    }
    if (isTerminal(pod) || pod.metadata.deletionTimestamp !== undefined) return forgetPod(pod);
    if (!profiles.has(pod.spec.schedulerName ?? schedulerName)) return;
    // KEP-3521: a gated pod is not even looked at.
    if ((pod.spec.schedulingGates?.length ?? 0) > 0) return gate(info, 'SchedulingGates');
    if (isWithoutClaim(info)) return gate(info, dynamicResources.name);
    // Assumed, its binding on the way.
    if (cluster.nodeOfPod(info.key) !== undefined && !nominated.has(info.key)) return;
    if (queue.has(info.key) && sameToScheduler(info)) queue.refresh(info);
    else {
      if (!queue.has(info.key)) metrics?.queued('active', 'UnscheduledPodAdd');
      queue.add(info);
    }
  }

  function gate(info: PodInfo, by: string): void {
    if (!queue.isGated(info.key)) metrics?.queued('gated', 'UnscheduledPodAdd');
    queue.gate(info, by);
  }

  /** The spec of most changed pods is the one that was looked at before. */
  function infoOf(pod: Pod): PodInfo {
    const key = `${pod.metadata.namespace}/${pod.metadata.name}`;
    const known = queue.infoOf(key) ?? cluster.podOn(key);
    return known?.pod.spec === pod.spec ? { ...known, pod } : podInfo(pod);
  }

  /** Our own status patches come back as updates; they are no reason for another try. */
  function sameToScheduler(info: PodInfo): boolean {
    return queue.classOf(info.key) === info.classKey;
  }

  function forgetPod(pod: Pod): void {
    const key = `${pod.metadata.namespace}/${pod.metadata.name}`;
    queue.remove(key);
    dropNomination(key);
    freeRoomOf(key);
  }

  function freeRoomOf(key: string): void {
    const pod = cluster.podOn(key);
    const node = cluster.removePod(key);
    if (node) roomOn(node);
    if (pod) happened({ type: 'pod gone', pod });
  }

  /** A node came, changed or lost a pod: pods that fit there now get another try. */
  function roomOn(node: NodeInfo): void {
    const fits = new Map<SchedulingCycle, (pod: PodInfo) => boolean>();
    queue.retry(pod => {
      if (nominated.get(pod.key)?.node === node.name) return true;
      const cycle = cycleOf(pod);
      const ask = fits.get(cycle) ?? cycle.fitsOn(node);
      fits.set(cycle, ask);
      return ask(pod);
    });
  }

  /** A claim, or anything else of storage (`undefined`), changed: only pods with such claims can profit. */
  function storageChanged(claimKey: string | undefined): void {
    queue.retry(pod => {
      const claims = claimsOf(pod);
      return claimKey === undefined ? claims.length > 0 : claims.some(each => each.key === claimKey);
    });
  }

  /** A claim, a slice or a class of devices changed. */
  function devicesChanged(event: ClusterEvent): void {
    for (const info of queue.gatedBy(dynamicResources.name)) if (!isWithoutClaim(info)) queue.add(info);
    happened(event);
  }

  /** Before its claims are there a pod need not be looked at. */
  function isWithoutClaim(info: PodInfo): boolean {
    if (!usesClaims(info) || !usesDevices(info)) return false;
    return claimMissing(info, cluster.devices) !== undefined;
  }

  function usesDevices(info: PodInfo): boolean {
    return profileOf(info).profile.clusterPlugins.some(each => each.name === dynamicResources.name);
  }

  function claimBinder(info: PodInfo): ClaimBinder {
    const { devicesMsMax: timeoutMs } = profileOf(info).profile;
    return { client, clock, devices: cluster.devices, timeoutMs, onClaim: devices.onClaim, signal };
  }

  function profileOf({ pod }: PodInfo) {
    const found = profiles.get(pod.spec.schedulerName ?? schedulerName);
    if (!found) throw new Error(`cannot schedule pod ${pod.metadata.name}: no profile ${pod.spec.schedulerName}`);
    return found;
  }

  function cycleOf(pod: PodInfo): SchedulingCycle {
    return profileOf(pod).cycle;
  }

  function wake(): void {
    if (running || signal.aborted || !nodes.hasSynced || !pods.hasSynced) return;
    running = true;
    void run().finally(() => {
      running = false;
      if (queue.counts.active > 0 && binding < bindingsMax) wake();
    });
  }

  async function run(): Promise<void> {
    // What woke us may be the first of many events: let them all arrive.
    await eventLoopTurn();
    let sliceEndMs = clock.monotonic() + sliceMs;
    while (!signal.aborted && binding < bindingsMax) {
      const pod = queue.pop();
      if (!pod) return;
      const asking = schedule(pod);
      if (asking) await asking;
      if (clock.monotonic() < sliceEndMs) continue;
      await eventLoopTurn();
      sliceEndMs = clock.monotonic() + sliceMs;
    }
  }

  function advisersOf(pod: PodInfo): readonly Adviser[] {
    if (advisers.length === 0) return advisers;
    const { schedulerName: name } = profileOf(pod).profile;
    return advisers.filter(adviser => adviser.concerns(pod, name));
  }

  /** Asks others where the pod goes. */
  async function placeAdvised(pod: PodInfo, cycle: SchedulingCycle, asked: readonly Adviser[]): Promise<Placement> {
    const candidates = cycle.candidates(pod);
    if ('rejections' in candidates) return { node: undefined, rejections: candidates.rejections };
    const advised = await advise(asked, pod, [...candidates.keys()], (adviser, error) =>
      log.warn('an extender or plugin did not answer', { adviser: adviser.name, pod: pod.key, error }),
    );
    let best: NodeInfo | undefined;
    let bestScore = Number.NEGATIVE_INFINITY;
    for (const node of advised.nodes) {
      const score = (candidates.get(node) ?? 0) + (advised.scores.get(node.name) ?? 0);
      if (score <= bestScore) continue;
      best = node;
      bestScore = score;
    }
    // The node may have gone while they thought about it.
    const node = best && cluster.node(best.name);
    if (node) return { node, score: bestScore };
    const beside = rejectionsBeside(pod, cycle, advised.rejections);
    return { node: undefined, rejections: new Map([...beside, ...advised.rejections]) };
  }

  /** Why the other nodes refuse. */
  function rejectionsBeside(pod: PodInfo, cycle: SchedulingCycle, known: ReadonlyMap<string, Rejection>) {
    const judge = cycle.judgeOf(pod);
    return cluster.nodes.flatMap(node => {
      const rejection = known.has(node.name) ? undefined : judge(node);
      return rejection ? [[node.name, rejection] as const] : [];
    });
  }

  async function scheduleAdvised(pod: QueuedPod, asked: readonly Adviser[]): Promise<void> {
    const { cycle, profile } = profileOf(pod.info);
    const startMs = clock.monotonic();
    try {
      const placed = await placeAdvised(pod.info, cycle, asked);
      // Deleted or changed while others thought about it.
      if (!queue.has(pod.info.key)) return;
      take(pod, placed, startMs);
    } catch (error) {
      if (signal.aborted) return;
      metrics?.attempted(profile.schedulerName, 'error', (clock.monotonic() - startMs) / 1000);
      queue.backOff(pod);
      reportFailure(pod.info, (error as Error).message);
    }
  }

  function schedule(pod: QueuedPod): Promise<void> | undefined {
    dropNomination(pod.info.key);
    const asked = advisersOf(pod.info);
    if (asked.length > 0) return scheduleAdvised(pod, asked);
    const startMs = clock.monotonic();
    const placement = profileOf(pod.info).cycle.place(pod.info);
    metrics?.searched((clock.monotonic() - startMs) / 1000);
    take(pod, placement, startMs);
    return undefined;
  }

  function take(pod: QueuedPod, placement: Placement, startMs: number): void {
    const { cycle, profile } = profileOf(pod.info);
    const attempted = (result: AttemptResult) =>
      metrics?.attempted(profile.schedulerName, result, (clock.monotonic() - startMs) / 1000);
    if (placement.node) {
      // From here on everybody counts with it, before the API server has heard of it.
      const reservation = cycle.reserve(pod.info, placement.node);
      const allocated = cycle.allocate(pod.info, placement.node);
      cluster.setPod(pod.info, placement.node.name);
      happened({ type: 'pod placed', pod: pod.info });
      // Volumes may take minutes; who waits for them holds up nobody.
      const slots = reservation || allocated ? 0 : 1;
      binding += slots;
      void bind(pod, placement.node.name, reservation, allocated)
        .then(result => {
          attempted(result);
          if (result === 'scheduled') metrics?.placed(pod.attempts, (clock.now() - pod.firstAddedMs) / 1000);
        })
        .finally(() => {
          binding -= slots;
          wake();
        });
      return;
    }
    attempted('unschedulable');
    metrics?.queued('unschedulable', 'ScheduleAttemptFailure');
    queue.park(
      pod,
      new Set(
        placement.rejections
          .values()
          .map(each => each.plugin)
          .filter(name => hints.has(name)),
      ),
    );
    void refuse(pod, placement.rejections);
  }

  async function bind(
    { info }: QueuedPod,
    nodeName: string,
    volumes?: VolumeReservation,
    allocated?: DeviceReservation,
  ): Promise<AttemptResult> {
    const { namespace = '', name = '', uid } = info.pod.metadata;
    const body = {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name, namespace, uid },
      target: { apiVersion: 'v1', kind: 'Node', name: nodeName },
    };
    const release = volumes && reserveVolumes(cluster.storage, nodeName, volumes);
    const keep = allocated && promiseDevices(cluster.devices, allocated);
    let claimed: Awaited<ReturnType<typeof bindClaims>> = [];
    try {
      if (volumes)
        await bindVolumes(
          { client, clock, claims, timeoutMs: profileOf(info).profile.volumesMsMax, signal },
          nodeName,
          volumes,
        );
      if (allocated) claimed = await bindClaims(claimBinder(info), info.pod, allocated);
      const binder = advisersOf(info).find(adviser => adviser.bind);
      if (binder?.bind) await binder.bind(info, nodeName);
      else await client.createSubresource(Pod, name, 'binding', body, { namespace, signal });
      queue.remove(info.key);
      profileOf(info).events.event(
        info.pod,
        'Normal',
        'Scheduled',
        `Successfully assigned ${namespace}/${name} to ${nodeName}`,
      );
      return 'scheduled';
    } catch (error) {
      freeRoomOf(info.key);
      if (!signal.aborted && claimed.length > 0)
        await unbindClaims(claimBinder(info), info.pod, claimed).catch((failure: unknown) =>
          log.warn('cannot give devices back', { pod: info.key, error: failure }),
        );
      // A volume that is not found is another matter: the pod is still there.
      if (signal.aborted || (!volumes && !allocated && isReason(error, 'NotFound'))) queue.remove(info.key);
      else {
        log.warn('cannot bind a pod', { pod: info.key, node: nodeName, error });
        queue.requeue(info.key);
      }
      return 'error';
    } finally {
      release?.();
      keep?.();
    }
  }

  async function refuse(pod: QueuedPod, rejections: ReadonlyMap<string, Rejection>): Promise<void> {
    const { info } = pod;
    const stuck = usesClaims(info) && usesDevices(info) && claimToDeallocate(info, cluster.nodes, cluster.devices);
    if (stuck) {
      await deallocateClaim(claimBinder(info), stuck).catch((error: unknown) => {
        if (!signal.aborted && !isReason(error, 'NotFound') && !isReason(error, 'Conflict'))
          log.warn('cannot give the devices of a claim back', { pod: info.key, error });
      });
    }
    const judge = cycleOf(info).judgeOf(info);
    const result =
      rejections.size === 0 || !profileOf(info).profile.preempts
        ? undefined
        : preempt(
            info,
            rejections,
            cluster,
            [...budgets.objects.values()],
            judge,
            profileOf(info).profile.preemptionLimits,
          );
    const found = result?.found && (await agreedOn(info, result.candidates));
    if (result) metrics?.preempted(found?.victims.length ?? 0);
    const claimsWhy = stuck
      ? 'deallocation of ResourceClaim completed'
      : usesClaims(info)
        ? 'still not schedulable'
        : 'no new claims to deallocate';
    const why = found ? '' : `${claimsWhy}, preemption: ${result && 'why' in result ? result.why : ''}`;
    const message = fitErrorMessage(rejections, why);
    try {
      if (found) await makeRoom(info, found);
    } catch (error) {
      if (!signal.aborted && !isReason(error, 'NotFound'))
        log.warn('cannot make room for a pod', { pod: info.key, error });
    }
    reports.add(info.key, () => {
      // Bound, gone or gated meanwhile.
      if (!queue.has(info.key)) return;
      profileOf(info).events.event(info.pod, 'Warning', 'FailedScheduling', message);
      const { name = '', namespace } = info.pod.metadata;
      // As it is now: what it says already need not be written again.
      reportUnschedulable(pods.get(name, namespace) ?? info.pod, message, found?.node.name).catch((error: unknown) => {
        if (!signal.aborted && !isReason(error, 'NotFound'))
          log.warn('cannot report a pod as unschedulable', { pod: info.key, error });
      });
    });
  }

  /** What extenders leave of the possible preemptions. */
  async function agreedOn(info: PodInfo, candidates: readonly Preemption[]): Promise<Preemption | undefined> {
    let left = candidates;
    for (const adviser of advisersOf(info)) {
      if (!adviser.preempt || left.length === 0) continue;
      try {
        left = await adviser.preempt(info, left);
      } catch (error) {
        log.warn('an extender did not answer', { adviser: adviser.name, pod: info.key, error });
        if (!adviser.ignorable) return undefined;
      }
    }
    return cheapest(left);
  }

  /** Somebody who counts did not answer. */
  function reportFailure(info: PodInfo, message: string): void {
    reports.add(info.key, () => {
      if (!queue.has(info.key)) return;
      profileOf(info).events.event(info.pod, 'Warning', 'FailedScheduling', message);
      const { name = '', namespace } = info.pod.metadata;
      reportUnschedulable(pods.get(name, namespace) ?? info.pod, message, undefined, 'SchedulerError').catch(
        (error: unknown) => {
          if (!signal.aborted && !isReason(error, 'NotFound'))
            log.warn('cannot report a pod as unschedulable', { pod: info.key, error });
        },
      );
    });
  }

  async function makeRoom(info: PodInfo, { node, victims }: Preemption): Promise<void> {
    nominated.set(info.key, { pod: info, node: node.name });
    // The place is kept: whoever comes next counts with the pod that is to come.
    cluster.setPod(info, node.name);
    await Promise.all(victims.map(victim => evict(info, victim, node.name)));
  }

  async function evict(info: PodInfo, victim: PodInfo, nodeName: string): Promise<void> {
    const { namespace = '', name = '', uid } = victim.pod.metadata;
    const condition = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'PreemptionByScheduler',
      message: `${profileOf(info).profile.schedulerName}: preempting to accommodate a higher priority pod`,
      lastTransitionTime: new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z'),
    };
    const patch = { type: 'strategic', patch: { metadata: { uid }, status: { conditions: [condition] } } } as const;
    await client.patch(Pod, name, patch, { namespace, subresource: 'status', signal });
    await client.delete(Pod, name, { namespace, ...(uid !== undefined && { preconditions: { uid } }), signal });
    profileOf(info).events.event(
      victim.pod,
      'Normal',
      'Preempted',
      `Preempted by pod ${info.pod.metadata.uid} on node ${nodeName}`,
    );
  }

  async function reportUnschedulable(
    pod: Pod,
    message: string,
    nominatedNodeName?: string,
    reason = 'Unschedulable',
  ): Promise<void> {
    const { namespace = '', name = '', uid, generation } = pod.metadata;
    const before = pod.status.conditions?.find(each => each.type === 'PodScheduled');
    const same = before?.status === 'False' && before.reason === reason && before.message === message;
    if (same && nominatedNodeName === undefined) return;
    const changed = before?.status !== 'False';
    const condition = {
      type: 'PodScheduled',
      status: 'False',
      reason,
      message,
      ...(generation !== undefined && { observedGeneration: generation }),
      lastTransitionTime: changed
        ? new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z')
        : before?.lastTransitionTime,
    };
    const status = { conditions: [condition], ...(nominatedNodeName !== undefined && { nominatedNodeName }) };
    const patch = { type: 'strategic', patch: { metadata: { uid }, status } } as const;
    await client.patch(Pod, name, patch, { namespace, subresource: 'status', signal });
  }

  function dropNomination(key: string): void {
    if (!nominated.delete(key)) return;
    cluster.removePod(key);
  }
}

function isTerminal(pod: Pod): boolean {
  return pod.status.phase === 'Succeeded' || pod.status.phase === 'Failed';
}
