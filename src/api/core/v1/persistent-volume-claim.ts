import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, map, object, string, struct, time, types, type TypeOf } from '../../machinery/schema.ts';
import { PersistentVolumeClaimSpec } from './persistent-volume-claim-spec.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const PersistentVolumeClaimCondition = object('io.k8s.api.core.v1.PersistentVolumeClaimCondition', {
  lastProbeTime: time(3),
  lastTransitionTime: time(4),
  message: string(6),
  reason: string(5),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type PersistentVolumeClaimCondition = TypeOf<typeof PersistentVolumeClaimCondition>;

export const ModifyVolumeStatus = object('io.k8s.api.core.v1.ModifyVolumeStatus', {
  status: string(2, { required: true, always: true, enum: ['InProgress', 'Infeasible', 'Pending'] }),
  targetVolumeAttributesClassName: string(1),
});
export type ModifyVolumeStatus = TypeOf<typeof ModifyVolumeStatus>;

export const PersistentVolumeClaimStatus = object('io.k8s.api.core.v1.PersistentVolumeClaimStatus', {
  accessModes: list(2, types.string, { listType: 'atomic' }),
  allocatedResourceStatuses: map(7, types.string, { mapType: 'granular' }),
  allocatedResources: map(5, types.quantity),
  capacity: map(3, types.quantity),
  conditions: list(4, PersistentVolumeClaimCondition, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
  currentVolumeAttributesClassName: string(8, { pointer: true }),
  modifyVolumeStatus: struct(9, ModifyVolumeStatus),
  phase: string(1, { enum: ['Bound', 'Lost', 'Pending'] }),
});
export type PersistentVolumeClaimStatus = TypeOf<typeof PersistentVolumeClaimStatus>;

export const PersistentVolumeClaim = defineKind({
  group: '',
  version: 'v1',
  kind: 'PersistentVolumeClaim',
  plural: 'persistentvolumeclaims',
  namespaced: true,
  shortNames: ['pvc'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.core.v1.PersistentVolumeClaim',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, PersistentVolumeClaimSpec, { always: true }),
    status: struct(3, PersistentVolumeClaimStatus, { always: true }),
  },
});
export type PersistentVolumeClaim = ObjectOf<typeof PersistentVolumeClaim>;
