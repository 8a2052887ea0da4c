import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, map, struct, types } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ConfigMap = defineKind({
  group: '',
  version: 'v1',
  kind: 'ConfigMap',
  plural: 'configmaps',
  namespaced: true,
  shortNames: ['cm'],
  type: 'io.k8s.api.core.v1.ConfigMap',
  fields: {
    binaryData: map(3, types.bytes),
    data: map(2, types.string),
    immutable: boolean(4, { pointer: true }),
    metadata: struct(1, ObjectMeta, { required: true }),
  },
});
export type ConfigMap = ObjectOf<typeof ConfigMap>;
