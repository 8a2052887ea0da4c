import { Endpoints, type EndpointAddress } from '#api/core/v1/endpoints.ts';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice, type Endpoint } from '#api/discovery/v1/endpoint-slice.ts';
import { keyOf } from '#client/informer.ts';
import { remove, type Action } from '../actions.ts';
import { defineController } from '../controller.ts';
import { controllerReference } from '../core/pod-from-template.ts';
import { watched } from '../reads.ts';
import { managedByLabel, serviceNameLabel, slicesOf } from './endpoint-slice.ts';
import { arrangeSlices, type EndpointGroup } from './slices.ts';

const managedBy = 'endpointslicemirroring-controller.k8s.io';
const skipLabel = 'endpointslice.kubernetes.io/skip-mirror';
const leaderAnnotation = 'control-plane.alpha.kubernetes.io/leader';
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';
const addressesPerSubsetMax = 1000;

/** Mirrors hand-made Endpoints of services without selector, for those that read slices only. */
export const endpointSliceMirroringController = defineController({
  name: 'endpointslicemirroring-controller',
  component: 'endpoint-slice-mirroring-controller',
  reconciles: Endpoints,
  reads: {
    service: watched<Endpoints, Service, Service | undefined>(
      Service,
      services => endpoints => services.objects.get(keyOf(endpoints)),
      service => [keyOf(service)],
    ),
    slices: slicesOf<Endpoints>(managedBy),
  },
  writes: [EndpointSlice],
  decide(endpoints, { service, slices }) {
    if (!isMirrored(endpoints, service)) return slices.map(slice => remove(EndpointSlice, slice));
    const { namespace = '', name = '' } = endpoints.metadata;
    const { [lastApplied]: _, ...annotations } = endpoints.metadata.annotations ?? {};
    const actions: Action[] = [];
    for (const addressType of ['IPv4', 'IPv6'] as const) {
      const groups = groupsOf(endpoints, addressType);
      const existing = slices.filter(slice => slice.addressType === addressType);
      if (groups.length === 0) {
        actions.push(...existing.map(slice => remove(EndpointSlice, slice)));
        continue;
      }
      const labels = { ...endpoints.metadata.labels, [serviceNameLabel]: name, [managedByLabel]: managedBy };
      const owner = controllerReference(Endpoints, endpoints);
      actions.push(
        ...arrangeSlices(
          { namespace, namePrefix: `${name}-`, labels, annotations, owner, addressType },
          existing,
          groups,
        ),
      );
    }
    return actions;
  },
});

function isMirrored({ metadata }: Endpoints, service: Service | undefined): boolean {
  if (!service || Object.keys(service.spec?.selector ?? {}).length > 0) return false;
  return metadata.labels?.[skipLabel] !== 'true' && metadata.annotations?.[leaderAnnotation] === undefined;
}

function groupsOf({ subsets = [] }: Endpoints, family: 'IPv4' | 'IPv6'): readonly EndpointGroup[] {
  return subsets.flatMap(({ addresses = [], notReadyAddresses = [], ports = [] }) => {
    const endpoints = [
      ...addresses.map(address => mirrored(address, true)),
      ...notReadyAddresses.map(address => mirrored(address, false)),
    ].filter(({ addresses: [ip = ''] }) => ip.includes(':') === (family === 'IPv6'));
    if (endpoints.length === 0) return [];
    const mirroredPorts = ports.map(({ name = '', port, protocol = 'TCP', appProtocol }) => ({
      name,
      port,
      protocol,
      ...(appProtocol !== undefined && { appProtocol }),
    }));
    return [{ ports: mirroredPorts, endpoints: endpoints.slice(0, addressesPerSubsetMax) }];
  });
}

function mirrored({ ip, hostname, nodeName, targetRef }: EndpointAddress, ready: boolean): Endpoint {
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname !== undefined && hostname !== '' && { hostname }),
    ...(nodeName !== undefined && { nodeName }),
    ...(targetRef && { targetRef }),
  };
}
