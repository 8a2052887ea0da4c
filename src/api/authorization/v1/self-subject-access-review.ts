import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { object, struct, type TypeOf } from '../../machinery/schema.ts';
import { NonResourceAttributes } from './non-resource-attributes.ts';
import { ResourceAttributes } from './resource-attributes.ts';
import { SubjectAccessReviewStatus } from './subject-access-review-status.ts';
import { validateNoMetadata, validateQuestion, validateSelectors } from './review-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const SelfSubjectAccessReviewSpec = object('io.k8s.api.authorization.v1.SelfSubjectAccessReviewSpec', {
  nonResourceAttributes: struct(2, NonResourceAttributes),
  resourceAttributes: struct(1, ResourceAttributes),
});
export type SelfSubjectAccessReviewSpec = TypeOf<typeof SelfSubjectAccessReviewSpec>;

export const SelfSubjectAccessReview = defineKind({
  group: 'authorization.k8s.io',
  version: 'v1',
  kind: 'SelfSubjectAccessReview',
  plural: 'selfsubjectaccessreviews',
  namespaced: false,
  doc: 'Asks whether one may do something oneself.',
  verbs: ['create'],
  type: 'io.k8s.api.authorization.v1.SelfSubjectAccessReview',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, SelfSubjectAccessReviewSpec, { required: true, always: true }),
    status: struct(3, SubjectAccessReviewStatus, { always: true }),
  },
  hasGeneration: false,
  validate(review, report) {
    validateQuestion(review.spec, report.at('spec'));
    validateSelectors(review.spec, report.at('spec'));
    validateNoMetadata(review, false, report);
  },
});
export type SelfSubjectAccessReview = ObjectOf<typeof SelfSubjectAccessReview>;
