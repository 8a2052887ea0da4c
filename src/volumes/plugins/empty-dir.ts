import { chmod, mkdir } from 'node:fs/promises';
import { wholeValue } from '#api/machinery/quantity.ts';
import { mountMemory } from '../memory.ts';
import { giveToGroup } from '../ownership.ts';
import type { VolumePlugin } from '../plugin.ts';

export const emptyDirPlugin: VolumePlugin = {
  name: 'kubernetes.io~empty-dir',
  handles: volume => volume.emptyDir !== undefined,
  async setUp({ pod, volume, directory }) {
    const { medium = '', sizeLimit } = volume.emptyDir ?? {};
    if (medium !== '' && medium !== 'Memory')
      throw new Error(`unsupported emptyDir medium ${JSON.stringify(medium)}: this node has '' and 'Memory'`);
    if (medium === 'Memory') await mountMemory(directory, wholeValue(sizeLimit) || memoryLimitOf(pod), 0o1777);
    else await mkdir(directory, { recursive: true });
    await chmod(directory, 0o777);
    await giveToGroup(pod, directory);
    return { kind: 'path', path: directory, readonly: false };
  },
};

/** Memory volumes count as their containers' memory, so more than all limits together is of no use. */
function memoryLimitOf(pod: Parameters<VolumePlugin['setUp']>[0]['pod']): number | undefined {
  const limits = (pod.spec?.containers ?? []).map(each => each.resources?.limits?.['memory']);
  if (limits.some(limit => limit === undefined)) return undefined;
  return limits.reduce((sum, limit) => sum + wholeValue(limit), 0);
}
