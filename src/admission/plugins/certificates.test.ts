import assert from 'node:assert/strict';
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { test } from 'node:test';
import * as x509 from '@peculiar/x509';
import { ApiError } from '#api/machinery/errors.ts';
import { CertificateSigningRequest } from '#api/certificates/v1/certificate-signing-request.ts';
import { Role } from '#api/rbac/v1/role.ts';
import type { Authorizer } from '#auth/authorization/authorizer.ts';
import { admit } from '../sources.fixture.ts';
import { certificateApproval, certificateSigning, certificateSubjectRestriction } from './certificates.ts';
import { rbacEscalation } from './rbac-escalation.ts';

const signerName = 'example.com/signer';

function allowing(verb: string, name: string): Authorizer {
  return {
    name: 'test',
    authorize: asked => ({
      decision: asked.resource === 'signers' && asked.verb === verb && asked.name === name ? 'allow' : 'noOpinion',
      reason: '',
    }),
  };
}

async function refusal(run: Promise<unknown>): Promise<string> {
  try {
    await run;
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    assert.equal(error.code, 403);
    return error.message;
  }
  return assert.fail('was not refused');
}

test('approving needs the verb on the signer, or on all of its domain', async () => {
  const request = { metadata: { name: 'r' }, spec: { signerName } };
  const update = { operation: 'UPDATE', subresource: 'approval', old: request } as const;
  const approve = (authorizer: Authorizer) =>
    admit([certificateApproval(authorizer)], CertificateSigningRequest, request, update);
  await approve(allowing('approve', signerName));
  await approve(allowing('approve', 'example.com/*'));
  assert.equal(
    await refusal(approve(allowing('sign', signerName))),
    'certificatesigningrequests.certificates.k8s.io "r" is forbidden: user not permitted to approve requests with signerName "example.com/signer"',
  );
  // The signer is the stored one's, whatever the update says.
  const other = { ...request, spec: { signerName: 'mine.example/x' } };
  const sly = admit(
    [certificateApproval(allowing('approve', 'mine.example/x'))],
    CertificateSigningRequest,
    other,
    update,
  );
  assert.match(await refusal(sly), /signerName "example.com\/signer"/);
});

test('writing a certificate needs the verb sign; other changes of the status do not', async () => {
  const old = { metadata: { name: 'r' }, spec: { signerName }, status: {} };
  const update = { operation: 'UPDATE', subresource: 'status', old } as const;
  const plugins = [certificateSigning(allowing('sign', 'other/signer'))];
  await admit(plugins, CertificateSigningRequest, old, update);
  const signed = { ...old, status: { certificate: 'eA==' } };
  assert.match(
    await refusal(admit(plugins, CertificateSigningRequest, signed, update)),
    /not permitted to sign requests/,
  );
  await admit([certificateSigning(allowing('sign', signerName))], CertificateSigningRequest, signed, update);
});

test('nobody asks for system:masters', async () => {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  const asking = async (organization: string, signer = 'kubernetes.io/kube-apiserver-client') => {
    const name = new x509.Name([{ O: [organization] }, { CN: ['ann'] }]);
    const csr = await x509.Pkcs10CertificateRequestGenerator.create({ name, keys, signingAlgorithm: algorithm });
    const spec = { signerName: signer, request: Buffer.from(csr.toString('pem')).toString('base64') };
    return admit([certificateSubjectRestriction], CertificateSigningRequest, { metadata: { name: 'r' }, spec });
  };
  await asking('developers');
  await asking('system:masters', 'example.com/other');
  assert.match(
    await refusal(asking('system:masters')),
    /use of kubernetes.io\/kube-apiserver-client signer with system:masters group is not allowed/,
  );
  const rubbish = {
    metadata: { name: 'r' },
    spec: { signerName: 'kubernetes.io/kube-apiserver-client', request: 'eA==' },
  };
  assert.match(
    await refusal(admit([certificateSubjectRestriction], CertificateSigningRequest, rubbish)),
    /unable to parse csr/,
  );
});

test('roles and bindings go through the escalation check, other kinds do not', async () => {
  const seen: string[] = [];
  const plugins = [
    rbacEscalation(async ({ kind, name, user }) => {
      seen.push(`${kind.kind} ${name} ${user.name}`);
    }),
  ];
  await admit(plugins, Role, { metadata: { name: 'r' } });
  await admit(plugins, Role, { metadata: { name: 'r' } }, { operation: 'UPDATE', old: { metadata: { name: 'r' } } });
  await admit(plugins, Role, undefined, { operation: 'DELETE', name: 'r' });
  await admit(plugins, CertificateSigningRequest, { metadata: { name: 'r' } });
  assert.deepEqual(seen, ['Role  ann', 'Role r ann']);
});
