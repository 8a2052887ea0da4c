import { object, string, type TypeOf } from '../../machinery/schema.ts';

export const PodGroupResourceClaim = object('io.k8s.api.scheduling.v1alpha2.PodGroupResourceClaim', {
  name: string(1, { required: true }),
  resourceClaimName: string(2),
  resourceClaimTemplateName: string(3),
});
export type PodGroupResourceClaim = TypeOf<typeof PodGroupResourceClaim>;
