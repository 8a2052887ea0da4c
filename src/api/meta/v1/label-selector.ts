import { list, map, object, types, type TypeOf } from '../../machinery/schema.ts';
import { LabelSelectorRequirement } from './label-selector-requirement.ts';

export const LabelSelector = object(
  'io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector',
  {
    matchExpressions: list(2, LabelSelectorRequirement, { listType: 'atomic', doc: 'Conditions that must all hold.' }),
    matchLabels: map(1, types.string, { doc: 'Labels that must all be there.' }),
  },
  { mapType: 'atomic' },
);
export type LabelSelector = TypeOf<typeof LabelSelector>;
