import type { Node } from '#api/core/v1/node.ts';
import type { ClusterState } from '#scheduler/cluster-state.ts';
import type { NodeInfo } from '#scheduler/node-info.ts';
import type { PodInfo } from '#scheduler/pod-info.ts';

/** Changes of a picture of the cluster that are all taken back: within one turn of the event loop nobody else sees them. */
export class Trial implements Disposable {
  readonly #cluster: ClusterState;
  readonly #undo: (() => void)[] = [];

  constructor(cluster: ClusterState) {
    this.#cluster = cluster;
  }

  addNode(node: Node): NodeInfo {
    const added = this.#cluster.setNode(node);
    this.#undo.push(() => this.#cluster.removeNode(added.name));
    return added;
  }

  removeNode({ name, node, pods }: NodeInfo): void {
    const held = [...pods.values()];
    for (const pod of held) this.#cluster.removePod(pod.key);
    this.#cluster.removeNode(name);
    this.#undo.push(() => {
      this.#cluster.setNode(node);
      for (const pod of held) this.#cluster.setPod(pod, name);
    });
  }

  place(pod: PodInfo, nodeName: string): void {
    this.#cluster.setPod(pod, nodeName);
    this.#undo.push(() => this.#cluster.removePod(pod.key));
  }

  /** To come back to with `backTo`. */
  get mark(): number {
    return this.#undo.length;
  }

  backTo(mark: number): void {
    while (this.#undo.length > mark) this.#undo.pop()?.();
  }

  [Symbol.dispose](): void {
    this.backTo(0);
  }
}
