import { chmod, mkdir } from 'node:fs/promises';
import { wholeValue } from '#api/machinery/quantity.ts';
import { mountHugePages, mountMemory } from '../memory.ts';
import { giveToGroup } from '../ownership.ts';
import type { VolumePlugin } from '../plugin.ts';

export const emptyDirPlugin: VolumePlugin = {
  name: 'kubernetes.io~empty-dir',
  handles: volume => volume.emptyDir !== undefined,
  async setUp({ pod, volume, directory }) {
    const { medium = '', sizeLimit } = volume.emptyDir ?? {};
    if (medium !== '' && medium !== 'Memory' && !medium.startsWith('HugePages'))
      throw new Error(
        `unsupported emptyDir medium ${JSON.stringify(medium)}: this node has '', 'Memory' and 'HugePages'`,
      );
    if (medium.startsWith('HugePages')) await mountHugePages(directory, pageBytesOf(pod, medium));
    else if (medium === 'Memory') await mountMemory(directory, wholeValue(sizeLimit) || memoryLimitOf(pod), 0o1777);
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

/** The size is in the medium, or is the only one that the pod's containers ask for. Throws with upstream's words. */
function pageBytesOf({ spec }: Parameters<VolumePlugin['setUp']>[0]['pod'], medium: string): number {
  const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
  const asked = [spec?.resources, ...containers.map(({ resources }) => resources)].flatMap(each =>
    Object.keys({ ...each?.limits, ...each?.requests }).filter(name => name.startsWith('hugepages-')),
  );
  const sizes = [...new Set(asked.map(name => name.slice('hugepages-'.length)))];
  const named = medium.startsWith('HugePages-') ? medium.slice('HugePages-'.length) : undefined;
  if (named !== undefined && !sizes.includes(named))
    throw new Error(`medium ${medium} for emptyDir volume is not requested by any container of the pod`);
  const [size = named] = named === undefined ? sizes : [named];
  if (size === undefined || (named === undefined && sizes.length > 1))
    throw new Error(
      `the medium "HugePages" can only be used if container limits for HugePages of exactly one size are set; this pod has ${sizes.length}`,
    );
  return wholeValue(size);
}
