import { boolean, object, string, type TypeOf } from '../../machinery/schema.ts';

export const SubjectAccessReviewStatus = object('io.k8s.api.authorization.v1.SubjectAccessReviewStatus', {
  allowed: boolean(1, { required: true, always: true }),
  denied: boolean(4),
  evaluationError: string(3),
  reason: string(2),
});
export type SubjectAccessReviewStatus = TypeOf<typeof SubjectAccessReviewStatus>;
