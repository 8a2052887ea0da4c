import { Pod } from '#api/core/v1/pod.ts';
import { ReplicaSet, type ReplicaSetCondition, type ReplicaSetStatus } from '#api/apps/v1/replica-set.ts';
import { compileLabelMap, compileLabelSelector } from '#api/machinery/selector.ts';
import { afterwards, create, event, remove, slowStart, updateStatus, wake, type Action } from '../actions.ts';
import { claim } from '../claims.ts';
import { conditionOf, withCondition, withoutCondition } from '../conditions.ts';
import { defineController } from '../controller.ts';
import { podFromTemplate } from '../core/pod-from-template.ts';
import { availableAtMs, isActive, isReady, isTerminating } from '../core/pod-state.ts';
import { leastValuableFirst } from '../core/pod-worth.ts';
import { claimable, controllerOf, watched, type Read } from '../reads.ts';
import { sameApartFromZeros } from '../same.ts';
import { timeText } from '../time.ts';

/** How many pods one decision creates or deletes at most. */
const burstReplicas = 500;

/** Keeps a stable number of identical Pods running. */
export const replicaSetController = defineController({
  name: 'replicaset-controller',
  reconciles: ReplicaSet,
  reads: { pods: claimable<ReplicaSet, Pod>(Pod, set => set.spec.selector), crowd: siblings() },
  writes: [Pod, ReplicaSet],
  decide(set, { pods, crowd, nowMs }) {
    const { claimed, actions } = claim(ReplicaSet, set, Pod, compileLabelSelector(set.spec.selector), pods);
    const active = claimed.filter(isActive);
    const scaling = set.metadata.deletionTimestamp === undefined ? scale(set, active, nowMs, crowd) : [];
    const wanted = set.spec.replicas ?? 1;
    return [
      ...actions,
      ...scaling,
      afterwards(({ failures }) => {
        const message = failures.at(-1)?.error.message;
        const failure = message === undefined ? undefined : { message, creating: active.length < wanted };
        const status = statusOf(set, active, claimed, failure, nowMs);
        const wakeAtMs = nextAvailableMs(active, set.spec.minReadySeconds ?? 0, nowMs);
        return [
          ...(sameApartFromZeros(status, set.status) ? [] : [updateStatus(ReplicaSet, { ...set, status })]),
          ...(wakeAtMs === undefined ? [] : [wake(wakeAtMs)]),
        ];
      }),
    ];
  },
});

function scale(set: ReplicaSet, active: readonly Pod[], nowMs: number, crowd: Crowd): Action[] {
  const surplus = active.length - (set.spec.replicas ?? 1);
  if (surplus < 0) {
    const pod = podFromTemplate(ReplicaSet, set, set.spec.template);
    const creation = create(Pod, pod, {
      succeeded: created => event(set, 'Normal', 'SuccessfulCreate', `Created pod: ${created.metadata.name}`),
      failed: error => event(set, 'Warning', 'FailedCreate', `Error creating: ${error.message}`),
    });
    return [slowStart(Array.from({ length: Math.min(burstReplicas, -surplus) }, () => creation))];
  }
  if (surplus === 0) return [];
  const unwanted =
    surplus < active.length ? active.toSorted(leastValuableFirst(nowMs, crowd())).slice(0, surplus) : active;
  return [
    {
      do: 'batch',
      actions: unwanted.slice(0, burstReplicas).map(pod =>
        remove(Pod, pod, {
          succeeded: () => event(set, 'Normal', 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`),
          failed: error => event(set, 'Warning', 'FailedDelete', `Error deleting: ${error.message}`),
        }),
      ),
    },
  ];
}

function statusOf(
  set: ReplicaSet,
  active: readonly Pod[],
  claimed: readonly Pod[],
  failure: { readonly message: string; readonly creating: boolean } | undefined,
  nowMs: number,
): ReplicaSetStatus {
  const isFullyLabeled = compileLabelMap(set.spec.template.metadata?.labels);
  const hasLabels = Object.keys(set.spec.template.metadata?.labels ?? {}).length > 0;
  const ready = active.filter(isReady);
  const old = set.status;
  return {
    replicas: active.length,
    fullyLabeledReplicas: active.filter(pod => !hasLabels || isFullyLabeled(pod.metadata.labels)).length,
    readyReplicas: ready.length,
    availableReplicas: ready.filter(pod => availableAtMs(pod, set.spec.minReadySeconds ?? 0) <= nowMs).length,
    terminatingReplicas: claimed.filter(isTerminating).length,
    observedGeneration: set.metadata.generation ?? 0,
    conditions: conditionsOf(old?.conditions, failure, nowMs),
  };
}

function conditionsOf(
  old: readonly ReplicaSetCondition[] | undefined,
  failure: { readonly message: string; readonly creating: boolean } | undefined,
  nowMs: number,
): readonly ReplicaSetCondition[] {
  if (!failure) return withoutCondition(old, 'ReplicaFailure');
  if (conditionOf(old, 'ReplicaFailure')) return old ?? [];
  return withCondition<ReplicaSetCondition>(old, {
    type: 'ReplicaFailure',
    status: 'True',
    reason: failure.creating ? 'FailedCreate' : 'FailedDelete',
    message: failure.message,
    lastTransitionTime: timeText(nowMs),
  });
}

/** When the next pod that is ready will have been so for long enough. */
function nextAvailableMs(active: readonly Pod[], minReadySeconds: number, nowMs: number): number | undefined {
  if (minReadySeconds === 0) return undefined;
  let next = Number.POSITIVE_INFINITY;
  for (const pod of active) {
    const atMs = availableAtMs(pod, minReadySeconds);
    if (atMs > nowMs) next = Math.min(next, atMs);
  }
  return next === Number.POSITIVE_INFINITY ? undefined : next;
}

/** How many pods of the same application share a pod's node: those of all sets with the same owner. Counted when asked for. */
type Crowd = () => (pod: Pod) => number;

function siblings(): Read<ReplicaSet, Crowd> {
  return watched<ReplicaSet, Pod, Crowd>(
    Pod,
    (pods, sets) => {
      const podsOf = pods.index('controller', pod => {
        const owner = controllerOf(pod);
        return owner ? [owner.uid] : [];
      });
      const setsOf = sets.index('controller', set => {
        const owner = controllerOf(set);
        return owner ? [owner.uid] : [];
      });
      return set => () => {
        const owner = controllerOf(set);
        const related = owner ? [...setsOf.get(owner.uid).values()] : [set];
        const onNode = new Map<string, number>();
        for (const sibling of related)
          for (const pod of podsOf.get(sibling.metadata.uid ?? '').values()) {
            const node = pod.spec?.nodeName ?? '';
            if (isActive(pod)) onNode.set(node, (onNode.get(node) ?? 0) + 1);
          }
        return pod => onNode.get(pod.spec?.nodeName ?? '') ?? 0;
      };
    },
    () => [],
  );
}
