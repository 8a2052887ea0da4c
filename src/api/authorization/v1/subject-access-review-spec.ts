import { list, listOf, map, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { NonResourceAttributes } from './non-resource-attributes.ts';
import { ResourceAttributes } from './resource-attributes.ts';

export const SubjectAccessReviewSpec = object('io.k8s.api.authorization.v1.SubjectAccessReviewSpec', {
  extra: map(5, listOf(types.string)),
  groups: list(4, types.string, { listType: 'atomic' }),
  nonResourceAttributes: struct(2, NonResourceAttributes),
  resourceAttributes: struct(1, ResourceAttributes),
  uid: string(6),
  user: string(3),
});
export type SubjectAccessReviewSpec = TypeOf<typeof SubjectAccessReviewSpec>;
