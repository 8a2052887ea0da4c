import type { ClusterTrustBundle } from '#api/certificates/v1beta1/cluster-trust-bundle.ts';
import type { ConfigMap } from '#api/core/v1/config-map.ts';
import type { Node } from '#api/core/v1/node.ts';
import type { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import type { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import type { Volume } from '#api/core/v1/pod-spec.ts';
import type { Secret } from '#api/core/v1/secret.ts';
import type { LabelSelector } from '#api/meta/v1/label-selector.ts';

/** What the volumes of a pod are made from. Rejects with a message fit for a FailedMount Event. */
export interface VolumeObjects {
  /** `undefined`: there is none. */
  configMap(namespace: string, name: string): Promise<ConfigMap | undefined>;
  secret(namespace: string, name: string): Promise<Secret | undefined>;
  claim(namespace: string, name: string): Promise<PersistentVolumeClaim | undefined>;
  persistentVolume(name: string): Promise<PersistentVolume | undefined>;
  token(pod: Pod, request: TokenWish): Promise<IssuedToken>;
  /** The bundle of that name, or those of a signer that the selector takes. */
  trustBundles(wish: TrustWish): Promise<readonly ClusterTrustBundle[]>;
  node(): Node | undefined;
}

export type TrustWish =
  | { readonly name: string }
  | { readonly signerName: string; readonly labelSelector: LabelSelector | undefined };

export interface TokenWish {
  readonly audience: string | undefined;
  readonly expirationSeconds: number;
}

export interface IssuedToken {
  readonly token: string;
  readonly issuedMs: number;
  readonly expiresMs: number;
}

export interface VolumeRequest {
  readonly pod: Pod;
  readonly volume: Volume;
  /** The volume's own directory on the node; its parent exists. */
  readonly directory: string;
  readonly objects: VolumeObjects;
  readonly nowMs: number;
}

/** Where the content of a volume is. */
export type MountedVolume =
  | {
      readonly kind: 'path';
      readonly path: string;
      /** Containers may not write to it, whatever their mounts say. */
      readonly readonly: boolean;
      /** Content that changes: set up again when an object changes, or at this time. */
      readonly refreshAtMs?: number;
    }
  | { readonly kind: 'image'; readonly reference: string; readonly pullPolicy: string };

export interface VolumePlugin {
  /** As in upstream's directory names: `kubernetes.io~empty-dir`. */
  readonly name: string;
  handles(volume: Volume): boolean;
  /** Idempotent: called again after an agent restart, and to bring changed content up to date. */
  setUp(request: VolumeRequest): Promise<MountedVolume>;
}
