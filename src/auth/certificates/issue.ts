// tsyringe, below @peculiar/x509, wants it first.
import 'reflect-metadata';
import { createPrivateKey, createPublicKey, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { Clock } from '#base/clock.ts';
import type { Random } from '#base/random.ts';
import { newKeyPem, type CertificateRequest, type CertifiedKey } from './certificate.ts';

x509.cryptoProvider.set(webcrypto as Crypto);

export interface Issuing {
  readonly clock: Clock;
  readonly random: Random;
}

/** Clocks of a cluster differ; a certificate is valid from this long before it is made. */
const backdatedMs = 60 * 60_000;

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** A new self-signed authority. With `keyPem` the same key gets a new certificate, so that what it signed stays valid. */
export async function issueAuthority(
  request: { readonly commonName: string; readonly validForMs: number; readonly keyPem?: string },
  { clock, random }: Issuing,
): Promise<CertifiedKey> {
  const keyPem = request.keyPem ?? newKeyPem();
  const { publicKey, privateKey } = await webKeys(keyPem);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(random),
    subject: name(request.commonName),
    issuer: name(request.commonName),
    notBefore: new Date(clock.now() - backdatedMs),
    notAfter: new Date(clock.now() + request.validForMs),
    publicKey,
    signingKey: privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment | x509.KeyUsageFlags.keyCertSign,
        true,
      ),
      new x509.BasicConstraintsExtension(true, undefined, true),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
  return { certPem: pem(certificate), keyPem };
}

/** A certificate signed by `authority`, with a new key, or with `keyPem` for a key that is kept. */
export async function issue(
  authority: CertifiedKey,
  request: CertificateRequest,
  issuing: Issuing,
  keyPem: string = newKeyPem(),
): Promise<CertifiedKey> {
  const { publicKey } = await webKeys(keyPem);
  return { certPem: await certify(authority, request, publicKey, issuing), keyPem };
}

/** A certificate for the key of a PKCS #10 request (PEM); its own signature must hold. What it asks for is the caller's to check. */
export async function issueForRequest(
  authority: CertifiedKey,
  csrPem: string,
  request: CertificateRequest,
  issuing: Issuing,
): Promise<string> {
  const csr = new x509.Pkcs10CertificateRequest(csrPem);
  if (!(await csr.verify())) throw new Error('cannot issue a certificate: the request is not signed by its own key');
  return certify(authority, request, await csr.publicKey.export(), issuing);
}

async function certify(
  authority: CertifiedKey,
  request: CertificateRequest,
  publicKey: webcrypto.CryptoKey,
  { clock, random }: Issuing,
): Promise<string> {
  const signer = await webKeys(authority.keyPem);
  const issuer = new x509.X509Certificate(authority.certPem);
  const names = [
    ...(request.hosts ?? []).map(value => ({ type: 'dns' as const, value })),
    ...(request.ips ?? []).map(value => ({ type: 'ip' as const, value })),
  ];
  const notAfterMs = Math.min(clock.now() + request.validForMs, issuer.notAfter.getTime());
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(random),
    subject: name(request.commonName, request.organizations),
    issuer: issuer.subjectName,
    notBefore: new Date(clock.now() - backdatedMs),
    notAfter: new Date(notAfterMs),
    publicKey,
    signingKey: signer.privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
      new x509.ExtendedKeyUsageExtension(
        request.usages.map(usage =>
          usage === 'client' ? x509.ExtendedKeyUsage.clientAuth : x509.ExtendedKeyUsage.serverAuth,
        ),
      ),
      new x509.BasicConstraintsExtension(false, undefined, true),
      await x509.AuthorityKeyIdentifierExtension.create(signer.publicKey),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
    ],
  });
  return pem(certificate);
}

async function webKeys(keyPem: string): Promise<webcrypto.CryptoKeyPair> {
  const privateKey = createPrivateKey(keyPem);
  if (privateKey.asymmetricKeyType !== 'ec')
    throw new Error(`cannot use the private key: it is ${privateKey.asymmetricKeyType}, not EC P-256`);
  return {
    privateKey: privateKey.toCryptoKey(algorithm, true, ['sign']),
    publicKey: createPublicKey(privateKey).toCryptoKey(algorithm, true, ['verify']),
  };
}

function name(commonName: string, organizations: readonly string[] = []): x509.Name {
  return new x509.Name([...organizations.map(each => ({ O: [each] })), { CN: [commonName] }]);
}

function serial(random: Random): string {
  const bytes = Buffer.from(random.bytes(16));
  // Positive, and without a leading zero.
  bytes[0] = (bytes.readUInt8(0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

function pem(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}
