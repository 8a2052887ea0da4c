import { Pod } from '#api/core/v1/pod.ts';
import type { PodTemplateSpec } from '#api/core/v1/pod-template-spec.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { compileLabelMap } from '#api/machinery/selector.ts';
import { afterwards, create, event, remove, slowStart, updateStatus, wake, type Action } from '../actions.ts';
import { conditionOf, withCondition, withoutCondition, type Condition } from '../conditions.ts';
import { podFromTemplate } from '../core/pod-from-template.ts';
import { availableAtMs, isActive, isReady, isTerminating } from '../core/pod-state.ts';
import { leastValuableFirst } from '../core/pod-worth.ts';
import { sameApartFromZeros } from '../same.ts';
import { timeText } from '../time.ts';

/** How many pods one decision creates or deletes at most. */
const burstReplicas = 500;

/** How many pods of the same application share a pod's node. Counted when asked for. */
export type Crowd = () => (pod: Pod) => number;

/** What a ReplicaSet and a ReplicationController have in common. */
export interface ReplicaKeeper extends ApiObject {
  readonly spec: {
    readonly replicas?: number | undefined;
    readonly minReadySeconds?: number | undefined;
    readonly template?: PodTemplateSpec | undefined;
  };
  readonly status?: ReplicaStatus | undefined;
}

interface ReplicaStatus {
  readonly replicas: number;
  readonly fullyLabeledReplicas?: number | undefined;
  readonly readyReplicas?: number | undefined;
  readonly availableReplicas?: number | undefined;
  readonly terminatingReplicas?: number | undefined;
  readonly observedGeneration?: number | undefined;
  readonly conditions?: readonly Condition[] | undefined;
}

/** As many pods as wanted, and a status that counts them. */
export function keepReplicas<Type extends ReplicaKeeper>(
  kind: Kind<Type>,
  set: Type,
  claimed: readonly Pod[],
  crowd: Crowd,
  nowMs: number,
): readonly Action[] {
  const active = claimed.filter(isActive);
  const scaling = set.metadata.deletionTimestamp === undefined ? scale(kind, set, active, nowMs, crowd) : [];
  const wanted = set.spec.replicas ?? 1;
  return [
    ...scaling,
    afterwards(({ failures }) => {
      const message = failures.at(-1)?.error.message;
      const failure = message === undefined ? undefined : { message, creating: active.length < wanted };
      const status = statusOf(kind, set, active, claimed, failure, nowMs);
      const wakeAtMs = nextAvailableMs(active, set.spec.minReadySeconds ?? 0, nowMs);
      return [
        ...(sameApartFromZeros(status, set.status) ? [] : [updateStatus(kind, { ...set, status })]),
        ...(wakeAtMs === undefined ? [] : [wake(wakeAtMs)]),
      ];
    }),
  ];
}

function scale(kind: Kind, set: ReplicaKeeper, active: readonly Pod[], nowMs: number, crowd: Crowd): Action[] {
  const surplus = active.length - (set.spec.replicas ?? 1);
  if (surplus < 0) {
    const pod = podFromTemplate(kind, set, set.spec.template ?? {});
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
  kind: Kind,
  set: ReplicaKeeper,
  active: readonly Pod[],
  claimed: readonly Pod[],
  failure: { readonly message: string; readonly creating: boolean } | undefined,
  nowMs: number,
): ReplicaStatus {
  const isFullyLabeled = compileLabelMap(set.spec.template?.metadata?.labels);
  const hasLabels = Object.keys(set.spec.template?.metadata?.labels ?? {}).length > 0;
  const ready = active.filter(isReady);
  const old = set.status;
  return {
    replicas: active.length,
    fullyLabeledReplicas: active.filter(pod => !hasLabels || isFullyLabeled(pod.metadata.labels)).length,
    readyReplicas: ready.length,
    availableReplicas: ready.filter(pod => availableAtMs(pod, set.spec.minReadySeconds ?? 0) <= nowMs).length,
    ...(kind.kind === 'ReplicaSet' && { terminatingReplicas: claimed.filter(isTerminating).length }),
    observedGeneration: set.metadata.generation ?? 0,
    conditions: conditionsOf(old?.conditions, failure, nowMs),
  };
}

function conditionsOf(
  old: readonly Condition[] | undefined,
  failure: { readonly message: string; readonly creating: boolean } | undefined,
  nowMs: number,
): readonly Condition[] {
  if (!failure) return withoutCondition(old, 'ReplicaFailure');
  if (conditionOf(old, 'ReplicaFailure')) return old ?? [];
  return withCondition<Condition>(old, {
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
