import { object, string, type TypeOf } from '../../machinery/schema.ts';

export const FlockerVolumeSource = object('io.k8s.api.core.v1.FlockerVolumeSource', {
  datasetName: string(1),
  datasetUUID: string(2),
});
export type FlockerVolumeSource = TypeOf<typeof FlockerVolumeSource>;
