import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { bytes, int32, list, map, object, string, struct, time, types, type TypeOf } from '../../machinery/schema.ts';
import { Condition } from '../../meta/v1/condition.ts';
import { nameColumn, text } from '../../machinery/columns.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const PodCertificateRequestSpec = object('io.k8s.api.certificates.v1beta1.PodCertificateRequestSpec', {
  maxExpirationSeconds: int32(8, { pointer: true, default: 86400 }),
  nodeName: string(6, { required: true, always: true }),
  nodeUID: string(7, { required: true, always: true }),
  pkixPublicKey: bytes(9, { always: true }),
  podName: string(2, { required: true, always: true }),
  podUID: string(3, { required: true, always: true }),
  proofOfPossession: bytes(10, { always: true }),
  serviceAccountName: string(4, { required: true, always: true }),
  serviceAccountUID: string(5, { required: true, always: true }),
  signerName: string(1, { required: true, always: true }),
  stubPKCS10Request: bytes(12, { required: true, always: true }),
  unverifiedUserAnnotations: map(11, types.string),
});
export type PodCertificateRequestSpec = TypeOf<typeof PodCertificateRequestSpec>;

export const PodCertificateRequestStatus = object('io.k8s.api.certificates.v1beta1.PodCertificateRequestStatus', {
  beginRefreshAt: time(5),
  certificateChain: string(2),
  conditions: list(1, Condition, { listType: 'map', mapKeys: ['type'], patchStrategy: 'merge', patchMergeKey: 'type' }),
  notAfter: time(6),
  notBefore: time(4),
});
export type PodCertificateRequestStatus = TypeOf<typeof PodCertificateRequestStatus>;

export const PodCertificateRequest = defineKind({
  group: 'certificates.k8s.io',
  version: 'v1beta1',
  kind: 'PodCertificateRequest',
  plural: 'podcertificaterequests',
  namespaced: true,
  doc: 'A kubelet asks for a certificate for a pod.',
  served: false,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.certificates.v1beta1.PodCertificateRequest',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, PodCertificateRequestSpec, { required: true, always: true }),
    status: struct(3, PodCertificateRequestStatus, { always: true }),
  },
  columns: [
    nameColumn,
    text('PodName', 'Pod it is for.', ({ spec }) => spec.podName),
    text('ServiceAccountName', 'Service account of the pod.', ({ spec }) => spec.serviceAccountName),
    text('NodeName', 'Node of the pod.', ({ spec }) => spec.nodeName),
    text('SignerName', 'Who is to sign it.', ({ spec }) => spec.signerName),
    text('State', 'Pending, Issued, Denied or Failed.', ({ status }) => stateOf(status)),
  ],
  fieldSelectors: {
    'spec.signerName': ({ spec }) => spec.signerName,
    'spec.podName': ({ spec }) => spec.podName,
    'spec.nodeName': ({ spec }) => spec.nodeName,
  },
  requiresResourceVersion: true,
});
export type PodCertificateRequest = ObjectOf<typeof PodCertificateRequest>;

const states = new Set(['Issued', 'Denied', 'Failed']);

function stateOf({ conditions }: PodCertificateRequestStatus): string {
  return (conditions ?? []).findLast(({ type }) => states.has(type))?.type ?? 'Pending';
}
