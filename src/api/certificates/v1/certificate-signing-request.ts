import { type Creator, defineKind, type ObjectOf } from '../../machinery/kind.ts';
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
import { formatDuration } from '../../machinery/duration.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import type { Report } from '../../machinery/validation.ts';
import { checkOneOf } from '../../machinery/checks.ts';
import { checkSignerName } from '../signer-name.ts';
import { certificateProblem, requestProblem } from './pkcs10.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const CertificateSigningRequestSpec = object('io.k8s.api.certificates.v1.CertificateSigningRequestSpec', {
  expirationSeconds: int32(8, { pointer: true }),
  extra: map(6, listOf(types.string)),
  groups: list(4, types.string, { listType: 'atomic' }),
  request: bytes(1, { required: true, always: true, doc: 'A PKCS#10 request in PEM.' }),
  signerName: string(7, { required: true, always: true, doc: 'Who is to sign.' }),
  uid: string(3),
  usages: list(5, types.string, { listType: 'atomic' }),
  username: string(2),
});
export type CertificateSigningRequestSpec = TypeOf<typeof CertificateSigningRequestSpec>;

export const CertificateSigningRequestCondition = object(
  'io.k8s.api.certificates.v1.CertificateSigningRequestCondition',
  {
    lastTransitionTime: time(5, { always: true }),
    lastUpdateTime: time(4, { always: true }),
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
  doc: 'Asks for a certificate.',
  shortNames: ['csr'],
  subresources: { approval: { verbs: ['get', 'patch', 'update'] }, status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.certificates.v1.CertificateSigningRequest',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, CertificateSigningRequestSpec, { required: true, always: true }),
    status: struct(3, CertificateSigningRequestStatus, { always: true }),
  },
  metadataChecks: { status: ['new', 'changed'] },
  columns: [
    nameColumn,
    ageColumn,
    text('SignerName', 'Who is to sign.', ({ spec }) => spec.signerName || '<none>'),
    text('Requestor', 'Who asked.', ({ spec }) => spec.username ?? ''),
    text('RequestedDuration', 'For how long.', ({ spec }) =>
      spec.expirationSeconds === undefined ? '<none>' : formatDuration(spec.expirationSeconds * 1000),
    ),
    text('Condition', 'How far it is.', ({ status }) => conditionOf(status)),
  ],
  fieldSelectors: { 'spec.signerName': ({ spec }) => spec.signerName },
  hasGeneration: false,
  prepareForCreate(request, creator) {
    // Approvers and signers believe what stands here: it is never what the creator says.
    const { username, uid, groups, extra, ...asked } = request.spec;
    void [username, uid, groups, extra];
    request.spec = { ...asked, ...(creator && requesterOf(creator)) } as typeof request.spec;
  },
  prepareForUpdate(request, old) {
    // Who asked for what stays as it was asked; approvers change the status.
    request.spec = { ...old.spec } as typeof request.spec;
  },
  validate({ spec }, report) {
    const at = report.at('spec');
    const problem = requestProblem(Buffer.from(spec.request ?? '', 'base64').toString('latin1'));
    if (problem !== undefined) at.at('request').invalid(spec.request, problem);
    const usages = spec.usages ?? [];
    if (usages.length === 0) at.at('usages').required();
    for (const [index, usage] of usages.entries()) {
      if (!keyUsages.includes(usage)) at.at('usages').index(index).notSupported(usage, keyUsages);
      if (usages.indexOf(usage) < index) at.at('usages').index(index).duplicate(usage);
    }
    if (spec.signerName === 'kubernetes.io/legacy-unknown')
      at.at('signerName').invalid(spec.signerName, 'the legacy signerName is not allowed via this API version');
    else checkSignerName(spec.signerName ?? '', at.at('signerName'));
    if (spec.expirationSeconds !== undefined && spec.expirationSeconds < 600)
      at.at('expirationSeconds').invalid(
        spec.expirationSeconds,
        'may not specify a duration less than 600 seconds (10 minutes)',
      );
  },
  validateStatusUpdate({ status }, old, report) {
    const at = report.at('status');
    const { certificate } = status;
    const problem = certificate && certificateProblem(Buffer.from(certificate, 'base64').toString('latin1'));
    if (problem) at.at('certificate').invalid('<certificate data>', problem);
    validateConditions(status.conditions ?? [], at.at('conditions'));
    for (const { type } of old.status.conditions ?? [])
      if (type !== 'Failed' && !(status.conditions ?? []).some(condition => condition.type === type))
        at.at('conditions').forbidden(`updates may not remove a condition of type ${JSON.stringify(type)}`);
    if (old.status.certificate && status.certificate !== old.status.certificate)
      at.at('certificate').forbidden('updates may not modify existing certificate content');
  },
});
export type CertificateSigningRequest = ObjectOf<typeof CertificateSigningRequest>;

const keyUsages = [
  'any',
  'cert sign',
  'client auth',
  'code signing',
  'content commitment',
  'crl sign',
  'data encipherment',
  'decipher only',
  'digital signature',
  'email protection',
  'encipher only',
  'ipsec end system',
  'ipsec tunnel',
  'ipsec user',
  'key agreement',
  'key encipherment',
  'microsoft sgc',
  'netscape sgc',
  'ocsp signing',
  's/mime',
  'server auth',
  'signing',
  'timestamping',
];

function requesterOf({ name, uid, groups, extra }: Creator) {
  return {
    username: name,
    ...(uid !== undefined && { uid }),
    ...(groups.length > 0 && { groups: [...groups] }),
    ...(extra && { extra: Object.fromEntries(Object.entries(extra).map(([key, values]) => [key, [...values]])) }),
  };
}

function conditionOf({ conditions = [], certificate }: CertificateSigningRequestStatus): string {
  const has = (type: string) => conditions.some(condition => condition.type === type);
  const judged = has('Denied') ? 'Denied' : has('Approved') ? 'Approved' : 'Pending';
  return `${judged}${has('Failed') ? ',Failed' : ''}${certificate ? ',Issued' : ''}`;
}

function validateConditions(conditions: readonly CertificateSigningRequestCondition[], report: Report): void {
  const types = new Set<string>();
  for (const [index, { type, status }] of conditions.entries()) {
    const at = report.index(index);
    if (!type) at.at('type').required();
    const isRepeated = types.has(type);
    types.add(type);
    if (!status) at.at('status').required();
    else if (['Approved', 'Denied', 'Failed'].includes(type)) {
      if (status !== 'True') at.at('status').notSupported(status, ['True']);
    } else checkOneOf(status, ['False', 'True', 'Unknown'], at.at('status'));
    if (isRepeated) at.at('type').duplicate(type);
    if ((type === 'Denied' && types.has('Approved')) || (type === 'Approved' && types.has('Denied')))
      at.at('type').invalid(type, 'Approved and Denied conditions are mutually exclusive');
  }
}
