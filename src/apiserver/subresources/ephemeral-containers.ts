import { deepEqual } from '#base/deep-equal.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import type { ApiResponse } from '#client/transport.ts';
import type { Call } from '../call.ts';
import type { ChangeRules } from '../change-object.ts';
import type { Resource } from '../registry.ts';
import { get } from '../verbs/get.ts';
import { patch } from '../verbs/patch.ts';
import { update } from '../verbs/update.ts';

/** Containers for debugging may be added to a pod that runs; never changed, never taken away. */
export async function ephemeralContainers(call: Call, resource: Resource): Promise<ApiResponse> {
  if (call.info.verb === 'get') return get(call, resource);
  const rules = rulesOf(resource);
  return call.info.verb === 'patch' ? patch(call, resource, rules) : update(call, resource, rules);
}

function rulesOf({ kind }: Resource): ChangeRules {
  return {
    prepare(draft, old) {
      const pod = draft as unknown as { metadata: Pod['metadata']; spec: object; status: unknown };
      const before = old as Pod;
      const { ephemeralContainers: wanted } = pod.spec as Pod['spec'];
      const { resourceVersion, managedFields } = pod.metadata;
      pod.metadata = { ...before.metadata, resourceVersion, managedFields };
      pod.spec = { ...before.spec, ephemeralContainers: wanted };
      pod.status = before.status;
    },
    validate(object, old, report) {
      kind.validate?.(object, report);
      const now = (object as Pod).spec.ephemeralContainers ?? [];
      const before = (old as Pod).spec.ephemeralContainers ?? [];
      const at = report.at('spec', 'ephemeralContainers');
      for (const existing of before) {
        const same = now.find(each => each.name === existing.name);
        if (!same) at.forbidden(`existing ephemeral containers ${JSON.stringify(existing.name)} may not be removed\n`);
        else if (!deepEqual(same, existing))
          at.forbidden(`existing ephemeral containers ${JSON.stringify(existing.name)} may not be changed\n`);
      }
    },
  };
}
