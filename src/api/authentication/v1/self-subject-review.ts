import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { object, struct, type TypeOf } from '../../machinery/schema.ts';
import { UserInfo } from './user-info.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const SelfSubjectReviewStatus = object('io.k8s.api.authentication.v1.SelfSubjectReviewStatus', {
  userInfo: struct(1, UserInfo, { always: true }),
});
export type SelfSubjectReviewStatus = TypeOf<typeof SelfSubjectReviewStatus>;

export const SelfSubjectReview = defineKind({
  group: 'authentication.k8s.io',
  version: 'v1',
  kind: 'SelfSubjectReview',
  plural: 'selfsubjectreviews',
  namespaced: false,
  doc: 'Asks who one is.',
  verbs: ['create'],
  type: 'io.k8s.api.authentication.v1.SelfSubjectReview',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    status: struct(2, SelfSubjectReviewStatus, { always: true }),
  },
  hasGeneration: false,
});
export type SelfSubjectReview = ObjectOf<typeof SelfSubjectReview>;
