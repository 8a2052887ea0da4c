import { Pod } from '#api/core/v1/pod.ts';
import { ReplicationController } from '#api/core/v1/replication-controller.ts';
import { compileLabelMap } from '#api/machinery/selector.ts';
import { keepReplicas } from '../apps/replicas.ts';
import { claim } from '../claims.ts';
import { defineController } from '../controller.ts';
import { claimable } from '../reads.ts';

/** Keeps a stable number of identical pods running, the way it was done before there were ReplicaSets. */
export const replicationControllerController = defineController({
  name: 'replication-controller',
  reconciles: ReplicationController,
  reads: { pods: claimable<ReplicationController, Pod>(Pod, ({ spec }) => nonEmpty(spec.selector)) },
  writes: [Pod, ReplicationController],
  decide(controller, { pods, nowMs }) {
    const matches = compileLabelMap(controller.spec.selector);
    const { claimed, actions } = claim(ReplicationController, controller, Pod, matches, pods);
    return [...actions, ...keepReplicas(ReplicationController, controller, claimed, () => () => 0, nowMs)];
  },
});

function nonEmpty(labels: Readonly<Record<string, string>> | undefined) {
  return labels && Object.keys(labels).length > 0 ? labels : undefined;
}
