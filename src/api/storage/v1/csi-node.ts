import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, list, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const VolumeNodeResources = object('io.k8s.api.storage.v1.VolumeNodeResources', {
  count: int32(1, { pointer: true }),
});
export type VolumeNodeResources = TypeOf<typeof VolumeNodeResources>;

export const CSINodeDriver = object('io.k8s.api.storage.v1.CSINodeDriver', {
  allocatable: struct(4, VolumeNodeResources),
  name: string(1, { required: true, always: true }),
  nodeID: string(2, { required: true, always: true }),
  topologyKeys: list(3, types.string, { always: true, listType: 'atomic' }),
});
export type CSINodeDriver = TypeOf<typeof CSINodeDriver>;

export const CSINodeSpec = object('io.k8s.api.storage.v1.CSINodeSpec', {
  drivers: list(1, CSINodeDriver, {
    required: true,
    always: true,
    listType: 'map',
    mapKeys: ['name'],
    patchStrategy: 'merge',
    patchMergeKey: 'name',
  }),
});
export type CSINodeSpec = TypeOf<typeof CSINodeSpec>;

export const CSINode = defineKind({
  group: 'storage.k8s.io',
  version: 'v1',
  kind: 'CSINode',
  plural: 'csinodes',
  namespaced: false,
  type: 'io.k8s.api.storage.v1.CSINode',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, CSINodeSpec, { required: true, always: true }),
  },
});
export type CSINode = ObjectOf<typeof CSINode>;
