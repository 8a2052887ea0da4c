import { list, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { ListMeta } from '../../meta/v1/status.ts';

export const GroupVersionKind = object('io.k8s.apimachinery.pkg.apis.meta.v1.GroupVersionKind', {
  group: string(1, { always: true }),
  version: string(2, { always: true }),
  kind: string(3, { always: true }),
});
export type GroupVersionKind = TypeOf<typeof GroupVersionKind>;

export const APISubresourceDiscovery = object('io.k8s.api.apidiscovery.v2.APISubresourceDiscovery', {
  subresource: string(1, { required: true, always: true }),
  responseKind: struct(2, GroupVersionKind),
  acceptedTypes: list(3, GroupVersionKind),
  verbs: list(4, types.string, { required: true, always: true }),
});
export type APISubresourceDiscovery = TypeOf<typeof APISubresourceDiscovery>;

export const APIResourceDiscovery = object('io.k8s.api.apidiscovery.v2.APIResourceDiscovery', {
  resource: string(1, { required: true, always: true }),
  responseKind: struct(2, GroupVersionKind),
  scope: string(3, { required: true, always: true }),
  singularResource: string(4, { required: true, always: true }),
  verbs: list(5, types.string, { required: true, always: true }),
  shortNames: list(6, types.string),
  categories: list(7, types.string),
  subresources: list(8, APISubresourceDiscovery),
});
export type APIResourceDiscovery = TypeOf<typeof APIResourceDiscovery>;

export const APIVersionDiscovery = object('io.k8s.api.apidiscovery.v2.APIVersionDiscovery', {
  version: string(1, { required: true, always: true }),
  resources: list(2, APIResourceDiscovery),
  freshness: string(3),
});
export type APIVersionDiscovery = TypeOf<typeof APIVersionDiscovery>;

/** One group of the aggregated discovery: everything a client needs to know of its resources. */
export const APIGroupDiscovery = object(
  'io.k8s.api.apidiscovery.v2.APIGroupDiscovery',
  { metadata: struct(1, ObjectMeta, { required: true }), versions: list(2, APIVersionDiscovery) },
  { isKind: true },
);
export type APIGroupDiscovery = TypeOf<typeof APIGroupDiscovery>;

export const APIGroupDiscoveryList = object(
  'io.k8s.api.apidiscovery.v2.APIGroupDiscoveryList',
  {
    metadata: struct(1, ListMeta, { required: true }),
    items: list(2, APIGroupDiscovery, { required: true, always: true }),
  },
  { isKind: true },
);
export type APIGroupDiscoveryList = TypeOf<typeof APIGroupDiscoveryList>;
