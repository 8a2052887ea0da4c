import { boolean, object, string, type TypeOf } from '../../machinery/schema.ts';

export const QuobyteVolumeSource = object('io.k8s.api.core.v1.QuobyteVolumeSource', {
  group: string(5),
  readOnly: boolean(3),
  registry: string(1, { required: true, always: true }),
  tenant: string(6),
  user: string(4),
  volume: string(2, { required: true, always: true }),
});
export type QuobyteVolumeSource = TypeOf<typeof QuobyteVolumeSource>;
