import {
  type CipherGCMTypes,
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  randomBytes,
} from 'node:crypto';
import type { Transformer } from './transformer.ts';

const blockBytes = 16;
const nonceBytes = 12;
const tagBytes = 16;
const tooShort = 'the stored data was shorter than the required size';

/** AES-CBC with PKCS#7 padding and a random vector in front. Nothing is authenticated. */
export function aesCbc(key: Uint8Array): Transformer {
  const algorithm = `aes-${key.length * 8}-cbc`;
  const writer = `aescbc ${fingerprint(key)}`;
  return {
    writer,
    write(plain) {
      const vector = randomBytes(blockBytes);
      const cipher = createCipheriv(algorithm, key, vector);
      return Buffer.concat([vector, cipher.update(plain), cipher.final()]);
    },
    read(stored) {
      if (stored.length < blockBytes) throw new Error(tooShort);
      if (stored.length % blockBytes !== 0) throw new Error('the stored data is not a multiple of the block size');
      const decipher = createDecipheriv(algorithm, key, stored.subarray(0, blockBytes));
      try {
        return { bytes: Buffer.concat([decipher.update(stored.subarray(blockBytes)), decipher.final()]), writer };
      } catch (error) {
        throw new Error('invalid PKCS7 padding on input', { cause: error });
      }
    },
  };
}

/** AES-GCM with a random nonce in front; the store's key is authenticated, too. */
export function aesGcm(key: Uint8Array): Transformer {
  const writer = `aesgcm ${fingerprint(key)}`;
  return {
    writer,
    write: (plain, path) => sealGcm(key, plain, path),
    read: (stored, path) => ({ bytes: openGcm(key, stored, path), writer }),
  };
}

export function sealGcm(key: Uint8Array, plain: Uint8Array, path: string): Uint8Array {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv(`aes-${key.length * 8}-gcm` as CipherGCMTypes, key, nonce);
  cipher.setAAD(Buffer.from(path));
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

export function openGcm(key: Uint8Array, stored: Uint8Array, path: string): Uint8Array {
  if (stored.length < nonceBytes + tagBytes) throw new Error(tooShort);
  const decipher = createDecipheriv(
    `aes-${key.length * 8}-gcm` as CipherGCMTypes,
    key,
    stored.subarray(0, nonceBytes),
    { authTagLength: tagBytes },
  );
  decipher.setAAD(Buffer.from(path));
  decipher.setAuthTag(stored.subarray(-tagBytes));
  try {
    return Buffer.concat([decipher.update(stored.subarray(nonceBytes, -tagBytes)), decipher.final()]);
  } catch (error) {
    throw new Error('cipher: message authentication failed', { cause: error });
  }
}

export const seedBytes = 32;
const infoBytes = 32;

/**
 * AES-GCM with a key of its own for every value: HKDF-SHA256 expands the seed by random bytes, which stand in front. So no
 * key is used twice, and the seed does not wear out.
 */
export function sealDerived(seed: Uint8Array, plain: Uint8Array, path: string): Uint8Array {
  const info = randomBytes(infoBytes);
  return Buffer.concat([info, sealGcm(expand(seed, info), plain, path)]);
}

export function openDerived(seed: Uint8Array, stored: Uint8Array, path: string): Uint8Array {
  if (stored.length < infoBytes) throw new Error(tooShort);
  return openGcm(expand(seed, stored.subarray(0, infoBytes)), stored.subarray(infoBytes), path);
}

/** HKDF-Expand (RFC 5869) to 32 bytes, which is one block of SHA-256; the seed is already uniform, nothing is extracted. */
function expand(seed: Uint8Array, info: Uint8Array): Uint8Array {
  return createHmac('sha256', seed).update(info).update(Uint8Array.of(1)).digest();
}

/** Tells keys apart without showing them. */
export function fingerprint(key: Uint8Array): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 16);
}
