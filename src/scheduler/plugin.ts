import type { NodeInfo } from './node-info.ts';
import type { PodInfo } from './pod-info.ts';
import type { ClusterState } from './cluster-state.ts';

/** Why a node does not take a pod, in upstream's words; they are counted into the "0/3 nodes are available" message. */
export interface Rejection {
  readonly plugin: string;
  readonly reasons: readonly string[];
  /** No pod whose eviction would help: preemption need not look here. */
  readonly unresolvable: boolean;
}

/**
 * One part of the decision where a pod goes. `filter` and `score` look at one node and the pods on it only, so their
 * answers are remembered until that node changes.
 */
export interface Plugin {
  readonly name: string;
  /** `undefined`: this plugin has nothing against the node. */
  filter?(pod: PodInfo, node: NodeInfo): Rejection | undefined;
  /** 0 to 100, or any number when `normalize` says how to get there. */
  score?(pod: PodInfo, node: NodeInfo, cluster: ClusterView): number;
  /** How raw scores become 0 to 100: in proportion to the highest, or the other way round. */
  readonly normalize?: 'proportional' | 'reversed';
  /** Whether `score` has anything to say for such a pod; upstream's PreScore Skip. */
  scores?(pod: PodInfo): boolean;
  readonly weight?: number;
}

/** The little that scores may know beyond the node. */
export interface ClusterView {
  readonly nodeCount: number;
  /** On how many nodes an image is. */
  nodesWithImage(name: string): number;
}

/**
 * A part of the decision that looks beyond one node: at the pods of a zone, or of the whole cluster. It is prepared anew for
 * each pod, from counts that are kept up to date, and sees only nodes that passed everything else.
 */
export interface ClusterPlugin {
  readonly name: string;
  readonly weight: number;
  /** `undefined`: it has nothing to say about such a pod. */
  prepare(pod: PodInfo, cluster: ClusterState): Prepared | undefined;
}

export interface Prepared {
  filter?(node: NodeInfo): Rejection | undefined;
  /** Raw scores; `normalize` brings the lowest and highest of them to 0..100. */
  score?(node: NodeInfo): number;
  normalize?(raw: number, min: number, max: number): number;
}
