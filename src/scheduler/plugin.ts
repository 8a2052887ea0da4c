import type { NodeInfo } from './node-info.ts';
import type { PodInfo } from './pod-info.ts';
import type { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import type { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import type { AllocationResult, ResourceClaim } from '#api/resource/v1/resource-claim.ts';
import type { ClusterState } from './cluster-state.ts';

/** Why a node does not take a pod, in upstream's words; they are counted into the "0/3 nodes are available" message. */
export interface Rejection {
  readonly plugin: string;
  readonly reasons: readonly string[];
  /** No pod whose eviction would help: preemption need not look here. */
  readonly unresolvable: boolean;
  /** It stands for all nodes and is said once: upstream's PreFilter. */
  readonly everywhere?: true;
}

/** What stands behind a rejection, for people: asked only when somebody wants it explained. */
export interface Refusal {
  /** With numbers and names: "cpu: asks for 2, 500m of 2 are free". */
  readonly details: readonly string[];
  /** The smallest changes after which this plugin has nothing against the node any more; all of them are needed. */
  readonly remedies: readonly Remedy[];
}

export interface Remedy {
  /** Completes "it would fit if …": "it asked for 200m less cpu". */
  readonly change: string;
  /** How much of what was asked for is given up, 0 to 1. */
  readonly share?: number;
  apply(trial: Trial): Trial;
}

/** A pod and a node as they might be. */
export interface Trial {
  readonly pod: PodInfo;
  readonly node: NodeInfo;
}

/**
 * One part of the decision where a pod goes. `filter` and `score` look at one node and the pods on it only, so their
 * answers are remembered until that node changes.
 */
export interface Plugin {
  readonly name: string;
  /** `undefined`: this plugin has nothing against the node. */
  filter?(pod: PodInfo, node: NodeInfo): Rejection | undefined;
  explain?(pod: PodInfo, node: NodeInfo): Refusal;
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
  /** Whether such an event can let a pod fit that this plugin refused; without it, only news of a node itself can. */
  readonly hint?: (event: ClusterEvent, pod: PodInfo, cluster: ClusterState) => boolean;
  /** What must be written before the pod can be bound to the node that was chosen. */
  reserve?(pod: PodInfo, node: NodeInfo, cluster: ClusterState): VolumeReservation | undefined;
  /** Which devices the claims of the pod get on the node that was chosen. */
  allocate?(pod: PodInfo, node: NodeInfo, cluster: ClusterState): DeviceReservation | undefined;
}

/** What happens beyond one node and can let a pod fit that fitted nowhere. Upstream's queueing hints, KEP-4247. */
export type ClusterEvent =
  | { readonly type: 'pod placed' | 'pod gone'; readonly pod: PodInfo }
  /** A node came or went, or has other labels. */
  | { readonly type: 'nodes changed' }
  | { readonly type: 'namespace relabelled' }
  /** A claim with what it was before, or, without claim, a slice or a class of devices. */
  | { readonly type: 'devices changed'; readonly claim?: ResourceClaim; readonly before?: ResourceClaim };

/** Which volumes claims get, and which claims are provisioned for the node. */
export interface VolumeReservation {
  readonly bindings: readonly { readonly claim: PersistentVolumeClaim; readonly volume: PersistentVolume }[];
  readonly provisions: readonly PersistentVolumeClaim[];
}

/** The claims of a pod: those without allocation have their devices already, and are only reserved. */
export interface DeviceReservation {
  readonly claims: readonly { readonly claim: ResourceClaim; readonly allocation: AllocationResult | undefined }[];
}

export interface Prepared {
  /** The pod fits nowhere, whatever the node. */
  readonly everywhere?: Rejection & { readonly everywhere: true };
  /** `index`: the node's among those of the cluster; absent for one that is only thought of. */
  filter?(node: NodeInfo, index?: number): Rejection | undefined;
  explain?(node: NodeInfo): Refusal;
  /** Raw scores; `normalize` brings the lowest and highest of them to 0..100. `undefined` is 0 in the end. */
  score?(node: NodeInfo, index?: number): number | undefined;
  normalize?(raw: number, min: number, max: number): number;
}
