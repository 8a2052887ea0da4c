import type { CSINode } from '#api/storage/v1/csi-node.ts';
import { claimClassOf } from '#api/core/v1/volume-matching.ts';
import type { NodeInfo } from '../node-info.ts';
import type { ClusterPlugin, Rejection } from '../plugin.ts';
import type { PodInfo } from '../pod-info.ts';
import { claimsOf, type StorageState } from '../storage-state.ts';

const tooMany: Rejection = {
  plugin: 'NodeVolumeLimits',
  reasons: ['node(s) exceed max volume count'],
  unresolvable: false,
};

/** How many volumes of a driver can be attached to a node, as its CSINode says. */
export const nodeVolumeLimits: ClusterPlugin = {
  name: 'NodeVolumeLimits',
  weight: 0,
  prepare(pod, { storage }) {
    const wanted = attachmentsOf(pod, storage);
    if (wanted.size === 0) return undefined;
    return {
      filter: node => (excess(node, wanted, storage).length > 0 ? tooMany : undefined),
      explain: node => ({
        details: excess(node, wanted, storage).map(
          ({ driver, used, more, limit }) =>
            `driver ${driver}: ${used} of ${limit} volumes are attached, ${more} more are needed`,
        ),
        remedies: [],
      }),
    };
  },
};

/** Each volume counts once, however many pods of the node use it: its id → its driver. */
function attachmentsOf(pod: PodInfo, { objects }: StorageState): ReadonlyMap<string, string> {
  const attachments = new Map<string, string>();
  for (const { key } of claimsOf(pod)) {
    const claim = objects.claim(key);
    if (!claim) continue;
    const volume = objects.volume(claim.spec?.volumeName ?? '');
    const csi = volume?.spec?.csi;
    if (csi) attachments.set(`${csi.driver}/${csi.volumeHandle}`, csi.driver);
    else if (!volume) {
      // Not there yet: it will be of the driver that provisions for the class.
      const driver = objects.storageClass(claimClassOf(claim))?.provisioner;
      if (driver !== undefined) attachments.set(`${driver}/${key}`, driver);
    }
  }
  return attachments;
}

function excess(node: NodeInfo, wanted: ReadonlyMap<string, string>, storage: StorageState) {
  const limits = limitsOf(storage.objects.csiNode(node.name));
  if (limits.size === 0 || ![...wanted.values()].some(driver => limits.has(driver))) return [];
  const attached = new Map<string, string>();
  for (const each of node.pods.values())
    for (const [id, driver] of attachmentsOf(each, storage)) attached.set(id, driver);
  const countOf = (driver: string, of: ReadonlyMap<string, string>) =>
    [...of].filter(([id, each]) => each === driver && (of === attached || !attached.has(id))).length;
  return [...limits].flatMap(([driver, limit]) => {
    const more = countOf(driver, wanted);
    const used = countOf(driver, attached);
    return more > 0 && used + more > limit ? { driver, used, more, limit } : [];
  });
}

function limitsOf(csiNode: CSINode | undefined): ReadonlyMap<string, number> {
  return new Map(
    (csiNode?.spec.drivers ?? []).flatMap(({ name, allocatable }) =>
      allocatable?.count === undefined ? [] : [[name, allocatable.count] as const],
    ),
  );
}
