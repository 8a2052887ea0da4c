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
    const usages = (request.spec.usages ?? []).flatMap(usage =>
      usage === 'client auth' ? (['client'] as const) : usage === 'server auth' ? (['server'] as const) : [],
    );
    const validForMs = Math.min(certificateMaxMs, (request.spec.expirationSeconds ?? Number.POSITIVE_INFINITY) * 1000);
    return { certificate: await signer.sign(pem, usages, validForMs) };
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

/** Upstream's rules of each signer, in its words. */
function refusal(request: CertificateSigningRequest, asked: RequestedCertificate): string | undefined {
  const { signerName, usages = [] } = request.spec;
  const only = (allowed: readonly string[]) => usages.every(usage => allowed.includes(usage));
  const has = (usage: string) => usages.includes(usage);
  switch (signerName) {
    case clientSigner:
      return has('client auth') && only(['digital signature', 'key encipherment', 'client auth'])
        ? undefined
        : `invalid usages for client certificate: ${usages.join(', ')}`;
    case kubeletClientSigner:
      return isForKubeletClient(request, asked) ? undefined : 'invalid kubelet client certificate request';
    case kubeletServingSigner:
      if (!isNode(asked) || asked.commonName !== request.spec.username)
        return 'subject common name does not begin with system:node: or is another node';
      if (asked.otherNames.length > 0) return 'URI and email subjectAltNames are not allowed';
      if (asked.hosts.length + asked.ips.length === 0) return 'DNS or IP subjectAltName is required';
      return has('server auth') && only(['digital signature', 'key encipherment', 'server auth'])
        ? undefined
        : 'usages did not match';
    default:
      return undefined;
  }
}

function isForKubeletClient({ spec }: CertificateSigningRequest, asked: RequestedCertificate): boolean {
  const { usages = [] } = spec;
  return (
    isNode(asked) &&
    asked.hosts.length + asked.ips.length + asked.otherNames.length === 0 &&
    usages.includes('client auth') &&
    usages.includes('digital signature') &&
    usages.every(usage => ['digital signature', 'key encipherment', 'client auth'].includes(usage))
  );
}

function isNode({ commonName, organizations }: RequestedCertificate): boolean {
  return organizations.length === 1 && organizations[0] === nodesGroup && commonName.startsWith(nodePrefix);
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
