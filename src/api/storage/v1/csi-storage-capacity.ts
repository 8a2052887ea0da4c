import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { quantity, string, struct } from '../../machinery/schema.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const CSIStorageCapacity = defineKind({
  group: 'storage.k8s.io',
  version: 'v1',
  kind: 'CSIStorageCapacity',
  plural: 'csistoragecapacities',
  namespaced: true,
  type: 'io.k8s.api.storage.v1.CSIStorageCapacity',
  fields: {
    capacity: quantity(4, { pointer: true }),
    maximumVolumeSize: quantity(5, { pointer: true }),
    metadata: struct(1, ObjectMeta, { required: true }),
    nodeTopology: struct(2, LabelSelector),
    storageClassName: string(3, { required: true, always: true }),
  },
});
export type CSIStorageCapacity = ObjectOf<typeof CSIStorageCapacity>;
