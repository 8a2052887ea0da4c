import { createPublicKey, verify, X509Certificate } from 'node:crypto';

/** What is wrong with a request for a certificate (PEM), in upstream's words; undefined when nothing is. */
export function requestProblem(pem: string): string | undefined {
  const [block] = blocksIn(pem);
  if (block?.type !== 'CERTIFICATE REQUEST') return 'PEM block type must be CERTIFICATE REQUEST';
  try {
    const [info, algorithm, signature] = partsOf(block.der);
    // version, subject, key, attributes
    const key = partsOf(info ?? Buffer.alloc(0))[2];
    const [identifier] = partsOf(algorithm ?? Buffer.alloc(0));
    if (!info || !key || !identifier || !signature) return 'asn1: structure error: it is no certificate request';
    const hash = Object.hasOwn(hashes, identifier.toString('hex')) ? hashes[identifier.toString('hex')] : undefined;
    // What it is signed with is not looked at further; the signer looks at it again.
    if (hash === undefined) return undefined;
    const publicKey = createPublicKey({ key, format: 'der', type: 'spki' });
    // The first byte says how many bits at the end do not count: none.
    const isSigned = verify(hash === '' ? null : hash, info, publicKey, contentOf(signature).subarray(1));
    if (isSigned) return undefined;
    return publicKey.asymmetricKeyType === 'rsa'
      ? 'crypto/rsa: verification error'
      : 'x509: ECDSA verification failure';
  } catch (error) {
    return `asn1: structure error: ${(error as Error).message}`;
  }
}

/** What is wrong with an issued certificate (PEM), in upstream's words; undefined when nothing is. */
export function certificateProblem(pem: string): string | undefined {
  const blocks = blocksIn(pem);
  for (const { type, hasHeaders, der } of blocks) {
    if (type !== 'CERTIFICATE') return `only CERTIFICATE PEM blocks are allowed, found ${JSON.stringify(type)}`;
    if (hasHeaders) return 'no PEM block headers are permitted';
    try {
      void new X509Certificate(der);
    } catch {
      return 'x509: malformed certificate';
    }
  }
  return blocks.length === 0 ? 'must contain at least one CERTIFICATE PEM block' : undefined;
}

interface PemBlock {
  readonly type: string;
  readonly hasHeaders: boolean;
  readonly der: Buffer;
}

function blocksIn(pem: string): PemBlock[] {
  return [...pem.matchAll(/-----BEGIN ([^\n-]+)-----\s*\n([^-]*)-----END \1-----/g)].map(
    ([, type = '', body = '']) => ({
      type,
      hasHeaders: body.includes(':'),
      der: Buffer.from(body, 'base64'),
    }),
  );
}

/** Algorithms of signatures by their identifiers' DER; empty: the key itself says how. */
const hashes: Readonly<Record<string, string>> = {
  // ECDSA and RSA with SHA-256, SHA-384, SHA-512; Ed25519.
  '06082a8648ce3d040302': 'sha256',
  '06082a8648ce3d040303': 'sha384',
  '06082a8648ce3d040304': 'sha512',
  '06092a864886f70d01010b': 'sha256',
  '06092a864886f70d01010c': 'sha384',
  '06092a864886f70d01010d': 'sha512',
  '06032b6570': '',
};

/** The values inside of a constructed one, each with its tag and length. Throws where a length leads outside. */
function partsOf(der: Buffer): Buffer[] {
  const content = contentOf(der);
  const parts: Buffer[] = [];
  for (let at = 0; at < content.length; ) {
    const { head, length } = lengthsAt(content, at);
    if (at + head + length > content.length) throw new RangeError('a length leads outside');
    parts.push(content.subarray(at, at + head + length));
    at += head + length;
  }
  return parts;
}

function contentOf(der: Buffer): Buffer {
  const { head, length } = lengthsAt(der, 0);
  if (head + length > der.length) throw new RangeError('a length leads outside');
  return der.subarray(head, head + length);
}

function lengthsAt(der: Buffer, at: number): { readonly head: number; readonly length: number } {
  const first = der.readUInt8(at + 1);
  if (first < 0x80) return { head: 2, length: first };
  const count = first & 0x7f;
  return { head: 2 + count, length: der.readUIntBE(at + 2, count) };
}
