import type { Draft } from '#api/machinery/kind.ts';
import type { Binding } from '#api/core/v1/binding.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { AdmissionPlugin } from '../admission.ts';
import { concerns, draftOf, isOf } from '../request.ts';
import type { Sources } from '../sources.ts';

const topologyLabels = ['topology.kubernetes.io/zone', 'topology.kubernetes.io/region'];

/** A pod carries the zone and region of its node, from the moment it is bound. */
export function podTopologyLabels({ informers }: Sources): AdmissionPlugin {
  const nodes = informers.of(Node);
  return {
    name: 'PodTopologyLabels',
    handles: request =>
      concerns(request, Pod, 'CREATE') ||
      (request.operation === 'CREATE' &&
        ((isOf(request, Pod) && request.subresource === 'binding') || request.kind.plural === 'bindings')),
    admit(request) {
      const bound = concerns(request, Pod, 'CREATE')
        ? draftOf(Pod, request).spec?.nodeName
        : (request.object as unknown as Draft<Binding>).target?.name;
      const labels = nodes.get(bound ?? '')?.metadata.labels;
      if (!labels || !request.object) return;
      const { metadata } = request.object;
      for (const key of topologyLabels)
        if (labels[key] !== undefined) metadata.labels = { ...metadata.labels, [key]: labels[key] };
    },
  };
}
