import { Namespace } from '#api/core/v1/namespace.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { Informers } from '#client/informers.ts';
import { ClusterState } from '#scheduler/cluster-state.ts';
import { followDevices } from '#scheduler/devices/follow-devices.ts';
import { followStorage } from '#scheduler/follow-storage.ts';
import { followWorkloads } from '#scheduler/follow-workloads.ts';
import { podInfo } from '#scheduler/pod-info.ts';

/** The scheduler's picture of the cluster for somebody who only asks what would be. */
export function followCluster(informers: Informers): {
  readonly cluster: ClusterState;
  readonly synced: Promise<unknown>;
  readonly end: () => void;
} {
  const cluster = new ClusterState();
  const nodes = informers.of(Node);
  const pods = informers.of(Pod);
  const namespaces = informers.of(Namespace);
  const workloads = followWorkloads(informers);
  cluster.workloads = workloads.workloads;
  const storage = followStorage(informers, cluster.storage, () => undefined);
  const devices = followDevices(informers, cluster.devices, () => undefined);
  const seeNode = (node: Node) => cluster.setNode(node);
  const seeNamespace = ({ metadata: { name = '', labels = {} } }: Namespace) => {
    cluster.namespaceLabels.set(name, labels);
    cluster.counts.forget();
  };
  const seePod = (pod: Pod) => {
    const info = podInfo(pod);
    const isOver = pod.status.phase === 'Succeeded' || pod.status.phase === 'Failed';
    if (pod.spec.nodeName && !isOver) cluster.setPod(info, pod.spec.nodeName);
    else cluster.removePod(info.key);
  };
  const ends = [
    nodes.subscribe({
      added: seeNode,
      updated: seeNode,
      deleted: node => cluster.removeNode(node.metadata.name ?? ''),
    }),
    namespaces.subscribe({
      added: seeNamespace,
      updated: seeNamespace,
      deleted: ({ metadata }) => cluster.namespaceLabels.delete(metadata.name ?? ''),
    }),
    pods.subscribe({
      added: seePod,
      updated: seePod,
      deleted: ({ metadata }) => cluster.removePod(`${metadata.namespace}/${metadata.name}`),
    }),
    storage.end,
    devices.end,
  ];
  return {
    cluster,
    synced: Promise.all([nodes, pods, namespaces, workloads, storage, devices].map(each => each.synced)),
    end() {
      for (const end of ends) end();
    },
  };
}
