import { Pod } from '#api/core/v1/pod.ts';
import { isExtendedResource } from '#api/core/v1/pod-resources.ts';
import type { AdmissionPlugin } from '../admission.ts';
import { concerns, draftOf } from '../request.ts';

/** Who asks for a device may go to the nodes that are tainted with it: they are kept for such pods. */
export const extendedResourceToleration: AdmissionPlugin = {
  name: 'ExtendedResourceToleration',
  handles: request => concerns(request, Pod, 'CREATE', 'UPDATE'),
  admit(request) {
    const { spec } = draftOf(Pod, request);
    if (!spec) return;
    const asked = new Set(
      [...spec.containers, ...(spec.initContainers ?? [])].flatMap(({ resources }) =>
        Object.keys(resources?.requests ?? {}).filter(isExtendedResource),
      ),
    );
    for (const key of [...asked].sort()) {
      const present = spec.tolerations?.some(
        each => each.key === key && each.operator === 'Exists' && each.effect === 'NoSchedule',
      );
      if (!present) spec.tolerations = [...(spec.tolerations ?? []), { key, operator: 'Exists', effect: 'NoSchedule' }];
    }
  },
};
