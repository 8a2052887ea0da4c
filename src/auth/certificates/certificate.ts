import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  X509Certificate,
  type KeyObject,
} from 'node:crypto';
import type { Clock } from '#base/clock.ts';

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

/**
 * When a certificate is to be replaced while it still holds: at 70 to 90 % of its lifetime, another moment for each, so
 * that not all are due at once.
 */
export function renewalMsOf(certPem: string): number {
  const { validFrom, validTo, raw } = new X509Certificate(certPem);
  const [fromMs, toMs] = [Date.parse(validFrom), Date.parse(validTo)];
  // From its own bytes: whoever asks gets the same answer.
  const spread = createHash('sha256').update(raw).digest().readUInt32BE(0) / 2 ** 32;
  return fromMs + (toMs - fromMs) * (0.7 + 0.2 * spread);
}

/** Whether an authority's certificate has to be made anew (over the same key). */
export function authorityExpires(certPem: string, clock: Clock, renewBeforeMs: number): boolean {
  const certificate = new X509Certificate(certPem);
  return (
    Date.parse(certificate.validFrom) > clock.now() || Date.parse(certificate.validTo) - renewBeforeMs < clock.now()
  );
}

/** The certificates of a PEM bundle; what cannot be read is none. */
export function certificatesOf(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.flatMap(block => {
    try {
      return [new X509Certificate(block)];
    } catch {
      // The caller sees that there are fewer.
      return [];
    }
  });
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
