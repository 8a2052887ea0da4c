import { boolean, int32, object, string, type TypeOf } from '../../machinery/schema.ts';

export const AWSElasticBlockStoreVolumeSource = object('io.k8s.api.core.v1.AWSElasticBlockStoreVolumeSource', {
  fsType: string(2),
  partition: int32(3),
  readOnly: boolean(4),
  volumeID: string(1, { required: true, always: true }),
});
export type AWSElasticBlockStoreVolumeSource = TypeOf<typeof AWSElasticBlockStoreVolumeSource>;
