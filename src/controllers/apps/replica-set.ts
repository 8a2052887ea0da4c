import { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { compileLabelSelector } from '#api/machinery/selector.ts';
import { claim } from '../claims.ts';
import { defineController } from '../controller.ts';
import { isActive } from '../core/pod-state.ts';
import { claimable, controllerOf, watched, type Read } from '../reads.ts';
import { keepReplicas, type Crowd } from './replicas.ts';

/** Keeps a stable number of identical Pods running. */
export const replicaSetController = defineController({
  name: 'replicaset-controller',
  reconciles: ReplicaSet,
  reads: { pods: claimable<ReplicaSet, Pod>(Pod, set => set.spec.selector), crowd: siblings() },
  writes: [Pod, ReplicaSet],
  decide(set, { pods, crowd, nowMs }) {
    const { claimed, actions } = claim(ReplicaSet, set, Pod, compileLabelSelector(set.spec.selector), pods);
    return [...actions, ...keepReplicas(ReplicaSet, set, claimed, crowd, nowMs)];
  },
});

/** The pods of all sets with the same owner are one application. */
function siblings(): Read<ReplicaSet, Crowd> {
  return watched<ReplicaSet, Pod, Crowd>(
    Pod,
    (pods, sets) => {
      const podsOf = pods.index('controller', pod => {
        const owner = controllerOf(pod);
        return owner ? [owner.uid] : [];
      });
      const setsOf = sets.index('controller', set => {
        const owner = controllerOf(set);
        return owner ? [owner.uid] : [];
      });
      return set => () => {
        const owner = controllerOf(set);
        const related = owner ? [...setsOf.get(owner.uid).values()] : [set];
        const onNode = new Map<string, number>();
        for (const sibling of related)
          for (const pod of podsOf.get(sibling.metadata.uid ?? '').values()) {
            const node = pod.spec?.nodeName ?? '';
            if (isActive(pod)) onNode.set(node, (onNode.get(node) ?? 0) + 1);
          }
        return pod => onNode.get(pod.spec?.nodeName ?? '') ?? 0;
      };
    },
    () => [],
  );
}
