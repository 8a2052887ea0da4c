import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, map, string, struct, types } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const Secret = defineKind({
  group: '',
  version: 'v1',
  kind: 'Secret',
  plural: 'secrets',
  namespaced: true,
  type: 'io.k8s.api.core.v1.Secret',
  fields: {
    data: map(2, types.bytes),
    immutable: boolean(5, { pointer: true }),
    metadata: struct(1, ObjectMeta, { required: true }),
    stringData: map(4, types.string),
    type: string(3),
  },
});
export type Secret = ObjectOf<typeof Secret>;
