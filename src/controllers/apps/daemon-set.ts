import { ControllerRevision } from '#api/apps/v1/controller-revision.ts';
import { DaemonSet, type DaemonSetStatus } from '#api/apps/v1/daemon-set.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { PodSpec } from '#api/core/v1/pod-spec.ts';
import type { Toleration } from '#api/core/v1/toleration.ts';
import { isReason } from '#api/machinery/errors.ts';
import type { Partly } from '#api/machinery/kind.ts';
import { compileLabelSelector } from '#api/machinery/selector.ts';
import { afterwards, create, event, remove, slowStart, updateStatus, wake, type Action } from '../actions.ts';
import { claim } from '../claims.ts';
import { defineController } from '../controller.ts';
import { podFromTemplate } from '../core/pod-from-template.ts';
import { availableAtMs, isAvailable, isReady } from '../core/pod-state.ts';
import { wantsNode } from '../node/node-affinity.ts';
import { tolerates } from '../node/taint-eviction.ts';
import { claimable, owned, sameLabels, type Read } from '../reads.ts';
import { sameApartFromZeros } from '../same.ts';
import { timeMs } from '../time.ts';
import { dropOldRevisions, hashOf, revisionLabel, reviseTemplate } from './revisions.ts';
import { share } from './rollout.ts';

const burstReplicas = 250;
/** A pod that fails again and again is not replaced more often than this. */
const failedPodBackoffMs = 1_000;

/** Runs one pod on every node that its template may be on. */
export const daemonSetController = defineController({
  name: 'daemon-set-controller',
  component: 'daemonset-controller',
  reconciles: DaemonSet,
  reads: {
    pods: claimable<DaemonSet, Pod>(Pod, set => set.spec?.selector),
    revisions: owned<DaemonSet, ControllerRevision>(ControllerRevision),
    nodes: allNodes(),
  },
  writes: [DaemonSet, Pod, ControllerRevision],
  decide(set, { pods, revisions, nodes, nowMs }) {
    const { spec } = set;
    if (!spec) return [];
    const { claimed, actions } = claim(DaemonSet, set, Pod, compileLabelSelector(spec.selector), pods);
    if (set.metadata.deletionTimestamp !== undefined) return actions;
    const { collisionCount } = set.status ?? {};
    const {
      current,
      history,
      actions: revising,
    } = reviseTemplate(DaemonSet, set, spec.template, spec.template.metadata?.labels ?? {}, revisions, collisionCount);
    const hash = hashOf(current);
    const byNode = Map.groupBy(claimed, nodeNameOf);
    const placement = nodes.map(node => ({ node, fit: fitOf(spec.template.spec ?? ({} as PodSpec), node) }));
    const placing = place(set, placement, byNode, hash, nowMs);
    const updating = placing.length === 0 ? updates(set, placement, byNode, hash, nowMs) : [];
    const status = statusOf(set, placement, byNode, hash, nowMs);
    const inUse = new Set([hash, ...claimed.map(pod => pod.metadata.labels?.[revisionLabel] ?? '')]);
    const wakeAtMs = nextAvailableMs(claimed, spec.minReadySeconds ?? 0, nowMs);
    return [
      ...actions,
      ...revising,
      afterwards(({ failures }) =>
        failures.some(({ action, error }) => action.do === 'create' && isReason(error, 'AlreadyExists'))
          ? [updateStatus(DaemonSet, { ...set, status: { ...status, collisionCount: (collisionCount ?? 0) + 1 } })]
          : [
              ...placing,
              ...updating,
              ...dropOldRevisions(history, inUse, spec.revisionHistoryLimit ?? 10),
              // Counts are true whether or not a pod could be made.
              afterwards(() =>
                sameApartFromZeros(status, set.status) ? [] : [updateStatus(DaemonSet, { ...set, status })],
              ),
            ],
      ),
      ...(wakeAtMs === undefined ? [] : [wake(wakeAtMs)]),
    ];
  },
});

interface Placement {
  readonly node: Node;
  readonly fit: Fit;
}

interface Fit {
  readonly runs: boolean;
  /** What runs there may go on. */
  readonly stays: boolean;
}

function fitOf(spec: PodSpec, node: Node): Fit {
  if (
    !wantsNode(spec, node) ||
    (spec.nodeName !== undefined && spec.nodeName !== '' && spec.nodeName !== node.metadata.name)
  )
    return { runs: false, stays: false };
  const tolerations = tolerationsFor(spec);
  const intolerable = (node.spec?.taints ?? []).filter(
    taint => taint.effect !== 'PreferNoSchedule' && !tolerations.some(each => tolerates(each, taint)),
  );
  return { runs: intolerable.length === 0, stays: !intolerable.some(({ effect }) => effect === 'NoExecute') };
}

/** A daemon belongs on nodes that are not well, too. */
function tolerationsFor({ tolerations = [], hostNetwork }: PodSpec): Toleration[] {
  const exists = (key: string, effect: string): Toleration => ({
    key: `node.kubernetes.io/${key}`,
    operator: 'Exists',
    effect,
  });
  const wanted = [
    exists('not-ready', 'NoExecute'),
    exists('unreachable', 'NoExecute'),
    exists('disk-pressure', 'NoSchedule'),
    exists('memory-pressure', 'NoSchedule'),
    exists('pid-pressure', 'NoSchedule'),
    exists('unschedulable', 'NoSchedule'),
    ...(hostNetwork ? [exists('network-unavailable', 'NoSchedule')] : []),
  ];
  const has = (toleration: Toleration) => tolerations.some(each => sameApartFromZeros(each, toleration));
  return [...tolerations, ...wanted.filter(toleration => !has(toleration))];
}

/** What is missing is created, what is in the wrong place or has ended is removed. */
function place(
  set: DaemonSet,
  placement: readonly Placement[],
  byNode: ReadonlyMap<string, readonly Pod[]>,
  hash: string,
  nowMs: number,
): readonly Action[] {
  const creations: Action[] = [];
  const removals: Action[] = [];
  for (const { node, fit } of placement) {
    const { name = '' } = node.metadata;
    const pods = byNode.get(name) ?? [];
    if (!fit.stays) {
      removals.push(...pods.filter(isHere).map(pod => deleted(set, pod)));
      continue;
    }
    const ended = pods.filter(pod => isHere(pod) && hasEnded(pod));
    for (const pod of ended) {
      const dueMs = timeMs(pod.metadata.creationTimestamp) + failedPodBackoffMs;
      if (dueMs > nowMs) removals.push(wake(dueMs));
      else removals.push(endedEvent(set, pod, name), deleted(set, pod));
    }
    const running = pods.filter(pod => isHere(pod) && !hasEnded(pod));
    if (running.length === 0 && pods.length === 0 && fit.runs) creations.push(created(set, name, hash));
    if (running.length > 1) removals.push(...surplusOf(set, running, hash, nowMs).map(pod => deleted(set, pod)));
  }
  const known = new Set(placement.map(({ node }) => node.metadata.name));
  // Pods of nodes that are gone belong to the pod garbage collector, unless no node has taken them yet.
  for (const [name, pods] of byNode)
    if (!known.has(name))
      removals.push(
        ...pods.filter(pod => isHere(pod) && (pod.spec?.nodeName ?? '') === '').map(pod => deleted(set, pod)),
      );
  return [
    ...(creations.length > 0 ? [slowStart(creations.slice(0, burstReplicas))] : []),
    ...removals.slice(0, burstReplicas),
  ];
}

/** Of several pods on a node the oldest stays; in a surge also the new one, until it is available. */
function surplusOf(set: DaemonSet, running: readonly Pod[], hash: string, nowMs: number): readonly Pod[] {
  const oldestFirst = running.toSorted(
    (a, b) => timeMs(a.metadata.creationTimestamp) - timeMs(b.metadata.creationTimestamp),
  );
  if (surgeOf(set, 1) === 0) return oldestFirst.slice(1);
  const isNew = (pod: Pod) => pod.metadata.labels?.[revisionLabel] === hash;
  const [newest, ...newer] = oldestFirst.filter(isNew);
  const [oldest, ...older] = oldestFirst.filter(pod => !isNew(pod));
  const replaced = newest && oldest && isAvailable(newest, set.spec?.minReadySeconds ?? 0, nowMs) ? [oldest] : [];
  return [...newer, ...older, ...replaced];
}

/** Pods of an old revision that may be replaced now. */
function updates(
  set: DaemonSet,
  placement: readonly Placement[],
  byNode: ReadonlyMap<string, readonly Pod[]>,
  hash: string,
  nowMs: number,
): readonly Action[] {
  const { updateStrategy, minReadySeconds = 0 } = set.spec ?? {};
  if (updateStrategy?.type === 'OnDelete') return [];
  const wanted = placement.filter(({ fit }) => fit.runs);
  const surge = surgeOf(set, wanted.length);
  const unavailableMax = unavailableOf(set, wanted.length);
  let unavailable = 0;
  let surging = 0;
  const broken: Pod[] = [];
  const candidates: { readonly name: string; readonly pod: Pod }[] = [];
  for (const { node } of wanted) {
    const { name = '' } = node.metadata;
    const pods = (byNode.get(name) ?? []).filter(isHere);
    const fresh = pods.find(pod => pod.metadata.labels?.[revisionLabel] === hash);
    const old = pods.find(pod => pod.metadata.labels?.[revisionLabel] !== hash);
    const available = pods.some(pod => isAvailable(pod, minReadySeconds, nowMs));
    if (!available) unavailable++;
    if (fresh && old) surging++;
    if (!old || fresh) continue;
    if (available) candidates.push({ name, pod: old });
    else broken.push(old);
  }
  if (surge > 0) {
    // A pod that does not work is not worth waiting for.
    const started = candidates.slice(0, Math.max(0, surge - surging)).map(({ name }) => created(set, name, hash));
    const replaced = broken.map(pod => created(set, nodeNameOf(pod), hash));
    return started.length + replaced.length > 0 ? [slowStart([...replaced, ...started])] : [];
  }
  const room = Math.max(0, unavailableMax - unavailable);
  return [...broken, ...candidates.slice(0, room).map(({ pod }) => pod)].map(pod => deleted(set, pod));
}

function surgeOf({ spec }: DaemonSet, nodes: number): number {
  return share(spec?.updateStrategy?.rollingUpdate?.maxSurge ?? 0, nodes, Math.ceil);
}

function unavailableOf(set: DaemonSet, nodes: number): number {
  const unavailable = share(set.spec?.updateStrategy?.rollingUpdate?.maxUnavailable ?? 1, nodes, Math.ceil);
  return unavailable === 0 && surgeOf(set, nodes) === 0 ? 1 : unavailable;
}

function created(set: DaemonSet, nodeName: string, hash: string): Action {
  const template = set.spec?.template ?? {};
  const pod = podFromTemplate(DaemonSet, set, template);
  const spec = template.spec ?? ({} as PodSpec);
  const generation = set.metadata.annotations?.['deprecated.daemonset.template.generation'];
  const wanted: Partly<Pod> = {
    ...pod,
    metadata: {
      ...pod.metadata,
      labels: {
        ...pod.metadata?.labels,
        [revisionLabel]: hash,
        ...(generation !== undefined && { 'pod-template-generation': generation }),
      },
    },
    spec: { ...spec, affinity: pinnedTo(nodeName, spec), tolerations: tolerationsFor(spec) },
  };
  return create(Pod, wanted, {
    succeeded: made => event(set, 'Normal', 'SuccessfulCreate', `Created pod: ${made.metadata.name}`),
    failed: error => event(set, 'Warning', 'FailedCreate', `Error creating: ${error.message}`),
  });
}

/** The scheduler binds it, so preemption and limits hold; but there is one node only. */
function pinnedTo(nodeName: string, { affinity }: PodSpec): PodSpec['affinity'] {
  const matchFields = [{ key: 'metadata.name', operator: 'In', values: [nodeName] }];
  const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const terms = required?.nodeSelectorTerms ?? [];
  const nodeSelectorTerms = terms.length === 0 ? [{ matchFields }] : terms.map(() => ({ matchFields }));
  return {
    ...affinity,
    nodeAffinity: {
      ...affinity?.nodeAffinity,
      requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: nodeSelectorTerms.slice(0, 1) },
    },
  };
}

/** Where a pod is, or is to be. */
function nodeNameOf({ spec }: Pod): string {
  if (spec?.nodeName !== undefined && spec.nodeName !== '') return spec.nodeName;
  const required = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  for (const { matchFields = [] } of required?.nodeSelectorTerms ?? [])
    for (const { key, values = [] } of matchFields) if (key === 'metadata.name') return values[0] ?? '';
  return '';
}

function deleted(set: DaemonSet, pod: Pod): Action {
  return remove(Pod, pod, {
    succeeded: () => event(set, 'Normal', 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`),
    failed: error => event(set, 'Warning', 'FailedDelete', `Error deleting: ${error.message}`),
  });
}

function endedEvent(set: DaemonSet, { metadata, status }: Pod, nodeName: string): Action {
  const where = `daemon pod ${metadata.namespace}/${metadata.name} on node ${nodeName}, will try to `;
  return status?.phase === 'Failed'
    ? event(set, 'Warning', 'FailedDaemonPod', `Found failed ${where}kill it`)
    : event(set, 'Normal', 'SucceededDaemonPod', `Found succeeded ${where}delete it`);
}

function isHere({ metadata }: Pod): boolean {
  return metadata.deletionTimestamp === undefined;
}

function hasEnded({ status }: Pod): boolean {
  return status?.phase === 'Failed' || status?.phase === 'Succeeded';
}

function statusOf(
  set: DaemonSet,
  placement: readonly Placement[],
  byNode: ReadonlyMap<string, readonly Pod[]>,
  hash: string,
  nowMs: number,
): DaemonSetStatus {
  const { minReadySeconds = 0 } = set.spec ?? {};
  const count = { desired: 0, current: 0, misscheduled: 0, ready: 0, available: 0, updated: 0 };
  for (const { node, fit } of placement) {
    const pods = byNode.get(node.metadata.name ?? '') ?? [];
    if (!fit.runs) {
      if (pods.length > 0) count.misscheduled++;
      continue;
    }
    count.desired++;
    if (pods.length === 0) continue;
    count.current++;
    if (pods.some(isReady)) count.ready++;
    if (pods.some(pod => isAvailable(pod, minReadySeconds, nowMs))) count.available++;
    if (pods.some(pod => pod.metadata.labels?.[revisionLabel] === hash)) count.updated++;
  }
  return {
    ...set.status,
    observedGeneration: set.metadata.generation ?? 0,
    desiredNumberScheduled: count.desired,
    currentNumberScheduled: count.current,
    numberMisscheduled: count.misscheduled,
    numberReady: count.ready,
    numberAvailable: count.available,
    numberUnavailable: count.desired - count.available,
    updatedNumberScheduled: count.updated,
  };
}

function nextAvailableMs(pods: readonly Pod[], minReadySeconds: number, nowMs: number): number | undefined {
  if (minReadySeconds === 0) return undefined;
  const times = pods
    .map(pod => availableAtMs(pod, minReadySeconds))
    .filter(atMs => atMs > nowMs && atMs < Number.POSITIVE_INFINITY);
  return times.length === 0 ? undefined : Math.min(...times);
}

/** Every node; what changes where pods may be wakes every set, and nothing else of a node does. */
function allNodes(): Read<DaemonSet, readonly Node[]> {
  return {
    kinds: [Node],
    open({ informers, subject, wake: wakeSet }) {
      const nodes = informers.of(Node);
      const wakeAll = () => {
        for (const key of subject.objects.keys()) wakeSet(key);
      };
      nodes.subscribe({
        added: wakeAll,
        updated(node, old) {
          const sameTaints = sameApartFromZeros(node.spec?.taints, old.spec?.taints);
          if (!sameTaints || !sameLabels(node.metadata.labels, old.metadata.labels)) wakeAll();
        },
        deleted: wakeAll,
      });
      return () => [...nodes.objects.values()];
    },
  };
}
