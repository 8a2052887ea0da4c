import { timingSafeEqual } from 'node:crypto';
import { decodeJwt, jwtVerify, SignJWT, errors as joseErrors, type JWTPayload } from 'jose';
import type { Clock } from '#base/clock.ts';
import type { Random } from '#base/random.ts';
import type { Secret } from '#api/core/v1/secret.ts';
import type { ServiceAccount } from '#api/core/v1/service-account.ts';
import type { ApiObject } from '#api/machinery/kind.ts';
import { serviceAccountUser, type User } from '../user.ts';
import type { TokenAuthenticator } from './bearer.ts';
import type { SigningKey, VerificationKey } from './signing-keys.ts';

interface Named {
  readonly name: string;
  readonly uid: string;
}

/** The claim `kubernetes.io` of a token. */
export interface TokenBinding {
  readonly namespace: string;
  readonly serviceaccount: Named;
  readonly pod?: Named;
  readonly secret?: Named;
  readonly node?: { readonly name: string; readonly uid?: string };
}

/** Objects that tokens are bound to, as they are now. */
export interface BoundObjects {
  serviceAccount(namespace: string, name: string): Promise<ApiObject | undefined> | ApiObject | undefined;
  pod(namespace: string, name: string): Promise<ApiObject | undefined> | ApiObject | undefined;
  secret(namespace: string, name: string): Promise<ApiObject | undefined> | ApiObject | undefined;
  node(name: string): Promise<ApiObject | undefined> | ApiObject | undefined;
}

export interface TokenRequestClaims {
  readonly binding: TokenBinding;
  readonly audiences: readonly string[];
  readonly validForSeconds: number;
  /** The holder is asked to renew after this, while the token stays valid for longer. */
  readonly warnAfterSeconds?: number;
}

export interface IssuedToken {
  readonly token: string;
  readonly id: string;
  readonly issuedAtSeconds: number;
}

/** Makes tokens for service accounts. */
export function tokenIssuer(options: {
  readonly issuer: string;
  readonly key: SigningKey;
  readonly clock: Clock;
  readonly random: Random;
}): (claims: TokenRequestClaims) => Promise<IssuedToken> {
  const { issuer, key, clock, random } = options;
  return async ({ binding, audiences, validForSeconds, warnAfterSeconds }) => {
    const issuedAtSeconds = Math.floor(clock.now() / 1000);
    const id = random.uuid();
    const token = await new SignJWT({
      'kubernetes.io': {
        ...binding,
        ...(warnAfterSeconds !== undefined && { warnafter: issuedAtSeconds + warnAfterSeconds }),
      },
    })
      .setProtectedHeader({ alg: key.algorithm, kid: key.id })
      .setIssuer(issuer)
      .setSubject(`system:serviceaccount:${binding.namespace}:${binding.serviceaccount.name}`)
      .setAudience([...audiences])
      .setIssuedAt(issuedAtSeconds)
      .setNotBefore(issuedAtSeconds)
      .setExpirationTime(issuedAtSeconds + validForSeconds)
      .setJti(id)
      .sign(key.privateKey);
    return { token, id, issuedAtSeconds };
  };
}

/** The issuer of tokens that live in Secrets and never expire. */
export const legacyIssuer = 'kubernetes/serviceaccount';

const legacyClaims = 'kubernetes.io/serviceaccount/';

/** Makes the token of a Secret of type `kubernetes.io/service-account-token`: it lives as long as the Secret. */
export function legacyTokenIssuer(
  key: SigningKey,
): (
  account: { readonly namespace: string; readonly name: string; readonly uid: string },
  secret: string,
) => Promise<string> {
  return ({ namespace, name, uid }, secret) =>
    new SignJWT({
      [`${legacyClaims}namespace`]: namespace,
      [`${legacyClaims}secret.name`]: secret,
      [`${legacyClaims}service-account.name`]: name,
      [`${legacyClaims}service-account.uid`]: uid,
    })
      .setProtectedHeader({ alg: key.algorithm, kid: key.id })
      .setIssuer(legacyIssuer)
      .setSubject(`system:serviceaccount:${namespace}:${name}`)
      .sign(key.privateKey);
}

/** A token whose signature holds. */
interface VerifiedToken {
  readonly binding: TokenBinding;
  /** The Secret that is the token's only home. */
  readonly legacySecret?: string;
  readonly audiences: readonly string[];
  readonly id: string;
  readonly notBeforeMs: number;
  readonly expiresMs: number;
  /** From when on it should have been renewed. */
  readonly warnAfterMs: number;
}

/** With the user it makes, so that every request of a holder is made by the very same one. */
interface KnownToken extends VerifiedToken {
  readonly user: User;
}

/** Tokens whose signatures are remembered; a token is a few hundred bytes. */
const verifiedTokensMax = 4_096;
/** A deleted object keeps its tokens alive this long, so that a terminating pod can finish its work. */
const deletedGraceMs = 60_000;

/**
 * Verifies service-account tokens. A signature is verified once; times, audience and the objects that a token is bound to
 * are looked at every time, so that a token dies with its pod.
 */
export function serviceAccountTokenAuthenticator(options: {
  /** The first one is ours; others are accepted while they are rotated out. */
  readonly issuers: readonly string[];
  readonly keys: readonly VerificationKey[];
  readonly objects: BoundObjects;
  readonly clock: Clock;
  /** Those of the API server: what tokens are for that name none. Without them the issuers. */
  readonly audiences?: readonly string[];
  /** Told of each use of a token that lives in a Secret. */
  readonly usedLegacy?: (secret: Secret) => void;
}): TokenAuthenticator {
  const { objects, clock, usedLegacy } = options;
  const issuers = [...options.issuers, legacyIssuer];
  const own = options.audiences ?? options.issuers;
  const keys = new Map(options.keys.map(key => [key.id, key]));
  const verified = new Map<string, KnownToken>();
  return {
    async authenticate(token, audiences) {
      let known = verified.get(token);
      if (!known) {
        if (!isFrom(token, issuers)) return undefined;
        const fresh = await verify(token, keys, issuers);
        known = { ...fresh, user: userOf(fresh) };
      }
      remember(verified, token, known);
      if (known.notBeforeMs > clock.now()) throw new Error('service account token is not valid yet');
      if (known.expiresMs <= clock.now()) throw new Error('service account token has expired');
      const made = known.audiences.length > 0 ? known.audiences : own;
      const matching = made.filter(each => audiences.includes(each));
      if (matching.length === 0)
        throw new Error(
          `token audiences [${made.map(each => JSON.stringify(each)).join(' ')}] is invalid for the target audiences [${audiences.map(each => JSON.stringify(each)).join(' ')}]`,
        );
      const { user, legacySecret } = known;
      if (legacySecret !== undefined) {
        const { secret, isAutomatic } = await checkLegacy(known.binding, legacySecret, token, objects);
        usedLegacy?.(secret);
        return { user, audiences: matching, ...legacyNotes(user.name, legacySecret, isAutomatic) };
      }
      await checkBoundObjects(known.binding, objects, clock);
      const lateMs = clock.now() - known.warnAfterMs;
      return lateMs > 0
        ? { user, audiences: matching, annotations: staleNote(user.name, lateMs) }
        : { user, audiences: matching };
    },
  };
}

function isFrom(token: string, issuers: readonly string[]): boolean {
  try {
    const { iss } = decodeJwt(token);
    return iss !== undefined && issuers.includes(iss);
  } catch (error) {
    // Something else than a JSON Web Token: for another authenticator.
    if (error instanceof joseErrors.JOSEError) return false;
    throw error;
  }
}

async function verify(
  token: string,
  keys: ReadonlyMap<string, VerificationKey>,
  issuers: readonly string[],
): Promise<VerifiedToken> {
  const { payload } = await jwtVerify(
    token,
    ({ kid, alg }) => {
      const key = kid === undefined ? [...keys.values()].find(each => each.algorithm === alg) : keys.get(kid);
      if (!key || key.algorithm !== alg) throw new Error('service account token is signed by an unknown key');
      return key.publicKey;
    },
    // Times are checked at every use; here a moment is given at which the token is valid.
    {
      issuer: [...issuers],
      algorithms: [...new Set([...keys.values()].map(each => each.algorithm))],
      currentDate: new Date((decodeJwt(token).nbf ?? 0) * 1000),
    },
  );
  return verifiedToken(payload);
}

function verifiedToken(payload: JWTPayload): VerifiedToken {
  if (payload.iss === legacyIssuer) return verifiedLegacyToken(payload);
  const claims = payload['kubernetes.io'] as (Partial<TokenBinding> & { readonly warnafter?: unknown }) | undefined;
  const { warnafter, ...binding } = claims ?? {};
  const { namespace, serviceaccount } = binding;
  if (!namespace || !serviceaccount?.name || !serviceaccount.uid || payload.exp === undefined)
    throw new Error('service account token claims are incomplete');
  if (payload.sub !== `system:serviceaccount:${namespace}:${serviceaccount.name}`)
    throw new Error('service account token subject does not match its claims');
  return {
    binding: binding as TokenBinding,
    audiences: [payload.aud ?? []].flat(),
    id: payload.jti ?? '',
    notBeforeMs: (payload.nbf ?? 0) * 1000,
    expiresMs: payload.exp * 1000,
    warnAfterMs: typeof warnafter === 'number' ? warnafter * 1000 : Number.POSITIVE_INFINITY,
  };
}

function verifiedLegacyToken(payload: JWTPayload): VerifiedToken {
  const [namespace, secret, name, uid] = [
    'namespace',
    'secret.name',
    'service-account.name',
    'service-account.uid',
  ].map(each => {
    const value = payload[`${legacyClaims}${each}`];
    if (typeof value !== 'string' || value === '') throw new Error(`${each} claim is missing`);
    return value;
  }) as [string, string, string, string];
  if (payload.sub !== `system:serviceaccount:${namespace}:${name}`) throw new Error('sub claim is invalid');
  return {
    binding: { namespace, serviceaccount: { name, uid } },
    legacySecret: secret,
    audiences: [],
    id: '',
    notBeforeMs: 0,
    expiresMs: Number.POSITIVE_INFINITY,
    warnAfterMs: Number.POSITIVE_INFINITY,
  };
}

const invalidSinceLabel = 'kubernetes.io/legacy-token-invalid-since';

/** Such a token dies at once with its Secret or account, and when the Secret holds another one. */
async function checkLegacy(
  { namespace, serviceaccount }: TokenBinding,
  secretName: string,
  token: string,
  objects: BoundObjects,
): Promise<{ readonly secret: Secret; readonly isAutomatic: boolean }> {
  const secret = (await objects.secret(namespace, secretName)) as Secret | undefined;
  if (!secret || secret.metadata.deletionTimestamp) throw new Error('Token has been invalidated');
  const kept = Buffer.from(secret.data?.['token'] ?? '', 'base64');
  const sent = Buffer.from(token);
  if (kept.length !== sent.length || !timingSafeEqual(kept, sent))
    throw new Error("Token does not match server's copy");
  const account = await objects.serviceAccount(namespace, serviceaccount.name);
  if (!account) throw new Error(`serviceaccounts ${JSON.stringify(serviceaccount.name)} not found`);
  if (account.metadata.deletionTimestamp)
    throw new Error(`ServiceAccount ${namespace}/${serviceaccount.name} has been deleted`);
  if (account.metadata.uid !== serviceaccount.uid)
    throw new Error(`ServiceAccount UID (${account.metadata.uid}) does not match claim (${serviceaccount.uid})`);
  if (secret.metadata.labels?.[invalidSinceLabel])
    throw new Error(
      `the token in secret ${namespace}/${secretName} for service account ${namespace}/${serviceaccount.name} has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the '${invalidSinceLabel}' label from the secret to temporarily allow use of this token`,
    );
  const { secrets = [] } = account as ServiceAccount;
  return { secret, isAutomatic: secrets.some(({ name }) => name === secretName) };
}

function legacyNotes(subject: string, secret: string, isAutomatic: boolean) {
  const how = isAutomatic ? 'autogenerated' : 'manual';
  return {
    annotations: {
      'authentication.k8s.io/legacy-token': subject,
      [`authentication.k8s.io/legacy-token-${how}-secret`]: secret,
    },
    ...(isAutomatic && {
      warning:
        'Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated secret-based tokens.',
    }),
  };
}

function staleNote(subject: string, lateMs: number) {
  const seconds = Math.floor(lateMs / 1000);
  return {
    'authentication.k8s.io/stale-token': `subject: ${subject}, seconds after warning threshold: ${seconds}`,
  };
}

async function checkBoundObjects(binding: TokenBinding, objects: BoundObjects, clock: Clock): Promise<void> {
  const { namespace, serviceaccount, pod, secret, node } = binding;
  alive('service account', await objects.serviceAccount(namespace, serviceaccount.name), serviceaccount.uid, clock);
  if (pod) alive('pod', await objects.pod(namespace, pod.name), pod.uid, clock);
  if (secret) alive('secret', await objects.secret(namespace, secret.name), secret.uid, clock);
  // A token of a pod names the pod's node too; only one bound to a node dies with it.
  if (node && !pod && !secret) alive('node', await objects.node(node.name), node.uid ?? '', clock);
}

function alive(what: string, object: ApiObject | undefined, uid: string, clock: Clock): void {
  if (!object) throw new Error(`service account token has been invalidated: its ${what} is gone`);
  if (object.metadata.uid !== uid)
    throw new Error(`service account token has been invalidated: its ${what} is another one`);
  const deletedAt = object.metadata.deletionTimestamp;
  if (deletedAt !== undefined && Date.parse(deletedAt) + deletedGraceMs < clock.now())
    throw new Error(`service account token has been invalidated: its ${what} has been deleted`);
}

function userOf({ binding, id }: VerifiedToken): User {
  const { namespace, serviceaccount, pod, node } = binding;
  const key = (name: string) => `authentication.kubernetes.io/${name}`;
  return {
    ...serviceAccountUser(namespace, serviceaccount.name, serviceaccount.uid),
    extra: {
      ...(id !== '' && { [key('credential-id')]: [`JTI=${id}`] }),
      ...(node && { [key('node-name')]: [node.name] }),
      ...(node?.uid && { [key('node-uid')]: [node.uid] }),
      ...(pod && { [key('pod-name')]: [pod.name], [key('pod-uid')]: [pod.uid] }),
    },
  };
}

/** Least recently used tokens are forgotten first. */
function remember(verified: Map<string, KnownToken>, token: string, known: KnownToken): void {
  verified.delete(token);
  verified.set(token, known);
  if (verified.size <= verifiedTokensMax) return;
  const oldest = verified.keys().next();
  if (!oldest.done) verified.delete(oldest.value);
}
