import assert from 'node:assert/strict';
import 'reflect-metadata';
import { generateKeyPairSync, webcrypto, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import * as x509 from '@peculiar/x509';
import { ManualClock } from '#base/clock.ts';
import { seededRandom } from '#base/random.ts';
import { subjectOfRequest } from './certificate-request.ts';
import { objectIdentifier, partsOf, sequence, tagged, utf8String } from './der.ts';
import { issue, issueAuthority, issueForRequest } from './issue.ts';

const hourMs = 3_600_000;

function issuing() {
  return { clock: new ManualClock(), random: seededRandom(5) };
}

test('a certificate says what was asked, to another reader too', async () => {
  const around = issuing();
  const ca = await issueAuthority({ commonName: 'ca "ö"', validForMs: 40 * 365 * 24 * hourMs }, around);
  const request = {
    commonName: 'system:node:ä',
    organizations: Array.from({ length: 40 }, (_, position) => `group-${position}`),
    hosts: ['a.example'],
    ips: ['192.0.2.1', '2001:db8::1'],
    usages: ['client', 'server'] as const,
    validForMs: hourMs,
  };
  const { certPem } = await issue(ca, request, around);
  const read = new x509.X509Certificate(certPem);
  assert.deepEqual(read.subjectName.getField('O'), request.organizations);
  assert.deepEqual(read.subjectName.getField('CN'), ['system:node:ä']);
  assert.equal(read.issuerName.getField('CN')[0], 'ca "ö"');
  assert.equal(read.notBefore.getTime(), around.clock.now() - hourMs);
  assert.equal(read.notAfter.getTime(), around.clock.now() + hourMs);
  assert.ok(
    await read.verify({
      publicKey: new x509.X509Certificate(ca.certPem).publicKey,
      date: new Date(around.clock.now()),
    }),
  );
  const authority = new X509Certificate(ca.certPem);
  const certificate = new X509Certificate(certPem);
  assert.ok(certificate.checkIssued(authority) && certificate.verify(authority.publicKey));
  assert.equal(certificate.subjectAltName, 'DNS:a.example, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1');
  // Beyond 2049 the year has four digits.
  assert.equal(new Date(authority.validTo).getUTCFullYear(), 2065);
});

test('a certificate does not outlive its authority, and an authority of another make signs as well', async () => {
  const around = issuing();
  const keyPem = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }).privateKey;
  const ca = await issueAuthority({ commonName: 'rsa', validForMs: hourMs, keyPem }, around);
  const { certPem } = await issue(ca, { commonName: 'x', usages: ['client'], validForMs: 100 * hourMs }, around);
  assert.equal(Date.parse(new X509Certificate(certPem).validTo), around.clock.now() + hourMs);
  assert.ok(new X509Certificate(certPem).verify(new X509Certificate(ca.certPem).publicKey));
});

test('a request is answered for its own key, when it is signed by it', async () => {
  const around = issuing();
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: new x509.Name([{ O: ['system:nodes'] }, { CN: ['system:node:n1'] }]),
    keys,
    signingAlgorithm: algorithm,
  });
  const pem = request.toString('pem');
  assert.deepEqual(await subjectOfRequest(pem), { commonName: 'system:node:n1', organizations: ['system:nodes'] });
  assert.equal(await subjectOfRequest('rubbish'), undefined);
  const ca = await issueAuthority({ commonName: 'ca', validForMs: hourMs }, around);
  const wanted = {
    commonName: 'system:node:n1',
    organizations: ['system:nodes'],
    usages: ['client auth', 'code signing', 'cert sign', 'decipher only', 'nonsense'],
    emails: ['a@example.com'],
    uris: ['spiffe://x/y'],
    validForMs: hourMs,
    backdatedMs: 300_000,
  };
  const certificate = new X509Certificate(await issueForRequest(ca, pem, wanted, around));
  const own = Buffer.from(await webcrypto.subtle.exportKey('spki', keys.publicKey));
  assert.ok(certificate.publicKey.export({ type: 'spki', format: 'der' }).equals(own));
  assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.2', '1.3.6.1.5.5.7.3.3']);
  assert.equal(certificate.subjectAltName, 'email:a@example.com, URI:spiffe://x/y');
  assert.equal(certificate.ca, false);
  const parsed = new x509.X509Certificate(certificate.raw);
  const bits = parsed.getExtension(x509.KeyUsagesExtension)?.usages;
  assert.equal(bits, x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.decipherOnly);
  const forged = Buffer.from(request.rawData);
  forged.writeUInt8(forged.readUInt8(forged.length - 1) ^ 1, forged.length - 1);
  const forgedPem = x509.PemConverter.encode(new Uint8Array(forged), 'CERTIFICATE REQUEST');
  await assert.rejects(issueForRequest(ca, forgedPem, wanted, around), /not signed by its own key/);
});

test('lengths and identifiers of every size', () => {
  assert.equal(objectIdentifier('1.2.840.113549.1.1.11').toString('hex'), '06092a864886f70d01010b');
  for (const length of [0, 1, 127, 128, 255, 256, 65_535, 65_536]) {
    const [text, number] = partsOf(sequence(utf8String('x'.repeat(length)), tagged(2, Buffer.from([1]))));
    assert.equal(number?.toString('hex'), '020101', `behind ${length} bytes`);
    assert.ok((text?.length ?? 0) > length);
  }
});
