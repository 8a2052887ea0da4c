import type { Deployment, DeploymentCondition, DeploymentStatus } from '#api/apps/v1/deployment.ts';
import type { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import { conditionOf, withoutCondition } from '../conditions.ts';
import { timeMs, timeText } from '../time.ts';
import { hasProgressDeadline, replicasOf, rollingLimits, sum, wantedReplicas } from './rollout.ts';

type Conditions = readonly DeploymentCondition[] | undefined;

/** Numbers and the Available condition; the conditions of the rollout stay as they are. */
export function countedStatus(
  deployment: Deployment,
  all: readonly ReplicaSet[],
  newSet: ReplicaSet | undefined,
  nowMs: number,
): DeploymentStatus {
  const available = sum(all, set => set.status?.availableReplicas);
  const enough = available >= wantedReplicas(deployment) - rollingLimits(deployment).maxUnavailable;
  const { collisionCount, conditions } = deployment.status ?? {};
  return {
    observedGeneration: deployment.metadata.generation ?? 0,
    replicas: sum(all, set => set.status?.replicas),
    updatedReplicas: newSet?.status?.replicas ?? 0,
    readyReplicas: sum(all, set => set.status?.readyReplicas),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, sum(all, replicasOf) - available),
    terminatingReplicas: sum(all, set => set.status?.terminatingReplicas),
    ...(collisionCount !== undefined && { collisionCount }),
    conditions: withDeploymentCondition(
      conditions,
      enough
        ? condition('Available', 'True', 'MinimumReplicasAvailable', 'Deployment has minimum availability.', nowMs)
        : condition(
            'Available',
            'False',
            'MinimumReplicasUnavailable',
            'Deployment does not have minimum availability.',
            nowMs,
          ),
    ),
  };
}

/** The status in the middle of a rollout, with its progress. */
export function rolloutStatus(
  deployment: Deployment,
  all: readonly ReplicaSet[],
  newSet: ReplicaSet | undefined,
  nowMs: number,
): DeploymentStatus {
  const status = countedStatus(deployment, all, newSet, nowMs);
  const conditions = withFailure(progressed(deployment, status, newSet, nowMs), all, newSet);
  return { ...status, conditions };
}

export function condition(
  type: string,
  status: string,
  reason: string,
  message: string,
  nowMs: number,
): DeploymentCondition {
  const atText = timeText(nowMs);
  return { type, status, lastUpdateTime: atText, lastTransitionTime: atText, reason, message };
}

/** Nothing changes while status and reason stay; the transition time changes with the status only. */
export function withDeploymentCondition(conditions: Conditions, wanted: DeploymentCondition): DeploymentCondition[] {
  const old = conditionOf(conditions, wanted.type);
  if (old && old.status === wanted.status && old.reason === wanted.reason) return [...(conditions ?? [])];
  const { lastTransitionTime } = old && old.status === wanted.status ? old : wanted;
  return [
    ...withoutCondition(conditions, wanted.type),
    { ...wanted, ...(lastTransitionTime && { lastTransitionTime }) },
  ];
}

export function isComplete(deployment: Deployment, status: DeploymentStatus | undefined): boolean {
  const wanted = wantedReplicas(deployment);
  return (
    (status?.updatedReplicas ?? 0) === wanted &&
    (status?.replicas ?? 0) === wanted &&
    (status?.availableReplicas ?? 0) === wanted &&
    (status?.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

/** When the rollout must be looked at again, because its deadline will have passed. */
export function deadlineMs(deployment: Deployment, status: DeploymentStatus): number | undefined {
  const progressing = conditionOf(status.conditions, 'Progressing');
  if (!hasProgressDeadline(deployment) || !progressing) return undefined;
  if (isComplete(deployment, status) || progressing.reason === 'ProgressDeadlineExceeded') return undefined;
  // A rollout that is over has no deadline, also when pods of it are missing later.
  if (progressing.reason === 'NewReplicaSetAvailable') return undefined;
  const seconds = deployment.spec?.progressDeadlineSeconds ?? 0;
  return timeMs(progressing.lastUpdateTime) + seconds * 1000 + 1000;
}

function progressed(
  deployment: Deployment,
  status: DeploymentStatus,
  newSet: ReplicaSet | undefined,
  nowMs: number,
): DeploymentCondition[] {
  const conditions = [...(status.conditions ?? [])];
  if (!hasProgressDeadline(deployment)) return withoutCondition(conditions, 'Progressing');
  const current = conditionOf(deployment.status?.conditions, 'Progressing');
  const settled =
    (status.replicas ?? 0) === (status.updatedReplicas ?? 0) && current?.reason === 'NewReplicaSetAvailable';
  if (settled) return conditions;
  const what = newSet
    ? `ReplicaSet ${JSON.stringify(newSet.metadata.name)}`
    : `Deployment ${JSON.stringify(deployment.metadata.name)}`;
  if (isComplete(deployment, status))
    return withDeploymentCondition(
      conditions,
      condition('Progressing', 'True', 'NewReplicaSetAvailable', `${what} has successfully progressed.`, nowMs),
    );
  if (isMoving(deployment.status, status)) {
    const wanted = condition('Progressing', 'True', 'ReplicaSetUpdated', `${what} is progressing.`, nowMs);
    // Replaced even when nothing but the time differs: the deadline counts from here.
    const kept = current?.status === 'True' && current.lastTransitionTime !== undefined;
    return [
      ...withoutCondition(conditions, 'Progressing'),
      kept ? { ...wanted, lastTransitionTime: current.lastTransitionTime } : wanted,
    ];
  }
  if (isTimedOut(deployment, current, nowMs))
    return withDeploymentCondition(
      conditions,
      condition('Progressing', 'False', 'ProgressDeadlineExceeded', `${what} has timed out progressing.`, nowMs),
    );
  return conditions;
}

function isMoving(old: DeploymentStatus | undefined, status: DeploymentStatus): boolean {
  const outdated = (of: DeploymentStatus | undefined) => (of?.replicas ?? 0) - (of?.updatedReplicas ?? 0);
  return (
    (status.updatedReplicas ?? 0) > (old?.updatedReplicas ?? 0) ||
    outdated(status) < outdated(old) ||
    (status.readyReplicas ?? 0) > (old?.readyReplicas ?? 0) ||
    (status.availableReplicas ?? 0) > (old?.availableReplicas ?? 0)
  );
}

function isTimedOut(deployment: Deployment, current: DeploymentCondition | undefined, nowMs: number): boolean {
  if (!current || current.reason === 'NewReplicaSetAvailable') return false;
  if (current.reason === 'ProgressDeadlineExceeded') return true;
  return timeMs(current.lastUpdateTime) + (deployment.spec?.progressDeadlineSeconds ?? 0) * 1000 < nowMs;
}

/** What keeps a set from making its pods is a failure of the deployment. */
function withFailure(
  conditions: readonly DeploymentCondition[],
  all: readonly ReplicaSet[],
  newSet: ReplicaSet | undefined,
): DeploymentCondition[] {
  const failureOf = (set: ReplicaSet | undefined) => {
    const failure = conditionOf(set?.status?.conditions, 'ReplicaFailure');
    return failure?.status === 'True' ? failure : undefined;
  };
  const failure = failureOf(newSet) ?? all.map(failureOf).find(found => found !== undefined);
  if (!failure) return withoutCondition(conditions, 'ReplicaFailure');
  const { status, reason, message, lastTransitionTime } = failure;
  return withDeploymentCondition(conditions, {
    type: 'ReplicaFailure',
    status,
    ...(reason !== undefined && { reason }),
    ...(message !== undefined && { message }),
    ...(lastTransitionTime !== undefined && { lastTransitionTime, lastUpdateTime: lastTransitionTime }),
  });
}
