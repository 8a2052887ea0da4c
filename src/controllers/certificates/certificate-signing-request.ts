import { SubjectAccessReview } from '#api/authorization/v1/subject-access-review.ts';
import {
  CertificateSigningRequest,
  type CertificateSigningRequestCondition,
} from '#api/certificates/v1/certificate-signing-request.ts';
import { remove, updateStatus, wake, type Action } from '../actions.ts';
import { conditionOf } from '../conditions.ts';
import { defineController, type Asking, type RequestedCertificate } from '../controller.ts';
import { timeMs, timeText } from '../time.ts';

const nodesGroup = 'system:nodes';
const nodePrefix = 'system:node:';
const clientSigner = 'kubernetes.io/kube-apiserver-client';
const kubeletClientSigner = 'kubernetes.io/kube-apiserver-client-kubelet';
const kubeletServingSigner = 'kubernetes.io/kubelet-serving';
const legacySigner = 'kubernetes.io/legacy-unknown';

const certificateMaxMs = 365 * 86_400_000;
const certificateMinMs = 10 * 60_000;

function isApproved({ status }: CertificateSigningRequest): boolean {
  return (
    conditionOf(status?.conditions, 'Approved') !== undefined && conditionOf(status?.conditions, 'Denied') === undefined
  );
}

function requestPem({ spec }: CertificateSigningRequest): string {
  return Buffer.from(spec.request, 'base64').toString('utf8');
}

/** Approves the first certificate of a node that may join, and every next one of a node for itself. */
export const certificateApprovingController = defineController({
  name: 'certificatesigningrequest-approving-controller',
  account: 'certificate-controller',
  reconciles: CertificateSigningRequest,
  concerns: ({ spec, status }) => spec.signerName === kubeletClientSigner && (status?.conditions ?? []).length === 0,
  reads: {},
  writes: [CertificateSigningRequest],
  ask: recognize,
  decide(request, { answer, nowMs }) {
    if (!answer) return [];
    const atText = timeText(nowMs);
    const condition = {
      type: 'Approved',
      status: 'True',
      reason: 'AutoApproved',
      message: answer.message,
      lastUpdateTime: atText,
      lastTransitionTime: atText,
    };
    const status = { ...request.status, conditions: [...(request.status?.conditions ?? []), condition] };
    return [{ do: 'update', kind: CertificateSigningRequest, object: { ...request, status }, subresource: 'approval' }];
  },
});

async function recognize(
  request: CertificateSigningRequest,
  { client, settings, signal }: Asking,
): Promise<{ readonly message: string } | undefined> {
  const asked = await settings.signer?.describe(requestPem(request));
  if (!asked || !isForKubeletClient(request, asked)) return undefined;
  const { username = '', groups, uid, extra } = request.spec;
  const own = asked.commonName === username;
  for (const { subresource, message, applies } of [
    {
      subresource: 'selfnodeclient',
      message: 'Auto approving self kubelet client certificate after SubjectAccessReview.',
      applies: own,
    },
    {
      subresource: 'nodeclient',
      message: 'Auto approving kubelet client certificate after SubjectAccessReview.',
      applies: true,
    },
  ]) {
    if (!applies) continue;
    const review = await client.create(
      SubjectAccessReview,
      {
        spec: {
          user: username,
          ...(uid !== undefined && { uid }),
          ...(groups && { groups }),
          ...(extra && { extra }),
          resourceAttributes: {
            group: 'certificates.k8s.io',
            resource: 'certificatesigningrequests',
            verb: 'create',
            subresource,
            version: '*',
          },
        },
      },
      { signal },
    );
    if (review.status?.allowed) return { message };
  }
  return undefined;
}

/** Signs what was approved, each signer within its rules. */
export const certificateSigningController = defineController({
  name: 'certificatesigningrequest-signing-controller',
  account: 'certificate-controller',
  reconciles: CertificateSigningRequest,
  concerns: request =>
    isApproved(request) &&
    (request.status?.certificate ?? '') === '' &&
    conditionOf(request.status?.conditions, 'Failed') === undefined &&
    [clientSigner, kubeletClientSigner, kubeletServingSigner, legacySigner].includes(request.spec.signerName),
  reads: {},
  writes: [CertificateSigningRequest],
  async ask(
    request,
    { settings },
  ): Promise<{ readonly certificate: string } | { readonly refused: string } | undefined> {
    const { signer } = settings;
    if (!signer) return undefined;
    const pem = requestPem(request);
    const asked = await signer.describe(pem);
    if (!asked) return { refused: 'unable to parse csr' };
    const refused = refusal(request, asked);
    if (refused !== undefined) return { refused };
    const askedMs = (request.spec.expirationSeconds ?? Number.POSITIVE_INFINITY) * 1000;
    const validForMs = Math.min(certificateMaxMs, Math.max(askedMs, certificateMinMs));
    return { certificate: await signer.sign(pem, request.spec.usages ?? [], validForMs) };
  },
  decide(request, { answer, nowMs }): readonly Action[] {
    if (!answer) return [];
    if ('certificate' in answer) {
      const certificate = Buffer.from(answer.certificate).toString('base64');
      return [updateStatus(CertificateSigningRequest, { ...request, status: { ...request.status, certificate } })];
    }
    // The legacy signer leaves what it does not like alone.
    if (request.spec.signerName === legacySigner) return [];
    const atText = timeText(nowMs);
    const condition: CertificateSigningRequestCondition = {
      type: 'Failed',
      status: 'True',
      reason: 'SignerValidationFailure',
      message: answer.refused,
      lastUpdateTime: atText,
      lastTransitionTime: atText,
    };
    const status = { ...request.status, conditions: [...(request.status?.conditions ?? []), condition] };
    return [updateStatus(CertificateSigningRequest, { ...request, status })];
  },
});

const kubeletClientUsages = ['client auth', 'digital signature', 'key encipherment'];
const kubeletServingUsages = ['digital signature', 'key encipherment', 'server auth'];

/** Upstream's rules of each signer, in its words. */
function refusal({ spec }: CertificateSigningRequest, asked: RequestedCertificate): string | undefined {
  const { signerName, usages = [] } = spec;
  switch (signerName) {
    case clientSigner: {
      const invalid = usages.find(usage => !kubeletClientUsages.includes(usage));
      if (invalid !== undefined) return `invalid usage for client certificate: ${invalid}`;
      return usages.includes('client auth') ? undefined : 'missing required usage for client certificate: client auth';
    }
    case kubeletClientSigner:
      return kubeletClientRefusal(asked, usages);
    case kubeletServingSigner:
      return kubeletServingRefusal(asked, usages);
    default:
      return undefined;
  }
}

function kubeletClientRefusal(asked: RequestedCertificate, usages: readonly string[]): string | undefined {
  if (!isOfNodes(asked)) return 'subject organization is not system:nodes';
  if (asked.hosts.length > 0) return 'DNS subjectAltNames are not allowed';
  if (asked.emails.length > 0) return 'Email subjectAltNames are not allowed';
  if (asked.ips.length > 0) return 'IP subjectAltNames are not allowed';
  if (asked.uris.length + asked.otherNames.length > 0) return 'URI subjectAltNames are not allowed';
  if (!asked.commonName.startsWith(nodePrefix)) return 'subject common name does not begin with system:node: ';
  return usagesRefusal(usages, kubeletClientUsages);
}

function kubeletServingRefusal(asked: RequestedCertificate, usages: readonly string[]): string | undefined {
  if (!isOfNodes(asked)) return 'subject organization is not system:nodes';
  if (asked.hosts.length + asked.ips.length === 0) return 'DNS or IP subjectAltName is required';
  if (asked.emails.length > 0) return 'Email subjectAltNames are not allowed';
  if (asked.uris.length + asked.otherNames.length > 0) return 'URI subjectAltNames are not allowed';
  const refused = usagesRefusal(usages, kubeletServingUsages);
  if (refused !== undefined) return refused;
  return asked.commonName.startsWith(nodePrefix) ? undefined : 'subject common name does not begin with system:node: ';
}

/** All of them, or all but the one that only RSA keys need. */
function usagesRefusal(usages: readonly string[], required: readonly string[]): string | undefined {
  const without = required.filter(each => each !== 'key encipherment');
  const given = new Set(usages);
  const same = (wanted: readonly string[]) => given.size === wanted.length && wanted.every(each => given.has(each));
  return same(required) || same(without) ? undefined : `usages did not match [${required.join(' ')}]`;
}

function isForKubeletClient({ spec }: CertificateSigningRequest, asked: RequestedCertificate): boolean {
  return kubeletClientRefusal(asked, spec.usages ?? []) === undefined;
}

function isOfNodes({ organizations }: RequestedCertificate): boolean {
  return organizations.length === 1 && organizations[0] === nodesGroup;
}

/** Upstream's times: answered or denied requests an hour, unanswered ones a day. */
const answeredMs = 3_600_000;
const pendingMs = 86_400_000;

/** Removes requests that are history. */
export const certificateCleaner = defineController({
  name: 'certificatesigningrequest-cleaner-controller',
  account: 'certificate-controller',
  reconciles: CertificateSigningRequest,
  reads: {},
  writes: [CertificateSigningRequest],
  decide(request, { nowMs }) {
    const { conditions = [], certificate = '' } = request.status ?? {};
    const answers = conditions.filter(({ type }) => ['Denied', 'Failed', 'Approved'].includes(type));
    const isPending = answers.length === 0 || (certificate === '' && answers.every(({ type }) => type === 'Approved'));
    const sinceMs = Math.max(
      timeMs(request.metadata.creationTimestamp),
      ...(isPending ? [] : answers.map(({ lastUpdateTime }) => timeMs(lastUpdateTime))),
    );
    const endsMs = sinceMs + (isPending ? pendingMs : answeredMs);
    return endsMs > nowMs ? [wake(endsMs)] : [remove(CertificateSigningRequest, request)];
  },
});
