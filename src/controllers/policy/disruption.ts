import { Deployment } from '#api/apps/v1/deployment.ts';
import { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import { StatefulSet } from '#api/apps/v1/stateful-set.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ReplicationController } from '#api/core/v1/replication-controller.ts';
import { PodDisruptionBudget, type PodDisruptionBudgetStatus } from '#api/policy/v1/pod-disruption-budget.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { event, updateStatus, wake, type Action } from '../actions.ts';
import { conditionOf, withCondition } from '../conditions.ts';
import { defineController } from '../controller.ts';
import { isReady, isTerminal } from '../core/pod-state.ts';
import { share } from '../apps/rollout.ts';
import { controllerOf, selected, type Read } from '../reads.ts';
import { sameApartFromZeros } from '../same.ts';
import { timeMs, timeText } from '../time.ts';

/** An eviction that was allowed counts for so long, if the pod is not seen to go. */
const disruptedForMs = 120_000;

/** Says how many pods of a budget may be evicted now. */
export const disruptionController = defineController({
  name: 'disruption-controller',
  component: 'controllermanager',
  reconciles: PodDisruptionBudget,
  reads: {
    pods: selected<PodDisruptionBudget, Pod>(Pod, budget => budget.spec?.selector),
    scaleOf: scales(),
  },
  writes: [PodDisruptionBudget],
  decide(budget, { pods, scaleOf, nowMs }) {
    const living = pods.filter(pod => !isTerminal(pod));
    const { expected, wanted, problem } = expectation(budget, living, scaleOf);
    const { disruptedPods, wakeAtMs } = stillDisrupted(budget, living, nowMs);
    const healthy = living.filter(
      pod =>
        isReady(pod) &&
        pod.metadata.deletionTimestamp === undefined &&
        !(pod.metadata.name !== undefined && Object.hasOwn(disruptedPods, pod.metadata.name)),
    ).length;
    const allowed = problem === undefined && expected > 0 ? Math.max(0, healthy - wanted) : 0;
    const status: PodDisruptionBudgetStatus = {
      ...budget.status,
      observedGeneration: budget.metadata.generation ?? 0,
      currentHealthy: healthy,
      desiredHealthy: wanted,
      expectedPods: expected,
      disruptionsAllowed: allowed,
      disruptedPods,
      conditions: conditionsOf(budget, allowed, problem, nowMs),
    };
    const actions: Action[] = [];
    if (living.length === 0 && pods.length === 0)
      actions.push(event(budget, 'Normal', 'NoPods', 'No matching pods found'));
    if (problem !== undefined) actions.push(event(budget, 'Warning', 'CalculateExpectedPodCountFailed', problem));
    if (!sameApartFromZeros(status, budget.status))
      actions.push(updateStatus(PodDisruptionBudget, { ...budget, status }));
    // Said only with a change, or every look would say it again.
    return [
      ...(actions.some(action => action.do === 'update') ? actions : []),
      ...(wakeAtMs === undefined ? [] : [wake(wakeAtMs)]),
    ];
  },
});

interface Expectation {
  readonly expected: number;
  readonly wanted: number;
  readonly problem?: string;
}

function expectation(
  { spec }: PodDisruptionBudget,
  pods: readonly Pod[],
  scaleOf: (pod: Pod) => Scale | undefined,
): Expectation {
  const { minAvailable, maxUnavailable } = spec ?? {};
  if (maxUnavailable === undefined && typeof minAvailable === 'number')
    return { expected: pods.length, wanted: minAvailable };
  if (maxUnavailable === undefined && minAvailable === undefined) return { expected: pods.length, wanted: 1 };
  const owners = new Map<string, number>();
  for (const pod of pods) {
    const owner = controllerOf(pod);
    if (!owner)
      return {
        expected: 0,
        wanted: 0,
        problem: `found no controller ref for pod "${pod.metadata.name}"`,
      };
    const scale = scaleOf(pod);
    if (!scale) return { expected: 0, wanted: 0, problem: `found no controllers for pod "${pod.metadata.name}"` };
    owners.set(scale.uid, scale.replicas);
  }
  const expected = [...owners.values()].reduce((total, replicas) => total + replicas, 0);
  if (maxUnavailable !== undefined)
    return { expected, wanted: Math.max(0, expected - share(maxUnavailable, expected, Math.ceil)) };
  return { expected, wanted: share(minAvailable as string, expected, Math.ceil) };
}

/** Evictions that the API server allowed, until their pods are seen to go. */
function stillDisrupted(
  { status }: PodDisruptionBudget,
  pods: readonly Pod[],
  nowMs: number,
): { readonly disruptedPods: Readonly<Record<string, string>>; readonly wakeAtMs: number | undefined } {
  const disruptedPods: Record<string, string> = {};
  let wakeAtMs: number | undefined;
  for (const pod of pods) {
    const { name = '', deletionTimestamp } = pod.metadata;
    const atText = Object.hasOwn(status?.disruptedPods ?? {}, name) ? status?.disruptedPods?.[name] : undefined;
    if (atText === undefined || deletionTimestamp !== undefined) continue;
    const untilMs = timeMs(atText) + disruptedForMs;
    if (untilMs <= nowMs) continue;
    disruptedPods[name] = atText;
    wakeAtMs = Math.min(wakeAtMs ?? untilMs, untilMs);
  }
  return { disruptedPods, wakeAtMs };
}

function conditionsOf(
  { status, metadata }: PodDisruptionBudget,
  allowed: number,
  problem: string | undefined,
  nowMs: number,
): PodDisruptionBudgetStatus['conditions'] {
  const [state, reason] =
    problem !== undefined
      ? ['False', 'SyncFailed']
      : allowed > 0
        ? ['True', 'SufficientPods']
        : ['False', 'InsufficientPods'];
  const old = conditionOf(status?.conditions, 'DisruptionAllowed');
  const generation = metadata.generation ?? 0;
  if (old?.status === state && old.reason === reason && old.observedGeneration === generation)
    return status?.conditions;
  return withCondition(status?.conditions, {
    type: 'DisruptionAllowed',
    status: state,
    reason,
    message: problem ?? '',
    observedGeneration: generation,
    lastTransitionTime: timeText(nowMs),
  });
}

interface Scale {
  readonly uid: string;
  readonly replicas: number;
}

interface Scaled extends ApiObject {
  readonly spec?: { readonly replicas?: number | undefined } | undefined;
}

/** The controller that makes a pod, or the one that makes that one, and how many pods it wants. */
function scales(): Read<PodDisruptionBudget, (pod: Pod) => Scale | undefined> {
  return {
    kinds: [ReplicaSet, Deployment, StatefulSet, ReplicationController],
    open({ informers, subject, wake: wakeBudget }) {
      const kinds = [ReplicaSet, Deployment, StatefulSet, ReplicationController] as unknown as Kind<Scaled>[];
      const all = new Map(kinds.map(kind => [kind.kind, informers.of(kind)]));
      for (const informer of all.values())
        informer.subscribe({
          updated(object, old) {
            if (object.spec?.replicas === old.spec?.replicas) return;
            for (const key of subject.inNamespace(object.metadata.namespace ?? '').keys()) wakeBudget(key);
          },
        });
      const find = (object: ApiObject): Scaled | undefined => {
        const owner = controllerOf(object);
        const found = owner && all.get(owner.kind)?.get(owner.name, object.metadata.namespace);
        return found && found.metadata.uid === owner.uid ? found : undefined;
      };
      const scaleOf = (pod: Pod): Scale | undefined => {
        const owner = find(pod);
        const top = (owner && find(owner)) ?? owner;
        return top && { uid: top.metadata.uid ?? '', replicas: top.spec?.replicas ?? 1 };
      };
      return () => scaleOf;
    },
  };
}
