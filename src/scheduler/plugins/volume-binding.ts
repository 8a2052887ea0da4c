import type { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import type { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import { claimClassOf, isSmallerVolume, isVolumeFor, volumeMismatch } from '#api/core/v1/volume-matching.ts';
import { compareQuantities, parseQuantity } from '#api/machinery/quantity.ts';
import { compileLabelSelector } from '#api/machinery/selector.ts';
import type { StorageClass } from '#api/storage/v1/storage-class.ts';
import type { NodeInfo } from '../node-info.ts';
import type { ClusterPlugin, Rejection, VolumeReservation } from '../plugin.ts';
import type { PodInfo } from '../pod-info.ts';
import { claimsOf, type StorageState } from '../storage-state.ts';
import { matchesTerm } from './node-affinity.ts';

export const selectedNodeAnnotation = 'volume.kubernetes.io/selected-node';
const bindCompleted = 'pv.kubernetes.io/bind-completed';
const noProvisioner = 'kubernetes.io/no-provisioner';

const affinityConflict = rejection('node(s) had volume node affinity conflict');
const nothingToBind = rejection("node(s) didn't find available persistent volumes to bind");
const notEnoughSpace = rejection('node(s) did not have enough free storage');
const volumeMissing = rejection('node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)');

/**
 * Volumes that are bound decide by their node affinity where a pod can go; claims that wait for their first consumer are
 * bound, or provisioned, for the node that is chosen.
 */
export const volumeBinding: ClusterPlugin = {
  name: 'VolumeBinding',
  weight: 0,
  prepare(pod, { storage }) {
    if (claimsOf(pod).length === 0) return undefined;
    const claims = sorted(pod, storage);
    if ('plugin' in claims) return { everywhere: { ...claims, everywhere: true } };
    return {
      filter(node) {
        const fit = fitOn(node, claims, storage);
        return 'plugin' in fit ? fit : undefined;
      },
      explain: node => ({ details: detailsOn(node, claims, storage), remedies: [] }),
    };
  },
  reserve(pod, node, { storage }) {
    if (claimsOf(pod).length === 0) return undefined;
    const claims = sorted(pod, storage);
    if ('plugin' in claims || claims.delayed.length === 0) return undefined;
    const fit = fitOn(node, claims, storage);
    return 'plugin' in fit ? undefined : fit;
  },
};

interface SortedClaims {
  readonly bound: readonly PersistentVolumeClaim[];
  /** They wait for their first consumer. */
  readonly delayed: readonly PersistentVolumeClaim[];
}

/** What stands for the whole pod, whatever the node, is a rejection. */
function sorted(pod: PodInfo, { objects }: StorageState): SortedClaims | Rejection {
  const bound: PersistentVolumeClaim[] = [];
  const delayed: PersistentVolumeClaim[] = [];
  let immediate = false;
  for (const { name, key, ephemeral } of claimsOf(pod)) {
    const claim = objects.claim(key);
    if (!claim)
      return rejection(
        ephemeral
          ? `waiting for ephemeral volume controller to create the persistentvolumeclaim "${name}"`
          : `persistentvolumeclaim "${name}" not found`,
      );
    const { volumeName = '' } = claim.spec ?? {};
    if (claim.status?.phase === 'Lost')
      return rejection(`persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${volumeName}"`);
    if (claim.metadata.deletionTimestamp !== undefined)
      return rejection(`persistentvolumeclaim "${name}" is being deleted`);
    const owned = claim.metadata.ownerReferences?.some(
      owner => owner.controller === true && owner.uid === pod.pod.metadata.uid,
    );
    if (ephemeral && !owned) return rejection(`PVC ${key} was not created for pod ${pod.key} (pod is not owner)`);
    if (volumeName !== '' && claim.metadata.annotations?.[bindCompleted] !== undefined) bound.push(claim);
    else if (volumeName === '' && isDelayed(objects.storageClass(claimClassOf(claim)))) delayed.push(claim);
    else immediate = true;
  }
  return immediate ? rejection('pod has unbound immediate PersistentVolumeClaims') : { bound, delayed };
}

function isDelayed(storageClass: StorageClass | undefined): boolean {
  return storageClass?.volumeBindingMode === 'WaitForFirstConsumer';
}

function fitOn(node: NodeInfo, { bound, delayed }: SortedClaims, storage: StorageState): VolumeReservation | Rejection {
  for (const claim of bound) {
    const volume = storage.objects.volume(claim.spec?.volumeName ?? '');
    if (!volume) return volumeMissing;
    if (!reaches(volume, node)) return affinityConflict;
  }
  const bindings: { readonly claim: PersistentVolumeClaim; readonly volume: PersistentVolume }[] = [];
  const provisions: PersistentVolumeClaim[] = [];
  // The smallest first, so that large volumes are left for large claims.
  for (const claim of delayed.toSorted(bySize)) {
    const chosenNode = storage.promisedNodes.get(keyOf(claim)) ?? claim.metadata.annotations?.[selectedNodeAnnotation];
    if (chosenNode !== undefined && chosenNode !== node.name) return nothingToBind;
    const taken = (name: string) =>
      bindings.some(each => each.volume.metadata.name === name) ||
      (storage.promisedVolumes.get(name) ?? keyOf(claim)) !== keyOf(claim);
    const volume = chosenNode === undefined ? bestVolume(claim, node, storage, taken) : undefined;
    if (volume) {
      bindings.push({ claim, volume });
      continue;
    }
    const refusal = refusalToProvision(claim, node, storage);
    if (refusal) return refusal;
    provisions.push(claim);
  }
  return { bindings, provisions };
}

function bestVolume(
  claim: PersistentVolumeClaim,
  node: NodeInfo,
  { objects }: StorageState,
  taken: (name: string) => boolean,
): PersistentVolume | undefined {
  let best: PersistentVolume | undefined;
  for (const volume of objects.volumesOfClass(claimClassOf(claim))) {
    if (volumeMismatch(claim, volume) !== undefined || !reaches(volume, node)) continue;
    if (volume.spec?.claimRef) {
      if (isVolumeFor(claim, volume)) return volume;
      continue;
    }
    if (taken(volume.metadata.name ?? '') || volume.metadata.deletionTimestamp !== undefined) continue;
    if (volume.status?.phase !== 'Available') continue;
    if (!best || isSmallerVolume(volume, best)) best = volume;
  }
  return best;
}

function refusalToProvision(
  claim: PersistentVolumeClaim,
  node: NodeInfo,
  storage: StorageState,
): Rejection | undefined {
  const { objects } = storage;
  const storageClass = objects.storageClass(claimClassOf(claim));
  if (!storageClass || storageClass.provisioner === noProvisioner) return nothingToBind;
  const { labels = {} } = node.node.metadata;
  const terms = storageClass.allowedTopologies ?? [];
  const allowed =
    terms.length === 0 ||
    terms.some(term =>
      (term.matchLabelExpressions ?? []).every(({ key, values }) => values?.includes(labels[key] ?? '') ?? false),
    );
  if (!allowed) return nothingToBind;
  return hasCapacity(claim, storageClass, node, storage) ? undefined : notEnoughSpace;
}

/** KEP-1472: drivers that publish capacities are asked for enough of it where the node can reach it. */
function hasCapacity(
  claim: PersistentVolumeClaim,
  storageClass: StorageClass,
  node: NodeInfo,
  { objects }: StorageState,
): boolean {
  const wanted = parseQuantity(claim.spec?.resources?.requests?.storage ?? '');
  if (!wanted || objects.csiDriver(storageClass.provisioner)?.spec.storageCapacity !== true) return true;
  for (const { storageClassName, capacity, maximumVolumeSize, nodeTopology } of objects.capacities()) {
    if (storageClassName !== storageClass.metadata.name || nodeTopology === undefined) continue;
    const limit = parseQuantity(maximumVolumeSize ?? capacity ?? '');
    if (!limit || compareQuantities(limit, wanted) < 0) continue;
    if (compileLabelSelector(nodeTopology)(node.node.metadata.labels)) return true;
  }
  return false;
}

function reaches(volume: PersistentVolume, { node }: NodeInfo): boolean {
  const required = volume.spec?.nodeAffinity?.required;
  return required === undefined || (required.nodeSelectorTerms ?? []).some(term => matchesTerm(term, node));
}

function detailsOn(node: NodeInfo, { bound, delayed }: SortedClaims, storage: StorageState): readonly string[] {
  const unreachable = bound.flatMap(claim => {
    const { volumeName = '' } = claim.spec ?? {};
    const volume = storage.objects.volume(volumeName);
    if (volume && reaches(volume, node)) return [];
    return `claim ${claim.metadata.name} is bound to volume ${volumeName}, which ${volume ? 'cannot be used from this node' : 'does not exist'}`;
  });
  if (unreachable.length > 0) return unreachable;
  return delayed.map(
    claim =>
      `claim ${claim.metadata.name} asks for ${claim.spec?.resources?.requests?.storage ?? 'any size'} of class ${claimClassOf(claim)}, and there is neither a free volume for this node nor a provisioner that could make one here`,
  );
}

function bySize(a: PersistentVolumeClaim, b: PersistentVolumeClaim): number {
  const [left, right] = [a, b].map(({ spec }) => parseQuantity(spec?.resources?.requests?.storage ?? '0'));
  return left && right ? compareQuantities(left, right) : 0;
}

function keyOf({ metadata }: PersistentVolumeClaim): string {
  return `${metadata.namespace}/${metadata.name}`;
}

function rejection(reason: string): Rejection {
  return { plugin: 'VolumeBinding', reasons: [reason], unresolvable: true };
}
