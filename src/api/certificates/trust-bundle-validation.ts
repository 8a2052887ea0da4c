import { X509Certificate } from 'node:crypto';
import { byteLength, isDNS1123Subdomain } from '../machinery/names.ts';
import type { Report } from '../machinery/validation.ts';
import { checkSignerName } from './signer-name.ts';

interface TrustBundle {
  readonly metadata: { readonly name?: string | undefined };
  readonly spec: { readonly signerName?: string | undefined; readonly trustBundle: string };
}

const trustBundleBytesMax = 1024 * 1024;

/** A bundle of a signer carries its name: `example.com:signer:` and something behind it. */
export function validateTrustBundle({ metadata: { name = '' }, spec }: TrustBundle, report: Report): void {
  const { signerName = '' } = spec;
  if (name !== '')
    for (const message of wrongName(name, signerName)) report.at('metadata', 'name').invalid(name, message);
  if (signerName !== '') checkSignerName(signerName, report.at('spec', 'signerName'));
}

function wrongName(name: string, signerName: string): readonly string[] {
  if (signerName === '')
    return name.includes(':')
      ? ['ClusterTrustBundle without signer name must not have ":" in its name']
      : isDNS1123Subdomain(name);
  const prefix = `${signerName.replaceAll('/', ':')}:`;
  return name.startsWith(prefix)
    ? isDNS1123Subdomain(name.slice(prefix.length))
    : [`ClusterTrustBundle for signerName ${signerName} must be named with prefix ${prefix}`];
}

/** Certificates of authorities, each once; what stands between the blocks does not count. */
export function validateTrustAnchors({ spec: { trustBundle } }: TrustBundle, report: Report): void {
  const at = report.at('spec', 'trustBundle');
  if (byteLength(trustBundle) > trustBundleBytesMax) {
    at.tooLong(trustBundleBytesMax);
    return;
  }
  const before = report.errors.length;
  const positions = new Map<string, number[]>();
  for (const [index, [, type = '', content = '']] of [...trustBundle.matchAll(pemBlock)].entries()) {
    const wrong = type === 'CERTIFICATE' ? wrongBlock(content) : `has bad block type: ${type}`;
    if (wrong !== undefined) at.invalid(omitted, `entry ${index} ${wrong}`);
    else {
      const key = content.replace(/\s/g, '');
      positions.set(key, [...(positions.get(key) ?? []), index]);
    }
  }
  if (report.errors.length > before) return;
  if (positions.size === 0) at.invalid(omitted, 'at least one trust anchor must be provided');
  for (const indices of positions.values())
    if (indices.length > 1) at.invalid(omitted, `duplicate trust anchor (indices [${indices.join(' ')}])`);
}

const omitted = '<value omitted>';
const pemBlock = /^-----BEGIN ([^\n]*?)-----[ \t\r]*\n((?:(?!-----)[^\n]*\n)*)-----END \1-----[ \t\r]*$/gm;

function wrongBlock(content: string): string | undefined {
  if (/^[^\n]*:/.test(content)) return 'has PEM block headers';
  try {
    const certificate = new X509Certificate(Buffer.from(content, 'base64'));
    return certificate.ca ? undefined : 'does not have the CA bit set';
  } catch {
    return 'does not parse as X.509';
  }
}
