import { hash } from 'node:crypto';
import { decodeJwt, jwtVerify, SignJWT, errors as joseErrors, type JWTPayload } from 'jose';
import type { Clock } from '#base/clock.ts';
import type { Random } from '#base/random.ts';
import type { ApiObject } from '#api/machinery/kind.ts';
import { serviceAccountUser } from '../user.ts';
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

/** A token whose signature holds. */
interface VerifiedToken {
  readonly binding: TokenBinding;
  readonly audiences: readonly string[];
  readonly id: string;
  readonly notBeforeMs: number;
  readonly expiresMs: number;
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
}): TokenAuthenticator {
  const { issuers, objects, clock } = options;
  const keys = new Map(options.keys.map(key => [key.id, key]));
  const verified = new Map<string, VerifiedToken>();
  return {
    async authenticate(token, audiences) {
      const digest = hash('sha256', token, 'base64');
      let known = verified.get(digest);
      if (!known) {
        if (!isFrom(token, issuers)) return undefined;
        known = await verify(token, keys, issuers);
      }
      remember(verified, digest, known);
      if (known.notBeforeMs > clock.now()) throw new Error('service account token is not valid yet');
      if (known.expiresMs <= clock.now()) throw new Error('service account token has expired');
      const matching = known.audiences.filter(each => audiences.includes(each));
      if (matching.length === 0)
        throw new Error(
          `token audiences [${known.audiences.map(each => JSON.stringify(each)).join(' ')}] is invalid for the target audiences [${audiences.map(each => JSON.stringify(each)).join(' ')}]`,
        );
      await checkBoundObjects(known.binding, objects, clock);
      return { user: userOf(known), audiences: matching };
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
  const binding = payload['kubernetes.io'] as Partial<TokenBinding> | undefined;
  const { namespace, serviceaccount } = binding ?? {};
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

function userOf({ binding, id }: VerifiedToken) {
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
function remember(verified: Map<string, VerifiedToken>, digest: string, token: VerifiedToken): void {
  verified.delete(digest);
  verified.set(digest, token);
  if (verified.size <= verifiedTokensMax) return;
  const oldest = verified.keys().next();
  if (!oldest.done) verified.delete(oldest.value);
}
