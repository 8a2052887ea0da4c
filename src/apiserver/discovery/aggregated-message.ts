import { encodeProtobuf, type WireKind } from '#api/machinery/protobuf.ts';
import { list, object, string, struct, types } from '#api/machinery/schema.ts';
import { ObjectMeta } from '#api/meta/v1/object-meta.ts';

/** The aggregated document in protobuf. */
export function aggregatedMessage(document: object): Uint8Array {
  return encodeProtobuf(groupDiscoveryList, document);
}

const named = (name: string) => `io.k8s.api.apidiscovery.v2.${name}`;
const groupVersionKind = object('io.k8s.apimachinery.pkg.apis.meta.v1.GroupVersionKind', {
  group: string(1, { always: true }),
  kind: string(3, { always: true }),
  version: string(2, { always: true }),
});
const subresource = object(named('APISubresourceDiscovery'), {
  acceptedTypes: list(3, groupVersionKind),
  responseKind: struct(2, groupVersionKind),
  subresource: string(1, { always: true }),
  verbs: list(4, types.string),
});
const resource = object(named('APIResourceDiscovery'), {
  categories: list(7, types.string),
  resource: string(1, { always: true }),
  responseKind: struct(2, groupVersionKind),
  scope: string(3, { always: true }),
  shortNames: list(6, types.string),
  singularResource: string(4, { always: true }),
  subresources: list(8, subresource),
  verbs: list(5, types.string),
});
const version = object(named('APIVersionDiscovery'), {
  freshness: string(3, { always: true }),
  resources: list(2, resource),
  version: string(1, { always: true }),
});
const group = object(named('APIGroupDiscovery'), {
  metadata: struct(1, ObjectMeta, { always: true }),
  versions: list(2, version),
});
const groupDiscoveryList: WireKind = {
  group: 'apidiscovery.k8s.io',
  version: 'v2',
  kind: 'APIGroupDiscoveryList',
  schema: object(named('APIGroupDiscoveryList'), {
    items: list(2, group),
    metadata: struct(1, object('io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta', {}), { always: true }),
  }),
};
