import { list, map, object, string, types, type TypeOf } from '../../machinery/schema.ts';

export const ResourceClaim = object('io.k8s.api.core.v1.ResourceClaim', {
  name: string(1, { required: true, always: true }),
  request: string(2),
});
export type ResourceClaim = TypeOf<typeof ResourceClaim>;

export const ResourceRequirements = object('io.k8s.api.core.v1.ResourceRequirements', {
  claims: list(3, ResourceClaim, { listType: 'map', mapKeys: ['name'] }),
  limits: map(1, types.resourceQuantity, { doc: 'The most that may be used.' }),
  requests: map(2, types.resourceQuantity, { doc: 'What the scheduler sets aside; default is the limits.' }),
});
export type ResourceRequirements = TypeOf<typeof ResourceRequirements>;
