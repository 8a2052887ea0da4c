import { Node, type Taint } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { Toleration } from '#api/core/v1/toleration.ts';
import { event, patch, remove, wake, type Action } from '../actions.ts';
import { defineController } from '../controller.ts';
import type { Read } from '../reads.ts';
import { sameApartFromZeros } from '../same.ts';
import { timeText } from '../time.ts';

/** Evicts pods from nodes with NoExecute taints that they do not tolerate, or not for so long. */
export const taintEvictionController = defineController({
  name: 'taint-eviction-controller',
  account: 'node-controller',
  reconciles: Pod,
  concerns: pod => (pod.spec?.nodeName ?? '') !== '' && pod.metadata.deletionTimestamp === undefined,
  changed: (pod, old) =>
    pod.spec?.nodeName !== old.spec?.nodeName || !sameApartFromZeros(pod.spec?.tolerations, old.spec?.tolerations),
  reads: { tainted: taintsOfNode() },
  writes: [Pod],
  decide(pod, { tainted: { taints, sinceMs }, nowMs }) {
    const atMs = evictionMs(taints, pod.spec?.tolerations ?? [], sinceMs);
    if (atMs === undefined) return [];
    return atMs > nowMs ? [wake(atMs)] : evicted(pod, nowMs);
  },
});

/** When a pod that has stood under these taints since then has to leave; undefined: it may stay. */
export function evictionMs(
  taints: readonly Taint[],
  tolerations: readonly Toleration[],
  sinceMs: number,
): number | undefined {
  let atMs: number | undefined;
  for (const taint of taints) {
    const matching = tolerations.filter(toleration => tolerates(toleration, taint));
    if (matching.length === 0) return sinceMs;
    const seconds = matching.flatMap(({ tolerationSeconds }) => tolerationSeconds ?? []);
    if (seconds.length === 0) continue;
    atMs = Math.min(atMs ?? Number.POSITIVE_INFINITY, sinceMs + Math.max(0, Math.min(...seconds)) * 1000);
  }
  return atMs;
}

/** Upstream's rule: an empty key with Exists tolerates all, an empty effect all effects. */
export function tolerates({ key = '', operator = '', value = '', effect = '' }: Toleration, taint: Taint): boolean {
  if (effect !== '' && effect !== taint.effect) return false;
  if (key !== '' && key !== taint.key) return false;
  if (operator === 'Exists') return true;
  if (operator === 'Gt') return Number(taint.value) > Number(value);
  if (operator === 'Lt') return Number(taint.value) < Number(value);
  return value === (taint.value ?? '');
}

function evicted(pod: Pod, nowMs: number): Action[] {
  const { namespace, name, uid } = pod.metadata;
  const condition = {
    type: 'DisruptionTarget',
    status: 'True',
    reason: 'DeletionByTaintManager',
    message: 'Taint manager: deleting due to NoExecute taint',
    lastTransitionTime: timeText(nowMs),
  };
  return [
    event(pod, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${namespace}/${name}`),
    patch(Pod, pod, { metadata: { uid }, status: { conditions: [condition] } }, { subresource: 'status' }),
    remove(Pod, pod),
  ];
}

interface Tainted {
  readonly taints: readonly Taint[];
  /** When the pod was first looked at under them: as upstream, whatever the taints say of their own age. */
  readonly sinceMs: number;
}

function taintsOfNode(): Read<Pod, Tainted> {
  return {
    kinds: [Node],
    open({ informers, subject, clock, wake: wakePod }) {
      const since = new Map<string, number>();
      subject.subscribe({ deleted: pod => since.delete(pod.metadata.uid ?? '') });
      const nodes = informers.of(Node);
      const byNode = subject.index('node', pod => [pod.spec?.nodeName ?? '']);
      const wakePods = (node: Node) => {
        for (const key of byNode.get(node.metadata.name ?? '').keys()) wakePod(key);
      };
      nodes.subscribe({
        added(node) {
          if (evicting(node).length > 0) wakePods(node);
        },
        updated(node, old) {
          if (!sameApartFromZeros(evicting(node), evicting(old))) wakePods(node);
        },
      });
      return ({ spec, metadata: { uid = '' } }) => {
        const taints = evicting(nodes.get(spec?.nodeName ?? ''));
        const sinceMs = since.get(uid) ?? clock.now();
        if (taints.length > 0) since.set(uid, sinceMs);
        else since.delete(uid);
        return { taints, sinceMs };
      };
    },
  };
}

function evicting(node: Node | undefined): readonly Taint[] {
  return (node?.spec?.taints ?? []).filter(({ effect }) => effect === 'NoExecute');
}
