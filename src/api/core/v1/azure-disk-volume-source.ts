import { boolean, object, string, type TypeOf } from '../../machinery/schema.ts';

export const AzureDiskVolumeSource = object('io.k8s.api.core.v1.AzureDiskVolumeSource', {
  cachingMode: string(3, { pointer: true, enum: ['None', 'ReadOnly', 'ReadWrite'], default: 'ReadWrite' }),
  diskName: string(1, { required: true, always: true }),
  diskURI: string(2, { required: true, always: true }),
  fsType: string(4, { pointer: true, default: 'ext4' }),
  kind: string(6, { pointer: true, enum: ['Dedicated', 'Managed', 'Shared'], default: 'Shared' }),
  readOnly: boolean(5, { pointer: true, default: false }),
});
export type AzureDiskVolumeSource = TypeOf<typeof AzureDiskVolumeSource>;
