import { Lease } from '#api/coordination/v1/lease.ts';
import { Node, type NodeCondition, type Taint } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { afterwards, event, patch, updateStatus, wake, type Action } from '../actions.ts';
import { conditionOf } from '../conditions.ts';
import { defineController } from '../controller.ts';
import type { Read } from '../reads.ts';
import { timeText } from '../time.ts';
import { zones, type ZoneState } from './zones.ts';

/** A node that has never said anything gets this long. */
const startupGraceMs = 60_000;
const leaseNamespace = 'kube-node-lease';

const notReady = 'node.kubernetes.io/not-ready';
const unreachable = 'node.kubernetes.io/unreachable';
const unschedulable = 'node.kubernetes.io/unschedulable';

/** Which condition in which state keeps new pods away, by which taint. */
const conditionTaints: readonly { readonly type: string; readonly status: string; readonly key: string }[] = [
  { type: 'Ready', status: 'False', key: notReady },
  { type: 'Ready', status: 'Unknown', key: unreachable },
  { type: 'MemoryPressure', status: 'True', key: 'node.kubernetes.io/memory-pressure' },
  { type: 'DiskPressure', status: 'True', key: 'node.kubernetes.io/disk-pressure' },
  { type: 'NetworkUnavailable', status: 'True', key: 'node.kubernetes.io/network-unavailable' },
  { type: 'PIDPressure', status: 'True', key: 'node.kubernetes.io/pid-pressure' },
];
const ownedByKubelet = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'];

/** Notices nodes that fall silent, and keeps pods away from nodes that are not well. */
export const nodeLifecycleController = defineController({
  name: 'node-controller',
  reconciles: Node,
  reads: { heartbeat: heartbeat(), zone: zones(), podsOnNode: podsOnNode() },
  writes: [Node, Pod],
  decide(node, { heartbeat, zone, podsOnNode, nowMs, settings }) {
    if (node.metadata.deletionTimestamp !== undefined) return [];
    const ready = conditionOf(node.status?.conditions, 'Ready');
    const graceMs = ready ? settings.nodeMonitorGraceMs : startupGraceMs;
    const silent = heartbeat.silentMs > graceMs;
    const conditions = silent ? silenced(node, nowMs) : (node.status?.conditions ?? []);
    const status = conditionOf(conditions, 'Ready')?.status ?? 'Unknown';
    const marked =
      conditions === node.status?.conditions || (conditions.length === 0 && !silent)
        ? []
        : [updateStatus(Node, { ...node, status: { ...node.status, conditions } })];
    const fell = heartbeat.wasReady && status !== 'True' && ready !== undefined;
    return [
      ...marked,
      ...(fell ? unreadied(node, podsOnNode, nowMs) : []),
      ...tainted(node, conditions, status, zone, nowMs),
      afterwards(({ failures }) => {
        if (failures.length > 0) return [];
        heartbeat.remember(status);
        return heartbeat.isNew ? [registered(node)] : [];
      }),
      ...(silent ? [] : [wake(nowMs + graceMs - heartbeat.silentMs + 1)]),
    ];
  },
});

/** What the kubelet last said is not known to be true any more. */
function silenced(node: Node, nowMs: number): readonly NodeCondition[] {
  const conditions = [...(node.status?.conditions ?? [])];
  const atText = timeText(nowMs);
  let changed = false;
  for (const type of ownedByKubelet) {
    const at = conditions.findIndex(condition => condition.type === type);
    const old = conditions[at];
    if (!old) {
      conditions.push({
        type,
        status: 'Unknown',
        reason: 'NodeStatusNeverUpdated',
        message: 'Kubelet never posted node status.',
        ...(node.metadata.creationTimestamp !== undefined && { lastHeartbeatTime: node.metadata.creationTimestamp }),
        lastTransitionTime: atText,
      });
      changed = true;
    } else if (old.status !== 'Unknown') {
      conditions[at] = {
        ...old,
        status: 'Unknown',
        reason: 'NodeStatusUnknown',
        message: 'Kubelet stopped posting node status.',
        lastTransitionTime: atText,
      };
      changed = true;
    }
  }
  return changed ? conditions : (node.status?.conditions ?? []);
}

function registered(node: Node): Action {
  const { name } = node.metadata;
  return event(
    nodeReference(node),
    'Normal',
    'RegisteredNode',
    `Node ${name} event: Registered Node ${name} in Controller`,
  );
}

function nodeReference({ metadata: { name = '', uid = '' } }: Node) {
  return { kind: 'Node', apiVersion: 'v1', name, uid };
}

/** The node's pods are not served any more. */
function unreadied(node: Node, pods: () => Iterable<Pod>, nowMs: number): Action[] {
  const { name } = node.metadata;
  const actions: Action[] = [
    event(nodeReference(node), 'Normal', 'NodeNotReady', `Node ${name} status is now: NodeNotReady`),
  ];
  for (const pod of pods()) {
    if (conditionOf(pod.status?.conditions, 'Ready')?.status !== 'True') continue;
    const condition = { type: 'Ready', status: 'False', lastTransitionTime: timeText(nowMs) };
    actions.push(
      patch(
        Pod,
        pod,
        { metadata: { uid: pod.metadata.uid }, status: { conditions: [condition] } },
        { subresource: 'status', succeeded: () => event(pod, 'Warning', 'NodeNotReady', 'Node is not ready') },
      ),
    );
  }
  return actions;
}

function tainted(
  node: Node,
  conditions: readonly NodeCondition[],
  ready: string,
  zone: ZoneState,
  nowMs: number,
): Action[] {
  const old = node.spec?.taints ?? [];
  const schedule = new Set(
    conditionTaints
      .filter(({ type, status }) => conditionOf(conditions, type)?.status === status)
      .map(({ key }) => key),
  );
  if (node.spec?.unschedulable) schedule.add(unschedulable);
  const execute = ready === 'True' ? undefined : ready === 'False' ? notReady : unreachable;
  const evictAtMs = execute === undefined ? undefined : evictionMs(old, execute, zone, nowMs);
  const evicting = execute !== undefined && evictAtMs !== undefined && evictAtMs <= nowMs;
  const managedNoSchedule = new Set([...conditionTaints.map(({ key }) => key), unschedulable]);
  const stays = ({ key, effect }: Taint) => {
    if (effect === 'NoSchedule' && managedNoSchedule.has(key)) return schedule.has(key);
    if (effect === 'NoExecute' && (key === notReady || key === unreachable)) return evicting && key === execute;
    return true;
  };
  const kept = old.filter(stays);
  const timeAdded = timeText(nowMs);
  const has = (key: string, effect: string) => kept.some(taint => taint.key === key && taint.effect === effect);
  const added: Taint[] = [...schedule]
    .filter(key => !has(key, 'NoSchedule'))
    .map(key => ({ key, effect: 'NoSchedule', timeAdded }));
  if (evicting && !has(execute, 'NoExecute')) added.push({ key: execute, effect: 'NoExecute', timeAdded });
  const actions: Action[] = [];
  if (added.length > 0 || kept.length !== old.length) {
    // The list is replaced as a whole, so nobody may have changed it meanwhile.
    const { resourceVersion } = node.metadata;
    const status = conditions === node.status?.conditions;
    actions.push({
      do: 'patch',
      kind: Node,
      object: node,
      patch: {
        type: 'merge',
        patch: {
          ...(status && { metadata: { resourceVersion } }),
          spec: { taints: [...kept, ...added] },
        },
      },
    });
  }
  if (evictAtMs !== undefined && evictAtMs > nowMs) actions.push(wake(evictAtMs));
  return actions;
}

/** When the node's pods may be evicted; undefined while the whole zone, or everything, is down. */
function evictionMs(old: readonly Taint[], execute: string, zone: ZoneState, nowMs: number): number | undefined {
  if (zone.everythingDown) return undefined;
  // Whoever is marked stays marked; going from one taint to the other is no new eviction.
  if (
    old.some(
      ({ key, effect }) => effect === 'NoExecute' && (key === execute || key === notReady || key === unreachable),
    )
  )
    return nowMs;
  return zone.takeTurn(nowMs);
}

interface Heartbeat {
  /** How long nothing was heard from the node. */
  readonly silentMs: number;
  /** It was ready when we last looked. */
  readonly wasReady: boolean;
  readonly isNew: boolean;
  remember(status: string): void;
}

/** When a node was last heard of, by our own clock: leases and status carry the node's. */
function heartbeat(): Read<Node, Heartbeat> {
  return {
    kinds: [Lease],
    open({ informers, subject, clock }) {
      const heardAtMs = new Map<string, number>();
      const statuses = new Map<string, string>();
      const hear = (name: string | undefined) => heardAtMs.set(name ?? '', clock.monotonic());
      informers.of(Lease).subscribe({
        added: lease => {
          if (lease.metadata.namespace === leaseNamespace) hear(lease.metadata.name);
        },
        updated: (lease, old) => {
          if (lease.metadata.namespace === leaseNamespace && lease.spec?.renewTime !== old.spec?.renewTime)
            hear(lease.metadata.name);
        },
      });
      const heartbeatOf = (node: Node) => conditionOf(node.status?.conditions, 'Ready')?.lastHeartbeatTime;
      subject.subscribe({
        added: node => hear(node.metadata.name),
        updated: (node, old) => {
          if (heartbeatOf(node) !== heartbeatOf(old)) hear(node.metadata.name);
        },
        deleted: node => {
          heardAtMs.delete(node.metadata.name ?? '');
          statuses.delete(node.metadata.uid ?? '');
        },
      });
      return ({ metadata: { name = '', uid = '' } }) => ({
        silentMs: clock.monotonic() - (heardAtMs.get(name) ?? clock.monotonic()),
        wasReady: statuses.get(uid) === 'True',
        isNew: !statuses.has(uid),
        remember: status => statuses.set(uid, status),
      });
    },
  };
}

function podsOnNode(): Read<Node, () => Iterable<Pod>> {
  return {
    kinds: [Pod],
    open({ informers }) {
      const byNode = informers.of(Pod).index('node', pod => [pod.spec?.nodeName ?? '']);
      return node => () => byNode.get(node.metadata.name ?? '').values();
    },
  };
}
