import { deepEqual } from '#base/deep-equal.ts';
import { ClusterTrustBundle } from '#api/certificates/v1beta1/cluster-trust-bundle.ts';
import { CertificateSigningRequest } from '#api/certificates/v1/certificate-signing-request.ts';
import type { Authorizer } from '#auth/authorization/authorizer.ts';
import { subjectOfRequest } from '#auth/certificates/certificate-request.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts';
import { concerns, forbidden, isOf, objectOf, oldOf } from '../request.ts';

/** Who approves a request needs the verb `approve` on its signer. */
export function certificateApproval(authorizer: Authorizer): AdmissionPlugin {
  return {
    name: 'CertificateApproval',
    handles: request => updates(request, 'approval'),
    async validate(request) {
      const signer = oldOf(CertificateSigningRequest, request)?.spec.signerName ?? '';
      if (!(await maySignFor(authorizer, request, 'approve', signer)))
        throw forbidden(request, `user not permitted to approve requests with signerName ${JSON.stringify(signer)}`);
    },
  };
}

/** Who writes a certificate, or says that signing failed, needs the verb `sign` on the signer. */
export function certificateSigning(authorizer: Authorizer): AdmissionPlugin {
  return {
    name: 'CertificateSigning',
    handles: request => updates(request, 'status'),
    async validate(request) {
      const old = oldOf(CertificateSigningRequest, request);
      const { status } = objectOf(CertificateSigningRequest, request);
      const same =
        status?.certificate === old?.status?.certificate &&
        JSON.stringify(status?.conditions ?? []) === JSON.stringify(old?.status?.conditions ?? []);
      if (same) return;
      const signer = old?.spec.signerName ?? '';
      if (!(await maySignFor(authorizer, request, 'sign', signer)))
        throw forbidden(request, `user not permitted to sign requests with signerName ${JSON.stringify(signer)}`);
    },
  };
}

/** Who says what authorities a signer has needs the verb `attest` on the signer. */
export function clusterTrustBundleAttest(authorizer: Authorizer): AdmissionPlugin {
  return {
    name: 'ClusterTrustBundleAttest',
    handles: request => concerns(request, ClusterTrustBundle, 'CREATE', 'UPDATE'),
    async validate(request) {
      const { spec } = objectOf(ClusterTrustBundle, request);
      const signer = spec.signerName ?? '';
      // What only looks after the object (garbage collection, migration) says nothing about the signer.
      if (signer === '' || deepEqual(spec, oldOf(ClusterTrustBundle, request)?.spec)) return;
      if (!(await maySignFor(authorizer, request, 'attest', signer)))
        throw forbidden(request, `user not permitted to attest for signerName ${JSON.stringify(signer)}`);
    },
  };
}

/** Nobody gets a client certificate of `system:masters` by asking for one. */
export const certificateSubjectRestriction: AdmissionPlugin = {
  name: 'CertificateSubjectRestriction',
  handles: request => concerns(request, CertificateSigningRequest, 'CREATE'),
  async validate(request) {
    const { spec } = objectOf(CertificateSigningRequest, request);
    if (spec.signerName !== 'kubernetes.io/kube-apiserver-client') return;
    const subject = await subjectOfRequest(Buffer.from(spec.request, 'base64').toString());
    if (!subject) throw forbidden(request, 'unable to parse csr: it is no PKCS #10 request');
    if (subject.organizations.includes('system:masters'))
      throw forbidden(
        request,
        'use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed',
      );
  },
};

function updates(request: AdmissionRequest, subresource: string): boolean {
  return (
    isOf(request, CertificateSigningRequest) && request.operation === 'UPDATE' && request.subresource === subresource
  );
}

/** On the signer itself, or on all the signers of its domain. */
async function maySignFor(
  authorizer: Authorizer,
  { user }: AdmissionRequest,
  verb: 'approve' | 'sign' | 'attest',
  signer: string,
): Promise<boolean> {
  for (const name of [signer, `${signer.split('/')[0]}/*`]) {
    const said = await authorizer.authorize({
      user,
      verb,
      resourceRequest: true,
      path: '',
      group: 'certificates.k8s.io',
      version: '*',
      resource: 'signers',
      subresource: '',
      namespace: '',
      name,
    });
    if (said.decision === 'allow') return true;
  }
  return false;
}
