import { Pod } from '#api/core/v1/pod.ts';
import type { AdmissionPlugin } from '../admission.ts';
import { concerns, draftOf } from '../request.ts';

const tolerationSeconds = 300;

/** Pods stay for five minutes on a node that is not ready or cannot be reached, unless they say otherwise. */
export const defaultTolerationSeconds: AdmissionPlugin = {
  name: 'DefaultTolerationSeconds',
  handles: request => concerns(request, Pod, 'CREATE', 'UPDATE'),
  admit(request) {
    const { spec } = draftOf(Pod, request);
    if (!spec) return;
    for (const key of ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable']) {
      const tolerated = spec.tolerations?.some(
        each => (each.key === key || !each.key) && (each.effect === 'NoExecute' || !each.effect),
      );
      if (tolerated) continue;
      spec.tolerations = [
        ...(spec.tolerations ?? []),
        { key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds },
      ];
    }
  },
};
