import type { Node } from '#api/core/v1/node.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice, type Endpoint, type EndpointPort } from '#api/discovery/v1/endpoint-slice.ts';
import { remove, type Action } from '../actions.ts';
import { defineController } from '../controller.ts';
import { controllerReference } from '../core/pod-from-template.ts';
import { isReady } from '../core/pod-state.ts';
import { watched, type Read } from '../reads.ts';
import {
  addressOf,
  familiesOf,
  hostnameIn,
  isHeadless,
  isPublished,
  portsAt,
  selectorOf,
  servicePods,
} from './service-pods.ts';
import { arrangeSlices, type EndpointGroup, type SliceFrame } from './slices.ts';

export const serviceNameLabel = 'kubernetes.io/service-name';
export const managedByLabel = 'endpointslice.kubernetes.io/managed-by';
export const headlessLabel = 'service.kubernetes.io/headless';
const managedBy = 'endpointslice-controller.k8s.io';

/** Publishes who serves a service, in slices that a watcher of a big service need not read whole. */
export const endpointSliceController = defineController({
  name: 'endpointslice-controller',
  component: 'endpoint-slice-controller',
  reconciles: Service,
  concerns: service => selectorOf(service) !== undefined,
  reads: { ...servicePods, slices: slicesOf<Service>(managedBy) },
  writes: [EndpointSlice],
  decide(service, { pods, nodes, slices }) {
    if (service.metadata.deletionTimestamp !== undefined) return [];
    const families = familiesOf(service);
    const strangers = slices.filter(slice => !(families as readonly string[]).includes(slice.addressType));
    const actions: Action[] = strangers.map(slice => remove(EndpointSlice, slice));
    for (const family of families)
      actions.push(
        ...arrangeSlices(
          frameOf(service, family),
          slices.filter(slice => slice.addressType === family),
          groupsOf(service, family, pods, name => nodes.get(name)),
        ),
      );
    return actions;
  },
});

/** The slices of a service that one controller manages. */
export function slicesOf<Type extends { readonly metadata: Service['metadata'] }>(
  manager: string,
): Read<Type, readonly EndpointSlice[]> {
  const serviceOf = ({ metadata }: EndpointSlice) =>
    metadata.labels?.[managedByLabel] === manager
      ? [`${metadata.namespace}/${metadata.labels[serviceNameLabel] ?? ''}`]
      : [];
  return watched<Type, EndpointSlice, readonly EndpointSlice[]>(
    EndpointSlice,
    slices => {
      const byService = slices.index(`service of ${manager}`, serviceOf);
      return ({ metadata }) => [...byService.get(`${metadata.namespace}/${metadata.name}`).values()];
    },
    (slice, old) => new Set([...serviceOf(slice), ...(old ? serviceOf(old) : [])]),
  );
}

function frameOf(service: Service, addressType: string): SliceFrame {
  const { metadata } = service;
  const { [headlessLabel]: _, ...labels } = metadata.labels ?? {};
  return {
    namespace: metadata.namespace ?? '',
    namePrefix: `${metadata.name}-`,
    labels: {
      ...labels,
      [serviceNameLabel]: metadata.name ?? '',
      [managedByLabel]: managedBy,
      ...(isHeadless(service) && { [headlessLabel]: '' }),
    },
    owner: controllerReference(Service, service),
    addressType,
  };
}

function groupsOf(
  service: Service,
  family: 'IPv4' | 'IPv6',
  pods: readonly Pod[],
  nodeOf: (name: string) => Node | undefined,
): readonly EndpointGroup[] {
  const groups = new Map<string, { ports: readonly EndpointPort[]; endpoints: Endpoint[] }>();
  const portsOf = portsAt(service);
  for (const pod of pods) {
    const address = isPublished(pod, true) ? addressOf(pod, family) : undefined;
    if (address === undefined) continue;
    const { ports, key } = portsOf(pod);
    const group = groups.get(key) ?? { ports, endpoints: [] };
    groups.set(key, group);
    group.endpoints.push(endpointOf(service, pod, address, nodeOf));
  }
  return [...groups.values()];
}

function endpointOf(service: Service, pod: Pod, address: string, nodeOf: (name: string) => Node | undefined): Endpoint {
  const serving = isReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const ready = (service.spec?.publishNotReadyAddresses ?? false) || (serving && !terminating);
  const { nodeName } = pod.spec ?? {};
  const zone = nodeName === undefined ? undefined : nodeOf(nodeName)?.metadata.labels?.['topology.kubernetes.io/zone'];
  const hostname = hostnameIn(service, pod);
  const { namespace, name, uid } = pod.metadata;
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(hostname !== undefined && { hostname }),
    targetRef: {
      kind: 'Pod',
      ...(namespace !== undefined && { namespace }),
      ...(name !== undefined && { name }),
      ...(uid !== undefined && { uid }),
    },
    ...(nodeName !== undefined && nodeName !== '' && { nodeName }),
    ...(zone !== undefined && { zone }),
    ...(ready && hintsOf(service, zone, nodeName)),
  };
}

/** Who is to prefer an endpoint, by what the service says of its traffic (KEP-4444, KEP-3015). */
function hintsOf(
  { spec }: Service,
  zone: string | undefined,
  nodeName: string | undefined,
): Pick<Endpoint, 'hints'> | undefined {
  const forZones = zone === undefined ? undefined : [{ name: zone }];
  switch (spec?.trafficDistribution) {
    case 'PreferClose':
    case 'PreferSameZone':
      return forZones && { hints: { forZones } };
    case 'PreferSameNode': {
      const forNodes = nodeName ? [{ name: nodeName }] : undefined;
      return forNodes && { hints: { ...(forZones && { forZones }), forNodes } };
    }
    default:
      return undefined;
  }
}
