import { errors } from '#api/machinery/errors.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { qosClass } from '#api/core/v1/pod-resources.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts';
import { concerns, draftOf, objectOf } from '../request.ts';
import { find, type Sources } from '../sources.ts';
import { covers, mergedTolerations, type Toleration } from './tolerations.ts';

/** What holds in namespaces that say nothing themselves. */
export interface PodTolerationConfiguration {
  readonly default?: readonly Toleration[];
  readonly whitelist?: readonly Toleration[];
}

const defaultsAnnotation = 'scheduler.alpha.kubernetes.io/defaultTolerations';
const allowedAnnotation = 'scheduler.alpha.kubernetes.io/tolerationsWhitelist';
const memoryPressure: Toleration = {
  key: 'node.kubernetes.io/memory-pressure',
  operator: 'Exists',
  effect: 'NoSchedule',
};

/** A namespace gives its pods tolerations, and says which ones they may have at all. */
export function podTolerationRestriction(
  sources: Sources,
  configuration: PodTolerationConfiguration = {},
): AdmissionPlugin {
  const namespaces = sources.informers.of(Namespace);
  const listIn = async ({ namespace }: AdmissionRequest, annotation: string) => {
    const found = await find(sources, namespaces, namespace);
    if (!found) throw errors.notFound(Namespace, namespace);
    const text = found.metadata.annotations?.[annotation];
    if (text === undefined) return undefined;
    return text === '' ? [] : tolerationsIn(text);
  };
  return {
    name: 'PodTolerationRestriction',
    handles: request => concerns(request, Pod, 'CREATE', 'UPDATE'),
    async admit(request) {
      const pod = draftOf(Pod, request);
      if (!pod.spec) return;
      const given =
        request.operation === 'CREATE'
          ? ((await listIn(request, defaultsAnnotation)) ?? configuration.default ?? [])
          : [];
      const pressed = qosClass(pod.spec as NonNullable<Pod['spec']>) === 'BestEffort' ? [] : [memoryPressure];
      const own = (pod.spec.tolerations ?? []) as readonly Toleration[];
      const merged = mergedTolerations(mergedTolerations(own, given), pressed);
      if (merged.length > 0) pod.spec.tolerations = structuredClone(merged) as typeof pod.spec.tolerations & object;
    },
    async validate(request) {
      const { tolerations = [] } = objectOf(Pod, request).spec ?? {};
      if (tolerations.length === 0) return;
      const allowed = (await listIn(request, allowedAnnotation)) ?? configuration.whitelist ?? [];
      if (allowed.length === 0 || tolerations.every(each => allowed.some(wider => covers(wider, each)))) return;
      const why =
        'pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist';
      throw errors.other('', why, undefined, 500);
    },
  };
}

function tolerationsIn(text: string): readonly Toleration[] {
  try {
    const parsed: unknown = JSON.parse(text);
    if (Array.isArray(parsed)) return parsed as readonly Toleration[];
    throw new Error('it is no list');
  } catch (cause) {
    throw Object.assign(errors.internal(`cannot read the tolerations of the namespace: ${(cause as Error).message}`), {
      cause,
    });
  }
}
