import { Pod } from '#api/core/v1/pod.ts';
import type { AdmissionPlugin } from '../admission.ts';
import { concerns, draftOf, forbidden, objectOf, oldOf } from '../request.ts';

/** Nobody uses an image that is on a node without the right to pull it. */
export const alwaysPullImages: AdmissionPlugin = {
  name: 'AlwaysPullImages',
  handles: request => concerns(request, Pod, 'CREATE', 'UPDATE'),
  admit(request) {
    const pod = draftOf(Pod, request);
    if (!pod.spec || hasNoNewImage(pod as Pod, oldOf(Pod, request))) return;
    const { initContainers = [], containers, ephemeralContainers = [], volumes = [] } = pod.spec;
    for (const container of [...initContainers, ...containers, ...ephemeralContainers])
      container.imagePullPolicy = 'Always';
    for (const { image } of volumes) if (image) image.pullPolicy = 'Always';
  },
  validate(request) {
    const pod = objectOf(Pod, request);
    if (!pod.spec || hasNoNewImage(pod, oldOf(Pod, request))) return;
    const { initContainers = [], containers, ephemeralContainers = [], volumes = [] } = pod.spec;
    const check = (path: string, policy: string | undefined) => {
      if (policy === 'Always') return;
      const what = `Unsupported value: ${JSON.stringify(policy ?? '')}: supported values: "Always"`;
      throw forbidden(request, `${path}: ${what}`);
    };
    for (const [field, list] of Object.entries({ initContainers, containers, ephemeralContainers }))
      for (const [index, { imagePullPolicy }] of list.entries())
        check(`spec.${field}[${index}].imagePullPolicy`, imagePullPolicy);
    for (const [index, { image }] of volumes.entries())
      if (image) check(`spec.volumes[${index}].image.pullPolicy`, image.pullPolicy);
  },
};

/** A pod that is there already goes on; only images that it did not have are looked at. */
function hasNoNewImage(pod: Pod, old: Pod | undefined): boolean {
  if (!old) return false;
  const had = imagesOf(old);
  return imagesOf(pod).isSubsetOf(had);
}

function imagesOf({ spec }: Pod): Set<string> {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = spec ?? {};
  return new Set([...initContainers, ...containers, ...ephemeralContainers].map(each => each.image ?? ''));
}
