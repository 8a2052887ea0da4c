import type { Deployment } from '#api/apps/v1/deployment.ts';
import type { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import { timeMs } from '../time.ts';
import { sameTemplate } from './template-hash.ts';

export const annotations = {
  revision: 'deployment.kubernetes.io/revision',
  revisionHistory: 'deployment.kubernetes.io/revision-history',
  desiredReplicas: 'deployment.kubernetes.io/desired-replicas',
  maxReplicas: 'deployment.kubernetes.io/max-replicas',
} as const;

/** No deadline, upstream's way to say it beside leaving it out. */
const int32Max = 2_147_483_647;

export function hasProgressDeadline({ spec }: Deployment): boolean {
  return spec?.progressDeadlineSeconds !== undefined && spec.progressDeadlineSeconds !== int32Max;
}

export function wantedReplicas(deployment: Deployment): number {
  return deployment.spec?.replicas ?? 1;
}

export function replicasOf(set: ReplicaSet): number {
  return set.spec.replicas ?? 1;
}

/** How many pods an update may have beyond and below the wanted number. */
export function rollingLimits(deployment: Deployment): { readonly maxSurge: number; readonly maxUnavailable: number } {
  const { strategy } = deployment.spec ?? {};
  const wanted = wantedReplicas(deployment);
  if (strategy?.type !== 'RollingUpdate' || wanted === 0) return { maxSurge: 0, maxUnavailable: 0 };
  const maxSurge = share(strategy.rollingUpdate?.maxSurge ?? 0, wanted, Math.ceil);
  const maxUnavailable = share(strategy.rollingUpdate?.maxUnavailable ?? 0, wanted, Math.floor);
  // Both can round to zero, and then nothing could ever move.
  return { maxSurge, maxUnavailable: Math.min(wanted, maxSurge === 0 && maxUnavailable === 0 ? 1 : maxUnavailable) };
}

/** `25%` of a number, or the number itself. */
export function share(value: number | string, of: number, round: (value: number) => number): number {
  if (typeof value === 'number') return value;
  const match = /^(\d+)%$/.exec(value);
  return match ? round((Number(match[1]) * of) / 100) : 0;
}

export function revisionOf(object: {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> | undefined };
}): bigint {
  const text = object.metadata.annotations?.[annotations.revision] ?? '';
  return /^[+-]?\d{1,19}$/.test(text) ? BigInt.asIntN(64, BigInt(text)) : 0n;
}

/** The number behind those of the old sets. */
export function nextRevision(old: readonly ReplicaSet[]): bigint {
  return old.map(revisionOf).reduce((highest, each) => (each > highest ? each : highest), 0n) + 1n;
}

export function oldestFirst(a: ReplicaSet, b: ReplicaSet): number {
  const difference = timeMs(a.metadata.creationTimestamp) - timeMs(b.metadata.creationTimestamp);
  return difference || ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1);
}

/** The oldest set that has the deployment's template, so that the choice is the same each time. */
export function newSetOf(deployment: Deployment, sets: readonly ReplicaSet[]): ReplicaSet | undefined {
  const template = deployment.spec?.template;
  return template && sets.toSorted(oldestFirst).find(set => sameTemplate(set.spec.template, template));
}

export function sum(sets: readonly ReplicaSet[], of: (set: ReplicaSet) => number | undefined): number {
  return sets.reduce((total, set) => total + (of(set) ?? 0), 0);
}

/** How many replicas the new set is to have, so that all sets together stay within the surge. */
export function newSetReplicas(deployment: Deployment, all: readonly ReplicaSet[], current: number): number {
  const wanted = wantedReplicas(deployment);
  if (deployment.spec?.strategy?.type !== 'RollingUpdate') return wanted;
  const room = wanted + rollingLimits(deployment).maxSurge - sum(all, replicasOf);
  return room <= 0 ? current : current + Math.min(room, wanted - current);
}

/** A set with the number of replicas that it is to have. */
export interface Scaling {
  readonly set: ReplicaSet;
  readonly replicas: number;
}

/**
 * What a rolling update takes from the old sets: first pods that are not available anyway, then as many as the update may
 * be short of.
 */
export function oldSetsRolledDown(
  deployment: Deployment,
  newSet: ReplicaSet,
  old: readonly ReplicaSet[],
): readonly Scaling[] {
  const all = [...old, newSet];
  if (sum(old, replicasOf) === 0) return [];
  const minAvailable = wantedReplicas(deployment) - rollingLimits(deployment).maxUnavailable;
  const newUnavailable = replicasOf(newSet) - (newSet.status?.availableReplicas ?? 0);
  const removable = sum(all, replicasOf) - minAvailable - newUnavailable;
  if (removable <= 0) return [];
  const left = new Map(old.toSorted(oldestFirst).map(set => [set, replicasOf(set)]));
  let taken = 0;
  for (const [set, replicas] of left) {
    const unavailable = replicas - (set.status?.availableReplicas ?? 0);
    const take = Math.min(removable - taken, Math.max(0, unavailable), replicas);
    left.set(set, replicas - take);
    taken += take;
  }
  let spare = sum(all, set => set.status?.availableReplicas) - minAvailable;
  for (const [set, replicas] of left) {
    const take = Math.min(Math.max(0, spare), replicas);
    left.set(set, replicas - take);
    spare -= take;
  }
  return [...left]
    .map(([set, replicas]) => ({ set, replicas }))
    .filter(({ set, replicas }) => replicas !== replicasOf(set));
}

/** How a change of the wanted number is spread in the middle of an update: in proportion, the rest to the largest. */
export function proportionally(deployment: Deployment, active: readonly ReplicaSet[]): readonly Scaling[] {
  const wanted = wantedReplicas(deployment);
  const allowed = wanted > 0 ? wanted + rollingLimits(deployment).maxSurge : 0;
  const change = allowed - sum(active, replicasOf);
  // Growing favours newer sets of the same size, shrinking takes from older ones.
  const sorted = active.toSorted(
    (a, b) => replicasOf(b) - replicasOf(a) || (change > 0 ? oldestFirst(b, a) : oldestFirst(a, b)),
  );
  let given = 0;
  const sizes = sorted.map(set => {
    const part = change === 0 ? 0 : portion(deployment, set, change, given);
    given += part;
    return replicasOf(set) + part;
  });
  return sorted.map((set, index) => ({
    set,
    replicas: Math.max(0, (sizes[index] ?? 0) + (index === 0 ? change - given : 0)),
  }));
}

function portion(deployment: Deployment, set: ReplicaSet, change: number, given: number): number {
  const replicas = replicasOf(set);
  if (replicas === 0 || change === given) return 0;
  const fraction = setFraction(deployment, set);
  return change > 0 ? Math.min(fraction, change - given) : Math.max(fraction, change - given);
}

function setFraction(deployment: Deployment, set: ReplicaSet): number {
  const wanted = wantedReplicas(deployment);
  const replicas = replicasOf(set);
  if (wanted === 0) return -replicas;
  const maxAfter = wanted + rollingLimits(deployment).maxSurge;
  const maxBefore = Number(set.metadata.annotations?.[annotations.maxReplicas] ?? deployment.status?.replicas ?? 0);
  return maxBefore > 0 ? Math.round((replicas * maxAfter) / maxBefore) - replicas : 0;
}
