import { object, string, type TypeOf } from '../../machinery/schema.ts';

export const HostPathVolumeSource = object('io.k8s.api.core.v1.HostPathVolumeSource', {
  path: string(1, { required: true, always: true, doc: 'Path on the node.' }),
  type: string(2, {
    pointer: true,
    default: '',
    enum: ['', 'BlockDevice', 'CharDevice', 'Directory', 'DirectoryOrCreate', 'File', 'FileOrCreate', 'Socket'],
  }),
});
export type HostPathVolumeSource = TypeOf<typeof HostPathVolumeSource>;
