import type { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import type { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import type { CSIDriver } from '#api/storage/v1/csi-driver.ts';
import type { CSINode } from '#api/storage/v1/csi-node.ts';
import type { CSIStorageCapacity } from '#api/storage/v1/csi-storage-capacity.ts';
import type { StorageClass } from '#api/storage/v1/storage-class.ts';
import type { PodInfo } from './pod-info.ts';

/** What the API has of storage: informers while the scheduler runs, lists for `windlass explain`. */
export interface StorageObjects {
  /** By `namespace/name`. */
  claim(key: string): PersistentVolumeClaim | undefined;
  volume(name: string): PersistentVolume | undefined;
  volumesOfClass(className: string): Iterable<PersistentVolume>;
  storageClass(name: string): StorageClass | undefined;
  csiNode(name: string): CSINode | undefined;
  csiDriver(name: string): CSIDriver | undefined;
  capacities(): Iterable<CSIStorageCapacity>;
}

const noStorage: StorageObjects = {
  claim: () => undefined,
  volume: () => undefined,
  volumesOfClass: () => [],
  storageClass: () => undefined,
  csiNode: () => undefined,
  csiDriver: () => undefined,
  capacities: () => [],
};

/** The storage of the cluster, ahead of the API by what the scheduler has promised to pods whose binding is on its way. */
export class StorageState {
  objects: StorageObjects = noStorage;
  /** Volumes promised to claims: name → `namespace/name` of the claim. */
  readonly promisedVolumes = new Map<string, string>();
  /** Claims that are to be provisioned for a node: `namespace/name` → node. */
  readonly promisedNodes = new Map<string, string>();
  /** Pods on nodes by the claims they use: claim → pod → node. */
  readonly #users = new Map<string, Map<string, string>>();

  /** Pods that are on nodes and use a claim, with their nodes. */
  usersOf(claimKey: string): ReadonlyMap<string, string> {
    return this.#users.get(claimKey) ?? nobody;
  }

  podChanged(pod: PodInfo, nodeName: string, sign: 1 | -1): void {
    for (const { key } of claimsOf(pod)) {
      const users = this.#users.get(key) ?? new Map<string, string>();
      if (sign > 0) this.#users.set(key, users.set(pod.key, nodeName));
      else if (users.delete(pod.key) && users.size === 0) this.#users.delete(key);
    }
  }
}

const nobody: ReadonlyMap<string, string> = new Map();

export interface ClaimOfPod {
  readonly name: string;
  /** `namespace/name`. */
  readonly key: string;
  /** Made for this pod alone, by the ephemeral volume controller. */
  readonly ephemeral: boolean;
}

const noClaims: readonly ClaimOfPod[] = [];

/** The claims that a pod's volumes name. */
export function claimsOf({ pod }: PodInfo): readonly ClaimOfPod[] {
  let claims: ClaimOfPod[] | undefined;
  for (const volume of pod.spec.volumes ?? []) {
    const ephemeral = volume.ephemeral !== undefined;
    const name = ephemeral ? `${pod.metadata.name}-${volume.name}` : volume.persistentVolumeClaim?.claimName;
    if (name === undefined) continue;
    claims ??= [];
    claims.push({ name, key: `${pod.metadata.namespace}/${name}`, ephemeral });
  }
  return claims ?? noClaims;
}
