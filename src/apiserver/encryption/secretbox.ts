import { randomBytes } from 'node:crypto';
import { xsalsa20poly1305 } from '@noble/ciphers/salsa.js';
import { fingerprint } from './aes.ts';
import type { Transformer } from './transformer.ts';

const nonceBytes = 24;
const tagBytes = 16;

/** NaCl's secretbox (XSalsa20 and Poly1305), with the nonce in front. */
export function secretbox(key: Uint8Array): Transformer {
  const writer = `secretbox ${fingerprint(key)}`;
  return {
    writer,
    write(plain) {
      const nonce = randomBytes(nonceBytes);
      return Buffer.concat([nonce, xsalsa20poly1305(key, nonce).encrypt(plain)]);
    },
    read(stored) {
      if (stored.length < nonceBytes + tagBytes) throw new Error('the stored data was shorter than the required size');
      try {
        const bytes = xsalsa20poly1305(key, stored.subarray(0, nonceBytes)).decrypt(stored.subarray(nonceBytes));
        return { bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), writer };
      } catch (error) {
        throw new Error('the stored data cannot be authenticated by the secretbox key', { cause: error });
      }
    },
  };
}
