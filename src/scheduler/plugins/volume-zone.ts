import { claimClassOf } from '#api/core/v1/volume-matching.ts';
import type { NodeInfo } from '../node-info.ts';
import type { ClusterPlugin, Rejection } from '../plugin.ts';
import { claimsOf } from '../storage-state.ts';

const elsewhere: Rejection = {
  plugin: 'VolumeZone',
  reasons: ['node(s) had no available volume zone'],
  unresolvable: true,
};

/** The label of a volume or node, and the name that replaced it. */
const topologyLabels: ReadonlyMap<string, string> = new Map([
  ['failure-domain.beta.kubernetes.io/zone', 'topology.kubernetes.io/zone'],
  ['failure-domain.beta.kubernetes.io/region', 'topology.kubernetes.io/region'],
  ['topology.kubernetes.io/zone', 'topology.kubernetes.io/zone'],
  ['topology.kubernetes.io/region', 'topology.kubernetes.io/region'],
]);

/** Volumes that say by labels in which zone they are are used only there. */
export const volumeZone: ClusterPlugin = {
  name: 'VolumeZone',
  weight: 0,
  prepare(pod, { storage: { objects } }) {
    const wanted: { readonly volume: string; readonly label: string; readonly values: readonly string[] }[] = [];
    for (const { key, ephemeral } of claimsOf(pod)) {
      const claim = objects.claim(key);
      if (ephemeral || !claim) continue;
      const { volumeName = '' } = claim.spec ?? {};
      if (volumeName === '') {
        const refusal = unboundRefusal(claimClassOf(claim), objects.storageClass(claimClassOf(claim)));
        if (refusal) return { everywhere: { ...refusal, everywhere: true } };
        continue;
      }
      const volume = objects.volume(volumeName);
      if (!volume)
        return {
          everywhere: { ...refusalSaying(`persistentvolume "${volumeName}" not found`), everywhere: true },
        };
      for (const label of topologyLabels.keys()) {
        const value = volume.metadata.labels?.[label];
        // Several zones are written `a__b`.
        if (value !== undefined) wanted.push({ volume: volumeName, label, values: value.split('__') });
      }
    }
    if (wanted.length === 0) return undefined;
    const missed = (node: NodeInfo) => {
      const { labels = {} } = node.node.metadata;
      // A node that says nothing of zones is in the only one.
      if (![...topologyLabels.keys()].some(label => Object.hasOwn(labels, label))) return [];
      return wanted.filter(({ label, values }) => {
        const value = labels[label] ?? labels[topologyLabels.get(label) ?? label];
        return value === undefined || !values.includes(value);
      });
    };
    return {
      filter: node => (missed(node).length > 0 ? elsewhere : undefined),
      explain: node => ({
        details: missed(node).map(
          ({ volume, label, values }) => `volume ${volume} is in ${label}=${values.join(' or ')}`,
        ),
        remedies: [],
      }),
    };
  },
};

function unboundRefusal(
  className: string,
  storageClass: { readonly volumeBindingMode?: string | undefined } | undefined,
): Rejection | undefined {
  if (className === '') return refusalSaying('PersistentVolumeClaim had no pv name and storageClass name');
  if (!storageClass) return refusalSaying(`storageclass.storage.k8s.io "${className}" not found`);
  return storageClass.volumeBindingMode === 'WaitForFirstConsumer'
    ? undefined
    : refusalSaying('PersistentVolume had no name');
}

function refusalSaying(reason: string): Rejection {
  return { plugin: 'VolumeZone', reasons: [reason], unresolvable: true };
}
