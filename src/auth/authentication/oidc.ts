import { compactVerify, decodeJwt, decodeProtectedHeader } from 'jose';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { stringsOf } from '../expressions.ts';
import type { Outgoing } from '../outgoing.ts';
import type { User } from '../user.ts';
import type { JwtIssuer } from './authentication-configuration.ts';
import type { TokenAuthenticator } from './bearer.ts';
import { distributedClaims } from './distributed-claims.ts';
import { remoteKeys, type RemoteKeys } from './remote-keys.ts';

/** What an issuer may sign with; keys that are shared secrets, and none at all, are not among them. */
export const signingAlgorithms = [
  'ES256',
  'ES384',
  'ES512',
  'PS256',
  'PS384',
  'PS512',
  'RS256',
  'RS384',
  'RS512',
] as const;

export interface OidcAuthenticator extends TokenAuthenticator, Disposable {
  /** Resolves when the issuer has told where its keys are. */
  readonly ready: Promise<void>;
}

/** What a token says, as JSON. */
export type Claims = Readonly<Record<string, unknown>>;

const wellKnownPath = '/.well-known/openid-configuration';
/** The issuer may start later than we do, or run in this very cluster. */
const discoverEveryMs = 10_000;
/** Clocks differ; a token that is not valid yet may be that much early (upstream's leeway). */
const notBeforeLeewayMs = 5 * 60_000;

/** Tokens of an OpenID provider (or whoever publishes keys like one): who they name is what the configuration makes of their claims. */
export function oidcAuthenticator(
  { configuration, expressions }: JwtIssuer,
  options: {
    readonly outgoing: Outgoing;
    readonly algorithms?: readonly string[];
    readonly clock: Clock;
    readonly log: Log;
  },
): OidcAuthenticator {
  const { issuer } = configuration;
  const { outgoing, clock, log, algorithms = signingAlgorithms } = options;
  const stop = new AbortController();
  let keys: RemoteKeys | undefined;
  const ready = discover();
  ready.catch(() => {});

  async function discover(): Promise<void> {
    for (;;) {
      try {
        const url = issuer.discoveryURL ?? `${issuer.url.replace(/\/$/, '')}${wellKnownPath}`;
        const found = remoteKeys(await keySetUrl(url, issuer.url, outgoing), outgoing, clock);
        keys = found;
        return;
      } catch (error) {
        if (stop.signal.aborted) throw error;
        log.warn('cannot learn the keys of an issuer of tokens yet', { issuer: issuer.url, error });
        await clock.sleep(discoverEveryMs, stop.signal);
      }
    }
  }

  const verified = async (token: string, by: RemoteKeys): Promise<Claims> => {
    const claims = await verifiedClaims(token, by, algorithms).catch((cause: unknown) => {
      throw new Error(`oidc: verify token: ${(cause as Error).message}`, { cause });
    });
    checkTimes(claims, clock.now());
    checkAudience(claims, issuer.audiences);
    return claims;
  };
  const groups = configuration.claimMappings.groups?.claim ?? '';
  const expand =
    groups === ''
      ? (claims: Claims) => Promise.resolve(claims)
      : distributedClaims(groups, {
          outgoing,
          clock,
          keySetUrl: url => keySetUrl(`${url.replace(/\/$/, '')}${wellKnownPath}`, url, outgoing),
          issuerOf,
          verify: verified,
        });

  return {
    ready,
    async authenticate(token) {
      if (issuerOf(token) !== issuer.url) return undefined;
      if (!keys) throw new Error('oidc: authenticator not initialized');
      const told = await verified(token, keys);
      const claims = await expand(told).catch((cause: unknown) => {
        throw new Error(`oidc: could not expand distributed claims: ${(cause as Error).message}`, { cause });
      });
      const user = userFrom(claims, configuration, expressions);
      checkRules(claims, user, configuration, expressions);
      return { user, audiences: [] };
    },
    [Symbol.dispose]() {
      stop.abort(new Error('the authenticator is closed'));
      outgoing[Symbol.dispose]();
    },
  };
}

async function keySetUrl(discovery: string, issuer: string, outgoing: Outgoing): Promise<string> {
  const { code, text } = await outgoing.get(discovery);
  if (code !== 200) throw new Error(`${code}: ${text.slice(0, 200)}`);
  const document = JSON.parse(text) as { readonly issuer?: string; readonly jwks_uri?: string };
  if (document.issuer !== issuer)
    throw new Error(
      `oidc: issuer did not match the issuer returned by provider, expected ${JSON.stringify(issuer)} got ${JSON.stringify(document.issuer)}`,
    );
  if (!document.jwks_uri || !URL.canParse(document.jwks_uri)) throw new Error('provider did not return JWKS URL');
  if (new URL(document.jwks_uri).protocol !== 'https:')
    throw new Error('provider returned a JWKS URL that is not HTTPS');
  return document.jwks_uri;
}

function issuerOf(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    // No JSON Web Token at all: somebody else's.
    return undefined;
  }
}

async function verifiedClaims(token: string, keys: RemoteKeys, algorithms: readonly string[]): Promise<Claims> {
  const { alg = '', kid } = decodeProtectedHeader(token);
  if (!algorithms.includes(alg))
    throw new Error(
      `oidc: malformed jwt: unexpected signature algorithm ${JSON.stringify(alg)}; expected ${JSON.stringify(algorithms)}`,
    );
  const verify = async () => {
    for (const key of keys.known()) {
      if (kid !== undefined && key.id !== undefined && key.id !== kid) continue;
      try {
        const { payload } = await compactVerify(token, await key.forAlgorithm(alg), { algorithms: [alg] });
        return payload;
      } catch {
        // Another key may fit.
      }
    }
    return undefined;
  };
  let payload = await verify();
  if (!payload) {
    await keys.refresh();
    payload = await verify();
  }
  if (!payload) throw new Error('failed to verify signature: failed to verify id token signature');
  const claims: unknown = JSON.parse(Buffer.from(payload).toString());
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims))
    throw new Error('the claims are no object');
  return claims as Claims;
}

function checkTimes(claims: Claims, nowMs: number): void {
  const { exp, nbf } = claims;
  if (typeof exp !== 'number' || exp * 1000 < nowMs)
    throw new Error(
      `oidc: verify token: oidc: token is expired (Token Expiry: ${typeof exp === 'number' ? new Date(exp * 1000).toISOString() : 'none'})`,
    );
  if (typeof nbf === 'number' && nbf * 1000 > nowMs + notBeforeLeewayMs)
    throw new Error(
      `oidc: verify token: oidc: current time ${new Date(nowMs).toISOString()} before the nbf (not before) time: ${new Date(nbf * 1000).toISOString()}`,
    );
}

function checkAudience(claims: Claims, audiences: readonly string[]): void {
  const told = [claims['aud'] ?? []].flat();
  if (audiences.some(each => told.includes(each))) return;
  throw new Error(
    `oidc: verify token: oidc: expected audience in ${JSON.stringify(audiences)} got ${JSON.stringify(told)}`,
  );
}

function userFrom(
  claims: Claims,
  { claimMappings }: JwtIssuer['configuration'],
  expressions: JwtIssuer['expressions'],
): User {
  const name = expressions.username
    ? evaluated('username', () => textOf(expressions.username, claims))
    : named(claims, claimMappings.username);
  if (name === '') throw new Error('oidc: empty username via CEL expression is not allowed');
  const groups = expressions.groups
    ? evaluated('group', () => stringsOf(expressions.groups?.evaluate(claims) ?? null))
    : groupsIn(claims, claimMappings.groups);
  const uidClaim = claimMappings.uid?.claim ?? '';
  const uid = expressions.uid
    ? evaluated('uid', () => textOf(expressions.uid, claims))
    : uidClaim === ''
      ? ''
      : textClaim(claims, uidClaim, 'uid claim');
  const extra = Object.create(null) as Record<string, readonly string[]>;
  const id = claim(claims, 'jti');
  if (typeof id === 'string' && id !== '') extra['authentication.kubernetes.io/credential-id'] = [`JTI=${id}`];
  for (const { key, expression } of expressions.extra) {
    const values = evaluated('extra', () => stringsOf(expression.evaluate(claims)));
    if (values.length > 0) extra[key] = values;
  }
  return { name, groups, ...(uid !== '' && { uid }), ...(Object.keys(extra).length > 0 && { extra }) };
}

function named(claims: Claims, { claim: wanted = '', prefix = '' }: { claim?: string; prefix?: string }): string {
  const name = textClaim(claims, wanted, 'username claims');
  if (wanted === 'email' && claim(claims, 'email_verified') !== undefined) {
    const verified = claim(claims, 'email_verified');
    if (typeof verified !== 'boolean') throw new Error("oidc: parse 'email_verified' claim: it is no boolean");
    if (!verified) throw new Error('oidc: email not verified');
  }
  return `${prefix}${name}`;
}

function groupsIn(
  claims: Claims,
  { claim: wanted = '', prefix = '' }: { claim?: string; prefix?: string } = {},
): string[] {
  const value = wanted === '' ? undefined : claim(claims, wanted);
  if (value === undefined) return [];
  const groups = [value].flat();
  if (!groups.every(each => typeof each === 'string'))
    throw new Error(`oidc: parse groups claim ${JSON.stringify(wanted)}: it is neither a string nor a list of strings`);
  return groups.map(each => `${prefix}${each}`);
}

function checkRules(
  claims: Claims,
  user: User,
  { claimValidationRules = [] }: JwtIssuer['configuration'],
  { claimRules, userRules }: JwtIssuer['expressions'],
): void {
  for (const { claim: wanted = '', requiredValue = '' } of claimValidationRules) {
    if (wanted === '') continue;
    if (claim(claims, wanted) === undefined) throw new Error(`oidc: required claim ${wanted} not present in ID token`);
    const value = textClaim(claims, wanted, 'claim');
    if (value !== requiredValue)
      throw new Error(`oidc: required claim ${wanted} value does not match. Got = ${value}, want = ${requiredValue}`);
  }
  for (const rule of claimRules) check(rule, claims, 'claim validation expression');
  if (userRules.length === 0) return;
  const { name, uid = '', groups, extra = {} } = user;
  for (const rule of userRules) check(rule, { username: name, uid, groups, extra }, 'user info validation rule');
}

function check(rule: JwtIssuer['expressions']['userRules'][number], value: unknown, what: string): void {
  let holds: unknown;
  try {
    holds = rule.expression.evaluate(value);
  } catch (cause) {
    throw new Error(`oidc: error evaluating ${what}: ${(cause as Error).message}`, { cause });
  }
  if (holds === true) return;
  throw new Error(
    holds === false
      ? `oidc: error evaluating ${what}: validation expression '${rule.expression.text}' failed: ${rule.message}`
      : `oidc: error evaluating ${what}: validation expression must return a boolean`,
  );
}

function evaluated<Value>(what: string, evaluate: () => Value): Value {
  try {
    return evaluate();
  } catch (cause) {
    throw new Error(`oidc: error evaluating ${what} claim expression: ${(cause as Error).message}`, { cause });
  }
}

function textOf(expression: JwtIssuer['expressions']['username'], claims: Claims): string {
  const value = expression?.evaluate(claims);
  if (typeof value !== 'string') throw new Error('the expression must return a string');
  return value;
}

function claim(claims: Claims, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}

function textClaim(claims: Claims, name: string, what: string): string {
  const value = claim(claims, name);
  if (value === undefined) throw new Error(`oidc: parse ${what} ${JSON.stringify(name)}: claim not present`);
  if (typeof value !== 'string') throw new Error(`oidc: parse ${what} ${JSON.stringify(name)}: it is no string`);
  return value;
}
