import { createHash, createPrivateKey, createPublicKey, sign, X509Certificate, type KeyObject } from 'node:crypto';
import type { Clock } from '#base/clock.ts';
import { parseIp } from '#base/ip.ts';
import type { Random } from '#base/random.ts';
import { newKeyPem, type CertificateRequest, type CertifiedKey } from './certificate.ts';
import { publicKeyOfRequest } from './certificate-request.ts';
import {
  bitString,
  contentOf,
  integer,
  nothing,
  objectIdentifier,
  octetString,
  partsOf,
  sequence,
  setOf,
  tagged,
  time,
  utf8String,
  yes,
} from './der.ts';

export interface Issuing {
  readonly clock: Clock;
  readonly random: Random;
}

/** Clocks of a cluster differ; a certificate is valid from this long before it is made. */
const backdatedMs = 60 * 60_000;

/** A new self-signed authority. With `keyPem` the same key gets a new certificate, so that what it signed stays valid. */
export async function issueAuthority(
  request: { readonly commonName: string; readonly validForMs: number; readonly keyPem?: string },
  issuing: Issuing,
): Promise<CertifiedKey> {
  const keyPem = request.keyPem ?? newKeyPem();
  const key = createPrivateKey(keyPem);
  const publicKey = createPublicKey(key);
  const subject = nameOf(request.commonName, []);
  const nowMs = issuing.clock.now();
  const certPem = signed(key, issuing.random, {
    subject,
    issuer: subject,
    notBeforeMs: nowMs - backdatedMs,
    notAfterMs: nowMs + request.validForMs,
    publicKey,
    extensions: [
      // digitalSignature, keyEncipherment, keyCertSign
      extension('2.5.29.15', bitString(Buffer.from([0b1010_0100]), 2), 'critical'),
      extension('2.5.29.19', sequence(yes), 'critical'),
      extension('2.5.29.14', octetString(keyIdOf(publicKey))),
    ],
  });
  return { certPem, keyPem };
}

/** A certificate signed by `authority`, with a new key, or with `keyPem` for a key that is kept. */
export async function issue(
  authority: CertifiedKey,
  request: CertificateRequest,
  issuing: Issuing,
  keyPem: string = newKeyPem(),
): Promise<CertifiedKey> {
  return {
    certPem: certify(
      authority,
      { ...request, usages: request.usages.flatMap(each => ownUsages[each]) },
      createPublicKey(keyPem),
      issuing,
    ),
    keyPem,
  };
}

/** A certificate for the key of a PKCS #10 request (PEM); its own signature must hold. What it asks for is the caller's to check. */
export async function issueForRequest(
  authority: CertifiedKey,
  csrPem: string,
  request: RequestedCertificate,
  issuing: Issuing,
): Promise<string> {
  const publicKey = await publicKeyOfRequest(csrPem);
  if (!publicKey) throw new Error('cannot issue a certificate: the request is not signed by its own key');
  return certify(authority, request, publicKey, issuing);
}

/** What a request of others may want beside what a cluster's own certificates have. */
export interface RequestedCertificate extends Omit<CertificateRequest, 'usages'> {
  /** As the API names them: `digital signature`, `client auth`, … */
  readonly usages: readonly string[];
  readonly emails?: readonly string[];
  readonly uris?: readonly string[];
  /** How long before now it is valid already. */
  readonly backdatedMs?: number;
}

const keyUsageBits: Readonly<Record<string, number>> = {
  signing: 0,
  'digital signature': 0,
  'content commitment': 1,
  'key encipherment': 2,
  'data encipherment': 3,
  'key agreement': 4,
  'cert sign': 5,
  'crl sign': 6,
  'encipher only': 7,
  'decipher only': 8,
};

const extendedUsages: Readonly<Record<string, string>> = {
  any: '2.5.29.37.0',
  'server auth': '1.3.6.1.5.5.7.3.1',
  'client auth': '1.3.6.1.5.5.7.3.2',
  'code signing': '1.3.6.1.5.5.7.3.3',
  'email protection': '1.3.6.1.5.5.7.3.4',
  's/mime': '1.3.6.1.5.5.7.3.4',
  'ipsec end system': '1.3.6.1.5.5.7.3.5',
  'ipsec tunnel': '1.3.6.1.5.5.7.3.6',
  'ipsec user': '1.3.6.1.5.5.7.3.7',
  timestamping: '1.3.6.1.5.5.7.3.8',
  'ocsp signing': '1.3.6.1.5.5.7.3.9',
  'microsoft sgc': '1.3.6.1.4.1.311.10.3.3',
  'netscape sgc': '2.16.840.1.113730.4.1',
};

const ownUsages = {
  client: ['digital signature', 'key encipherment', 'client auth'],
  server: ['digital signature', 'key encipherment', 'server auth'],
} as const;

function certify(
  authority: CertifiedKey,
  request: RequestedCertificate,
  publicKey: KeyObject,
  { clock, random }: Issuing,
): string {
  const issuer = new X509Certificate(authority.certPem);
  const names = [
    ...(request.hosts ?? []).map(host => tagged(0x82, Buffer.from(host, 'latin1'))),
    ...(request.emails ?? []).map(email => tagged(0x81, Buffer.from(email, 'latin1'))),
    ...(request.ips ?? []).map(ip => tagged(0x87, addressBytes(ip))),
    ...(request.uris ?? []).map(uri => tagged(0x86, Buffer.from(uri, 'latin1'))),
  ];
  const identifiers = [...new Set(request.usages.flatMap(usage => extendedUsages[usage] ?? []))];
  const keyId = subjectKeyIdOf(issuer);
  return signed(createPrivateKey(authority.keyPem), random, {
    subject: nameOf(request.commonName, request.organizations ?? []),
    issuer: subjectOf(issuer),
    notBeforeMs: clock.now() - (request.backdatedMs ?? backdatedMs),
    notAfterMs: Math.min(clock.now() + request.validForMs, Date.parse(issuer.validTo)),
    publicKey,
    extensions: [
      ...keyUsage(request.usages.flatMap(usage => keyUsageBits[usage] ?? [])),
      ...(identifiers.length > 0 ? [extension('2.5.29.37', sequence(...identifiers.map(objectIdentifier)))] : []),
      extension('2.5.29.19', sequence(), 'critical'),
      ...(keyId ? [extension('2.5.29.35', sequence(tagged(0x80, keyId)))] : []),
      ...(names.length > 0 ? [extension('2.5.29.17', sequence(...names))] : []),
    ],
  });
}

/** A bit string as DER wants it: without zeroes at its end. */
function keyUsage(bits: readonly number[]): Buffer[] {
  if (bits.length === 0) return [];
  const last = Math.max(...bits);
  const bytes = Buffer.alloc(Math.floor(last / 8) + 1);
  for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return [extension('2.5.29.15', bitString(bytes, 7 - (last & 7)), 'critical')];
}

interface Contents {
  readonly subject: Uint8Array;
  readonly issuer: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly publicKey: KeyObject;
  readonly extensions: readonly Uint8Array[];
}

/** RFC 5280, section 4.1; PEM. */
function signed(key: KeyObject, random: Random, contents: Contents): string {
  const algorithm = algorithmOf(key);
  const body = sequence(
    // Version 3.
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(serial(random)),
    algorithm,
    contents.issuer,
    sequence(time(contents.notBeforeMs), time(contents.notAfterMs)),
    contents.subject,
    contents.publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(...contents.extensions)),
  );
  return new X509Certificate(sequence(body, algorithm, bitString(sign('sha256', body, key)))).toString();
}

function algorithmOf(key: KeyObject): Buffer {
  switch (key.asymmetricKeyType) {
    case 'ec':
      return sequence(objectIdentifier('1.2.840.10045.4.3.2'));
    case 'rsa':
      return sequence(objectIdentifier('1.2.840.113549.1.1.11'), nothing);
    default:
      throw new Error(`cannot sign certificates with the key: it is ${key.asymmetricKeyType}, neither EC nor RSA`);
  }
}

function nameOf(commonName: string, organizations: readonly string[]): Buffer {
  const part = (identifier: string, value: string) => setOf(sequence(objectIdentifier(identifier), utf8String(value)));
  return sequence(...organizations.map(each => part('2.5.4.10', each)), part('2.5.4.3', commonName));
}

function extension(identifier: string, value: Uint8Array, weight?: 'critical'): Buffer {
  return sequence(objectIdentifier(identifier), ...(weight ? [yes] : []), octetString(value));
}

/** The authority's name byte by byte: whoever verifies compares it so. */
function subjectOf(certificate: X509Certificate): Buffer {
  const [body = Buffer.alloc(0)] = partsOf(certificate.raw);
  // version, serial number, algorithm, issuer, validity, subject
  return partsOf(body)[5] ?? Buffer.alloc(0);
}

const subjectKeyIdentifier = extension('2.5.29.14', octetString(Buffer.alloc(20)));

/** The id that an authority says its key has. */
function subjectKeyIdOf({ raw }: X509Certificate): Buffer | undefined {
  const head = subjectKeyIdentifier.subarray(0, -20);
  const at = raw.indexOf(head);
  return at < 0 ? undefined : raw.subarray(at + head.length, at + head.length + 20);
}

/** RFC 5280, section 4.2.1.2, method 1. */
function keyIdOf(publicKey: KeyObject): Buffer {
  const [, key = Buffer.alloc(0)] = partsOf(publicKey.export({ type: 'spki', format: 'der' }));
  return createHash('sha1').update(contentOf(key).subarray(1)).digest();
}

function addressBytes(text: string): Buffer {
  const address = parseIp(text);
  if (!address) throw new Error(`cannot write ${JSON.stringify(text)} into a certificate: it is no IP address`);
  const length = address.family === 4 ? 4 : 16;
  return Buffer.from(address.value.toString(16).padStart(length * 2, '0'), 'hex');
}

function serial(random: Random): Buffer {
  const bytes = Buffer.from(random.bytes(16));
  // Positive, and without a leading zero.
  bytes[0] = (bytes.readUInt8(0) & 0x3f) | 0x40;
  return bytes;
}
