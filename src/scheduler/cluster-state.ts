import type { Node } from '#api/core/v1/node.ts';
import { NodeInfo } from './node-info.ts';
import type { ClusterView } from './plugin.ts';
import type { PodInfo } from './pod-info.ts';

/**
 * The scheduler's picture of the cluster: nodes with their pods, kept up to date by events, and ahead of them by the
 * pods it has just placed (assumed) whose binding is on its way.
 */
export class ClusterState implements ClusterView {
  /** Compact, in no particular order; `topology` changes whenever it does. */
  readonly nodes: NodeInfo[] = [];
  topology = 0;
  readonly #byName = new Map<string, NodeInfo>();
  /** Pods whose node is not known (yet): events of pods and nodes come in any order. */
  readonly #waiting = new Map<string, Map<string, PodInfo>>();
  readonly #nodeOfPod = new Map<string, string>();
  readonly #imageCounts = new Map<string, number>();

  get nodeCount(): number {
    return this.nodes.length;
  }

  node(name: string): NodeInfo | undefined {
    return this.#byName.get(name);
  }

  nodesWithImage(name: string): number {
    return this.#imageCounts.get(name) ?? 0;
  }

  setNode(node: Node): NodeInfo {
    const name = node.metadata.name ?? '';
    const known = this.#byName.get(name);
    if (known) {
      this.#countImages(known, -1);
      known.setNode(node);
      this.#countImages(known, 1);
      return known;
    }
    const added = new NodeInfo(node);
    this.#byName.set(name, added);
    this.nodes.push(added);
    this.topology++;
    this.#countImages(added, 1);
    for (const pod of this.#waiting.get(name)?.values() ?? []) added.addPod(pod);
    this.#waiting.delete(name);
    return added;
  }

  removeNode(name: string): void {
    const gone = this.#byName.get(name);
    if (!gone) return;
    this.#byName.delete(name);
    this.nodes.splice(this.nodes.indexOf(gone), 1);
    this.topology++;
    this.#countImages(gone, -1);
    if (gone.pods.size > 0) this.#waiting.set(name, new Map(gone.pods));
  }

  /** Puts a pod on a node, whether an event says so or the scheduler assumes it. */
  setPod(pod: PodInfo, nodeName: string): void {
    const before = this.#nodeOfPod.get(pod.key);
    if (before !== undefined && before !== nodeName) this.removePod(pod.key);
    this.#nodeOfPod.set(pod.key, nodeName);
    const node = this.#byName.get(nodeName);
    if (node) node.addPod(pod);
    else this.#waitFor(nodeName).set(pod.key, pod);
  }

  /** The node that the pod was on. */
  removePod(key: string): NodeInfo | undefined {
    const nodeName = this.#nodeOfPod.get(key);
    if (nodeName === undefined) return undefined;
    this.#nodeOfPod.delete(key);
    this.#waiting.get(nodeName)?.delete(key);
    const node = this.#byName.get(nodeName);
    node?.removePod(key);
    return node;
  }

  nodeOfPod(key: string): string | undefined {
    return this.#nodeOfPod.get(key);
  }

  #waitFor(nodeName: string): Map<string, PodInfo> {
    const waiting = this.#waiting.get(nodeName) ?? new Map<string, PodInfo>();
    this.#waiting.set(nodeName, waiting);
    return waiting;
  }

  #countImages(node: NodeInfo, sign: 1 | -1): void {
    for (const name of node.images.keys()) {
      const count = (this.#imageCounts.get(name) ?? 0) + sign;
      if (count > 0) this.#imageCounts.set(name, count);
      else this.#imageCounts.delete(name);
    }
  }
}
