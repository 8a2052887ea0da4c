import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, list, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { UserInfo } from './user-info.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const TokenReviewSpec = object('io.k8s.api.authentication.v1.TokenReviewSpec', {
  audiences: list(2, types.string, { listType: 'atomic' }),
  token: string(1, { required: true }),
});
export type TokenReviewSpec = TypeOf<typeof TokenReviewSpec>;

export const TokenReviewStatus = object('io.k8s.api.authentication.v1.TokenReviewStatus', {
  audiences: list(4, types.string, { listType: 'atomic' }),
  authenticated: boolean(1),
  error: string(3),
  user: struct(2, UserInfo, { always: true }),
});
export type TokenReviewStatus = TypeOf<typeof TokenReviewStatus>;

export const TokenReview = defineKind({
  group: 'authentication.k8s.io',
  version: 'v1',
  kind: 'TokenReview',
  plural: 'tokenreviews',
  namespaced: false,
  doc: 'Asks whose token this is.',
  verbs: ['create'],
  type: 'io.k8s.api.authentication.v1.TokenReview',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, TokenReviewSpec, { required: true, always: true }),
    status: struct(3, TokenReviewStatus, { always: true }),
  },
  hasGeneration: false,
  validate({ spec }, report) {
    if (!spec.token) report.at('spec', 'token').required('token is required for TokenReview in authentication');
  },
});
export type TokenReview = ObjectOf<typeof TokenReview>;
