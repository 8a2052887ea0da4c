import type { Pod } from '#api/core/v1/pod.ts';
import type { Container } from '#api/core/v1/pod-spec.ts';
import type { Handlers } from '../plugins/connection.ts';
import type { Sent } from '../plugins/messages.ts';
import { isPassing } from './exclusive.ts';
import type { Allocations } from './allocations.ts';

/** The pod resources API v1: tells monitors which pod has which devices, CPUs and memory. */
export function podResourcesHandlers(
  allocations: Pick<Allocations, 'devices' | 'claims' | 'cpus' | 'memory'>,
  pods: () => readonly Pod[],
): Handlers {
  return {
    '/v1.PodResourcesLister/List': () => ({ pod_resources: pods().map(pod => podOf(allocations, pod)) }),
    '/v1.PodResourcesLister/Get': ({ pod_name: name, pod_namespace: namespace }) => {
      const pod = pods().find(({ metadata }) => metadata.name === name && metadata.namespace === namespace);
      if (!pod) throw new Error(`pod ${name} in namespace ${namespace} not found`);
      return { pod_resources: podOf(allocations, pod) };
    },
    '/v1.PodResourcesLister/GetAllocatableResources': () => {
      const byResource = Map.groupBy(
        allocations.devices.healthy,
        ({ resource, nodes }) => `${resource}\0${nodes.join()}`,
      );
      return {
        devices: [...byResource.values()].map(devices => ({
          resource_name: devices[0]?.resource,
          device_ids: devices.map(({ id }) => id),
          topology: topologyOf(devices[0]?.nodes ?? []),
        })),
        cpu_ids: allocations.cpus?.allocatable ?? [],
        memory: (allocations.memory?.allocatable ?? []).map(({ type, nodes, bytes }) => ({
          memory_type: type,
          size: bytes,
          topology: topologyOf(nodes),
        })),
      };
    },
  };
}

function podOf(
  allocations: Pick<Allocations, 'devices' | 'claims' | 'cpus' | 'memory'>,
  pod: Pod,
): Sent<'PodResources'> {
  const { name, namespace, uid = '' } = pod.metadata;
  const { initContainers = [], containers = [] } = pod.spec ?? {};
  // Those that have ended have nothing any more.
  const staying = [...initContainers.filter(each => !isPassing(pod, each)), ...containers];
  return {
    name,
    namespace,
    containers: staying.map(container => ({
      name: container.name,
      devices: allocations.devices.of(uid, container.name).map(({ resource, ids, nodes }) => ({
        resource_name: resource,
        device_ids: ids,
        topology: topologyOf(nodes),
      })),
      cpu_ids: allocations.cpus?.of(uid, container.name) ?? [],
      memory: (allocations.memory?.of(uid, container.name) ?? []).map(({ type, nodes, bytes }) => ({
        memory_type: type,
        size: bytes,
        topology: topologyOf(nodes),
      })),
      dynamic_resources: claimsOf(allocations, pod, container),
    })),
  };
}

function claimsOf(
  { claims }: Pick<Allocations, 'claims'>,
  pod: Pod,
  container: Container,
): readonly Sent<'DynamicResource'>[] {
  return claims.of(pod, container).map(({ claim, devices }) => ({
    claim_name: claim.name,
    claim_namespace: claim.namespace,
    claim_resources: devices.map(({ driver, pool, device, cdi }) => ({
      cdi_devices: cdi.map(name => ({ name })),
      driver_name: driver,
      pool_name: pool,
      device_name: device,
    })),
  }));
}

function topologyOf(nodes: readonly number[]): Sent<'TopologyInfo'> | undefined {
  return nodes.length === 0 ? undefined : { nodes: nodes.map(ID => ({ ID })) };
}
