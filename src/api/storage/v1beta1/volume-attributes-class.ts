import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { map, string, struct, types } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const VolumeAttributesClass = defineKind({
  group: 'storage.k8s.io',
  version: 'v1beta1',
  kind: 'VolumeAttributesClass',
  plural: 'volumeattributesclasses',
  namespaced: false,
  shortNames: ['vac'],
  served: false,
  type: 'io.k8s.api.storage.v1beta1.VolumeAttributesClass',
  fields: {
    driverName: string(2, { required: true, always: true }),
    metadata: struct(1, ObjectMeta, { required: true }),
    parameters: map(3, types.string),
  },
});
export type VolumeAttributesClass = ObjectOf<typeof VolumeAttributesClass>;
