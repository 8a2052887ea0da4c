import { boolean, int32, list, object, string, types, type TypeOf } from '../../machinery/schema.ts';

export const FCVolumeSource = object('io.k8s.api.core.v1.FCVolumeSource', {
  fsType: string(3),
  lun: int32(2, { pointer: true }),
  readOnly: boolean(4),
  targetWWNs: list(1, types.string, { listType: 'atomic' }),
  wwids: list(5, types.string, { listType: 'atomic' }),
});
export type FCVolumeSource = TypeOf<typeof FCVolumeSource>;
