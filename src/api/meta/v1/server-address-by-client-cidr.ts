import { object, string, type TypeOf } from '../../machinery/schema.ts';

export const ServerAddressByClientCIDR = object('io.k8s.apimachinery.pkg.apis.meta.v1.ServerAddressByClientCIDR', {
  clientCIDR: string(1, { required: true, always: true }),
  serverAddress: string(2, { required: true, always: true }),
});
export type ServerAddressByClientCIDR = TypeOf<typeof ServerAddressByClientCIDR>;
