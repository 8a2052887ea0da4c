import type { Node } from '#api/core/v1/node.ts';
import type { Pod } from '#api/core/v1/pod.ts';

/**
 * What the file of a scheduler plugin exports as `plugin`; docs/scheduler-plugins.md shows one. Everything but the name is
 * optional, and every function may be asynchronous.
 */
export interface SchedulerPlugin {
  /** Profiles name it so in `plugins` and `pluginConfig`; nodes that it refuses are counted under it. */
  readonly name: string;
  /** Called once, with what the profile's `pluginConfig` has for it; profiles differ. */
  configure?(args: unknown, schedulerName: string): void | Promise<void>;
  /** False: this pod is none of its business. */
  concerns?(pod: Pod): boolean | Promise<boolean>;
  /** Why the node does not take the pod, in a few words that stand behind a number: "2 rack is full"; nothing where it does. */
  filter?(pod: Pod, node: NodeView): string | undefined | Promise<string | undefined>;
  /** From 0 to 100, the more the better. */
  score?(pod: Pod, node: NodeView): number | Promise<number>;
}

/** A node with the pods that are, or are about to be, on it. */
export interface NodeView {
  readonly node: Node;
  readonly pods: readonly Pod[];
}
