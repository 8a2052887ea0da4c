import type { Node } from '#api/core/v1/node.ts';

/** Nodes that are alike, and whose number somebody can change: what a cloud calls a group, a pool, a scale set. */
export interface NodeGroup {
  readonly name: string;
  readonly minSize: number;
  readonly maxSize: number;
  /** How many there are to be; some of them may be on their way. */
  targetSize(): number;
  /** What a new node would look like when it has just come up. */
  template(name: string): Node;
  /** Whether a node belongs to it. */
  has(node: Node): boolean;
  increase(by: number): Promise<void>;
  /** Removes just these, and makes the target smaller by as many. */
  delete(nodes: readonly Node[]): Promise<void>;
}
