// tsyringe, below @peculiar/x509, wants it first.
import 'reflect-metadata';
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  webcrypto,
  X509Certificate,
  type KeyObject,
} from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { Clock } from '#base/clock.ts';
import type { Random } from '#base/random.ts';

x509.cryptoProvider.set(webcrypto as Crypto);

/** A certificate with its private key, both PEM (PKCS #8 for the key). */
export interface CertifiedKey {
  readonly certPem: string;
  readonly keyPem: string;
}

/** What a certificate says of its holder. */
export interface CertificateRequest {
  readonly commonName: string;
  /** Groups, for client certificates. */
  readonly organizations?: readonly string[];
  readonly hosts?: readonly string[];
  readonly ips?: readonly string[];
  readonly usages: readonly ('client' | 'server')[];
  readonly validForMs: number;
}

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

/** Why a certificate has to be made anew; undefined when it is good. */
export function reasonToRenew(
  certified: CertifiedKey,
  authorityPem: string,
  request: Pick<CertificateRequest, 'commonName' | 'organizations' | 'hosts' | 'ips'>,
  clock: Clock,
  renewBeforeMs: number,
): string | undefined {
  let certificate: X509Certificate;
  let key: KeyObject;
  try {
    certificate = new X509Certificate(certified.certPem);
    key = createPrivateKey(certified.keyPem);
  } catch {
    // Unreadable is a reason like any other: the pair is replaced.
    return 'it cannot be read';
  }
  const authority = new X509Certificate(authorityPem);
  if (!certificate.checkPrivateKey(key)) return 'the key is another one';
  if (!certificate.verify(authority.publicKey)) return 'another authority signed it';
  if (Date.parse(certificate.validFrom) > clock.now()) return 'it is not valid yet';
  if (Date.parse(certificate.validTo) - renewBeforeMs < clock.now()) return 'it expires';
  if (subjectOf(certificate) !== subjectText(request)) return 'its subject differs';
  if (sortedNames(namesOf(certificate)) !== sortedNames(wantedNames(request))) return 'its addresses differ';
  return undefined;
}

/** Whether an authority's certificate has to be made anew (over the same key). */
export function authorityExpires(certPem: string, clock: Clock, renewBeforeMs: number): boolean {
  const certificate = new X509Certificate(certPem);
  return (
    Date.parse(certificate.validFrom) > clock.now() || Date.parse(certificate.validTo) - renewBeforeMs < clock.now()
  );
}

export function newKeyPem(): string {
  return generateKeyPairSync('ec', {
    namedCurve: 'prime256v1',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }).privateKey;
}

export function publicKeyPemOf(keyPem: string): string {
  return createPublicKey(keyPem).export({ type: 'spki', format: 'pem' }).toString();
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

function subjectText(request: Pick<CertificateRequest, 'commonName' | 'organizations'>): string {
  return JSON.stringify([request.commonName, [...(request.organizations ?? [])].sort()]);
}

function subjectOf(certificate: X509Certificate): string {
  const parsed = certificate.toLegacyObject().subject as { CN?: string | string[]; O?: string | string[] };
  return subjectText({ commonName: [parsed.CN ?? ''].flat()[0] ?? '', organizations: [parsed.O ?? []].flat() });
}

function wantedNames(request: Pick<CertificateRequest, 'hosts' | 'ips'>): string[] {
  return [
    ...(request.hosts ?? []).map(each => `dns:${each}`),
    ...(request.ips ?? []).map(each => `ip:${plainIp(each)}`),
  ];
}

function namesOf(certificate: X509Certificate): string[] {
  const listed = certificate.subjectAltName?.split(', ') ?? [];
  return listed.map(each =>
    each.startsWith('DNS:') ? `dns:${each.slice(4)}` : `ip:${plainIp(each.replace(/^IP Address:/, ''))}`,
  );
}

/** One spelling for each IPv6 address. */
function plainIp(ip: string): string {
  return ip.includes(':') ? new URL(`http://[${ip}]`).hostname : ip;
}

function sortedNames(names: readonly string[]): string {
  return [...new Set(names)].sort().join();
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
