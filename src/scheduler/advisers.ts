import type { NodeInfo } from './node-info.ts';
import type { PodInfo } from './pod-info.ts';
import type { Rejection } from './plugin.ts';
import type { Preemption } from './preemption.ts';

/** Somebody outside of this process, or in a thread of their own, who has a say about where pods go. */
export interface Adviser {
  /** As messages name it. */
  readonly name: string;
  /** Whether a pod of this profile is any of its business. */
  concerns(pod: PodInfo, schedulerName: string): boolean;
  /** Goes on without it when it does not answer. */
  readonly ignorable: boolean;
  /** The nodes that it refuses. */
  filter?(pod: PodInfo, nodes: readonly NodeInfo[]): Promise<ReadonlyMap<string, Rejection>>;
  /** What it adds to the nodes' scores, by name. */
  score?(pod: PodInfo, nodes: readonly NodeInfo[]): Promise<ReadonlyMap<string, number>>;
  /** Those of the possible preemptions that are left. */
  preempt?(pod: PodInfo, candidates: readonly Preemption[]): Promise<readonly Preemption[]>;
  /** Binds the pod in the scheduler's place. */
  bind?(pod: PodInfo, nodeName: string): Promise<void>;
}

/** What advisers left of the nodes that fit, with what they add to their scores. */
export interface Advised {
  readonly nodes: readonly NodeInfo[];
  readonly rejections: ReadonlyMap<string, Rejection>;
  readonly scores: ReadonlyMap<string, number>;
}

/** Asks one adviser after the other for its refusals, then all that score; throws what one that counts answers wrongly. */
export async function advise(
  advisers: readonly Adviser[],
  pod: PodInfo,
  candidates: readonly NodeInfo[],
  failed: (adviser: Adviser, error: unknown) => void,
): Promise<Advised> {
  let nodes = candidates;
  const rejections = new Map<string, Rejection>();
  for (const adviser of advisers) {
    if (nodes.length === 0) break;
    const refused = await answerOf(adviser, adviser.filter?.(pod, nodes), failed);
    if (!refused || refused.size === 0) continue;
    for (const [name, rejection] of refused) rejections.set(name, rejection);
    nodes = nodes.filter(node => !refused.has(node.name));
  }
  const scores = new Map<string, number>();
  // One node needs no comparison.
  if (nodes.length < 2) return { nodes, rejections, scores };
  const answers = await Promise.all(advisers.map(each => answerOf(each, each.score?.(pod, nodes), failed, true)));
  for (const answer of answers)
    for (const [name, score] of answer ?? []) scores.set(name, (scores.get(name) ?? 0) + score);
  return { nodes, rejections, scores };
}

async function answerOf<Answer>(
  adviser: Adviser,
  asked: Promise<Answer> | undefined,
  failed: (adviser: Adviser, error: unknown) => void,
  mayFail = adviser.ignorable,
): Promise<Answer | undefined> {
  try {
    return await asked;
  } catch (error) {
    failed(adviser, error);
    if (mayFail) return undefined;
    throw error;
  }
}
