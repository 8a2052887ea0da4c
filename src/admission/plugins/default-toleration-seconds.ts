import { Pod } from '#api/core/v1/pod.ts';
import type { AdmissionPlugin } from '../admission.ts';
import type { TolerationSeconds } from '../configuration.ts';
import { concerns, draftOf } from '../request.ts';

const secondsDefault = 300;

/** Pods stay for a while on a node that is not ready or cannot be reached, unless they say otherwise. */
export function defaultTolerationSeconds({ notReady, unreachable }: TolerationSeconds = {}): AdmissionPlugin {
  const wanted = [
    ['node.kubernetes.io/not-ready', notReady ?? secondsDefault],
    ['node.kubernetes.io/unreachable', unreachable ?? secondsDefault],
  ] as const;
  return {
    name: 'DefaultTolerationSeconds',
    handles: request => concerns(request, Pod, 'CREATE', 'UPDATE'),
    admit(request) {
      const { spec } = draftOf(Pod, request);
      if (!spec) return;
      for (const [key, tolerationSeconds] of wanted) {
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
}
