import { writeAtomically } from '../atomic-writer.ts';
import { mountMemory } from '../memory.ts';
import { fsGroupOf } from '../ownership.ts';
import { secretFiles } from '../payload.ts';
import type { VolumePlugin } from '../plugin.ts';

/** In memory: a secret is never written to the disk of a node. */
export const secretPlugin: VolumePlugin = {
  name: 'kubernetes.io~secret',
  handles: volume => volume.secret !== undefined,
  async setUp({ pod, volume, directory, objects, nowMs }) {
    const { secretName: name = '', items, optional = false, defaultMode = 0o644 } = volume.secret ?? {};
    const object = await objects.secret(pod.metadata.namespace ?? '', name);
    const files = secretFiles(object, { name, items, mode: defaultMode, optional });
    await mountMemory(directory, undefined);
    await writeAtomically(directory, files, { gid: fsGroupOf(pod) }, nowMs);
    return { kind: 'path', path: directory, readonly: true };
  },
};
