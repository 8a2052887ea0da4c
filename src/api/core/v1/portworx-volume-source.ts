import { boolean, object, string, type TypeOf } from '../../machinery/schema.ts';

export const PortworxVolumeSource = object('io.k8s.api.core.v1.PortworxVolumeSource', {
  fsType: string(2),
  readOnly: boolean(3),
  volumeID: string(1, { required: true, always: true }),
});
export type PortworxVolumeSource = TypeOf<typeof PortworxVolumeSource>;
