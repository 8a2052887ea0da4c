import { Deployment, type DeploymentStatus } from '#api/apps/v1/deployment.ts';
import { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { isReason } from '#api/machinery/errors.ts';
import { apiVersionOf, type Partly } from '#api/machinery/kind.ts';
import { compileLabelSelector } from '#api/machinery/selector.ts';
import { afterwards, create, event, remove, retry, update, updateStatus, wake, type Action } from '../actions.ts';
import { isNamespaceTerminating } from '../apply.ts';
import { claim } from '../claims.ts';
import { conditionOf } from '../conditions.ts';
import { defineController } from '../controller.ts';
import { isTerminal } from '../core/pod-state.ts';
import { controllerReference } from '../core/pod-from-template.ts';
import { claimable, controllerOf, lookup, watched, type Read } from '../reads.ts';
import { sameApartFromZeros } from '../same.ts';
import {
  condition,
  countedStatus,
  deadlineMs,
  isComplete,
  rolloutStatus,
  withDeploymentCondition,
} from './deployment-status.ts';
import {
  annotations,
  hasProgressDeadline,
  newSetOf,
  newSetReplicas,
  oldestFirst,
  oldSetsRolledDown,
  proportionally,
  replicasOf,
  nextRevision,
  revisionOf,
  rollingLimits,
  wantedReplicas,
  type Scaling,
} from './rollout.ts';
import { templateHash, templateHashLabel, sameTemplate } from './template-hash.ts';

/** Annotations of a deployment that are not those of its sets. */
const ownAnnotations: ReadonlySet<string> = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  annotations.revision,
  annotations.revisionHistory,
  annotations.desiredReplicas,
  annotations.maxReplicas,
  'deprecated.deployment.rollback.to',
]);
const revisionHistoryCharactersMax = 2000;
const int32Max = 2_147_483_647;

/** Rolls a template out: one set of pods for each version of it, grown and shrunk against each other. */
export const deploymentController = defineController({
  name: 'deployment-controller',
  reconciles: Deployment,
  reads: {
    sets: claimable<Deployment, ReplicaSet>(ReplicaSet, deployment => deployment.spec?.selector),
    runningPods: podsOfSets(),
    known: lookup<Deployment, ReplicaSet>(ReplicaSet),
  },
  writes: [ReplicaSet, Deployment],
  decide(deployment, { sets, runningPods, known, nowMs }) {
    const { spec } = deployment;
    if (!spec) return [];
    if (isEmptySelector(deployment)) return selectingAll(deployment);
    const { claimed, actions } = claim(Deployment, deployment, ReplicaSet, compileLabelSelector(spec.selector), sets);
    const inNamespace = (name: string) => known.get(name, deployment.metadata.namespace);
    return [...actions, ...rollOut(deployment, claimed, inNamespace, runningPods, nowMs)];
  },
});

/** The sets of a deployment, the new one apart. */
interface Sets {
  readonly newSet: ReplicaSet | undefined;
  readonly old: readonly ReplicaSet[];
  readonly all: readonly ReplicaSet[];
  /** Any set of the namespace, whoever owns it, as far as the cache knows when it is asked. */
  known(name: string): ReplicaSet | undefined;
}

function rollOut(
  deployment: Deployment,
  claimed: readonly ReplicaSet[],
  known: Sets['known'],
  runningPods: (set: ReplicaSet) => boolean,
  nowMs: number,
): readonly Action[] {
  const newSet = newSetOf(deployment, claimed);
  const old = claimed.filter(set => set !== newSet);
  const sets: Sets = { newSet, old, all: claimed, known };
  if (deployment.metadata.deletionTimestamp !== undefined)
    return statusWritten(deployment, countedStatus(deployment, claimed, newSet, nowMs));
  const paused = pausedCondition(deployment, nowMs);
  if (paused) return paused;
  const revised = revise(deployment, sets, nowMs);
  if (revised) return revised;
  if (deployment.spec?.paused || isScaling(deployment, claimed)) return scaleOnly(deployment, sets, nowMs);
  return deployment.spec?.strategy?.type === 'Recreate'
    ? recreate(deployment, sets, runningPods, nowMs)
    : roll(deployment, sets, nowMs);
}

function roll(deployment: Deployment, sets: Sets, nowMs: number): readonly Action[] {
  const { newSet, old, all } = sets;
  if (!newSet) return createNewSet(deployment, sets, nowMs);
  const wanted = wantedReplicas(deployment);
  const current = replicasOf(newSet);
  const next = current > wanted ? wanted : newSetReplicas(deployment, all, current);
  const grown = scaled(deployment, [{ set: newSet, replicas: next }]);
  const scalings = grown.length > 0 ? grown : scaled(deployment, oldSetsRolledDown(deployment, newSet, old));
  return finished(deployment, sets, scalings, nowMs);
}

function recreate(
  deployment: Deployment,
  sets: Sets,
  runningPods: (set: ReplicaSet) => boolean,
  nowMs: number,
): readonly Action[] {
  const { newSet, old } = sets;
  const down = scaled(
    deployment,
    old.filter(set => replicasOf(set) > 0).map(set => ({ set, replicas: 0 })),
  );
  if (down.length > 0 || old.some(runningPods)) return finished(deployment, sets, down, nowMs);
  if (!newSet) return createNewSet(deployment, sets, nowMs);
  return finished(deployment, sets, scaled(deployment, [{ set: newSet, replicas: wantedReplicas(deployment) }]), nowMs);
}

/** The end of a look at a rollout: scale, tidy up when it is complete, and say how it goes. */
function finished(
  deployment: Deployment,
  { newSet, old, all }: Sets,
  scalings: readonly Action[],
  nowMs: number,
): readonly Action[] {
  const status = rolloutStatus(deployment, all, newSet, nowMs);
  const tidy = scalings.length === 0 && isComplete(deployment, deployment.status) ? cleanUp(deployment, old) : [];
  const dueMs = deadlineMs(deployment, status);
  return [...scalings, ...tidy, ...statusWritten(deployment, status), ...(dueMs === undefined ? [] : [wake(dueMs)])];
}

/** Paused, or the wanted number has changed: the numbers follow, the rollout stands. */
function scaleOnly(deployment: Deployment, sets: Sets, nowMs: number): readonly Action[] {
  const { newSet, old, all } = sets;
  const scalings = scaled(deployment, scalingsOf(deployment, sets));
  const tidy = deployment.spec?.paused && scalings.length === 0 ? cleanUp(deployment, old) : [];
  return [...scalings, ...tidy, ...statusWritten(deployment, countedStatus(deployment, all, newSet, nowMs))];
}

function scalingsOf(deployment: Deployment, { newSet, old }: Sets): readonly Scaling[] {
  const wanted = wantedReplicas(deployment);
  const active = [...old, ...(newSet ? [newSet] : [])].filter(set => replicasOf(set) > 0);
  const only = active.length === 0 ? (newSet ?? old.toSorted(oldestFirst).at(-1)) : active[0];
  if (active.length <= 1) return only ? [{ set: only, replicas: wanted }] : [];
  if (newSet && isSaturated(deployment, newSet))
    return old.filter(set => replicasOf(set) > 0).map(set => ({ set, replicas: 0 }));
  // Nothing moves, but the sets learn the wanted number, or this would go on for ever.
  return deployment.spec?.strategy?.type === 'RollingUpdate'
    ? proportionally(deployment, active)
    : active.map(set => ({ set, replicas: replicasOf(set) }));
}

function isSaturated(deployment: Deployment, newSet: ReplicaSet): boolean {
  const wanted = wantedReplicas(deployment);
  return (
    replicasOf(newSet) === wanted &&
    Number(newSet.metadata.annotations?.[annotations.desiredReplicas] ?? -1) === wanted &&
    (newSet.status?.availableReplicas ?? 0) === wanted
  );
}

/** A set still carries another wanted number than the deployment has. */
function isScaling(deployment: Deployment, sets: readonly ReplicaSet[]): boolean {
  return sets.some(set => {
    const desired = set.metadata.annotations?.[annotations.desiredReplicas];
    return replicasOf(set) > 0 && desired !== undefined && Number(desired) !== wantedReplicas(deployment);
  });
}

/** The writes that give sets their numbers, and the annotations that remember them. */
function scaled(deployment: Deployment, scalings: readonly Scaling[]): Action[] {
  const remembered = replicaAnnotations(deployment);
  return scalings.flatMap(({ set, replicas }) => {
    const before = replicasOf(set);
    if (replicas === before && hasAnnotations(set, remembered)) return [];
    const direction = replicas > before ? 'up' : 'down';
    return [
      update(
        ReplicaSet,
        {
          ...set,
          metadata: { ...set.metadata, annotations: { ...set.metadata.annotations, ...remembered } },
          spec: { ...set.spec, replicas },
        },
        {
          succeeded: () =>
            replicas === before
              ? undefined
              : event(
                  deployment,
                  'Normal',
                  'ScalingReplicaSet',
                  `Scaled ${direction} replica set ${set.metadata.name} from ${before} to ${replicas}`,
                ),
        },
      ),
    ];
  });
}

function replicaAnnotations(deployment: Deployment): Record<string, string> {
  const wanted = wantedReplicas(deployment);
  return {
    [annotations.desiredReplicas]: String(wanted),
    [annotations.maxReplicas]: String(wanted + rollingLimits(deployment).maxSurge),
  };
}

function hasAnnotations(set: ReplicaSet, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([key, value]) => set.metadata.annotations?.[key] === value);
}

/** Brings the new set's revision and annotations, and the deployment's revision, up to date; undefined when they are. */
function revise(deployment: Deployment, { newSet, old }: Sets, nowMs: number): readonly Action[] | undefined {
  if (!newSet) return undefined;
  const revision = nextRevision(old);
  const wanted = annotationsFor(deployment, newSet, revision);
  const minReadySeconds = deployment.spec?.minReadySeconds ?? 0;
  if (!hasAnnotations(newSet, wanted) || (newSet.spec.minReadySeconds ?? 0) !== minReadySeconds)
    return [
      update(ReplicaSet, {
        ...newSet,
        metadata: { ...newSet.metadata, annotations: { ...newSet.metadata.annotations, ...wanted } },
        spec: { ...newSet.spec, minReadySeconds },
      }),
    ];
  const revisionText = newSet.metadata.annotations?.[annotations.revision] ?? '';
  const isNumbered = revisionText === '' || deployment.metadata.annotations?.[annotations.revision] === revisionText;
  const numbered = isNumbered ? deployment : withRevision(deployment, revisionText);
  if (hasProgressDeadline(deployment) && !conditionOf(deployment.status?.conditions, 'Progressing')) {
    const found = `Found new replica set ${JSON.stringify(newSet.metadata.name)}`;
    return progressWritten(numbered, 'True', 'FoundNewReplicaSet', found, nowMs);
  }
  return isNumbered ? undefined : [updateStatus(Deployment, numbered)];
}

/** Written together with the status, which carries annotations too. */
function withRevision(deployment: Deployment, revision: string): Deployment {
  const { metadata } = deployment;
  return {
    ...deployment,
    metadata: { ...metadata, annotations: { ...metadata.annotations, [annotations.revision]: revision } },
  };
}

/** The deployment's annotations and the revision, which only grows; the revisions it had before are kept as history. */
function annotationsFor(deployment: Deployment, set: ReplicaSet | undefined, revision: bigint): Record<string, string> {
  const wanted: Record<string, string> = {};
  for (const [key, value] of Object.entries(deployment.metadata.annotations ?? {}))
    if (!ownAnnotations.has(key)) wanted[key] = value;
  const before = set?.metadata.annotations?.[annotations.revision];
  if (!set || revisionOf(set) < revision) {
    wanted[annotations.revision] = String(revision);
    if (before !== undefined && set) {
      const history = set.metadata.annotations?.[annotations.revisionHistory] ?? '';
      wanted[annotations.revisionHistory] = appendedHistory(history, before);
    }
  }
  return wanted;
}

function appendedHistory(history: string, revision: string): string {
  const revisions = history === '' ? [] : history.split(',');
  revisions.push(revision);
  while (revisions.length > 1 && revisions.join(',').length > revisionHistoryCharactersMax) revisions.shift();
  return revisions.join(',');
}

function createNewSet(deployment: Deployment, { old, all, known }: Sets, nowMs: number): readonly Action[] {
  const { spec, status } = deployment;
  if (!spec) return [];
  const hash = templateHash(spec.template, status?.collisionCount);
  const name = `${deployment.metadata.name}-${hash}`;
  const labels = { ...spec.template.metadata?.labels, [templateHashLabel]: hash };
  const replicas = newSetReplicas(deployment, all, 0);
  const revision = nextRevision(old);
  const template = { ...spec.template, metadata: { ...spec.template.metadata, labels } };
  const set: Partly<ReplicaSet> = {
    apiVersion: apiVersionOf(ReplicaSet),
    kind: 'ReplicaSet',
    metadata: {
      name,
      namespace: deployment.metadata.namespace,
      labels,
      annotations: { ...annotationsFor(deployment, undefined, revision), ...replicaAnnotations(deployment) },
      ownerReferences: [controllerReference(Deployment, deployment)],
    },
    spec: {
      replicas,
      minReadySeconds: spec.minReadySeconds ?? 0,
      selector: { ...spec.selector, matchLabels: { ...spec.selector.matchLabels, [templateHashLabel]: hash } },
      template,
    },
  };
  return [
    create(ReplicaSet, set, {
      succeeded: () =>
        replicas > 0
          ? event(deployment, 'Normal', 'ScalingReplicaSet', `Scaled up replica set ${name} from 0 to ${replicas}`)
          : undefined,
      failed: error =>
        isReason(error, 'AlreadyExists') || isNamespaceTerminating(error)
          ? undefined
          : event(deployment, 'Warning', 'ReplicaSetCreateError', createError(name, error)),
    }),
    afterwards(({ failures }) => {
      const error = failures.find(({ action }) => action.do === 'create')?.error;
      if (!error) return created(deployment, name, String(revision), nowMs);
      if (isReason(error, 'AlreadyExists')) {
        const taken = known(name);
        // It may be ours: made by us, whom no answer reached.
        if (!taken) return [retry(`the replica set ${name} is there, and not in the cache yet`)];
        const isOurs = controllerOf(taken)?.uid === deployment.metadata.uid;
        // The cache was late, and has it now. Anybody else's, or another template of the same hash: another name.
        if (isOurs && sameTemplate(taken.spec.template, spec.template)) return [];
        const collisionCount = (status?.collisionCount ?? 0) + 1;
        return [updateStatus(Deployment, { ...deployment, status: { ...status, collisionCount } })];
      }
      return isNamespaceTerminating(error) || !hasProgressDeadline(deployment)
        ? []
        : progressWritten(deployment, 'False', 'ReplicaSetCreateError', createError(name, error), nowMs);
    }),
  ];
}

function createError(name: string, error: Error): string {
  return `Failed to create new replica set ${JSON.stringify(name)}: ${error.message}`;
}

function created(deployment: Deployment, name: string, revision: string, nowMs: number): readonly Action[] {
  const numbered = withRevision(deployment, revision);
  if (!hasProgressDeadline(deployment)) return [updateStatus(Deployment, numbered)];
  const message = `Created new replica set ${JSON.stringify(name)}`;
  return progressWritten(numbered, 'True', 'NewReplicaSetCreated', message, nowMs);
}

function progressWritten(
  deployment: Deployment,
  status: string,
  reason: string,
  message: string,
  nowMs: number,
): readonly Action[] {
  const conditions = withDeploymentCondition(
    deployment.status?.conditions,
    condition('Progressing', status, reason, message, nowMs),
  );
  return statusWritten(deployment, { ...deployment.status, conditions });
}

/** Says that the rollout is paused or goes on; undefined when that is said. */
function pausedCondition(deployment: Deployment, nowMs: number): readonly Action[] | undefined {
  if (!hasProgressDeadline(deployment)) return undefined;
  const progressing = conditionOf(deployment.status?.conditions, 'Progressing');
  // A rollout that failed stays so.
  if (progressing?.reason === 'ProgressDeadlineExceeded') return undefined;
  const said = progressing?.reason === 'DeploymentPaused';
  if (deployment.spec?.paused && !said)
    return progressWritten(deployment, 'Unknown', 'DeploymentPaused', 'Deployment is paused', nowMs);
  if (!deployment.spec?.paused && said)
    return progressWritten(deployment, 'Unknown', 'DeploymentResumed', 'Deployment is resumed', nowMs);
  return undefined;
}

/** Old sets without pods beyond the history that is kept. */
function cleanUp(deployment: Deployment, old: readonly ReplicaSet[]): readonly Action[] {
  const limit = deployment.spec?.revisionHistoryLimit;
  if (limit === undefined || limit === int32Max) return [];
  const alive = old.filter(set => set.metadata.deletionTimestamp === undefined);
  return alive
    .toSorted((a, b) => Number(revisionOf(a) - revisionOf(b)) || oldestFirst(a, b))
    .slice(0, Math.max(0, alive.length - limit))
    .filter(
      set =>
        (set.status?.replicas ?? 0) === 0 &&
        replicasOf(set) === 0 &&
        (set.metadata.generation ?? 0) <= (set.status?.observedGeneration ?? 0),
    )
    .map(set => remove(ReplicaSet, set));
}

function statusWritten(deployment: Deployment, status: DeploymentStatus): readonly Action[] {
  return sameApartFromZeros(status, deployment.status) ? [] : [updateStatus(Deployment, { ...deployment, status })];
}

function isEmptySelector({ spec }: Deployment): boolean {
  const { matchLabels = {}, matchExpressions = [] } = spec?.selector ?? {};
  return Object.keys(matchLabels).length === 0 && matchExpressions.length === 0;
}

function selectingAll(deployment: Deployment): readonly Action[] {
  const { generation = 0 } = deployment.metadata;
  const { observedGeneration = 0 } = deployment.status ?? {};
  const message = 'This deployment is selecting all pods. A non-empty selector is required.';
  return [
    event(deployment, 'Warning', 'SelectingAll', message),
    ...(observedGeneration < generation
      ? [updateStatus(Deployment, { ...deployment, status: { ...deployment.status, observedGeneration: generation } })]
      : []),
  ];
}

/** Does a set have pods that still run? Only Recreate asks; so only its deployments are woken by a pod that ends. */
function podsOfSets(): Read<Deployment, (set: ReplicaSet) => boolean> {
  return {
    kinds: [Pod, ReplicaSet],
    open(source) {
      const sets = source.informers.of(ReplicaSet);
      return watched<Deployment, Pod, (set: ReplicaSet) => boolean>(
        Pod,
        pods => {
          const bySet = pods.index('controller', pod => {
            const owner = controllerOf(pod);
            return owner ? [owner.uid] : [];
          });
          return () => set => {
            for (const pod of bySet.get(set.metadata.uid ?? '').values()) if (!isTerminal(pod)) return true;
            return false;
          };
        },
        (pod, old, deployments, change) => {
          const ended = change === 'deleted' || (old !== undefined && isTerminal(pod) && !isTerminal(old));
          if (!ended) return [];
          const { namespace } = pod.metadata;
          const set = sets.get(controllerOf(pod)?.name ?? '', namespace);
          const deployment = set && deployments.get(controllerOf(set)?.name ?? '', namespace);
          return deployment?.spec?.strategy?.type === 'Recreate' ? [`${namespace}/${deployment.metadata.name}`] : [];
        },
      ).open(source);
    },
  };
}
