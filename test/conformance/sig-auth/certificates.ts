import { execFileSync } from 'node:child_process';
import assert from 'node:assert/strict';
import { CertificateSigningRequest } from '#api/certificates/v1/certificate-signing-request.ts';
import { apiOperations, discovered } from '../api-operations.ts';
import { conformance } from '../conformance.ts';
import { until } from '../waiting.ts';

conformance(it => {
  it('[sig-auth] Certificates API [Privileged:ClusterAdmin] should support CSR API operations [Conformance]', async t => {
    const request = certificateRequest('e2e-example', 'tester-group');
    await discovered(t, CertificateSigningRequest, ['approval', 'status']);
    const spec = {
      request,
      signerName: 'example.com/unhandled',
      expirationSeconds: 3600,
      usages: ['digital signature', 'client auth'],
    };
    await apiOperations(t, {
      kind: CertificateSigningRequest,
      object: { spec },
      status: { certificate: Buffer.from(selfSigned()).toString('base64') },
    });

    // Approved, it is signed by the signer that it names.
    const name = t.unique('approved');
    t.defer(() => t.client.delete(CertificateSigningRequest, name));
    const created = await t.client.create(CertificateSigningRequest, {
      metadata: { name },
      spec: {
        request,
        signerName: 'kubernetes.io/kube-apiserver-client',
        usages: ['digital signature', 'client auth'],
      },
    });
    const conditions = [{ type: 'Approved', status: 'True', reason: 'E2E', message: 'set by a test' }];
    const approved = await t.client.update(
      CertificateSigningRequest,
      { ...created, status: { ...created.status, conditions } },
      { subresource: 'approval' },
    );
    assert.equal(approved.status?.conditions?.[0]?.type, 'Approved');
    const issued = await until(t, CertificateSigningRequest, name, 'it is issued', each => !!each.status?.certificate, {
      namespace: null,
    });
    assert.match(Buffer.from(issued.status?.certificate ?? '', 'base64').toString(), /^-----BEGIN CERTIFICATE-----/);
  });
});

function certificateRequest(commonName: string, organization: string): string {
  const subject = `/O=${organization}/CN=${commonName}`;
  const pem = openssl(
    'req',
    '-new',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    '/dev/null',
    '-subj',
    subject,
  );
  return Buffer.from(pem).toString('base64');
}

function selfSigned(): string {
  return openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    '/dev/null',
    '-subj',
    '/CN=x',
    '-days',
    '1',
  );
}

function openssl(...words: readonly string[]): string {
  return execFileSync('openssl', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
}
