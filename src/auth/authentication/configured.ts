import { readFileSync } from 'node:fs';
import type { Clock } from '#base/clock.ts';
import { Lifetime } from '#base/lifetime.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import type { Secret } from '#api/core/v1/secret.ts';
import { certificatesOf } from '../certificates/certificate.ts';
import type { Expressions } from '../expressions.ts';
import type { User } from '../user.ts';
import { authenticateWith, type AnonymousAccess } from './authenticate.ts';
import type { AuthenticationConfiguration } from './authentication-configuration.ts';
import type { Credentials } from './authenticator.ts';
import { anyToken, bearerAuthenticator, forAudiences, type TokenAuthenticator } from './bearer.ts';
import { bootstrapTokenAuthenticator } from './bootstrap-token.ts';
import { clientCertificateAuthenticator } from './client-certificate.ts';
import type { OidcAuthenticator } from './oidc.ts';
import { requestHeaderAuthenticator, usualRequestHeaders } from './request-header.ts';
import {
  legacyTokenIssuer,
  serviceAccountTokenAuthenticator,
  tokenIssuer,
  type BoundObjects,
} from './service-account-token.ts';
import { signingKey, verificationKeysIn, type VerificationKey } from './signing-keys.ts';
import { cachedTokens } from './token-cache.ts';
import { tokenFileAuthenticator } from './token-file.ts';
import type { FrontProxyTrust } from './trust-config-map.ts';

/** Upstream's flags of kube-apiserver that say who may prove who they are by what. */
export interface AuthenticationArguments {
  readonly 'anonymous-auth'?: boolean;
  readonly 'api-audiences'?: readonly string[];
  readonly 'authentication-config'?: string;
  readonly 'authentication-token-webhook-cache-ttl'?: number;
  readonly 'authentication-token-webhook-config-file'?: string;
  readonly 'authentication-token-webhook-version'?: 'v1' | 'v1beta1';
  readonly 'client-ca-file'?: string;
  readonly 'enable-bootstrap-token-auth'?: boolean;
  readonly 'oidc-ca-file'?: string;
  readonly 'oidc-client-id'?: string;
  readonly 'oidc-groups-claim'?: string;
  readonly 'oidc-groups-prefix'?: string;
  readonly 'oidc-issuer-url'?: string;
  readonly 'oidc-required-claim'?: readonly string[];
  readonly 'oidc-signing-algs'?: readonly string[];
  readonly 'oidc-username-claim'?: string;
  readonly 'oidc-username-prefix'?: string;
  readonly 'requestheader-allowed-names'?: readonly string[];
  readonly 'requestheader-client-ca-file'?: string;
  readonly 'requestheader-extra-headers-prefix'?: readonly string[];
  readonly 'requestheader-group-headers'?: readonly string[];
  readonly 'requestheader-uid-headers'?: readonly string[];
  readonly 'requestheader-username-headers'?: readonly string[];
  readonly 'service-account-extend-token-expiration'?: boolean;
  readonly 'service-account-issuer'?: readonly string[];
  readonly 'service-account-jwks-uri'?: string;
  readonly 'service-account-key-file'?: readonly string[];
  readonly 'service-account-max-token-expiration'?: number;
  readonly 'service-account-signing-key-file'?: string;
  readonly 'token-auth-file'?: string;
}

/** What stands beside the flags. */
export interface AuthenticationOptions {
  readonly caCertPem: string;
  /** The authority of the cluster's own front proxies, where it has one. */
  readonly proxyCaPem: string | undefined;
  readonly serviceAccountKeyPem: string;
  readonly issuer: string;
  readonly objects: BoundObjects;
  readonly bootstrapSecret: (name: string) => Promise<Secret | undefined> | Secret | undefined;
  readonly usedLegacy?: (secret: Secret) => void;
  readonly expressions: () => Promise<Expressions>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Everything that has to do with who somebody is, as the flags want it. */
export interface Authentication extends AsyncDisposable {
  readonly authenticate: (credentials: Credentials) => Promise<User>;
  readonly tokens: TokenAuthenticator;
  readonly audiences: readonly string[];
  readonly issue: ReturnType<typeof tokenIssuer>;
  readonly issueLegacy: ReturnType<typeof legacyTokenIssuer>;
  readonly issuer: string;
  readonly keys: readonly VerificationKey[];
  readonly tokenLimits: { readonly validForSecondsMax?: number; readonly extends: boolean };
  /** What certificates of clients are verified against. */
  readonly clientCaPem: string;
  readonly frontProxy: FrontProxyTrust | undefined;
}

/** Upstream's: answers about tokens are remembered this long where nothing else is said. */
const tokenCacheMs = 10_000;
const webhookCacheMs = 2 * 60_000;
const webhookTimeoutMs = 30_000;
const issuerTimeoutMs = 30_000;

export async function authenticationFrom(
  flags: AuthenticationArguments,
  options: AuthenticationOptions,
): Promise<Authentication> {
  const { clock, random, objects } = options;
  const lifetime = new Lifetime();
  try {
    const ownKey = signingKey(textOf(flags, 'service-account-signing-key-file') ?? options.serviceAccountKeyPem);
    const listed = (flags['service-account-key-file'] ?? []).flatMap(file =>
      verificationKeysIn(readFileSync(file, 'utf8')),
    );
    const keys = distinctKeys([ownKey, ...(listed.length > 0 ? listed : [signingKey(options.serviceAccountKeyPem)])]);
    const issuers = flags['service-account-issuer'] ?? [options.issuer];
    const issuer = issuers[0] ?? options.issuer;
    const audiences = flags['api-audiences'] ?? issuers;
    const configured = await issuersFrom(flags, issuers, options, lifetime);
    const tokens = anyToken([
      ...(flags['token-auth-file'] === undefined
        ? []
        : [forAudiences(tokenFileAuthenticator(textOf(flags, 'token-auth-file') ?? ''), audiences)]),
      serviceAccountTokenAuthenticator({
        issuers,
        keys,
        audiences,
        objects,
        clock,
        ...(options.usedLegacy && { usedLegacy: options.usedLegacy }),
      }),
      ...(flags['enable-bootstrap-token-auth'] === false
        ? []
        : [forAudiences(bootstrapTokenAuthenticator(options.bootstrapSecret, clock), audiences)]),
      ...(configured ? [forAudiences(configured.tokens, audiences)] : []),
      ...(await webhookFrom(flags, audiences, clock, lifetime)),
    ]);
    const frontProxy = frontProxyFrom(flags, options.proxyCaPem);
    const authenticators = [
      ...(frontProxy ? [requestHeaderAuthenticator(frontProxy.headers, frontProxy.allowedNames)] : []),
      clientCertificateAuthenticator,
      bearerAuthenticator(tokens, audiences),
    ];
    const anonymous = flags['anonymous-auth'] ?? true;
    return {
      authenticate: authenticateWith(authenticators, { anonymous: () => configured?.anonymous() ?? anonymous }),
      tokens,
      audiences,
      issue: tokenIssuer({ issuer, key: ownKey, clock, random }),
      issueLegacy: legacyTokenIssuer(ownKey),
      issuer,
      keys,
      tokenLimits: tokenLimitsFrom(flags),
      clientCaPem: [options.caCertPem, textOf(flags, 'client-ca-file') ?? ''].join(''),
      frontProxy,
      [Symbol.asyncDispose]: () => lifetime[Symbol.asyncDispose](),
    };
  } catch (error) {
    await lifetime[Symbol.asyncDispose]();
    throw error;
  }
}

function textOf(
  flags: AuthenticationArguments,
  name:
    | 'service-account-signing-key-file'
    | 'token-auth-file'
    | 'client-ca-file'
    | 'oidc-ca-file'
    | 'requestheader-client-ca-file',
) {
  const file = flags[name];
  return file === undefined ? undefined : readFileSync(file, 'utf8');
}

function distinctKeys(keys: readonly VerificationKey[]): VerificationKey[] {
  return [...new Map(keys.map(key => [key.id, key])).values()];
}

function tokenLimitsFrom(flags: AuthenticationArguments): Authentication['tokenLimits'] {
  const maxMs = flags['service-account-max-token-expiration'] ?? 0;
  if (maxMs !== 0 && (maxMs < 3_600_000 || maxMs > 2 ** 32 * 1000))
    throw new Error('the service-account-max-token-expiration must be between 1 hour and 2^32 seconds');
  return {
    ...(maxMs > 0 && { validForSecondsMax: Math.floor(maxMs / 1000) }),
    extends: flags['service-account-extend-token-expiration'] ?? true,
  };
}

function frontProxyFrom(flags: AuthenticationArguments, ownCaPem: string | undefined): FrontProxyTrust | undefined {
  const caPem = textOf(flags, 'requestheader-client-ca-file') ?? ownCaPem;
  if (caPem === undefined) return undefined;
  if (certificatesOf(caPem).length === 0)
    throw new Error(
      'cannot use the authority of front proxies (requestheader-client-ca-file): it holds no certificate',
    );
  const lower = (names: readonly string[] | undefined) => names?.map(each => each.toLowerCase());
  return {
    caPem,
    allowedNames: flags['requestheader-allowed-names'] ?? ['front-proxy-client'],
    headers: {
      usernames: lower(flags['requestheader-username-headers']) ?? usualRequestHeaders.usernames,
      uids: lower(flags['requestheader-uid-headers']) ?? usualRequestHeaders.uids,
      groups: lower(flags['requestheader-group-headers']) ?? usualRequestHeaders.groups,
      extraPrefixes: lower(flags['requestheader-extra-headers-prefix']) ?? usualRequestHeaders.extraPrefixes,
    },
  };
}

async function webhookFrom(
  flags: AuthenticationArguments,
  audiences: readonly string[],
  clock: Clock,
  lifetime: Lifetime,
): Promise<TokenAuthenticator[]> {
  const file = flags['authentication-token-webhook-config-file'];
  if (file === undefined) return [];
  // Most clusters have no webhook.
  const { endpointFromKubeconfig, outgoingTo } = await import('../outgoing.ts');
  const { webhookTokenAuthenticator } = await import('./webhook-token.ts');
  const cacheMs = flags['authentication-token-webhook-cache-ttl'] ?? webhookCacheMs;
  const outgoing = outgoingTo(await endpointFromKubeconfig(file), {
    clock,
    timeoutMs: webhookTimeoutMs,
    signal: lifetime.signal,
  });
  lifetime.defer(() => outgoing[Symbol.dispose]());
  const webhook = webhookTokenAuthenticator({
    outgoing,
    // Upstream's default is still the older one.
    version: flags['authentication-token-webhook-version'] ?? 'v1beta1',
    audiences,
    clock,
    signal: lifetime.signal,
  });
  return [cachedTokens(webhook, { clock, successMs: cacheMs, failureMs: cacheMs })];
}

interface ConfiguredIssuers {
  readonly tokens: TokenAuthenticator;
  /** Undefined where the configuration leaves it to the flag. */
  anonymous(): AnonymousAccess | undefined;
}

/** Issuers of tokens by `--authentication-config`, which may change while we run, or by the old flags. */
async function issuersFrom(
  flags: AuthenticationArguments,
  ownIssuers: readonly string[],
  options: AuthenticationOptions,
  lifetime: Lifetime,
): Promise<ConfiguredIssuers | undefined> {
  const file = flags['authentication-config'];
  const oidcFlags = Object.keys(flags).filter(name => name.startsWith('oidc-'));
  if (file !== undefined && oidcFlags.length > 0)
    throw new Error('authentication-config file and oidc-* flags are mutually exclusive');
  if (file === undefined && oidcFlags.length === 0) return undefined;
  const { 'oidc-issuer-url': issuerUrl = '', 'oidc-client-id': clientId = '' } = flags;
  if (file === undefined && (issuerUrl === '' || clientId === ''))
    throw new Error(
      'oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are specified',
    );
  // Most clusters have no issuer but themselves.
  const [{ oidcAuthenticator, signingAlgorithms }, configurations, { outgoingTo }, { followFile }] = await Promise.all([
    import('./oidc.ts'),
    import('./authentication-configuration.ts'),
    import('../outgoing.ts'),
    import('../configuration-file.ts'),
  ]);
  const { compileIssuers, configurationFromFlags, readAuthenticationConfiguration } = configurations;
  const algorithms = file === undefined ? (flags['oidc-signing-algs'] ?? ['RS256']) : signingAlgorithms;
  const odd = algorithms.find(each => !(signingAlgorithms as readonly string[]).includes(each));
  if (odd !== undefined) throw new Error(`oidc: unsupported signing alg: ${JSON.stringify(odd)}`);

  let current: { readonly configuration: AuthenticationConfiguration; readonly issuers: readonly OidcAuthenticator[] };
  const use = async (configuration: AuthenticationConfiguration) => {
    if (configuration.anonymous && flags['anonymous-auth'] !== undefined)
      throw new Error(
        '--anonymous-auth flag cannot be set when anonymous field is configured in authentication configuration file',
      );
    const compiled = await compileIssuers(configuration, ownIssuers, options.expressions);
    const { clock, log } = options;
    const issuers = compiled.map(issuer =>
      oidcAuthenticator(issuer, {
        outgoing: outgoingTo(
          {
            url: issuer.configuration.issuer.url,
            caPem: issuer.configuration.issuer.certificateAuthority || undefined,
          },
          { clock, timeoutMs: issuerTimeoutMs, signal: lifetime.signal },
        ),
        algorithms,
        clock,
        log,
      }),
    );
    const before = current?.issuers ?? [];
    current = { configuration, issuers };
    cached = cachedTokens(anyToken(issuers), { clock, successMs: tokenCacheMs, failureMs: 0 });
    for (const each of before) each[Symbol.dispose]();
  };
  let cached: TokenAuthenticator;
  if (file === undefined) {
    const jwt = configurationFromFlags({
      issuerUrl,
      clientId,
      caPem: textOf(flags, 'oidc-ca-file'),
      usernameClaim: flags['oidc-username-claim'],
      usernamePrefix: flags['oidc-username-prefix'],
      groupsClaim: flags['oidc-groups-claim'],
      groupsPrefix: flags['oidc-groups-prefix'],
      requiredClaims: flags['oidc-required-claim'],
    });
    await use({ jwt: [jwt] });
  } else {
    const text = readFileSync(file, 'utf8');
    await use(readAuthenticationConfiguration(text));
    const following = followFile(file, text, each => use(readAuthenticationConfiguration(each)), options);
    lifetime.defer(() => following[Symbol.dispose]());
  }
  lifetime.defer(() => {
    for (const each of current.issuers) each[Symbol.dispose]();
  });
  return {
    tokens: { authenticate: (token, audiences) => cached.authenticate(token, audiences) },
    anonymous() {
      const { anonymous } = current.configuration;
      if (!anonymous) return undefined;
      const conditions = anonymous.conditions ?? [];
      if (!anonymous.enabled || conditions.length === 0) return anonymous.enabled ?? false;
      return { paths: conditions.map(({ path }) => path) };
    },
  };
}
