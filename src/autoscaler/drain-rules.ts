import { labelSelectorMatches } from '#api/machinery/selector.ts';
import type { PodDisruptionBudget } from '#api/policy/v1/pod-disruption-budget.ts';
import type { PodInfo } from '#scheduler/pod-info.ts';
import type { AutoscalerOptions } from './options.ts';

export const safeToEvict = 'cluster-autoscaler.kubernetes.io/safe-to-evict';
const safeVolumes = 'cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes';

/** What becomes of a pod when its node goes: `stays` needs no other place, `moves` needs one, or why the node has to stay. */
export type Fate = 'stays' | 'moves' | { readonly blocks: string };

export function fateOf(
  { pod, key }: PodInfo,
  budgets: readonly PodDisruptionBudget[],
  options: Pick<AutoscalerOptions, 'skipNodesWithLocalStorage' | 'skipNodesWithSystemPods'>,
): Fate {
  const { metadata, spec, status } = pod;
  const owner = metadata.ownerReferences?.find(reference => reference.controller === true);
  // They go with their node, or come again on every other.
  if (metadata.annotations?.['kubernetes.io/config.mirror'] !== undefined || owner?.kind === 'DaemonSet')
    return 'stays';
  if (status.phase === 'Succeeded' || status.phase === 'Failed') return 'stays';
  if (metadata.deletionTimestamp !== undefined) return 'stays';
  const safe = metadata.annotations?.[safeToEvict];
  if (safe === 'false') return { blocks: `pod annotated as not safe to evict present: ${metadata.name}` };
  if (safe !== 'true') {
    if (owner === undefined) return { blocks: `${key} is not replicated` };
    const own = budgets.filter(each => covers(each, pod));
    if (options.skipNodesWithSystemPods && metadata.namespace === 'kube-system' && own.length === 0)
      return { blocks: `non-daemonset, non-mirrored, non-pdb-assigned kube-system pod present: ${metadata.name}` };
    const volumes = (metadata.annotations?.[safeVolumes] ?? '').split(',');
    const local = (spec.volumes ?? []).find(
      ({ name, emptyDir, hostPath }) =>
        (hostPath !== undefined || (emptyDir !== undefined && emptyDir.medium !== 'Memory')) && !volumes.includes(name),
    );
    if (options.skipNodesWithLocalStorage && local)
      return { blocks: `pod with local storage present: ${metadata.name}` };
  }
  const broken = budgets.find(each => covers(each, pod) && (each.status.disruptionsAllowed ?? 0) < 1);
  return broken ? { blocks: `not enough pod disruption budget to move ${key}` } : 'moves';
}

function covers({ metadata, spec }: PodDisruptionBudget, pod: PodInfo['pod']): boolean {
  return (
    metadata.namespace === pod.metadata.namespace && labelSelectorMatches(spec.selector, pod.metadata.labels ?? {})
  );
}
