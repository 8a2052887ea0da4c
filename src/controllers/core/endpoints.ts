import { Endpoints, type EndpointAddress, type EndpointPort, type EndpointSubset } from '#api/core/v1/endpoints.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { Service } from '#api/core/v1/service.ts';
import { keyOf } from '#client/informer.ts';
import { create, remove, update } from '../actions.ts';
import { defineController } from '../controller.ts';
import { headlessLabel } from '../discovery/endpoint-slice.ts';
import {
  addressOf,
  familiesOf,
  hostnameIn,
  isHeadless,
  isPublished,
  portsAt,
  selectorOf,
  servicePods,
  type PodPort,
} from '../discovery/service-pods.ts';
import { sameLabels, watched } from '../reads.ts';
import { sameJson } from '../same.ts';
import { isReady } from './pod-state.ts';

const managedByLabel = 'endpoints.kubernetes.io/managed-by';
const overCapacity = 'endpoints.kubernetes.io/over-capacity';
const addressesMax = 1000;

/** Publishes who serves a service in the old form, one object for all. */
export const endpointsController = defineController({
  name: 'endpoint-controller',
  reconciles: Service,
  reads: {
    pods: servicePods.pods,
    endpoints: watched<Service, Endpoints, Endpoints | undefined>(
      Endpoints,
      all => service => all.objects.get(keyOf(service)),
      // Endpoints without a service are their maker's business; ours may be left of a service that went while nobody looked.
      (endpoints, _old, services, event) =>
        event === 'deleted' ||
        services.objects.has(keyOf(endpoints)) ||
        endpoints.metadata.labels?.[managedByLabel] === 'endpoint-controller'
          ? [keyOf(endpoints)]
          : [],
    ),
  },
  writes: [Endpoints],
  concerns: service => selectorOf(service) !== undefined,
  decide(service, { pods, endpoints: old }) {
    if (service.metadata.deletionTimestamp !== undefined) return [];
    const { subsets, truncated } = subsetsOf(service, pods);
    const { [headlessLabel]: _, ...own } = service.metadata.labels ?? {};
    const labels = {
      ...own,
      [managedByLabel]: 'endpoint-controller',
      ...(isHeadless(service) && { [headlessLabel]: '' }),
    };
    const { [overCapacity]: wasTruncated, ...rest } = old?.metadata.annotations ?? {};
    const annotations = { ...rest, ...(truncated && { [overCapacity]: 'truncated' }) };
    const { namespace, name } = service.metadata;
    const wanted = { apiVersion: 'v1', kind: 'Endpoints', subsets };
    if (!old) return [create(Endpoints, { ...wanted, metadata: { namespace, name, labels, annotations } })];
    const same =
      sameJson(old.subsets ?? [], subsets) &&
      sameLabels(old.metadata.labels, labels) &&
      (wasTruncated !== undefined) === truncated;
    return same ? [] : [update(Endpoints, { ...wanted, metadata: { ...old.metadata, labels, annotations } })];
  },
  decideGone: (name, namespace) => [remove(Endpoints, { metadata: { name, namespace } })],
});

interface Member {
  readonly address: EndpointAddress;
  readonly ready: boolean;
}

/** Upstream's packing: ports with the same addresses share a subset. */
function subsetsOf(service: Service, pods: readonly Pod[]): { subsets: readonly EndpointSubset[]; truncated: boolean } {
  const everybody = service.spec?.publishNotReadyAddresses ?? false;
  const family = familiesOf(service)[0] ?? 'IPv4';
  const members = new Map<string, { readonly port: PodPort | undefined; readonly members: Member[] }>();
  let count = 0;
  const portsOf = portsAt(service);
  for (const pod of pods) {
    const ip = isPublished(pod, everybody) ? addressOf(pod, family) : undefined;
    if (ip === undefined) continue;
    const member: Member = { address: endpointAddress(service, pod, ip), ready: everybody || isReady(pod) };
    const { ports } = portsOf(pod);
    if (ports.length === 0 && !(isHeadless(service) && (service.spec?.ports ?? []).length === 0)) continue;
    count++;
    for (const port of ports.length > 0 ? ports : [undefined]) {
      const key = port ? `${port.name} ${port.port} ${port.protocol} ${port.appProtocol ?? ''}` : '';
      const entry = members.get(key) ?? { port, members: [] };
      members.set(key, entry);
      entry.members.push(member);
    }
  }
  const packed = new Map<string, { readonly ports: EndpointPort[]; readonly members: readonly Member[] }>();
  for (const { port, members: found } of members.values()) {
    const sorted = found.toSorted((a, b) => (a.address.ip < b.address.ip ? -1 : a.address.ip > b.address.ip ? 1 : 0));
    const key = sorted.map(({ address, ready }) => `${address.ip}/${address.targetRef?.uid}/${ready}`).join();
    const subset = packed.get(key) ?? { ports: [], members: sorted };
    packed.set(key, subset);
    if (port) subset.ports.push(endpointPort(port));
  }
  let room = addressesMax;
  const subsets = [...packed.values()].map(({ ports, members: found }) => {
    const taken = found.toSorted((a, b) => Number(b.ready) - Number(a.ready)).slice(0, Math.max(0, room));
    room -= taken.length;
    const addresses = taken.filter(({ ready }) => ready).map(({ address }) => address);
    const notReadyAddresses = taken.filter(({ ready }) => !ready).map(({ address }) => address);
    return {
      ...(addresses.length > 0 && { addresses }),
      ...(notReadyAddresses.length > 0 && { notReadyAddresses }),
      ...(ports.length > 0 && { ports }),
    };
  });
  return { subsets, truncated: count > addressesMax };
}

function endpointAddress(service: Service, pod: Pod, ip: string): EndpointAddress {
  const { namespace, name, uid } = pod.metadata;
  const nodeName = pod.spec?.nodeName ?? '';
  const hostname = hostnameIn(service, pod);
  return {
    ip,
    ...(hostname !== undefined && { hostname }),
    ...(nodeName !== '' && { nodeName }),
    targetRef: {
      kind: 'Pod',
      ...(namespace !== undefined && { namespace }),
      ...(name !== undefined && { name }),
      ...(uid !== undefined && { uid }),
    },
  };
}

function endpointPort({ name, port, protocol, appProtocol }: PodPort): EndpointPort {
  return {
    ...(name !== '' && { name }),
    port,
    protocol,
    ...(appProtocol !== undefined && { appProtocol }),
  };
}
