import { stat } from 'node:fs/promises';
import type { Pod } from '#api/core/v1/pod.ts';
import type { Volume } from '#api/core/v1/pod-spec.ts';
import { giveToGroup } from '../ownership.ts';
import type { VolumePlugin } from '../plugin.ts';
import { checkHostPath } from './host-path.ts';

/** The volume bound to a claim: of the kinds that are directories of this node. */
export const persistentVolumeClaimPlugin: VolumePlugin = {
  name: 'kubernetes.io~persistent-volume-claim',
  handles: volume => volume.persistentVolumeClaim !== undefined || volume.ephemeral !== undefined,
  async setUp({ pod, volume, objects }) {
    const { name, readonly } = claimOf(pod, volume);
    const namespace = pod.metadata.namespace ?? '';
    const claim = await objects.claim(namespace, name);
    if (!claim) throw new Error(`persistentvolumeclaim ${JSON.stringify(name)} not found`);
    const owner = claim.metadata.ownerReferences?.find(each => each.controller);
    if (volume.ephemeral && owner?.uid !== pod.metadata.uid)
      throw new Error(
        `PVC ${namespace}/${name} was not created for pod ${namespace}/${pod.metadata.name} (pod is not owner)`,
      );
    const volumeName = claim.spec?.volumeName ?? '';
    if (volumeName === '' || claim.status?.phase !== 'Bound') throw new Error(`PVC ${namespace}/${name} is not bound`);
    const found = await objects.persistentVolume(volumeName);
    if (!found) throw new Error(`persistentvolume ${JSON.stringify(volumeName)} not found`);
    if (found.spec?.claimRef?.uid !== claim.metadata.uid)
      throw new Error(`PersistentVolume ${volumeName} is bound to another claim than ${namespace}/${name}`);
    const { hostPath, local, accessModes } = found.spec;
    const path = local?.path ?? hostPath?.path;
    if (path === undefined) throw new Error(`no volume plugin matched for PersistentVolume ${volumeName}`);
    if (hostPath) await checkHostPath(path, hostPath.type ?? '');
    else if (!(await stat(path).catch(() => undefined))) throw new Error(`path ${JSON.stringify(path)} does not exist`);
    if (local) await giveToGroup(pod, path);
    return { kind: 'path', path, readonly: readonly || onlyReads(accessModes) };
  },
};

function claimOf(pod: Pod, volume: Volume): { name: string; readonly: boolean } {
  if (volume.ephemeral) return { name: `${pod.metadata.name}-${volume.name}`, readonly: false };
  const { claimName = '', readOnly = false } = volume.persistentVolumeClaim ?? {};
  return { name: claimName, readonly: readOnly };
}

function onlyReads(accessModes: readonly string[] | undefined): boolean {
  return accessModes !== undefined && accessModes.length > 0 && accessModes.every(mode => mode === 'ReadOnlyMany');
}
