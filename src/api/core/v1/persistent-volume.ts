import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { object, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { PersistentVolumeSpec } from './persistent-volume-spec.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const PersistentVolumeStatus = object('io.k8s.api.core.v1.PersistentVolumeStatus', {
  lastPhaseTransitionTime: time(4),
  message: string(2),
  phase: string(1, { enum: ['Available', 'Bound', 'Failed', 'Pending', 'Released'] }),
  reason: string(3),
});
export type PersistentVolumeStatus = TypeOf<typeof PersistentVolumeStatus>;

export const PersistentVolume = defineKind({
  group: '',
  version: 'v1',
  kind: 'PersistentVolume',
  plural: 'persistentvolumes',
  namespaced: false,
  shortNames: ['pv'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.core.v1.PersistentVolume',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, PersistentVolumeSpec, { always: true }),
    status: struct(3, PersistentVolumeStatus, { always: true }),
  },
});
export type PersistentVolume = ObjectOf<typeof PersistentVolume>;
