import type { Pod } from '#api/core/v1/pod.ts';
import { extendedResourceAnnotation } from '#api/resource/pod-claims.ts';
import type { ResourceClaim } from '#api/resource/v1/resource-claim.ts';
import type { DeviceRequest } from '#api/resource/v1/resource-claim-spec.ts';
import { wholeValue } from '#api/machinery/quantity.ts';
import type { DeviceState } from './device-state.ts';

/** Which container's extended resource a request of the claim stands for, as the pod's status says it. */
export interface RequestMapping {
  readonly containerName: string;
  readonly resourceName: string;
  readonly requestName: string;
}

/**
 * The claim that stands for extended resources which devices serve: what the scheduler writes when it has found a node.
 * KEP-5004.
 */
export function extendedClaimFor(pod: Pod, resources: readonly string[], devices: DeviceState): ResourceClaim {
  const { name = '', namespace = '', uid = '' } = pod.metadata;
  const requests = requestsOf(pod, resources).map(({ requestName, resourceName, count }): DeviceRequest => {
    const deviceClassName = devices.classOfResource(resourceName) ?? '';
    return { name: requestName, exactly: { deviceClassName, allocationMode: 'ExactCount', count } };
  });
  return {
    apiVersion: 'resource.k8s.io/v1',
    kind: 'ResourceClaim',
    metadata: {
      generateName: `${name.slice(0, 30)}-extended-resources-`,
      namespace,
      annotations: { [extendedResourceAnnotation]: 'true' },
      ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name, uid, controller: true, blockOwnerDeletion: true }],
    },
    spec: { devices: { requests } },
    status: {},
  } as ResourceClaim;
}

export function isExtendedClaim({ metadata }: ResourceClaim): boolean {
  return metadata.annotations?.[extendedResourceAnnotation] === 'true';
}

/** What the pod's status says of such a claim. */
export function mappingsOf(pod: Pod, claim: ResourceClaim): readonly RequestMapping[] {
  const names = new Set((claim.spec.devices?.requests ?? []).map(request => request.name));
  const resources = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].flatMap(each =>
    Object.keys(each.resources?.requests ?? {}),
  );
  return requestsOf(pod, [...new Set(resources)])
    .filter(each => names.has(each.requestName))
    .map(({ containerName, resourceName, requestName }) => ({ containerName, resourceName, requestName }));
}

function requestsOf(
  { spec }: Pod,
  resources: readonly string[],
): readonly (RequestMapping & { readonly count: number })[] {
  const containers = [...(spec.initContainers ?? []), ...spec.containers];
  return containers.flatMap((container, index) =>
    Object.keys(container.resources?.requests ?? {})
      .toSorted()
      .flatMap((resourceName, at) => {
        const count = wholeValue(container.resources?.requests?.[resourceName]);
        if (count === 0 || !resources.includes(resourceName)) return [];
        const requestName = `container-${index}-request-${at}`;
        return [{ containerName: container.name, resourceName, requestName, count }];
      }),
  );
}
