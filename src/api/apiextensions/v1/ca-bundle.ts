import { X509Certificate } from 'node:crypto';

/** What is wrong with the certificates that a webhook's own is checked against, as upstream says it; no bundle is none. */
export function caBundleProblem(bundle: string | undefined): string | undefined {
  const text = bundle ? Buffer.from(bundle, 'base64').toString() : '';
  if (text.trim() === '') return undefined;
  const blocks = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g)];
  if (blocks.length === 0) return 'unable to load root certificates: unable to parse bytes as PEM block';
  if (blocks.some(([block, type]) => type === 'CERTIFICATE' && isCertificate(block))) return undefined;
  return 'unable to load root certificates: failed to parse certificate: x509: malformed certificate';
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject !== null;
  } catch {
    return false;
  }
}
