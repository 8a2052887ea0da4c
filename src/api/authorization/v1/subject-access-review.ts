import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { struct } from '../../machinery/schema.ts';
import { SubjectAccessReviewSpec } from './subject-access-review-spec.ts';
import { SubjectAccessReviewStatus } from './subject-access-review-status.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const SubjectAccessReview = defineKind({
  group: 'authorization.k8s.io',
  version: 'v1',
  kind: 'SubjectAccessReview',
  plural: 'subjectaccessreviews',
  namespaced: false,
  verbs: ['create'],
  type: 'io.k8s.api.authorization.v1.SubjectAccessReview',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, SubjectAccessReviewSpec, { required: true, always: true }),
    status: struct(3, SubjectAccessReviewStatus, { always: true }),
  },
});
export type SubjectAccessReview = ObjectOf<typeof SubjectAccessReview>;
