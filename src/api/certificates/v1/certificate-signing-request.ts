import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import {
  bytes,
  int32,
  list,
  listOf,
  map,
  object,
  string,
  struct,
  time,
  types,
  type TypeOf,
} from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const CertificateSigningRequestSpec = object('io.k8s.api.certificates.v1.CertificateSigningRequestSpec', {
  expirationSeconds: int32(8, { pointer: true }),
  extra: map(6, listOf(types.string)),
  groups: list(4, types.string, { listType: 'atomic' }),
  request: bytes(1, { required: true, always: true }),
  signerName: string(7, { required: true, always: true }),
  uid: string(3),
  usages: list(5, types.string, { listType: 'atomic' }),
  username: string(2),
});
export type CertificateSigningRequestSpec = TypeOf<typeof CertificateSigningRequestSpec>;

export const CertificateSigningRequestCondition = object(
  'io.k8s.api.certificates.v1.CertificateSigningRequestCondition',
  {
    lastTransitionTime: time(5),
    lastUpdateTime: time(4),
    message: string(3),
    reason: string(2),
    status: string(6, { required: true, always: true }),
    type: string(1, { required: true, always: true }),
  },
);
export type CertificateSigningRequestCondition = TypeOf<typeof CertificateSigningRequestCondition>;

export const CertificateSigningRequestStatus = object('io.k8s.api.certificates.v1.CertificateSigningRequestStatus', {
  certificate: bytes(2),
  conditions: list(1, CertificateSigningRequestCondition, { listType: 'map', mapKeys: ['type'] }),
});
export type CertificateSigningRequestStatus = TypeOf<typeof CertificateSigningRequestStatus>;

export const CertificateSigningRequest = defineKind({
  group: 'certificates.k8s.io',
  version: 'v1',
  kind: 'CertificateSigningRequest',
  plural: 'certificatesigningrequests',
  namespaced: false,
  shortNames: ['csr'],
  subresources: { approval: { verbs: ['get', 'patch', 'update'] }, status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.certificates.v1.CertificateSigningRequest',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, CertificateSigningRequestSpec, { required: true, always: true }),
    status: struct(3, CertificateSigningRequestStatus, { always: true }),
  },
});
export type CertificateSigningRequest = ObjectOf<typeof CertificateSigningRequest>;
