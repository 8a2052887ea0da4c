import { object, string, type TypeOf } from '../../machinery/schema.ts';

export const VsphereVirtualDiskVolumeSource = object('io.k8s.api.core.v1.VsphereVirtualDiskVolumeSource', {
  fsType: string(2),
  storagePolicyID: string(4),
  storagePolicyName: string(3),
  volumePath: string(1, { required: true, always: true }),
});
export type VsphereVirtualDiskVolumeSource = TypeOf<typeof VsphereVirtualDiskVolumeSource>;
