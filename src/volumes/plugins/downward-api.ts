import { writeAtomically } from '../atomic-writer.ts';
import { fsGroupOf } from '../ownership.ts';
import { downwardFiles } from '../payload.ts';
import type { VolumePlugin } from '../plugin.ts';

export const downwardApiPlugin: VolumePlugin = {
  name: 'kubernetes.io~downward-api',
  handles: volume => volume.downwardAPI !== undefined,
  async setUp({ pod, volume, directory, objects, nowMs }) {
    const { items, defaultMode = 0o644 } = volume.downwardAPI ?? {};
    const files = downwardFiles(items, defaultMode, pod, objects.node());
    await writeAtomically(directory, files, { gid: fsGroupOf(pod) }, nowMs);
    return { kind: 'path', path: directory, readonly: true };
  },
};
