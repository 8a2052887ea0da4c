import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, map, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const LimitRangeItem = object('io.k8s.api.core.v1.LimitRangeItem', {
  default: map(4, types.quantity),
  defaultRequest: map(5, types.quantity),
  max: map(2, types.quantity),
  maxLimitRequestRatio: map(6, types.quantity),
  min: map(3, types.quantity),
  type: string(1, { required: true, always: true }),
});
export type LimitRangeItem = TypeOf<typeof LimitRangeItem>;

export const LimitRangeSpec = object('io.k8s.api.core.v1.LimitRangeSpec', {
  limits: list(1, LimitRangeItem, { required: true, always: true, listType: 'atomic' }),
});
export type LimitRangeSpec = TypeOf<typeof LimitRangeSpec>;

export const LimitRange = defineKind({
  group: '',
  version: 'v1',
  kind: 'LimitRange',
  plural: 'limitranges',
  namespaced: true,
  shortNames: ['limits'],
  type: 'io.k8s.api.core.v1.LimitRange',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, LimitRangeSpec, { always: true }),
  },
});
export type LimitRange = ObjectOf<typeof LimitRange>;
