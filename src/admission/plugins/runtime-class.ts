import type { Draft } from '#api/machinery/kind.ts';
import { canonicalQuantity } from '#api/machinery/quantity.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { RuntimeClass } from '#api/node/v1/runtime-class.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts';
import { concerns, draftOf, forbidden, objectOf } from '../request.ts';
import { find, type Sources, withFound } from '../sources.ts';

/** A runtime class adds its overhead and where its pods can run. */
export function runtimeClass(sources: Sources): AdmissionPlugin {
  const classes = sources.informers.of(RuntimeClass);
  const classOf = (request: AdmissionRequest, name: string | undefined) => {
    if (!name) return undefined;
    return withFound(find(sources, classes, name), found => {
      if (!found) throw forbidden(request, `pod rejected: RuntimeClass ${JSON.stringify(name)} not found`);
      return found;
    });
  };
  return {
    name: 'RuntimeClass',
    handles: request => concerns(request, Pod, 'CREATE'),
    admit(request) {
      const pod = draftOf(Pod, request);
      return withFound(classOf(request, pod.spec?.runtimeClassName), chosen => {
        if (chosen) applyTo(request, pod, chosen);
      });
    },
    validate(request) {
      const { spec } = objectOf(Pod, request);
      return withFound(classOf(request, spec?.runtimeClassName), chosen => {
        const wanted = chosen?.overhead?.podFixed;
        if (spec?.overhead && !wanted)
          throw forbidden(
            request,
            'pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead',
          );
        if (wanted && !sameQuantities(spec?.overhead ?? {}, wanted))
          throw forbidden(request, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
      });
    },
  };
}

function applyTo(request: AdmissionRequest, pod: Draft<Pod>, { overhead, scheduling }: RuntimeClass): void {
  const { spec } = pod;
  if (!spec) return;
  if (overhead?.podFixed && spec.overhead === undefined) spec.overhead = { ...overhead.podFixed };
  for (const [key, value] of Object.entries(scheduling?.nodeSelector ?? {})) {
    const own = spec.nodeSelector?.[key];
    if (own !== undefined && own !== value)
      throw forbidden(
        request,
        `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`,
      );
    spec.nodeSelector = { ...spec.nodeSelector, [key]: value };
  }
  const present = new Set((spec.tolerations ?? []).map(each => JSON.stringify(each)));
  const missing = (scheduling?.tolerations ?? []).filter(each => !present.has(JSON.stringify(each)));
  if (missing.length > 0) spec.tolerations = [...(spec.tolerations ?? []), ...missing.map(each => ({ ...each }))];
}

function sameQuantities(left: Readonly<Record<string, string>>, right: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(left);
  return (
    keys.length === Object.keys(right).length &&
    keys.every(key => canonicalQuantity(left[key] ?? '') === canonicalQuantity(right[key] ?? ''))
  );
}
