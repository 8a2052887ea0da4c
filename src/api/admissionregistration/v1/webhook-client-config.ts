import { bytes, int32, object, string, struct, type TypeOf } from '../../machinery/schema.ts';

export const ServiceReference = object('io.k8s.api.admissionregistration.v1.ServiceReference', {
  name: string(2, { required: true, always: true }),
  namespace: string(1, { required: true, always: true }),
  path: string(3, { pointer: true }),
  port: int32(4, { pointer: true, default: 443 }),
});
export type ServiceReference = TypeOf<typeof ServiceReference>;

export const WebhookClientConfig = object('io.k8s.api.admissionregistration.v1.WebhookClientConfig', {
  caBundle: bytes(2),
  service: struct(1, ServiceReference),
  url: string(3, { pointer: true }),
});
export type WebhookClientConfig = TypeOf<typeof WebhookClientConfig>;
