import { list, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { ServerAddressByClientCIDR } from './server-address-by-client-cidr.ts';

export const GroupVersionForDiscovery = object('io.k8s.apimachinery.pkg.apis.meta.v1.GroupVersionForDiscovery', {
  groupVersion: string(1, { required: true, always: true }),
  version: string(2, { required: true, always: true }),
});
export type GroupVersionForDiscovery = TypeOf<typeof GroupVersionForDiscovery>;

export const APIGroup = object('io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup', {
  name: string(1, { required: true, always: true }),
  preferredVersion: struct(3, GroupVersionForDiscovery, { always: true }),
  serverAddressByClientCIDRs: list(4, ServerAddressByClientCIDR, { listType: 'atomic' }),
  versions: list(2, GroupVersionForDiscovery, { required: true, always: true, listType: 'atomic' }),
});
export type APIGroup = TypeOf<typeof APIGroup>;
