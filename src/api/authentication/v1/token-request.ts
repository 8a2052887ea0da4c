import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int64, list, object, string, struct, time, types, type TypeOf } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const BoundObjectReference = object('io.k8s.api.authentication.v1.BoundObjectReference', {
  apiVersion: string(2),
  kind: string(1),
  name: string(3),
  uid: string(4),
});
export type BoundObjectReference = TypeOf<typeof BoundObjectReference>;

export const TokenRequestSpec = object('io.k8s.api.authentication.v1.TokenRequestSpec', {
  audiences: list(1, types.string, { always: true, listType: 'atomic' }),
  boundObjectRef: struct(3, BoundObjectReference),
  expirationSeconds: int64(4, { pointer: true, always: true }),
});
export type TokenRequestSpec = TypeOf<typeof TokenRequestSpec>;

export const TokenRequestStatus = object('io.k8s.api.authentication.v1.TokenRequestStatus', {
  expirationTimestamp: time(2, { always: true }),
  token: string(1, { always: true }),
});
export type TokenRequestStatus = TypeOf<typeof TokenRequestStatus>;

export const TokenRequest = defineKind({
  group: 'authentication.k8s.io',
  version: 'v1',
  kind: 'TokenRequest',
  plural: '',
  namespaced: true,
  doc: 'Asks for a token of a service account.',
  verbs: [],
  type: 'io.k8s.api.authentication.v1.TokenRequest',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, TokenRequestSpec, { always: true }),
    status: struct(3, TokenRequestStatus, { always: true }),
  },
  hasGeneration: false,
  validate({ spec }, report) {
    const at = report.at('spec', 'expirationSeconds');
    const seconds = spec.expirationSeconds ?? 3600;
    if (seconds < 600) at.invalid(seconds, 'may not specify a duration less than 10 minutes');
    if (seconds > 2 ** 32) at.invalid(seconds, 'may not specify a duration larger than 2^32 seconds');
  },
});
export type TokenRequest = ObjectOf<typeof TokenRequest>;
