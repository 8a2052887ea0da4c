import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { PodDisruptionBudget } from '#api/policy/v1/pod-disruption-budget.ts';
import type { Client } from '#client/client.ts';
import { ClusterState } from '../cluster-state.ts';
import { podInfo } from '../pod-info.ts';

/** The scheduler's picture of a cluster, read once. */
export interface Snapshot {
  readonly cluster: ClusterState;
  readonly pods: readonly Pod[];
  readonly budgets: readonly PodDisruptionBudget[];
}

const pageSize = 500;

export async function readSnapshot(client: Client, signal?: AbortSignal): Promise<Snapshot> {
  const [nodes, pods, namespaces, budgets] = await Promise.all([
    listAll(client, Node, signal),
    listAll(client, Pod, signal),
    listAll(client, Namespace, signal),
    listAll(client, PodDisruptionBudget, signal),
  ]);
  const cluster = new ClusterState();
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
