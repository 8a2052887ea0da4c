import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, list, map, string, struct, types } from '../../machinery/schema.ts';
import { TopologySelectorTerm } from '../../core/v1/topology-selector-term.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const StorageClass = defineKind({
  group: 'storage.k8s.io',
  version: 'v1',
  kind: 'StorageClass',
  plural: 'storageclasses',
  namespaced: false,
  shortNames: ['sc'],
  type: 'io.k8s.api.storage.v1.StorageClass',
  fields: {
    allowVolumeExpansion: boolean(6, { pointer: true }),
    allowedTopologies: list(8, TopologySelectorTerm, { listType: 'atomic' }),
    metadata: struct(1, ObjectMeta, { required: true }),
    mountOptions: list(5, types.string, { listType: 'atomic' }),
    parameters: map(3, types.string),
    provisioner: string(2, { required: true, always: true }),
    reclaimPolicy: string(4, { pointer: true }),
    volumeBindingMode: string(7, { pointer: true, enum: ['Immediate', 'WaitForFirstConsumer'] }),
  },
});
export type StorageClass = ObjectOf<typeof StorageClass>;
