import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, list, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const NonResourceRule = object('io.k8s.api.authorization.v1.NonResourceRule', {
  nonResourceURLs: list(2, types.string, { listType: 'atomic' }),
  verbs: list(1, types.string, { required: true, always: true, listType: 'atomic' }),
});
export type NonResourceRule = TypeOf<typeof NonResourceRule>;

export const ResourceRule = object('io.k8s.api.authorization.v1.ResourceRule', {
  apiGroups: list(2, types.string, { listType: 'atomic' }),
  resourceNames: list(4, types.string, { listType: 'atomic' }),
  resources: list(3, types.string, { listType: 'atomic' }),
  verbs: list(1, types.string, { required: true, always: true, listType: 'atomic' }),
});
export type ResourceRule = TypeOf<typeof ResourceRule>;

export const SelfSubjectRulesReviewSpec = object('io.k8s.api.authorization.v1.SelfSubjectRulesReviewSpec', {
  namespace: string(1),
});
export type SelfSubjectRulesReviewSpec = TypeOf<typeof SelfSubjectRulesReviewSpec>;

export const SubjectRulesReviewStatus = object('io.k8s.api.authorization.v1.SubjectRulesReviewStatus', {
  evaluationError: string(4),
  incomplete: boolean(3, { required: true, always: true }),
  nonResourceRules: list(2, NonResourceRule, { required: true, always: true, listType: 'atomic' }),
  resourceRules: list(1, ResourceRule, { required: true, always: true, listType: 'atomic' }),
});
export type SubjectRulesReviewStatus = TypeOf<typeof SubjectRulesReviewStatus>;

export const SelfSubjectRulesReview = defineKind({
  group: 'authorization.k8s.io',
  version: 'v1',
  kind: 'SelfSubjectRulesReview',
  plural: 'selfsubjectrulesreviews',
  namespaced: false,
  doc: 'Asks what one may do in a namespace.',
  verbs: ['create'],
  type: 'io.k8s.api.authorization.v1.SelfSubjectRulesReview',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, SelfSubjectRulesReviewSpec, { required: true, always: true }),
    status: struct(3, SubjectRulesReviewStatus, { always: true }),
  },
  hasGeneration: false,
});
export type SelfSubjectRulesReview = ObjectOf<typeof SelfSubjectRulesReview>;
