import type { Node } from '#api/core/v1/node.ts';
import type { ClusterState } from '#scheduler/cluster-state.ts';
import type { SchedulingCycle } from '#scheduler/cycle.ts';
import { histogram } from '#scheduler/fit-error.ts';
import type { NodeInfo } from '#scheduler/node-info.ts';
import type { PodInfo } from '#scheduler/pod-info.ts';
import type { NodeGroup } from './node-groups.ts';
import { Trial } from './trial.ts';

export interface ScaleUp {
  readonly group: NodeGroup;
  readonly from: number;
  readonly to: number;
  readonly pods: readonly PodInfo[];
}

export interface ScaleUpPlan {
  readonly scaleUps: readonly ScaleUp[];
  /** Pods that no group helps, with why: "1 Insufficient cpu, 1 max node group size reached". */
  readonly helpless: ReadonlyMap<PodInfo, string>;
}

export interface GroupState {
  readonly group: NodeGroup;
  /** Nodes that were asked for and are not there yet. */
  readonly upcoming: number;
  /** It could not be made larger a moment ago. */
  readonly backsOff: boolean;
}

/**
 * Which groups have to grow so that pods that fit nowhere find a place: every group's next nodes are asked by the scheduler's
 * own filters. Of several groups the one whose new nodes would be left emptiest loses (upstream's least-waste).
 */
export function planScaleUp(
  pending: readonly PodInfo[],
  groups: readonly GroupState[],
  cluster: ClusterState,
  cycleOf: (pod: PodInfo) => SchedulingCycle | undefined,
): ScaleUpPlan {
  using trial = new Trial(cluster);
  for (const { group, upcoming } of groups)
    for (let index = 0; index < upcoming; index++) trial.addNode(nextNode(group, `upcoming-${index}`));
  let left: readonly PodInfo[] = pending
    .toSorted((a, b) => b.priority - a.priority)
    .filter(pod => {
      const placement = cycleOf(pod)?.place(pod);
      // The scheduler will find it, too.
      if (placement?.node) trial.place(pod, placement.node.name);
      return placement !== undefined && placement.node === undefined;
    });
  const sizes = new Map(groups.map(({ group }) => [group, group.targetSize()]));
  const grown = new Map<NodeGroup, { from: number; pods: PodInfo[] }>();
  const why = new Map<PodInfo, string[]>();
  let round = 0;
  while (left.length > 0) {
    why.clear();
    const options = groups.flatMap(each => optionFor(each, sizes, left, cluster, cycleOf, trial, why) ?? []);
    const best = options.toSorted((a, b) => a.waste - b.waste || b.pods.length - a.pods.length || a.nodes - b.nodes)[0];
    if (!best) break;
    const { group, nodes, pods, placed } = best;
    const from = sizes.get(group) ?? 0;
    sizes.set(group, from + nodes);
    for (let index = 0; index < nodes; index++) trial.addNode(nextNode(group, `new-${round}-${index}`));
    for (const [pod, index] of placed) trial.place(pod, nameOf(group, `new-${round}-${index}`));
    const known = grown.get(group) ?? { from, pods: [] };
    known.pods.push(...pods);
    grown.set(group, known);
    left = left.filter(pod => !pods.includes(pod));
    round++;
  }
  return {
    scaleUps: Array.from(grown, ([group, { from, pods }]) => ({ group, from, to: sizes.get(group) ?? from, pods })),
    helpless: new Map(left.map(pod => [pod, histogram(why.get(pod) ?? [])])),
  };
}

interface Option {
  readonly group: NodeGroup;
  readonly nodes: number;
  readonly pods: readonly PodInfo[];
  /** By the number of the new node. */
  readonly placed: ReadonlyMap<PodInfo, number>;
  /** The share of the new nodes' CPU and memory that nobody would use. */
  readonly waste: number;
}

function optionFor(
  { group, backsOff }: GroupState,
  sizes: ReadonlyMap<NodeGroup, number>,
  pending: readonly PodInfo[],
  cluster: ClusterState,
  cycleOf: (pod: PodInfo) => SchedulingCycle | undefined,
  trial: Trial,
  why: Map<PodInfo, string[]>,
): Option | undefined {
  const refuse = (pod: PodInfo, reasons: readonly string[]) => {
    const known = why.get(pod) ?? [];
    why.set(pod, known);
    known.push(...reasons);
  };
  const room = group.maxSize - (sizes.get(group) ?? 0);
  if (backsOff || room <= 0) {
    for (const pod of pending)
      refuse(pod, [backsOff ? 'in backoff after failed scale-up' : 'max node group size reached']);
    return undefined;
  }
  const mark = trial.mark;
  const nodes: NodeInfo[] = [];
  const placed = new Map<PodInfo, number>();
  for (const pod of pending) {
    const cycle = cycleOf(pod);
    let at = nodes.findIndex(node => cycle?.fits(pod, node) === true);
    if (at < 0) {
      const added = trial.addNode(nextNode(group, `trial-${nodes.length}`));
      const rejection = cycle?.rejection(pod, added);
      if (rejection || nodes.length >= room) {
        trial.backTo(trial.mark - 1);
        refuse(pod, rejection?.reasons ?? ['max node group size reached']);
        continue;
      }
      at = nodes.push(added) - 1;
    }
    trial.place(pod, nodes[at]?.name ?? '');
    placed.set(pod, at);
  }
  const waste = wasteOf(nodes);
  trial.backTo(mark);
  return placed.size === 0 ? undefined : { group, nodes: nodes.length, pods: [...placed.keys()], placed, waste };
}

function wasteOf(nodes: readonly NodeInfo[]): number {
  let waste = 0;
  for (const { allocatable, requested } of nodes) {
    const cpu = allocatable.milliCPU > 0 ? 1 - requested.milliCPU / allocatable.milliCPU : 0;
    const memory = allocatable.memoryBytes > 0 ? 1 - requested.memoryBytes / allocatable.memoryBytes : 0;
    waste += cpu + memory;
  }
  return nodes.length === 0 ? 0 : waste / nodes.length;
}

function nextNode(group: NodeGroup, suffix: string): Node {
  return group.template(nameOf(group, suffix));
}

function nameOf(group: NodeGroup, suffix: string): string {
  return `template-node-for-${group.name}-${suffix}`;
}
