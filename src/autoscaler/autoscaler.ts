import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { isReason } from '#api/machinery/errors.ts';
import { PodDisruptionBudget } from '#api/policy/v1/pod-disruption-budget.ts';
import type { Client } from '#client/client.ts';
import { openEventRecorder } from '#client/events.ts';
import type { Informers } from '#client/informers.ts';
import type { SchedulerConfiguration } from '#scheduler/configuration.ts';
import { SchedulingCycle } from '#scheduler/cycle.ts';
import type { NodeInfo } from '#scheduler/node-info.ts';
import { podInfo, type PodInfo } from '#scheduler/pod-info.ts';
import { fateOf } from './drain-rules.ts';
import { followCluster } from './follow-cluster.ts';
import type { NodeGroup } from './node-groups.ts';
import { defaultOptions, type AutoscalerOptions } from './options.ts';
import { planScaleDown, type Unneeded } from './scale-down.ts';
import { planScaleUp, type ScaleUp } from './scale-up.ts';
import { statusConfigMap, type GroupStatus, writeStatus } from './status.ts';

export interface AutoscalerEnvironment {
  readonly client: Client;
  readonly informers: Informers;
  readonly groups: readonly NodeGroup[];
  readonly configuration: SchedulerConfiguration;
  readonly options?: Partial<AutoscalerOptions>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const toBeDeleted = 'ToBeDeletedByClusterAutoscaler';
const deletionCandidate = 'DeletionCandidateOfClusterAutoscaler';
const evictionPauseMs = 1_000;
const conflictsMax = 5;

/**
 * Makes groups of nodes larger for pods that fit nowhere, and smaller where nodes are little used and their pods find another
 * place. Upstream's cluster-autoscaler: its options, annotations, taints, Events and status.
 */
export function startAutoscaler(environment: AutoscalerEnvironment): AsyncDisposable {
  const { client, informers, groups, configuration, clock, random, log } = environment;
  const options: AutoscalerOptions = { ...defaultOptions, ...environment.options };
  const stop = new AbortController();
  const { signal } = stop;
  const events = openEventRecorder({ client, component: 'cluster-autoscaler', clock, log });
  const { cluster, synced, end } = followCluster(informers);
  const pods = informers.of(Pod);
  const nodes = informers.of(Node);
  const budgets = informers.of(PodDisruptionBudget);
  const cycles = new Map(
    configuration.profiles.map(({ schedulerName, plugins, clusterPlugins }) => [
      schedulerName,
      new SchedulingCycle(plugins, clusterPlugins, cluster, random),
    ]),
  );
  const cycleOf = ({ pod }: PodInfo) => cycles.get(pod.spec.schedulerName ?? 'default-scheduler');
  const unneededSinceMs = new Map<string, number>();
  const backsOffUntilMs = new Map<NodeGroup, number>();
  const upcomingSinceMs = new Map<NodeGroup, number>();
  const deleting = new Set<string>();
  const removals = new Set<Promise<void>>();
  let lastScaleUpMs = Number.NEGATIVE_INFINITY;
  let lastScaleDownMs = Number.NEGATIVE_INFINITY;
  let lastFailureMs = Number.NEGATIVE_INFINITY;
  let wake = () => {};

  // A pod that fits nowhere need not wait for the next scan.
  const unsubscribe = pods.subscribe({
    updated(pod, old) {
      if (isUnschedulable(pod) && !isUnschedulable(old)) wake();
    },
  });
  const running = run().catch((error: unknown) => {
    if (!signal.aborted) log.error('the autoscaler ended', { error });
  });
  return {
    async [Symbol.asyncDispose]() {
      stop.abort(new Error('the autoscaler was stopped'));
      wake();
      unsubscribe();
      end();
      await running;
      await Promise.all(removals);
      await events[Symbol.asyncDispose]();
    },
  };

  async function run(): Promise<void> {
    await Promise.race([Promise.all([synced, budgets.synced]), aborted(signal)]);
    while (!signal.aborted) {
      try {
        await scan();
      } catch (error) {
        if (!signal.aborted) log.warn('a scan of the autoscaler failed', { error });
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      const cancel = clock.after(options.scanIntervalMs, resolve);
      await promise;
      cancel();
    }
  }

  async function scan(): Promise<void> {
    const nowMs = clock.now();
    const pending = [...pods.objects.values()].filter(isUnschedulable).map(podInfo);
    const states = groups.map(group => ({
      group,
      upcoming: Math.max(0, group.targetSize() - nodesOf(group).length),
      backsOff: (backsOffUntilMs.get(group) ?? 0) > nowMs,
    }));
    for (const { group, upcoming } of states) {
      if (upcoming === 0) upcomingSinceMs.delete(group);
      else if (!upcomingSinceMs.has(group)) upcomingSinceMs.set(group, nowMs);
      if (nowMs - (upcomingSinceMs.get(group) ?? nowMs) < options.maxNodeProvisionMs) continue;
      log.warn('nodes did not come', { group: group.name, upcoming });
      backsOffUntilMs.set(group, nowMs + options.scaleDownDelayAfterFailureMs);
      upcomingSinceMs.delete(group);
    }
    const { scaleUps, helpless } = planScaleUp(pending, states, cluster, cycleOf);
    for (const scaleUp of scaleUps) await grow(scaleUp);
    for (const [{ pod }, why] of helpless)
      events.event(pod, 'Normal', 'NotTriggerScaleUp', `pod didn't trigger scale-up: ${why}`);
    const unneeded = scaleUps.length > 0 ? [] : await shrink(nowMs);
    await tell(nowMs, scaleUps, unneeded);
  }

  async function grow({ group, from, to, pods: helped }: ScaleUp): Promise<void> {
    const about = statusConfigMap();
    const text = `${group.name} size to ${to} instead of ${from} (max: ${group.maxSize})`;
    try {
      await group.increase(to - from);
    } catch (error) {
      backsOffUntilMs.set(group, clock.now() + options.scaleDownDelayAfterFailureMs);
      events.event(
        about,
        'Warning',
        'FailedToScaleUpGroup',
        `Scale-up failed for group ${group.name}: ${(error as Error).message}`,
      );
      log.warn('cannot make a group larger', { group: group.name, error });
      return;
    }
    lastScaleUpMs = clock.now();
    events.event(about, 'Normal', 'ScaledUpGroup', `Scale-up: setting group ${text}`);
    events.event(
      about,
      'Normal',
      'ScaledUpGroup',
      `Scale-up: group ${group.name} size set to ${to} instead of ${from} (max: ${group.maxSize})`,
    );
    for (const { pod } of helped)
      events.event(
        pod,
        'Normal',
        'TriggeredScaleUp',
        `pod triggered scale-up: [{${group.name} ${from}->${to} (max: ${group.maxSize})}]`,
      );
  }

  /** The nodes that nobody needs; those that nobody needed for long enough begin to go. */
  async function shrink(nowMs: number): Promise<readonly Unneeded[]> {
    if (!options.scaleDownEnabled) return [];
    const owned = cluster.nodes.flatMap(node => {
      const group = groups.find(each => each.has(node.node));
      return group && !deleting.has(node.name) ? { node, group } : [];
    });
    const { unneeded } = planScaleDown(owned, cluster, [...budgets.objects.values()], cycleOf, options);
    const names = new Set(unneeded.map(({ node }) => node.name));
    for (const name of unneededSinceMs.keys()) if (!names.has(name)) unneededSinceMs.delete(name);
    for (const name of names) if (!unneededSinceMs.has(name)) unneededSinceMs.set(name, nowMs);
    await markCandidates(names);
    const rests =
      nowMs - lastScaleUpMs < options.scaleDownDelayAfterAddMs ||
      nowMs - lastScaleDownMs < options.scaleDownDelayAfterDeleteMs ||
      nowMs - lastFailureMs < options.scaleDownDelayAfterFailureMs;
    if (rests) return unneeded;
    const due = unneeded.filter(({ node }) => {
      const limitMs = isReady(node) ? options.scaleDownUnneededMs : options.scaleDownUnreadyMs;
      return nowMs - (unneededSinceMs.get(node.name) ?? nowMs) >= limitMs;
    });
    const empty = due.filter(({ moving }) => moving.length === 0).slice(0, options.maxEmptyBulkDelete);
    // Pods move from one node at a time.
    const drained = empty.length === 0 && deleting.size === 0 ? due.slice(0, 1) : [];
    for (const each of [...empty, ...drained]) {
      const { name } = each.node;
      deleting.add(name);
      unneededSinceMs.delete(name);
      const removal = remove(each).finally(() => {
        deleting.delete(name);
        removals.delete(removal);
      });
      removals.add(removal);
    }
    return unneeded;
  }

  async function remove({ node: { name }, group, moving }: Unneeded): Promise<void> {
    const node = nodes.get(name);
    if (!node) return;
    try {
      await taint(name, toBeDeleted, 'NoSchedule', true);
      events.event(node, 'Normal', 'ScaleDown', 'marked the node as toBeDeleted/unschedulable');
      const about = statusConfigMap();
      if (moving.length === 0)
        events.event(about, 'Normal', 'ScaleDownEmpty', `Scale-down: removing empty node "${name}"`);
      else
        events.event(
          about,
          'Normal',
          'ScaleDown',
          `Scale-down: removing node ${name}, utilization: {}, pods to reschedule: ${moving.map(({ pod }) => pod.metadata.name).join(',')}`,
        );
      await drain(name);
      await group.delete([node]);
      lastScaleDownMs = clock.now();
      events.event(node, 'Normal', 'ScaleDown', 'node removed by cluster autoscaler');
    } catch (error) {
      if (signal.aborted) return;
      lastFailureMs = clock.now();
      log.warn('cannot remove a node', { node: name, error });
      events.event(node, 'Warning', 'ScaleDownFailed', `failed to delete the node: ${(error as Error).message}`);
      await taint(name, toBeDeleted, 'NoSchedule', false).catch((failure: unknown) =>
        log.warn('cannot take a taint back', { node: name, error: failure }),
      );
    }
  }

  /** Evicts until nobody is left who would have to move; the API keeps budgets. */
  async function drain(name: string): Promise<void> {
    const untilMs = clock.now() + options.maxPodEvictionMs;
    const told = new Set<string>();
    for (;;) {
      const left = podsToLeave(name);
      if (left.length === 0) return;
      if (clock.now() > untilMs)
        throw new Error(
          `failed to drain node ${name}: ${left.length} pods are there still after ${options.maxPodEvictionMs / 1000} s`,
        );
      for (const { pod } of left) {
        const { name: podName = '', namespace = '', uid = '' } = pod.metadata;
        if (isGoing(pod)) continue;
        if (!told.has(uid)) events.event(pod, 'Normal', 'ScaleDown', 'deleting pod for node scale down');
        told.add(uid);
        try {
          const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: podName, namespace } };
          await client.createSubresource(Pod, podName, 'eviction', eviction, { namespace, signal });
        } catch (error) {
          // The budget allows none now, or somebody else was faster.
          if (!isReason(error, 'TooManyRequests', 'NotFound')) throw error;
        }
      }
      await clock.sleep(evictionPauseMs, signal);
    }
  }

  /** Those that do not go with their node; throws when one came that cannot move. */
  function podsToLeave(name: string): readonly PodInfo[] {
    return [...(cluster.node(name)?.pods.values() ?? [])].filter(info => {
      if (isGoing(info.pod)) return !isDaemon(info.pod);
      const fate = fateOf(info, [], options);
      if (typeof fate === 'object') throw new Error(fate.blocks);
      return fate === 'moves';
    });
  }

  /** Nodes that nobody needs are liked less by the scheduler. */
  async function markCandidates(names: ReadonlySet<string>): Promise<void> {
    for (const { node, name } of cluster.nodes) {
      const isMarked = (node.spec.taints ?? []).some(each => each.key === deletionCandidate);
      if (isMarked === names.has(name) || deleting.has(name)) continue;
      if (!isMarked && !groups.some(group => group.has(node))) continue;
      await taint(name, deletionCandidate, 'PreferNoSchedule', !isMarked);
    }
  }

  async function taint(name: string, key: string, effect: string, isThere: boolean): Promise<void> {
    const value = `${Math.floor(clock.now() / 1000)}`;
    for (let attempt = 1; ; attempt++) {
      try {
        const current = await client.get(Node, name, { signal });
        const others = (current.spec.taints ?? []).filter(each => each.key !== key);
        const taints = isThere ? [...others, { key, value, effect }] : others;
        await client.update(Node, { ...current, spec: { ...current.spec, taints } }, { signal });
        return;
      } catch (error) {
        if (isReason(error, 'NotFound')) return;
        if (!isReason(error, 'Conflict') || attempt === conflictsMax) throw error;
      }
    }
  }

  function nodesOf(group: NodeGroup): readonly NodeInfo[] {
    return cluster.nodes.filter(({ node }) => group.has(node));
  }

  async function tell(nowMs: number, scaleUps: readonly ScaleUp[], unneeded: readonly Unneeded[]): Promise<void> {
    const statuses = groups.map((group): GroupStatus => {
      const own = nodesOf(group);
      return {
        group,
        registered: own.length,
        ready: own.filter(isReady).length,
        grows: scaleUps.some(each => each.group === group) || own.length < group.targetSize(),
        backsOff: (backsOffUntilMs.get(group) ?? 0) > nowMs,
        candidates: unneeded.filter(each => each.group === group).length,
      };
    });
    await writeStatus(
      client,
      { registered: cluster.nodes.length, ready: cluster.nodes.filter(isReady).length },
      statuses,
      nowMs,
    );
  }
}

/** Fits nowhere, as the scheduler said. */
function isUnschedulable({ metadata, spec, status }: Pod): boolean {
  if (spec.nodeName || metadata.deletionTimestamp !== undefined || status.phase !== 'Pending') return false;
  // It waits for victims to go.
  if (status.nominatedNodeName) return false;
  const condition = status.conditions?.find(each => each.type === 'PodScheduled');
  return condition?.status === 'False' && condition.reason === 'Unschedulable';
}

function isReady({ node }: NodeInfo): boolean {
  return node.status.conditions?.some(each => each.type === 'Ready' && each.status === 'True') ?? false;
}

function isGoing(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined;
}

function isDaemon(pod: Pod): boolean {
  return pod.metadata.ownerReferences?.some(each => each.controller === true && each.kind === 'DaemonSet') ?? false;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
