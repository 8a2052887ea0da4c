import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { struct } from '../../machinery/schema.ts';
import { SubjectAccessReviewSpec } from './subject-access-review-spec.ts';
import { SubjectAccessReviewStatus } from './subject-access-review-status.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const LocalSubjectAccessReview = defineKind({
  group: 'authorization.k8s.io',
  version: 'v1',
  kind: 'LocalSubjectAccessReview',
  plural: 'localsubjectaccessreviews',
  namespaced: true,
  verbs: ['create'],
  type: 'io.k8s.api.authorization.v1.LocalSubjectAccessReview',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, SubjectAccessReviewSpec, { required: true, always: true }),
    status: struct(3, SubjectAccessReviewStatus, { always: true }),
  },
});
export type LocalSubjectAccessReview = ObjectOf<typeof LocalSubjectAccessReview>;
