import { list, object, string, types, type TypeOf } from '../../machinery/schema.ts';

export const NodeSelectorRequirement = object('io.k8s.api.core.v1.NodeSelectorRequirement', {
  key: string(1, { required: true, always: true }),
  operator: string(2, { required: true, always: true, enum: ['DoesNotExist', 'Exists', 'Gt', 'In', 'Lt', 'NotIn'] }),
  values: list(3, types.string, { listType: 'atomic' }),
});
export type NodeSelectorRequirement = TypeOf<typeof NodeSelectorRequirement>;

export const NodeSelectorTerm = object(
  'io.k8s.api.core.v1.NodeSelectorTerm',
  {
    matchExpressions: list(1, NodeSelectorRequirement, { listType: 'atomic' }),
    matchFields: list(2, NodeSelectorRequirement, { listType: 'atomic' }),
  },
  { mapType: 'atomic' },
);
export type NodeSelectorTerm = TypeOf<typeof NodeSelectorTerm>;
