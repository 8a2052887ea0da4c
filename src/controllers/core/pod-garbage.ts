import { Node } from '#api/core/v1/node.ts';
import { Pod, type PodStatus } from '#api/core/v1/pod.ts';
import { patch, remove, wake, type Action } from '../actions.ts';
import { conditionOf } from '../conditions.ts';
import { defineController } from '../controller.ts';
import type { Read } from '../reads.ts';
import { keyOf } from '#client/informer.ts';
import { timeText } from '../time.ts';
import { isTerminal } from './pod-state.ts';

/** A node may come back within this time, and its pods are not lost then. */
const nodeQuarantineMs = 40_000;
const outOfService = 'node.kubernetes.io/out-of-service';

interface Housing {
  readonly node: Node | undefined;
  /** When the node was found to be missing. */
  readonly missingSinceMs: number;
}

/** Removes pods that nobody will remove: their node is gone, they were deleted before they had one, or too many have ended. */
export const podGarbageCollector = defineController({
  name: 'pod-garbage-collector',
  reconciles: Pod,
  // Who waits for a node is nobody's loss.
  concerns: pod => (pod.spec?.nodeName ?? '') !== '' || pod.metadata.deletionTimestamp !== undefined,
  reads: { housing: housing(), surplus: surplusOfTerminated() },
  writes: [Pod],
  changed: (pod, old) =>
    pod.spec?.nodeName !== old.spec?.nodeName ||
    pod.status?.phase !== old.status?.phase ||
    pod.metadata.deletionTimestamp !== old.metadata.deletionTimestamp,
  decide(pod, { housing, surplus, nowMs, settings }) {
    const nodeName = pod.spec?.nodeName ?? '';
    if (nodeName === '') return pod.metadata.deletionTimestamp === undefined ? [] : [deleted(pod)];
    if (!housing.node) {
      const lostAtMs = housing.missingSinceMs + nodeQuarantineMs;
      return nowMs < lostAtMs ? [wake(lostAtMs)] : orphaned(pod, nowMs);
    }
    if (isOutOfService(housing.node) && pod.metadata.deletionTimestamp !== undefined) return failedAndDeleted(pod);
    return isTerminal(pod) && surplus(pod, settings.terminatedPodsMax) ? [deleted(pod)] : [];
  },
});

function orphaned(pod: Pod, nowMs: number): Action[] {
  if (isTerminal(pod)) return [deleted(pod)];
  const condition = {
    type: 'DisruptionTarget',
    status: 'True',
    reason: 'DeletionByPodGC',
    message: 'PodGC: node no longer exists',
    lastTransitionTime: timeText(nowMs),
  };
  const known = conditionOf(pod.status?.conditions, 'DisruptionTarget')?.status === 'True';
  return failedAndDeleted(pod, known ? {} : { conditions: [condition] });
}

/** A pod that cannot have ended by itself has failed, or a Job would wait for it for ever. */
function failedAndDeleted(pod: Pod, status: Partial<PodStatus> = {}): Action[] {
  const failed = isTerminal(pod)
    ? []
    : [
        patch(
          Pod,
          pod,
          { metadata: { uid: pod.metadata.uid }, status: { ...status, phase: 'Failed' } },
          { subresource: 'status' },
        ),
      ];
  return [...failed, deleted(pod)];
}

function deleted(pod: Pod): Action {
  return remove(Pod, pod, { gracePeriodSeconds: 0 });
}

function isOutOfService(node: Node): boolean {
  const notReady = conditionOf(node.status?.conditions, 'Ready')?.status !== 'True';
  return notReady && (node.spec?.taints ?? []).some(({ key }) => key === outOfService);
}

function housing(): Read<Pod, Housing> {
  return {
    kinds: [Node],
    open({ informers, subject, clock, wake: wakePod }) {
      const nodes = informers.of(Node);
      const podsOf = subject.index('node', pod => [pod.spec?.nodeName ?? '']);
      const missing = new Map<string, number>();
      const wakePodsOf = (node: Node) => {
        for (const key of podsOf.get(node.metadata.name ?? '').keys()) wakePod(key);
      };
      nodes.subscribe({
        added: node => missing.delete(node.metadata.name ?? ''),
        updated(node, old) {
          if (isOutOfService(node) && !isOutOfService(old)) wakePodsOf(node);
        },
        deleted: wakePodsOf,
      });
      return pod => {
        const name = pod.spec?.nodeName ?? '';
        const node = nodes.get(name);
        if (!node && !missing.has(name)) missing.set(name, clock.now());
        return { node, missingSinceMs: missing.get(name) ?? 0 };
      };
    },
  };
}

/** Is a pod the first of those that ended, beyond the number that may stay? When it is gone, it is the next one's turn. */
function surplusOfTerminated(): Read<Pod, (pod: Pod, max: number) => boolean> {
  return {
    kinds: [Pod],
    open({ subject, wake: wakePod }) {
      // In the order in which they ended.
      const ended = new Set<string>();
      const wakeFirst = () => {
        for (const key of ended) return wakePod(key);
      };
      const see = (pod: Pod) => {
        if (!isTerminal(pod) || ended.has(keyOf(pod))) return;
        ended.add(keyOf(pod));
        wakeFirst();
      };
      subject.subscribe({
        added: see,
        updated: see,
        deleted(pod) {
          if (ended.delete(keyOf(pod))) wakeFirst();
        },
      });
      const isFirst = (pod: Pod) => ended.values().next().value === keyOf(pod);
      return () => (pod, max) => ended.size > max && isFirst(pod);
    },
  };
}
