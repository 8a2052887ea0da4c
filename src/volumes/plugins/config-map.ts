import { fsGroupOf } from '../ownership.ts';
import { configMapFiles } from '../payload.ts';
import type { VolumePlugin } from '../plugin.ts';
import { writeAtomically } from '../atomic-writer.ts';

export const configMapPlugin: VolumePlugin = {
  name: 'kubernetes.io~configmap',
  handles: volume => volume.configMap !== undefined,
  async setUp({ pod, volume, directory, objects, nowMs }) {
    const { name = '', items, optional = false, defaultMode = 0o644 } = volume.configMap ?? {};
    const object = await objects.configMap(pod.metadata.namespace ?? '', name);
    const files = configMapFiles(object, { name, items, mode: defaultMode, optional });
    await writeAtomically(directory, files, { gid: fsGroupOf(pod) }, nowMs);
    return { kind: 'path', path: directory, readonly: true };
  },
};
