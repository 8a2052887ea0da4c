import { ControllerRevision } from '#api/apps/v1/controller-revision.ts';
import { StatefulSet, type StatefulSetStatus } from '#api/apps/v1/stateful-set.ts';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { PodSpec } from '#api/core/v1/pod-spec.ts';
import type { OwnerReference } from '#api/meta/v1/object-meta.ts';
import { isReason } from '#api/machinery/errors.ts';
import type { Partly } from '#api/machinery/kind.ts';
import { compileLabelSelector } from '#api/machinery/selector.ts';
import type { Informer } from '#client/informer.ts';
import { afterwards, create, event, remove, update, updateStatus, wake, type Action } from '../actions.ts';
import { claim } from '../claims.ts';
import { defineController } from '../controller.ts';
import { podFromTemplate } from '../core/pod-from-template.ts';
import { availableAtMs, isAvailable, isReady } from '../core/pod-state.ts';
import { claimable, lookup, owned } from '../reads.ts';
import { sameApartFromZeros } from '../same.ts';
import { dropOldRevisions, hashOf, revisionLabel, reviseTemplate, templateOf, type Revisions } from './revisions.ts';
import { share } from './rollout.ts';

const podNameLabel = 'statefulset.kubernetes.io/pod-name';
const podIndexLabel = 'apps.kubernetes.io/pod-index';

/** Keeps pods that have a number each: a name, a place in the order and storage that stay theirs. */
export const statefulSetController = defineController({
  name: 'statefulset-controller',
  reconciles: StatefulSet,
  reads: {
    pods: claimable<StatefulSet, Pod>(Pod, set => set.spec?.selector),
    revisions: owned<StatefulSet, ControllerRevision>(ControllerRevision),
    claims: lookup<StatefulSet, PersistentVolumeClaim>(PersistentVolumeClaim),
  },
  writes: [StatefulSet, Pod, PersistentVolumeClaim, ControllerRevision],
  decide(set, { pods, revisions, claims, nowMs }) {
    const { spec } = set;
    if (!spec) return [];
    const matches = compileLabelSelector(spec.selector);
    // A pod whose name is not one of ours is not ours, whatever its labels say.
    const orphans = pods.orphans.filter(pod => ordinalOf(set, pod) !== undefined);
    const { claimed, actions } = claim(StatefulSet, set, Pod, matches, { owned: pods.owned, orphans });
    if (set.metadata.deletionTimestamp !== undefined) return actions;
    const { collisionCount } = set.status ?? {};
    const revised = reviseTemplate(
      StatefulSet,
      set,
      spec.template,
      spec.selector.matchLabels ?? {},
      revisions,
      collisionCount,
    );
    const look = new Look(set, claimed, revised, claims, nowMs);
    return [
      ...actions,
      ...revised.actions,
      afterwards(({ failures }) =>
        failures.some(({ action, error }) => action.do === 'create' && isReason(error, 'AlreadyExists'))
          ? [
              updateStatus(StatefulSet, {
                ...set,
                status: { ...look.status(), collisionCount: (collisionCount ?? 0) + 1 },
              }),
            ]
          : [...look.steps(), afterwards(() => look.report())],
      ),
    ];
  },
});

/** One look at a set: its pods by number, and what is to be done next. */
class Look {
  readonly #set: StatefulSet;
  readonly #spec: NonNullable<StatefulSet['spec']>;
  readonly #pods: readonly Pod[];
  readonly #byOrdinal = new Map<number, Pod>();
  readonly #condemned: readonly Pod[];
  readonly #ordinals: readonly number[];
  readonly #revised: Revisions;
  readonly #currentRevision: string;
  readonly #updateRevision: string;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #nowMs: number;

  constructor(
    set: StatefulSet,
    pods: readonly Pod[],
    revised: Revisions,
    claims: Informer<PersistentVolumeClaim>,
    nowMs: number,
  ) {
    this.#set = set;
    this.#spec = set.spec as NonNullable<StatefulSet['spec']>;
    this.#pods = pods;
    this.#revised = revised;
    this.#claims = claims;
    this.#nowMs = nowMs;
    this.#updateRevision = revised.current.metadata.name ?? '';
    const known = revised.history.some(({ metadata }) => metadata.name === set.status?.currentRevision);
    this.#currentRevision = known ? (set.status?.currentRevision ?? '') : this.#updateRevision;
    const start = this.#spec.ordinals?.start ?? 0;
    this.#ordinals = Array.from({ length: this.#spec.replicas ?? 1 }, (_, index) => start + index);
    const wanted = new Set(this.#ordinals);
    const condemned: { readonly ordinal: number; readonly pod: Pod }[] = [];
    for (const pod of pods) {
      const ordinal = ordinalOf(set, pod);
      if (ordinal === undefined) continue;
      if (wanted.has(ordinal)) this.#byOrdinal.set(ordinal, pod);
      else condemned.push({ ordinal, pod });
    }
    this.#condemned = condemned.toSorted((a, b) => b.ordinal - a.ordinal).map(({ pod }) => pod);
  }

  /** The next writes. In order a step waits until the one before is done; in parallel all are taken at once. */
  steps(): readonly Action[] {
    const ordered = this.#spec.podManagementPolicy !== 'Parallel';
    const actions: Action[] = [];
    for (const ordinal of this.#ordinals) {
      const step = this.#step(ordinal);
      actions.push(...step.actions);
      if (ordered && !step.done) return actions;
    }
    for (const pod of this.#condemned) {
      if (pod.metadata.deletionTimestamp !== undefined) {
        if (ordered) return actions;
        continue;
      }
      // A pod in the middle that is not well is not made lonelier, unless it is this very pod.
      if (ordered && !isReady(pod) && this.#firstUnhealthy() !== pod) return actions;
      actions.push(...this.#ownClaims(pod, true), this.#deleted(pod));
      if (ordered) return actions;
    }
    return [...actions, ...this.#update()];
  }

  report(): readonly Action[] {
    const status = this.status();
    const inUse = new Set([
      hashOf(this.#revised.current),
      ...this.#revised.history.filter(({ metadata }) => metadata.name === this.#currentRevision).map(hashOf),
      ...this.#pods.map(pod => this.#hashOfPod(pod)),
    ]);
    const wakeAtMs = this.#nextAvailableMs();
    return [
      ...(sameApartFromZeros(status, this.#set.status) ? [] : [updateStatus(StatefulSet, { ...this.#set, status })]),
      ...dropOldRevisions(this.#revised.history, inUse, this.#spec.revisionHistoryLimit ?? 10),
      ...(wakeAtMs === undefined ? [] : [wake(wakeAtMs)]),
    ];
  }

  status(): StatefulSetStatus {
    const created = this.#pods.filter(isCreated);
    const present = created.filter(pod => pod.metadata.deletionTimestamp === undefined);
    const ofRevision = (name: string) => {
      const hash = this.#hashNamed(name);
      return present.filter(pod => this.#hashOfPod(pod) === hash).length;
    };
    const ready = created.filter(isRunningAndReady);
    const updatedReplicas = ofRevision(this.#updateRevision);
    const replicas = this.#spec.replicas ?? 1;
    const complete =
      this.#spec.updateStrategy?.type !== 'OnDelete' &&
      updatedReplicas === replicas &&
      ready.length === replicas &&
      created.length === replicas;
    const currentRevision = complete ? this.#updateRevision : this.#currentRevision;
    const { collisionCount, conditions } = this.#set.status ?? {};
    return {
      observedGeneration: this.#set.metadata.generation ?? 0,
      replicas: created.length,
      readyReplicas: ready.length,
      availableReplicas: ready.filter(pod => isAvailable(pod, this.#minReadySeconds, this.#nowMs)).length,
      currentReplicas: complete ? updatedReplicas : ofRevision(this.#currentRevision),
      updatedReplicas,
      currentRevision,
      updateRevision: this.#updateRevision,
      ...(collisionCount !== undefined && { collisionCount }),
      ...(conditions && { conditions }),
    };
  }

  #step(ordinal: number): { readonly actions: readonly Action[]; readonly done: boolean } {
    const pod = this.#byOrdinal.get(ordinal);
    if (!pod) return { actions: [...this.#missingClaims(ordinal), this.#created(ordinal)], done: false };
    const { phase } = pod.status ?? {};
    if (phase === 'Failed' || phase === 'Succeeded') {
      if (pod.metadata.deletionTimestamp !== undefined) return { actions: [], done: false };
      return { actions: [this.#recreating(pod, phase), this.#deleted(pod)], done: false };
    }
    const claims = phase === 'Pending' ? this.#missingClaims(ordinal) : [];
    const done =
      pod.metadata.deletionTimestamp === undefined &&
      isRunningAndReady(pod) &&
      isAvailable(pod, this.#minReadySeconds, this.#nowMs);
    return { actions: [...claims, ...this.#ownClaims(pod, false)], done };
  }

  /** Replaces pods of another revision, the highest number first, as many at a time as may be away. */
  #update(): readonly Action[] {
    const { updateStrategy, ordinals } = this.#spec;
    if (updateStrategy?.type === 'OnDelete') return [];
    const partition = (ordinals?.start ?? 0) + (updateStrategy?.rollingUpdate?.partition ?? 0);
    const hash = hashOf(this.#revised.current);
    const replicas = this.#spec.replicas ?? 1;
    const awayMax = Math.max(1, share(updateStrategy?.rollingUpdate?.maxUnavailable ?? 1, replicas, Math.ceil));
    let away = 0;
    for (const pod of this.#byOrdinal.values()) if (!this.#isWell(pod)) away++;
    const actions: Action[] = [];
    for (const ordinal of this.#ordinals.toReversed()) {
      if (ordinal < partition) break;
      const pod = this.#byOrdinal.get(ordinal);
      if (!pod || pod.metadata.deletionTimestamp !== undefined || this.#hashOfPod(pod) === hash) {
        if (pod && !this.#isWell(pod) && awayMax === 1) break;
        continue;
      }
      const well = this.#isWell(pod);
      // Whoever is away anyway is replaced at once.
      if (well && away >= awayMax) break;
      actions.push(this.#deleted(pod));
      if (well) away++;
    }
    return actions;
  }

  #isWell(pod: Pod): boolean {
    return (
      pod.metadata.deletionTimestamp === undefined &&
      isRunningAndReady(pod) &&
      isAvailable(pod, this.#minReadySeconds, this.#nowMs)
    );
  }

  #firstUnhealthy(): Pod | undefined {
    const all = [...this.#byOrdinal.values(), ...this.#condemned].toSorted(
      (a, b) => (ordinalOf(this.#set, a) ?? 0) - (ordinalOf(this.#set, b) ?? 0),
    );
    return all.find(pod => !isRunningAndReady(pod) || pod.metadata.deletionTimestamp !== undefined);
  }

  #created(ordinal: number): Action {
    const revision = this.#revisionFor(ordinal);
    const template = templateOf(revision);
    const name = `${this.#set.metadata.name}-${ordinal}`;
    const { generateName: _, ...metadata } = podFromTemplate(StatefulSet, this.#set, template).metadata ?? {};
    const spec = template.spec ?? ({} as PodSpec);
    const claimed = (this.#spec.volumeClaimTemplates ?? []).map(({ metadata: { name: volume = '' } }) => ({
      name: volume,
      persistentVolumeClaim: { claimName: `${volume}-${name}` },
    }));
    const pod: Partly<Pod> = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        ...metadata,
        name,
        labels: {
          ...metadata.labels,
          [podNameLabel]: name,
          [podIndexLabel]: String(ordinal),
          // Upstream's label is the revision's whole name here.
          [revisionLabel]: revision.metadata.name ?? '',
        },
      },
      spec: {
        ...spec,
        hostname: name,
        subdomain: this.#spec.serviceName ?? '',
        volumes: [...(spec.volumes ?? []).filter(each => !claimed.some(one => one.name === each.name)), ...claimed],
      },
    };
    const { name: setName } = this.#set.metadata;
    return create(Pod, pod, {
      succeeded: () =>
        event(this.#set, 'Normal', 'SuccessfulCreate', `create Pod ${name} in StatefulSet ${setName} successful`),
      failed: error =>
        event(
          this.#set,
          'Warning',
          'FailedCreate',
          `create Pod ${name} in StatefulSet ${setName} failed error: ${error.message}`,
        ),
    });
  }

  /** Below the partition, and while an update is on its way below what is updated, pods come back as they were. */
  #revisionFor(ordinal: number): ControllerRevision {
    const { updateStrategy, ordinals } = this.#spec;
    const start = ordinals?.start ?? 0;
    const old = this.#revised.history.find(({ metadata }) => metadata.name === this.#currentRevision);
    if (!old || updateStrategy?.type === 'OnDelete') return this.#revised.current;
    const partition = updateStrategy?.rollingUpdate?.partition;
    const below = partition === undefined ? (this.#set.status?.currentReplicas ?? 0) : partition;
    return ordinal < start + below ? old : this.#revised.current;
  }

  #missingClaims(ordinal: number): readonly Action[] {
    const podName = `${this.#set.metadata.name}-${ordinal}`;
    const { namespace } = this.#set.metadata;
    return (this.#spec.volumeClaimTemplates ?? []).flatMap(template => {
      const name = `${template.metadata.name}-${podName}`;
      if (this.#claims.get(name, namespace)) return [];
      const labels = { ...template.metadata.labels, ...this.#spec.selector.matchLabels };
      const { annotations } = template.metadata;
      const claimed: Partly<PersistentVolumeClaim> = {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: {
          name,
          ...(namespace !== undefined && { namespace }),
          labels,
          ...(annotations && { annotations }),
          ...(this.#claimsGoWithSet && { ownerReferences: [this.#setReference()] }),
        },
        ...(template.spec && { spec: template.spec }),
      };
      const { name: setName } = this.#set.metadata;
      return [
        create(PersistentVolumeClaim, claimed, {
          succeeded: () =>
            event(
              this.#set,
              'Normal',
              'SuccessfulCreate',
              `create Claim ${name} Pod ${podName} in StatefulSet ${setName} success`,
            ),
          failed: error =>
            event(
              this.#set,
              'Warning',
              'FailedCreate',
              `create Claim ${name} for Pod ${podName} in StatefulSet ${setName} failed error: ${error.message}`,
            ),
        }),
      ];
    });
  }

  get #claimsGoWithSet(): boolean {
    return this.#spec.persistentVolumeClaimRetentionPolicy?.whenDeleted === 'Delete';
  }

  /** Owners say with whom a claim goes: with the set, with a pod that is scaled away, or with nobody. */
  #ownClaims(pod: Pod, condemned: boolean): readonly Action[] {
    const { namespace } = this.#set.metadata;
    const goesWithPod = condemned && this.#spec.persistentVolumeClaimRetentionPolicy?.whenScaled === 'Delete';
    const wanted: OwnerReference[] = goesWithPod
      ? [{ apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name ?? '', uid: pod.metadata.uid ?? '' }]
      : this.#claimsGoWithSet
        ? [this.#setReference()]
        : [];
    return (this.#spec.volumeClaimTemplates ?? []).flatMap(template => {
      const found = this.#claims.get(`${template.metadata.name}-${pod.metadata.name}`, namespace);
      if (!found) return [];
      const ours = (reference: OwnerReference) =>
        reference.uid === this.#set.metadata.uid || (reference.kind === 'Pod' && reference.name === pod.metadata.name);
      const owners = found.metadata.ownerReferences ?? [];
      const ownerReferences = [...owners.filter(reference => !ours(reference)), ...wanted];
      if (sameApartFromZeros(owners, ownerReferences)) return [];
      return [update(PersistentVolumeClaim, { ...found, metadata: { ...found.metadata, ownerReferences } })];
    });
  }

  #setReference(): OwnerReference {
    const { name = '', uid = '' } = this.#set.metadata;
    return { apiVersion: 'apps/v1', kind: 'StatefulSet', name, uid, controller: true };
  }

  #deleted(pod: Pod): Action {
    const { name } = this.#set.metadata;
    const { name: podName } = pod.metadata;
    return remove(Pod, pod, {
      succeeded: () =>
        event(this.#set, 'Normal', 'SuccessfulDelete', `delete Pod ${podName} in StatefulSet ${name} successful`),
      failed: error =>
        event(
          this.#set,
          'Warning',
          'FailedDelete',
          `delete Pod ${podName} in StatefulSet ${name} failed error: ${error.message}`,
        ),
    });
  }

  #recreating(pod: Pod, phase: string): Action {
    const { namespace, name } = this.#set.metadata;
    const failed = phase === 'Failed';
    return event(
      this.#set,
      failed ? 'Warning' : 'Normal',
      failed ? 'RecreatingFailedPod' : 'RecreatingTerminatedPod',
      `StatefulSet ${namespace}/${name} is recreating ${failed ? 'failed' : 'terminated'} Pod ${pod.metadata.name}`,
    );
  }

  get #minReadySeconds(): number {
    return this.#spec.minReadySeconds ?? 0;
  }

  #nextAvailableMs(): number | undefined {
    if (this.#minReadySeconds === 0) return undefined;
    const times = this.#pods
      .map(pod => availableAtMs(pod, this.#minReadySeconds))
      .filter(atMs => atMs > this.#nowMs && atMs < Number.POSITIVE_INFINITY);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  #hashOfPod({ metadata }: Pod): string {
    const label = metadata.labels?.[revisionLabel] ?? '';
    const prefix = `${this.#set.metadata.name}-`;
    return label.startsWith(prefix) ? label.slice(prefix.length) : label;
  }

  #hashNamed(name: string): string {
    const revision = this.#revised.history.find(({ metadata }) => metadata.name === name);
    return revision ? hashOf(revision) : '';
  }
}

/** The number of a pod: the set's name, a dash, and it. */
function ordinalOf({ metadata }: StatefulSet, pod: Pod): number | undefined {
  const prefix = `${metadata.name}-`;
  const name = pod.metadata.name ?? '';
  if (!name.startsWith(prefix)) return undefined;
  const text = name.slice(prefix.length);
  return /^(0|[1-9]\d{0,9})$/.test(text) ? Number(text) : undefined;
}

function isCreated({ status }: Pod): boolean {
  return (status?.phase ?? '') !== '';
}

function isRunningAndReady(pod: Pod): boolean {
  return pod.status?.phase === 'Running' && isReady(pod);
}
