import type { Plugin } from '../plugin.ts';

const mebibyte = 1024 * 1024;
/** Below this an image is pulled faster than it is worth thinking about; above the other, more does not matter. */
const minBytes = 23 * mebibyte;
const maxBytesPerContainer = 1000 * mebibyte;

/** Prefers nodes that have the pod's images already, by size and by how widely an image is spread. */
export const imageLocality: Plugin = {
  name: 'ImageLocality',
  weight: 1,
  score({ pod }, node, cluster) {
    if (node.images.size === 0) return 0;
    const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
    let sum = 0;
    for (const { image } of containers) {
      const name = normalized(image ?? '');
      const bytes = node.images.get(name);
      if (bytes !== undefined) sum += Math.floor(bytes * (cluster.nodesWithImage(name) / cluster.nodeCount));
    }
    const maxBytes = maxBytesPerContainer * containers.length;
    const clamped = Math.min(Math.max(sum, minBytes), maxBytes);
    return Math.floor((100 * (clamped - minBytes)) / (maxBytes - minBytes));
  },
};

/** Nodes list images with their tag. */
function normalized(image: string): string {
  return image.lastIndexOf(':') <= image.lastIndexOf('/') && !image.includes('@') ? `${image}:latest` : image;
}
