import { boolean, object, string, type TypeOf } from '../../machinery/schema.ts';

export const NFSVolumeSource = object('io.k8s.api.core.v1.NFSVolumeSource', {
  path: string(2, { required: true, always: true }),
  readOnly: boolean(3),
  server: string(1, { required: true, always: true }),
});
export type NFSVolumeSource = TypeOf<typeof NFSVolumeSource>;
