import type { Pod } from '#api/core/v1/pod.ts';
import type { PodTemplateSpec } from '#api/core/v1/pod-template-spec.ts';
import type { OwnerReference } from '#api/meta/v1/object-meta.ts';
import { apiVersionOf, type ApiObject, type Kind, type Partly } from '#api/machinery/kind.ts';

/** The pod that a template describes, controlled by the owner of the template. */
export function podFromTemplate(kind: Kind, owner: ApiObject, template: Partial<PodTemplateSpec>): Partly<Pod> {
  const { labels, annotations, finalizers } = template.metadata ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...(owner.metadata.namespace !== undefined && { namespace: owner.metadata.namespace }),
      generateName: generateNameFor(owner.metadata.name ?? ''),
      ...(labels && { labels }),
      ...(annotations && { annotations }),
      ...(finalizers && { finalizers }),
      ownerReferences: [controllerReference(kind, owner)],
    },
    ...(template.spec && { spec: template.spec }),
  };
}

export function controllerReference(kind: Kind, owner: ApiObject): OwnerReference {
  return {
    apiVersion: apiVersionOf(kind),
    kind: kind.kind,
    name: owner.metadata.name ?? '',
    uid: owner.metadata.uid ?? '',
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** A name that is too long with the dash is used without. */
function generateNameFor(name: string): string {
  return name.length < 253 ? `${name}-` : name;
}
