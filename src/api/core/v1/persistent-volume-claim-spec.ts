import { list, map, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { TypedLocalObjectReference } from './typed-local-object-reference.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';

export const TypedObjectReference = object('io.k8s.api.core.v1.TypedObjectReference', {
  apiGroup: string(1, { pointer: true, always: true }),
  kind: string(2, { required: true, always: true }),
  name: string(3, { required: true, always: true }),
  namespace: string(4, { pointer: true }),
});
export type TypedObjectReference = TypeOf<typeof TypedObjectReference>;

export const VolumeResourceRequirements = object('io.k8s.api.core.v1.VolumeResourceRequirements', {
  limits: map(1, types.resourceQuantity),
  requests: map(2, types.resourceQuantity),
});
export type VolumeResourceRequirements = TypeOf<typeof VolumeResourceRequirements>;

export const PersistentVolumeClaimSpec = object('io.k8s.api.core.v1.PersistentVolumeClaimSpec', {
  accessModes: list(1, types.string, { listType: 'atomic', doc: 'How many nodes and pods may mount it, and how.' }),
  dataSource: struct(7, TypedLocalObjectReference),
  dataSourceRef: struct(8, TypedObjectReference),
  resources: struct(2, VolumeResourceRequirements, { always: true, doc: 'The size that is asked for.' }),
  selector: struct(4, LabelSelector),
  storageClassName: string(5, { pointer: true, doc: 'The StorageClass; empty for volumes without one.' }),
  volumeAttributesClassName: string(9, { pointer: true }),
  volumeMode: string(6, { pointer: true, enum: ['Block', 'Filesystem'], default: 'Filesystem' }),
  volumeName: string(3, { doc: 'The PersistentVolume it is bound to.' }),
});
export type PersistentVolumeClaimSpec = TypeOf<typeof PersistentVolumeClaimSpec>;
