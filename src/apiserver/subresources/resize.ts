import { deepEqual } from '#base/deep-equal.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import type { ApiResponse } from '#client/transport.ts';
import type { Call } from '../call.ts';
import type { ChangeRules } from '../change-object.ts';
import type { Resource } from '../registry.ts';
import { get } from '../verbs/get.ts';
import { patch } from '../verbs/patch.ts';
import { update } from '../verbs/update.ts';

/** Only the resources of containers, and how they are resized, may change. */
export async function resize(call: Call, resource: Resource): Promise<ApiResponse> {
  if (call.info.verb === 'get') return get(call, resource);
  const rules = rulesOf(resource);
  return call.info.verb === 'patch' ? patch(call, resource, rules) : update(call, resource, rules);
}

type Container = Pod['spec']['containers'][number];

function rulesOf({ kind }: Resource): ChangeRules {
  return {
    prepare(draft, old) {
      (draft as unknown as { status: unknown }).status = (old as Pod).status;
    },
    validate(object, old, report) {
      kind.validate?.(object, report);
      const { spec } = object as Pod;
      const before = (old as Pod).spec;
      if (!deepEqual(fixedPart(spec), fixedPart(before)))
        report.at('spec').forbidden('only cpu and memory resources are mutable');
    },
  };
}

/** What a resize leaves alone. */
function fixedPart(spec: Pod['spec']): object {
  const fixed = ({ resources: _resources, resizePolicy: _policy, ...rest }: Container) => rest;
  const initContainers = spec.initContainers?.map(each => fixed(each as Container));
  return { ...spec, containers: spec.containers.map(fixed), ...(initContainers && { initContainers }) };
}
