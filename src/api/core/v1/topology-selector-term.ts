import { list, object, string, types, type TypeOf } from '../../machinery/schema.ts';

export const TopologySelectorLabelRequirement = object('io.k8s.api.core.v1.TopologySelectorLabelRequirement', {
  key: string(1, { required: true, always: true }),
  values: list(2, types.string, { required: true, always: true, listType: 'atomic' }),
});
export type TopologySelectorLabelRequirement = TypeOf<typeof TopologySelectorLabelRequirement>;

export const TopologySelectorTerm = object(
  'io.k8s.api.core.v1.TopologySelectorTerm',
  {
    matchLabelExpressions: list(1, TopologySelectorLabelRequirement, { listType: 'atomic' }),
  },
  { mapType: 'atomic' },
);
export type TopologySelectorTerm = TypeOf<typeof TopologySelectorTerm>;
