import { goForm } from '../../machinery/go-form.ts';
import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { struct } from '../../machinery/schema.ts';
import { NonResourceAttributes } from './non-resource-attributes.ts';
import { SubjectAccessReviewSpec } from './subject-access-review-spec.ts';
import { SubjectAccessReviewStatus } from './subject-access-review-status.ts';
import { validateAsked, validateNoMetadata, validateQuestion, validateSelectors } from './review-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const LocalSubjectAccessReview = defineKind({
  group: 'authorization.k8s.io',
  version: 'v1',
  kind: 'LocalSubjectAccessReview',
  plural: 'localsubjectaccessreviews',
  namespaced: true,
  doc: 'Asks whether somebody may do something in a namespace.',
  verbs: ['create'],
  type: 'io.k8s.api.authorization.v1.LocalSubjectAccessReview',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, SubjectAccessReviewSpec, { required: true, always: true }),
    status: struct(3, SubjectAccessReviewStatus, { always: true }),
  },
  hasGeneration: false,
  validate(review, report) {
    const at = report.at('spec');
    const { resourceAttributes, nonResourceAttributes } = review.spec;
    validateQuestion(review.spec, at);
    validateAsked(review.spec, at);
    validateSelectors(review.spec, at);
    validateNoMetadata(review, true, report);
    if (resourceAttributes && resourceAttributes.namespace !== review.metadata.namespace)
      at.at('resourceAttributes', 'namespace').invalid(
        resourceAttributes.namespace ?? '',
        'must match metadata.namespace',
      );
    if (nonResourceAttributes)
      at.at('nonResourceAttributes').invalid(
        goForm(NonResourceAttributes, nonResourceAttributes),
        'disallowed on this kind of request',
      );
  },
});
export type LocalSubjectAccessReview = ObjectOf<typeof LocalSubjectAccessReview>;
