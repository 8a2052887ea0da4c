import type { PodDisruptionBudget } from '#api/policy/v1/pod-disruption-budget.ts';
import type { ClusterState } from '#scheduler/cluster-state.ts';
import type { SchedulingCycle } from '#scheduler/cycle.ts';
import type { NodeInfo } from '#scheduler/node-info.ts';
import { podInfo, type PodInfo } from '#scheduler/pod-info.ts';
import { fateOf } from './drain-rules.ts';
import type { NodeGroup } from './node-groups.ts';
import type { AutoscalerOptions } from './options.ts';
import { Trial } from './trial.ts';

export interface Unneeded {
  readonly node: NodeInfo;
  readonly group: NodeGroup;
  /** Pods that have to find another place. */
  readonly moving: readonly PodInfo[];
}

export const scaleDownDisabled = 'cluster-autoscaler.kubernetes.io/scale-down-disabled';

/** Nodes that could all go together, and why the others have to stay: by name. */
export function planScaleDown(
  nodes: readonly { readonly node: NodeInfo; readonly group: NodeGroup }[],
  cluster: ClusterState,
  budgets: readonly PodDisruptionBudget[],
  cycleOf: (pod: PodInfo) => SchedulingCycle | undefined,
  options: AutoscalerOptions,
): { readonly unneeded: readonly Unneeded[]; readonly kept: ReadonlyMap<string, string> } {
  using trial = new Trial(cluster);
  const unneeded: Unneeded[] = [];
  const kept = new Map<string, string>();
  const going = new Map<NodeGroup, number>();
  // What is empty costs nobody anything.
  const emptiestFirst = nodes.toSorted((a, b) => a.node.pods.size - b.node.pods.size);
  for (const { node, group } of emptiestFirst) {
    const gone = going.get(group) ?? 0;
    const why = group.targetSize() - gone <= group.minSize ? 'its group has its minimal size' : whyKept(node, options);
    if (why !== undefined) {
      kept.set(node.name, why);
      continue;
    }
    const moving = movingFrom(node, budgets, options);
    if (typeof moving === 'string') {
      kept.set(node.name, moving);
      continue;
    }
    const mark = trial.mark;
    trial.removeNode(node);
    const homeless = moving.find(pod => {
      const placement = cycleOf(pod)?.place(pod);
      if (placement?.node) trial.place(pod, placement.node.name);
      return placement?.node === undefined;
    });
    if (homeless) {
      trial.backTo(mark);
      kept.set(node.name, `pod ${homeless.key} has no other place`);
      continue;
    }
    going.set(group, gone + 1);
    unneeded.push({ node, group, moving });
  }
  return { unneeded, kept };
}

/** The larger of the shares of CPU and memory that pods asked for. */
export function utilization({ allocatable, requested }: NodeInfo): number {
  const share = (used: number, total: number) => (total > 0 ? used / total : 0);
  return Math.max(
    share(requested.milliCPU, allocatable.milliCPU),
    share(requested.memoryBytes, allocatable.memoryBytes),
  );
}

function whyKept(node: NodeInfo, { scaleDownUtilizationThreshold }: AutoscalerOptions): string | undefined {
  if (node.node.metadata.annotations?.[scaleDownDisabled] === 'true') return 'its annotation says so';
  const used = utilization(node);
  return used >= scaleDownUtilizationThreshold ? `it is used to ${Math.round(used * 100)}%` : undefined;
}

function movingFrom(
  node: NodeInfo,
  budgets: readonly PodDisruptionBudget[],
  options: AutoscalerOptions,
): readonly PodInfo[] | string {
  const moving: PodInfo[] = [];
  for (const pod of node.pods.values()) {
    const fate = fateOf(pod, budgets, options);
    if (typeof fate === 'object') return fate.blocks;
    if (fate === 'moves') moving.push(elsewhere(pod));
  }
  return moving;
}

/** The pod that its owner will make in its place: it has no node yet. */
function elsewhere({ pod }: PodInfo): PodInfo {
  const { nodeName: _, ...spec } = pod.spec;
  return podInfo({ ...pod, spec });
}
