import { Pod } from '#api/core/v1/pod.ts';
import type { AdmissionPlugin } from '../admission.ts';
import { concerns, forbidden, objectOf } from '../request.ts';

const hostname = 'kubernetes.io/hostname';

/** A pod that must not be beside others can say so of a node, not of a whole zone. */
export const limitPodHardAntiAffinityTopology: AdmissionPlugin = {
  name: 'LimitPodHardAntiAffinityTopology',
  handles: request => concerns(request, Pod, 'CREATE', 'UPDATE'),
  validate(request) {
    const { affinity } = objectOf(Pod, request).spec ?? {};
    for (const { topologyKey } of affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [])
      if (topologyKey !== hostname)
        throw forbidden(
          request,
          `affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey ${topologyKey} but only key ${hostname} is allowed`,
        );
  },
};
