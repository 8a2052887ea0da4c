import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { ConfigMap } from '#api/core/v1/config-map.ts';
import type { Secret } from '#api/core/v1/secret.ts';
import type { Certificate } from './model.ts';

/** A chain of more is none. */
const certificatesMax = 32;
const pemBytesMax = 1 << 18;

const known = new WeakMap<object, Certificate | string>();

/**
 * The certificate and key of a Secret, written anew from what was understood of them: whatever else is in the Secret does not
 * come near the proxy. A text says what is wrong.
 */
export function certificateOf(secret: Secret): Certificate | string {
  let found = known.get(secret);
  if (found === undefined) {
    found = readPair(secret);
    known.set(secret, found);
  }
  return found;
}

function readPair({ type, data = {} }: Secret): Certificate | string {
  if (type !== 'kubernetes.io/tls' && type !== 'Opaque') return `its type is ${type}`;
  const text = (name: string) =>
    Object.hasOwn(data, name) ? Buffer.from(data[name] ?? '', 'base64').toString('latin1') : '';
  try {
    const chain = certificatesIn(text('tls.crt'));
    const key = createPrivateKey(text('tls.key'));
    const [first] = chain;
    if (!first) return 'tls.crt has no certificate';
    if (!first.checkPrivateKey(key)) return 'tls.key is not the key of tls.crt';
    const pair = {
      certPem: chain.map(each => each.toString().trim()).join('\n'),
      keyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString().trim(),
    };
    // The proxy loads all certificates or none: one that its library takes for too weak would keep out everybody's.
    createSecureContext({ cert: pair.certPem, key: pair.keyPem, ciphers: 'DEFAULT@SECLEVEL=2' });
    return pair;
  } catch (error) {
    const { reason } = error as { readonly reason?: string };
    // What the library says of malformed keys may quote them; its words for weak ones are harmless.
    return reason !== undefined && /too (small|weak)/.test(reason) ? reason : 'tls.crt or tls.key is not PEM';
  }
}

/** The authorities of a ConfigMap (`ca.crt`), written anew; a text in `problem` says what is wrong. */
export function authoritiesOf({ data = {} }: ConfigMap): { readonly caPem: string } | { readonly problem: string } {
  try {
    const authorities = certificatesIn(Object.hasOwn(data, 'ca.crt') ? (data['ca.crt'] ?? '') : '');
    if (authorities.length === 0) return { problem: 'ca.crt has no certificate' };
    return { caPem: authorities.map(each => each.toString().trim()).join('\n') };
  } catch {
    return { problem: 'ca.crt is not PEM' };
  }
}

function certificatesIn(text: string): readonly X509Certificate[] {
  if (text.length > pemBytesMax) throw new Error('it is too long');
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length > certificatesMax) throw new Error('it has too many certificates');
  return blocks.map(each => new X509Certificate(each));
}
