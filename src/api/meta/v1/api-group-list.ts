import { list, object, type TypeOf } from '../../machinery/schema.ts';
import { APIGroup } from './api-group.ts';

export const APIGroupList = object('io.k8s.apimachinery.pkg.apis.meta.v1.APIGroupList', {
  groups: list(1, APIGroup, { required: true, always: true, listType: 'atomic' }),
});
export type APIGroupList = TypeOf<typeof APIGroupList>;
