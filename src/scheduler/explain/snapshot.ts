import { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import { StatefulSet } from '#api/apps/v1/stateful-set.ts';
import { ReplicationController } from '#api/core/v1/replication-controller.ts';
import { Service } from '#api/core/v1/service.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Node } from '#api/core/v1/node.ts';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { PodDisruptionBudget } from '#api/policy/v1/pod-disruption-budget.ts';
import { DeviceClass } from '#api/resource/v1/device-class.ts';
import { ResourceClaim } from '#api/resource/v1/resource-claim.ts';
import { ResourceSlice } from '#api/resource/v1/resource-slice.ts';
import { CSIDriver } from '#api/storage/v1/csi-driver.ts';
import { CSINode } from '#api/storage/v1/csi-node.ts';
import { CSIStorageCapacity } from '#api/storage/v1/csi-storage-capacity.ts';
import { StorageClass } from '#api/storage/v1/storage-class.ts';
import type { Client } from '#client/client.ts';
import { keyOf } from '#client/informer.ts';
import { ClusterState } from '../cluster-state.ts';
import { podInfo } from '../pod-info.ts';
import type { StorageObjects } from '../storage-state.ts';
import { workloadsFrom, type Workloads } from '../workloads.ts';

/** The scheduler's picture of a cluster, read once. */
export interface Snapshot {
  readonly cluster: ClusterState;
  readonly pods: readonly Pod[];
  readonly budgets: readonly PodDisruptionBudget[];
}

const pageSize = 500;

export async function readSnapshot(client: Client, signal?: AbortSignal): Promise<Snapshot> {
  const [nodes, pods, namespaces, budgets, storage, workloads, devices] = await Promise.all([
    listAll(client, Node, signal),
    listAll(client, Pod, signal),
    listAll(client, Namespace, signal),
    listAll(client, PodDisruptionBudget, signal),
    readStorage(client, signal),
    readWorkloads(client, signal),
    Promise.all([
      listAll(client, DeviceClass, signal),
      listAll(client, ResourceSlice, signal),
      listAll(client, ResourceClaim, signal),
    ]),
  ]);
  const cluster = new ClusterState();
  cluster.storage.objects = storage;
  cluster.workloads = workloads;
  const [classes, slices, claims] = devices;
  for (const each of classes) cluster.devices.setClass(each);
  for (const each of slices) cluster.devices.setSlice(each);
  for (const each of claims) cluster.devices.setClaim(each);
  for (const { metadata } of namespaces) cluster.namespaceLabels.set(metadata.name ?? '', metadata.labels ?? {});
  for (const node of nodes) cluster.setNode(node);
  for (const pod of pods) {
    const { phase, nominatedNodeName } = pod.status;
    // A pod that waits for its victims to go keeps its place.
    const nodeName = pod.spec.nodeName || nominatedNodeName;
    if (nodeName && phase !== 'Succeeded' && phase !== 'Failed') cluster.setPod(podInfo(pod), nodeName);
  }
  return { cluster, pods, budgets };
}

async function readStorage(client: Client, signal?: AbortSignal): Promise<StorageObjects> {
  const [claims, volumes, classes, csiNodes, drivers, capacities] = await Promise.all([
    listAll(client, PersistentVolumeClaim, signal),
    listAll(client, PersistentVolume, signal),
    listAll(client, StorageClass, signal),
    listAll(client, CSINode, signal),
    listAll(client, CSIDriver, signal),
    listAll(client, CSIStorageCapacity, signal),
  ]);
  const byKey = <Type extends ApiObject>(items: readonly Type[]) => new Map(items.map(item => [keyOf(item), item]));
  const maps = {
    claims: byKey(claims),
    volumes: byKey(volumes),
    classes: byKey(classes),
    csiNodes: byKey(csiNodes),
    drivers: byKey(drivers),
  };
  return {
    claim: key => maps.claims.get(key),
    volume: name => maps.volumes.get(name),
    volumesOfClass: name => volumes.filter(({ spec }) => (spec?.storageClassName ?? '') === name),
    storageClass: name => maps.classes.get(name),
    csiNode: name => maps.csiNodes.get(name),
    csiDriver: name => maps.drivers.get(name),
    capacities: () => capacities,
  };
}

async function readWorkloads(client: Client, signal?: AbortSignal): Promise<Workloads> {
  const [services, replicaSets, statefulSets, controllers] = await Promise.all([
    listAll(client, Service, signal),
    listAll(client, ReplicaSet, signal),
    listAll(client, StatefulSet, signal),
    listAll(client, ReplicationController, signal),
  ]);
  const find = <Type extends ApiObject>(items: readonly Type[], key: string) => items.find(item => keyOf(item) === key);
  return workloadsFrom({
    servicesIn: namespace => services.filter(each => each.metadata.namespace === namespace),
    replicaSet: key => find(replicaSets, key),
    statefulSet: key => find(statefulSets, key),
    replicationController: key => find(controllers, key),
  });
}

export async function listAll<Type extends ApiObject>(
  client: Client,
  kind: Kind<Type>,
  signal?: AbortSignal,
): Promise<readonly Type[]> {
  const items: Type[] = [];
  let next: string | undefined;
  do {
    const page = await client.list(kind, {
      limit: pageSize,
      ...(next !== undefined && { continue: next }),
      ...(signal && { signal }),
    });
    items.push(...page.items);
    next = page.metadata.continue || undefined;
  } while (next !== undefined);
  return items;
}
