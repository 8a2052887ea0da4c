import { object, string, type TypeOf } from '../../machinery/schema.ts';

export const PhotonPersistentDiskVolumeSource = object('io.k8s.api.core.v1.PhotonPersistentDiskVolumeSource', {
  fsType: string(2),
  pdID: string(1, { required: true, always: true }),
});
export type PhotonPersistentDiskVolumeSource = TypeOf<typeof PhotonPersistentDiskVolumeSource>;
