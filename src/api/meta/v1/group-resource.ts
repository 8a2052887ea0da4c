import { object, string, type TypeOf } from '../../machinery/schema.ts';

export const GroupResource = object('io.k8s.apimachinery.pkg.apis.meta.v1.GroupResource', {
  group: string(1, { required: true }),
  resource: string(2, { required: true }),
});
export type GroupResource = TypeOf<typeof GroupResource>;
