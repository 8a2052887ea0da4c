import { importJWK, type CryptoKey, type JWK } from 'jose';
import type { Clock } from '#base/clock.ts';
import type { Outgoing } from '../outgoing.ts';

export interface RemoteKey {
  readonly id: string | undefined;
  /** Throws when the key does not do this algorithm. */
  forAlgorithm(algorithm: string): Promise<CryptoKey | Uint8Array>;
}

/** The keys of an issuer, as it publishes them. */
export interface RemoteKeys {
  /** Those known by now. */
  known(): readonly RemoteKey[];
  /** Fetches them anew, at most once a second whoever asks: anybody can send a token with an unknown key. */
  refresh(): Promise<void>;
}

const refreshPauseMs = 1_000;
const keysMax = 256;

export function remoteKeys(url: string, outgoing: Outgoing, clock: Clock): RemoteKeys {
  let keys: readonly RemoteKey[] = [];
  let fetchedMs = Number.NEGATIVE_INFINITY;
  let fetching: Promise<void> | undefined;
  const fetchKeys = async () => {
    fetchedMs = clock.monotonic();
    const { code, text } = await outgoing.get(url);
    if (code !== 200) throw new Error(`oidc: get keys failed: ${code} ${text.slice(0, 200)}`);
    const { keys: published } = JSON.parse(text) as { readonly keys?: readonly JWK[] };
    if (!Array.isArray(published)) throw new Error('oidc: get keys failed: the answer is no key set');
    keys = (published as readonly JWK[])
      .filter(key => key.use === undefined || key.use === 'sig')
      .slice(0, keysMax)
      .map(keyOf);
  };
  return {
    known: () => keys,
    refresh() {
      if (fetching) return fetching;
      if (clock.monotonic() - fetchedMs < refreshPauseMs) return Promise.resolve();
      fetching = fetchKeys().finally(() => {
        fetching = undefined;
      });
      return fetching;
    },
  };
}

function keyOf(key: JWK): RemoteKey {
  const imported = new Map<string, Promise<CryptoKey | Uint8Array>>();
  return {
    id: key.kid,
    forAlgorithm(algorithm) {
      // A key that names its algorithm does nothing else.
      if (key.alg !== undefined && key.alg !== algorithm)
        return Promise.reject(new Error(`the key is for ${key.alg}, not for ${algorithm}`));
      // A shared secret is no key of an issuer: who can read it could sign.
      if (key.kty !== 'RSA' && key.kty !== 'EC')
        return Promise.reject(new Error(`a key of type ${key.kty} is not used`));
      const known = imported.get(algorithm) ?? importJWK(key, algorithm);
      imported.set(algorithm, known);
      return known;
    },
  };
}
