import { list, object, types, type TypeOf } from '../../machinery/schema.ts';
import { ServerAddressByClientCIDR } from './server-address-by-client-cidr.ts';

export const APIVersions = object('io.k8s.apimachinery.pkg.apis.meta.v1.APIVersions', {
  serverAddressByClientCIDRs: list(2, ServerAddressByClientCIDR, { required: true, always: true, listType: 'atomic' }),
  versions: list(1, types.string, { required: true, always: true, listType: 'atomic' }),
});
export type APIVersions = TypeOf<typeof APIVersions>;
