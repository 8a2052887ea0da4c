import type { Pod } from '#api/core/v1/pod.ts';
import { validatePodResize } from '#api/core/v1/pod-validation.ts';
import type { ApiResponse } from '#client/transport.ts';
import type { Call } from '../call.ts';
import type { ChangeRules } from '../change-object.ts';
import type { Resource } from '../registry.ts';
import { get } from '../verbs/get.ts';
import { patch } from '../verbs/patch.ts';
import { update } from '../verbs/update.ts';

/** Only the resources of containers, and how they are resized, change; the rest of what is sent is passed over. */
export async function resize(call: Call, resource: Resource): Promise<ApiResponse> {
  if (call.info.verb === 'get') return get(call, resource);
  const rules = rulesOf(resource);
  return call.info.verb === 'patch' ? patch(call, resource, rules) : update(call, resource, rules);
}

type Container = Pod['spec']['containers'][number];

function rulesOf({ kind }: Resource): ChangeRules {
  return {
    prepare(draft, old) {
      const pod = draft as unknown as { spec: object; status: unknown };
      const before = old as Pod;
      pod.spec = resizedSpec(pod.spec as Pod['spec'], before.spec);
      pod.status = before.status;
    },
    validate(object, old, report) {
      kind.validate?.(object, report);
      validatePodResize(object as never, old as never, report);
    },
  };
}

/** The old spec with the new resources. Other containers than before are left as they are, for the validation to refuse. */
function resizedSpec(spec: Pod['spec'], old: Pod['spec']): object {
  const containers = resized(spec.containers, old.containers);
  const initContainers = resized(spec.initContainers ?? [], old.initContainers ?? []);
  if (!containers || !initContainers) return spec;
  return { ...old, containers, ...(old.initContainers && { initContainers }) };
}

function resized(containers: readonly Container[], olds: readonly Container[]): readonly Container[] | undefined {
  if (containers.length !== olds.length) return undefined;
  if (containers.some((each, index) => each.name !== olds[index]?.name)) return containers;
  return olds.map((old, index) => {
    const { resources, resizePolicy } = containers[index] as Container;
    const { resources: _resources, resizePolicy: _policy, ...fixed } = old;
    return { ...fixed, ...(resources && { resources }), ...(resizePolicy && { resizePolicy }) } as Container;
  });
}
