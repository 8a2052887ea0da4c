import type { Volume } from '#api/core/v1/pod-spec.ts';
import type { NodeInfo } from '../node-info.ts';
import type { ClusterPlugin, Rejection } from '../plugin.ts';
import { claimsOf } from '../storage-state.ts';

const diskTaken: Rejection = {
  plugin: 'VolumeRestrictions',
  reasons: ['node(s) had no available disk'],
  unresolvable: false,
};
const claimTaken: Rejection = {
  plugin: 'VolumeRestrictions',
  reasons: [
    'node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod',
  ],
  unresolvable: false,
};

/** A disk that only one may write, and a claim that only one pod may use. KEP-2485. */
export const volumeRestrictions: ClusterPlugin = {
  name: 'VolumeRestrictions',
  weight: 0,
  hint(event, pod) {
    if (event.type !== 'pod gone') return false;
    const claims = claimsOf(event.pod);
    return claimsOf(pod).some(({ key }) => claims.some(each => each.key === key));
  },
  prepare(pod, { storage }) {
    const disks = (pod.pod.spec.volumes ?? []).filter(isDisk);
    const exclusive = claimsOf(pod).filter(({ key }) =>
      storage.objects.claim(key)?.spec?.accessModes?.includes('ReadWriteOncePod'),
    );
    if (disks.length === 0 && exclusive.length === 0) return undefined;
    // Preemption asks about nodes from which it took pods away: what a node has decides over what is known of it.
    const usersFor = (node: NodeInfo) =>
      exclusive.flatMap(({ key }) =>
        [...storage.usersOf(key)].filter(
          ([user, where]) => user !== pod.key && (where !== node.name || node.pods.has(user)),
        ),
      );
    return {
      filter(node) {
        for (const other of node.pods.values())
          if (other.pod.spec.volumes?.some(taken => disks.some(disk => conflicts(disk, taken)))) return diskTaken;
        return usersFor(node).length > 0 ? claimTaken : undefined;
      },
      explain: node => ({
        details: usersFor(node).map(([user, where]) => `its ReadWriteOncePod claim is used by ${user} on ${where}`),
        remedies: [],
      }),
    };
  },
};

function isDisk({ gcePersistentDisk, awsElasticBlockStore, rbd, iscsi }: Volume): boolean {
  return (gcePersistentDisk ?? awsElasticBlockStore ?? rbd ?? iscsi) !== undefined;
}

/** The same disk twice; disks that all mount read-only may be shared, except for EBS. */
function conflicts(a: Volume, b: Volume): boolean {
  if (a.gcePersistentDisk && b.gcePersistentDisk)
    return (
      a.gcePersistentDisk.pdName === b.gcePersistentDisk.pdName &&
      !(a.gcePersistentDisk.readOnly && b.gcePersistentDisk.readOnly)
    );
  if (a.awsElasticBlockStore && b.awsElasticBlockStore)
    return a.awsElasticBlockStore.volumeID === b.awsElasticBlockStore.volumeID;
  if (a.iscsi && b.iscsi) return a.iscsi.iqn === b.iscsi.iqn && !(a.iscsi.readOnly && b.iscsi.readOnly);
  if (a.rbd && b.rbd) {
    const monitors = a.rbd.monitors?.some(each => b.rbd?.monitors?.includes(each)) ?? false;
    return monitors && a.rbd.pool === b.rbd.pool && a.rbd.image === b.rbd.image && !(a.rbd.readOnly && b.rbd.readOnly);
  }
  return false;
}
