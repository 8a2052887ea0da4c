import type { Node } from '#api/core/v1/node.ts';
import type { Pod } from '#api/core/v1/pod.ts';

/** To the thread of a plugin. */
export type Question =
  | { readonly id: number; readonly ask: 'configure'; readonly schedulerName: string; readonly args: unknown }
  | {
      readonly id: number;
      readonly ask: 'filter' | 'score';
      readonly pod: Pod;
      /** Nodes that are new or changed since the last question. */
      readonly changed: readonly { readonly node: Node; readonly pods: readonly Pod[] }[];
      readonly gone: readonly string[];
      readonly names: readonly string[];
    };

/** From it: first, as answer 0, what it loaded. */
export type Answer =
  | { readonly id: number; readonly error: string }
  | { readonly id: 0; readonly error: undefined; readonly loaded: Loaded }
  | { readonly id: number; readonly error: undefined; readonly values: readonly (string | number | undefined)[] };

export interface Loaded {
  readonly name: string;
  readonly filters: boolean;
  readonly scores: boolean;
}
