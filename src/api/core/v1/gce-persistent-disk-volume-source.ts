import { boolean, int32, object, string, type TypeOf } from '../../machinery/schema.ts';

export const GCEPersistentDiskVolumeSource = object('io.k8s.api.core.v1.GCEPersistentDiskVolumeSource', {
  fsType: string(2),
  partition: int32(3),
  pdName: string(1, { required: true, always: true }),
  readOnly: boolean(4),
});
export type GCEPersistentDiskVolumeSource = TypeOf<typeof GCEPersistentDiskVolumeSource>;
