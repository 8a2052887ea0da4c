import type { Draft } from '../../machinery/kind.ts';
import type { LabelSelector } from '../../meta/v1/label-selector.ts';
import type { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { qosClass } from './pod-resources.ts';
import type { PodSpec } from './pod-spec.ts';
import type { PodStatus } from './pod.ts';

interface NewPod {
  readonly metadata: ObjectMeta;
  spec: Draft<PodSpec>;
  status: Draft<PodStatus>;
}

/** The status a new pod begins with, and selectors completed from its labels. */
export function preparePod(pod: NewPod): void {
  const { spec } = pod;
  pod.status = { phase: 'Pending', qosClass: qosClass(spec) };
  if ((spec.schedulingGates ?? []).length > 0)
    pod.status.conditions = [
      {
        type: 'PodScheduled',
        status: 'False',
        ...(pod.metadata.creationTimestamp && { lastTransitionTime: pod.metadata.creationTimestamp }),
        reason: 'SchedulingGated',
        message: 'Scheduling is blocked due to non-empty scheduling gates',
      },
    ];
  const labels = pod.metadata.labels ?? {};
  for (const affinity of [spec.affinity?.podAffinity, spec.affinity?.podAntiAffinity]) {
    for (const term of affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []) completeSelector(term, labels);
    for (const { podAffinityTerm } of affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [])
      if (podAffinityTerm) completeSelector(podAffinityTerm, labels);
  }
  for (const constraint of spec.topologySpreadConstraints ?? []) completeSelector(constraint, labels);
}

/** What reports of a pod's state may leave out. */
export function preparePodStatus(status: Draft<PodStatus>, old: PodStatus): void {
  status.qosClass ||= old.qosClass;
  status.observedGeneration ||= old.observedGeneration;
  const before = Map.groupBy(old.conditions ?? [], ({ type }) => type);
  for (const condition of status.conditions ?? []) {
    const observedGeneration = before.get(condition.type)?.shift()?.observedGeneration;
    if (!condition.observedGeneration && observedGeneration) condition.observedGeneration = observedGeneration;
  }
}

/** `podIP` is the first of `podIPs`, and counts when they differ. */
export function unitePodIps(status: Draft<PodStatus>): void {
  const { podIP = '', podIPs = [] } = status;
  if (podIP !== '' && podIPs[0]?.ip !== podIP) status.podIPs = [{ ip: podIP }];
  else if (podIP === '' && podIPs[0]?.ip) status.podIP = podIPs[0].ip;
}

/** How long the node agent has for stopping the pod; none where there is nothing to stop. */
export function podGraceSeconds(
  { spec, status }: { readonly spec: PodSpec; readonly status: PodStatus },
  requestedSeconds: number | undefined,
): number {
  if (!spec.nodeName || status.phase === 'Failed' || status.phase === 'Succeeded') return 0;
  const seconds = requestedSeconds ?? spec.terminationGracePeriodSeconds;
  return seconds < 0 ? 1 : seconds;
}

interface Selecting {
  labelSelector?: Draft<LabelSelector> | undefined;
  matchLabelKeys?: string[] | undefined;
  mismatchLabelKeys?: string[] | undefined;
}

/** KEP-3633: keys stand for the values that the pod itself has. */
function completeSelector(term: Selecting, labels: Readonly<Record<string, string>>): void {
  const { labelSelector } = term;
  if (!labelSelector) return;
  for (const [keys, operator] of [
    [term.matchLabelKeys, 'In'],
    [term.mismatchLabelKeys, 'NotIn'],
  ] as const)
    for (const key of keys ?? []) {
      const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
      if (value === undefined) continue;
      labelSelector.matchExpressions = [...(labelSelector.matchExpressions ?? []), { key, operator, values: [value] }];
    }
}
