import type { VolumePlugin } from '../plugin.ts';

/** The content of an image; the container runtime mounts it. */
export const imagePlugin: VolumePlugin = {
  name: 'kubernetes.io~image',
  handles: volume => volume.image !== undefined,
  async setUp({ volume }) {
    const { reference = '', pullPolicy = 'IfNotPresent' } = volume.image ?? {};
    return { kind: 'image', reference, pullPolicy };
  },
};
