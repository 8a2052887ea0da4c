import { list, object, string, types, type TypeOf } from '../../machinery/schema.ts';

export const FieldSelectorRequirement = object('io.k8s.apimachinery.pkg.apis.meta.v1.FieldSelectorRequirement', {
  key: string(1, { required: true, always: true }),
  operator: string(2, { required: true, always: true }),
  values: list(3, types.string, { listType: 'atomic' }),
});
export type FieldSelectorRequirement = TypeOf<typeof FieldSelectorRequirement>;
