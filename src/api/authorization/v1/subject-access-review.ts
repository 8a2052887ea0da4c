import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { struct } from '../../machinery/schema.ts';
import { SubjectAccessReviewSpec } from './subject-access-review-spec.ts';
import { SubjectAccessReviewStatus } from './subject-access-review-status.ts';
import { validateAsked, validateNoMetadata, validateQuestion, validateSelectors } from './review-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const SubjectAccessReview = defineKind({
  group: 'authorization.k8s.io',
  version: 'v1',
  kind: 'SubjectAccessReview',
  plural: 'subjectaccessreviews',
  namespaced: false,
  doc: 'Asks whether somebody may do something.',
  verbs: ['create'],
  type: 'io.k8s.api.authorization.v1.SubjectAccessReview',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, SubjectAccessReviewSpec, { required: true, always: true }),
    status: struct(3, SubjectAccessReviewStatus, { always: true }),
  },
  hasGeneration: false,
  validate(review, report) {
    const at = report.at('spec');
    validateQuestion(review.spec, at);
    validateAsked(review.spec, at);
    validateSelectors(review.spec, at);
    validateNoMetadata(review, false, report);
  },
});
export type SubjectAccessReview = ObjectOf<typeof SubjectAccessReview>;
