import type { Node } from '#api/core/v1/node.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { parseQuantity } from '#api/machinery/quantity.ts';

/** What a pretended container is said to use: cores and bytes. */
export interface HollowUsage {
  readonly cpuCores: number;
  readonly memoryBytes: number;
}

/** Nodes that only pretend have nobody to ask: what their pods use is worked out from what the pods say of themselves. */
export function isHollow({ status }: Node): boolean {
  return status?.nodeInfo?.containerRuntimeVersion.startsWith('windlass-hollow://') === true;
}

const annotations = { cpu: 'hollow.windlass.dev/cpu-usage', memory: 'hollow.windlass.dev/memory-usage' } as const;

/** Of what a container asks for this share, or so much where it asks for nothing. */
const shares = { cpu: { ofRequest: 0.1, otherwise: 0.001 }, memory: { ofRequest: 0.5, otherwise: 8 * 1024 * 1024 } };

/** What an empty node uses for itself. */
export const hollowNodeUsage: HollowUsage = { cpuCores: 0.05, memoryBytes: 256 * 1024 * 1024 };

/** A container's use: what the pod's annotations say (each container uses as much), or a share of what it asks for. */
export function hollowUsage(pod: Pod, container: NonNullable<Pod['spec']>['containers'][number]): HollowUsage {
  const read = (resource: 'cpu' | 'memory') => {
    const said = number(pod.metadata.annotations?.[annotations[resource]]);
    if (said !== undefined) return said;
    const requested = number(container.resources?.requests?.[resource]);
    const { ofRequest, otherwise } = shares[resource];
    return requested === undefined ? otherwise : requested * ofRequest;
  };
  return { cpuCores: read('cpu'), memoryBytes: read('memory') };
}

function number(quantity: string | undefined): number | undefined {
  const parsed = quantity === undefined ? undefined : parseQuantity(quantity);
  return parsed && Number(parsed.nano) / 1e9;
}
