import type { Clock } from '#base/clock.ts';
import type { Outgoing } from '../outgoing.ts';
import type { Claims } from './oidc.ts';
import { remoteKeys, type RemoteKeys } from './remote-keys.ts';

/** Where a claim is that did not fit into a token: OpenID Connect Core 1.0, section 5.6.2. */
interface Source {
  readonly endpoint?: string;
  readonly access_token?: string;
}

/** Issuers of such claims whose keys are remembered. */
const issuersMax = 32;

/** Fetches a claim that a token only points to. A claim that is there, or is nowhere, changes nothing. */
export function distributedClaims(
  name: string,
  options: {
    readonly outgoing: Outgoing;
    readonly clock: Clock;
    readonly keySetUrl: (issuer: string) => Promise<string>;
    readonly issuerOf: (token: string) => string | undefined;
    readonly verify: (token: string, keys: RemoteKeys) => Promise<Claims>;
  },
): (claims: Claims) => Promise<Claims> {
  const { outgoing, clock, keySetUrl, issuerOf, verify } = options;
  const known = new Map<string, Promise<RemoteKeys>>();
  const keysOf = (issuer: string) => {
    const found = known.get(issuer);
    if (found) return found;
    const asking = keySetUrl(issuer).then(url => remoteKeys(url, outgoing, clock));
    known.set(issuer, asking);
    // An issuer that cannot be reached now is asked again.
    asking.catch(() => known.delete(issuer));
    const oldest = known.size > issuersMax ? known.keys().next().value : undefined;
    if (oldest !== undefined) known.delete(oldest);
    return asking;
  };
  return async claims => {
    if (Object.hasOwn(claims, name)) return claims;
    const { endpoint, access_token: accessToken } = sourceOf(claims, name) ?? {};
    if (endpoint === undefined || endpoint === '') return claims;
    if (!endpoint.startsWith('https://')) throw new Error(`the endpoint of claim ${name} is not HTTPS`);
    const { code, text } = await outgoing.get(endpoint, accessToken ? { authorization: `Bearer ${accessToken}` } : {});
    if (code < 200 || code > 226) throw new Error(`while getting distributed claim ${JSON.stringify(name)}: ${code}`);
    const token = text.trim();
    const issuer = issuerOf(token);
    if (issuer === undefined)
      throw new Error(`getting untrusted issuer from endpoint ${endpoint} failed for claim ${JSON.stringify(name)}`);
    const distributed = await verify(token, await keysOf(issuer));
    if (!Object.hasOwn(distributed, name))
      throw new Error(
        `jwt returned by distributed claim endpoint ${JSON.stringify(endpoint)} did not contain claim: ${name}`,
      );
    return { ...claims, [name]: distributed[name] };
  };
}

function sourceOf(claims: Claims, name: string): Source | undefined {
  const names = claims['_claim_names'];
  if (!isObject(names) || !Object.hasOwn(names, name)) return undefined;
  const sources = claims['_claim_sources'];
  if (!isObject(sources)) throw new Error('oidc: no claim sources');
  const source = names[name];
  if (typeof source !== 'string' || !Object.hasOwn(sources, source))
    throw new Error(`id token _claim_names contained a source ${String(source)} missing in _claims_sources`);
  return sources[source] as Source;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
