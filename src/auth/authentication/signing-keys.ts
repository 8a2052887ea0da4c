import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';

/** A key with its name and the one algorithm it is used with: a token that names another algorithm is not looked at. */
export interface VerificationKey {
  readonly id: string;
  readonly algorithm: 'ES256' | 'ES384' | 'ES512' | 'RS256';
  readonly publicKey: KeyObject;
}

export interface SigningKey extends VerificationKey {
  readonly privateKey: KeyObject;
}

export function signingKey(privateKeyPem: string): SigningKey {
  const privateKey = createPrivateKey(privateKeyPem);
  return { ...keyOf(createPublicKey(privateKey)), privateKey };
}

export function verificationKey(publicKeyPem: string): VerificationKey {
  return keyOf(createPublicKey(publicKeyPem));
}

/** Every key of a PEM file: public ones, and the public halves of private ones. */
export function verificationKeysIn(pem: string): VerificationKey[] {
  const blocks = pem.match(/-----BEGIN ([A-Z ]+)-----[^-]+-----END \1-----/g) ?? [];
  const keys = blocks.filter(each => each.includes('KEY-----')).map(verificationKey);
  if (keys.length === 0) throw new Error('data does not contain any valid RSA or ECDSA public keys');
  return keys;
}

/** The keys as a JSON Web Key Set, as `/openid/v1/jwks` publishes it. */
export function keySet(keys: readonly VerificationKey[]): {
  readonly keys: readonly Readonly<Record<string, unknown>>[];
} {
  return {
    keys: keys.map(({ id, algorithm, publicKey }) => ({
      use: 'sig',
      ...publicKey.export({ format: 'jwk' }),
      kid: id,
      alg: algorithm,
    })),
  };
}

const curves: Readonly<Record<string, VerificationKey['algorithm']>> = {
  prime256v1: 'ES256',
  secp384r1: 'ES384',
  secp521r1: 'ES512',
};

function keyOf(publicKey: KeyObject): VerificationKey {
  const algorithm =
    publicKey.asymmetricKeyType === 'rsa'
      ? 'RS256'
      : curves[publicKey.asymmetricKeyDetails?.namedCurve ?? publicKey.asymmetricKeyType ?? ''];
  if (!algorithm) throw new Error(`cannot sign tokens with a key of type ${publicKey.asymmetricKeyType}`);
  const encoded = publicKey.export({ type: 'spki', format: 'der' });
  return { id: createHash('sha256').update(encoded).digest('base64url'), algorithm, publicKey };
}
