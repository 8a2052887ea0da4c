import { boolean, list, object, string, types, type TypeOf } from '../../machinery/schema.ts';

export const APIResource = object('io.k8s.apimachinery.pkg.apis.meta.v1.APIResource', {
  categories: list(7, types.string, { listType: 'atomic' }),
  group: string(8),
  kind: string(3, { required: true, always: true }),
  name: string(1, { required: true, always: true }),
  namespaced: boolean(2, { required: true, always: true }),
  shortNames: list(5, types.string, { listType: 'atomic' }),
  singularName: string(6, { required: true, always: true }),
  storageVersionHash: string(10),
  verbs: list(4, types.string, { required: true, always: true, wrapped: true }),
  version: string(9),
});
export type APIResource = TypeOf<typeof APIResource>;

export const APIResourceList = object('io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList', {
  groupVersion: string(1, { required: true, always: true }),
  resources: list(2, APIResource, { required: true, always: true, listType: 'atomic' }),
});
export type APIResourceList = TypeOf<typeof APIResourceList>;
