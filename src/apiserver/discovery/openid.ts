import { keySet, type VerificationKey } from '#auth/authentication/signing-keys.ts';
import type { ApiResponse } from '#client/transport.ts';
import type { RawPath } from '../subresource.ts';

/** What others need to verify service-account tokens by themselves. */
export function openIdPaths(options: {
  readonly issuer: string;
  /** Where the keys are fetched, as the outside reaches it: `https://host:port/openid/v1/jwks`. */
  readonly keySetUri: string;
  readonly keys: readonly VerificationKey[];
}): readonly RawPath[] {
  const configuration = {
    issuer: options.issuer,
    jwks_uri: options.keySetUri,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: [...new Set(options.keys.map(each => each.algorithm))].sort(),
  };
  return [
    { path: '/.well-known/openid-configuration', handle: () => cacheable('application/json', configuration) },
    ...['/openid/v1/jwks', '/openid/v1/jwks/'].map(path => ({
      path,
      handle: () => cacheable('application/jwk-set+json', keySet(options.keys)),
    })),
  ];
}

function cacheable(type: string, document: object): ApiResponse {
  return {
    code: 200,
    headers: { 'content-type': type, 'cache-control': 'public, max-age=3600' },
    kind: 'bytes',
    bytes: [Buffer.from(JSON.stringify(document))],
  };
}
