import { Report } from '#api/machinery/validation.ts';
import { certificatesOf } from '../certificates/certificate.ts';
import { readConfiguration, type Shape } from '../configuration-file.ts';
import type { Expression, Expressions } from '../expressions.ts';

/** `AuthenticationConfiguration` of apiserver.config.k8s.io, as it is written. */
export interface AuthenticationConfiguration {
  readonly jwt: readonly JwtConfiguration[];
  readonly anonymous?: {
    readonly enabled?: boolean;
    readonly conditions?: readonly { readonly path: string }[];
  };
}

export interface JwtConfiguration {
  readonly issuer: {
    readonly url: string;
    readonly discoveryURL?: string;
    readonly certificateAuthority?: string;
    readonly audiences: readonly string[];
    readonly audienceMatchPolicy?: string;
    readonly egressSelectorType?: string;
  };
  readonly claimValidationRules?: readonly {
    readonly claim?: string;
    readonly requiredValue?: string;
    readonly expression?: string;
    readonly message?: string;
  }[];
  readonly claimMappings: {
    readonly username: PrefixedClaimOrExpression;
    readonly groups?: PrefixedClaimOrExpression;
    readonly uid?: { readonly claim?: string; readonly expression?: string };
    readonly extra?: readonly { readonly key: string; readonly valueExpression: string }[];
  };
  readonly userValidationRules?: readonly { readonly expression: string; readonly message?: string }[];
}

interface PrefixedClaimOrExpression {
  readonly claim?: string;
  readonly prefix?: string;
  readonly expression?: string;
}

/** A configuration whose expressions are compiled. */
export interface JwtIssuer {
  readonly configuration: JwtConfiguration;
  readonly expressions: {
    readonly username?: Expression;
    readonly groups?: Expression;
    readonly uid?: Expression;
    readonly extra: readonly { readonly key: string; readonly expression: Expression }[];
    readonly claimRules: readonly { readonly expression: Expression; readonly message: string }[];
    readonly userRules: readonly { readonly expression: Expression; readonly message: string }[];
  };
}

const claimOrExpression = { claim: 'string', prefix: 'string', expression: 'string' } as const;

const shape: Shape = {
  jwt: [
    {
      issuer: {
        url: 'string',
        discoveryURL: 'string',
        certificateAuthority: 'string',
        audiences: 'strings',
        audienceMatchPolicy: 'string',
        egressSelectorType: 'string',
      },
      claimValidationRules: [{ claim: 'string', requiredValue: 'string', expression: 'string', message: 'string' }],
      claimMappings: {
        username: claimOrExpression,
        groups: claimOrExpression,
        uid: { claim: 'string', expression: 'string' },
        extra: [{ key: 'string', valueExpression: 'string' }],
      },
      userValidationRules: [{ expression: 'string', message: 'string' }],
    },
  ],
  anonymous: { enabled: 'boolean', conditions: [{ path: 'string' }] },
};

const issuersMax = 64;

/** Reads the file of `--authentication-config`. Throws what is wrong with it, by field. */
export function readAuthenticationConfiguration(text: string): AuthenticationConfiguration {
  const { jwt, anonymous } = readConfiguration(text, 'AuthenticationConfiguration', ['v1', 'v1beta1'], shape);
  return {
    jwt: (jwt ?? []) as readonly JwtConfiguration[],
    ...(anonymous !== undefined && anonymous !== null && { anonymous: anonymous as object }),
  };
}

/** Upstream's rules; throws all that is wrong. `ownIssuers` are the API server's: nobody else may speak for them. */
export async function compileIssuers(
  { jwt, anonymous }: AuthenticationConfiguration,
  ownIssuers: readonly string[],
  expressions: () => Promise<Expressions>,
): Promise<readonly JwtIssuer[]> {
  const report = new Report();
  const compiler = jwt.some(usesExpressions) ? await expressions() : undefined;
  const issuers: JwtIssuer[] = [];
  const list = report.at('jwt');
  if (jwt.length > issuersMax) list.tooMany(jwt.length, issuersMax);
  const urls = new Set<string>();
  const discoveryUrls = new Set<string>();
  for (const [position, configuration] of jwt.slice(0, issuersMax).entries()) {
    const at = list.index(position);
    issuers.push(compileIssuer(configuration, ownIssuers, compiler, at));
    const { url = '', discoveryURL = '' } = configuration.issuer ?? {};
    if (urls.has(url)) at.at('issuer', 'url').duplicate(url);
    urls.add(url);
    if (discoveryURL !== '' && discoveryUrls.has(discoveryURL)) at.at('issuer', 'discoveryURL').duplicate(discoveryURL);
    discoveryUrls.add(discoveryURL);
  }
  if (anonymous && !anonymous.enabled && (anonymous.conditions?.length ?? 0) > 0)
    report
      .at('anonymous', 'conditions')
      .invalid(anonymous.conditions, 'enabled should be set to true when conditions are defined');
  if (report.errors.length > 0)
    throw new Error(
      `invalid authentication configuration: ${report.errors.map(({ field, message }) => `${field}: ${message}`).join(', ')}`,
    );
  return issuers;
}

function usesExpressions(configuration: JwtConfiguration): boolean {
  return JSON.stringify(configuration).toLowerCase().includes('expression"');
}

function compileIssuer(
  configuration: JwtConfiguration,
  ownIssuers: readonly string[],
  compiler: Expressions | undefined,
  at: Report,
): JwtIssuer {
  checkIssuer(configuration.issuer ?? {}, ownIssuers, at.at('issuer'));
  const compile = (text: string, about: 'claims' | 'user', yields: 'bool' | 'any', path: Report) => {
    const compiled = compiler?.[about](text, yields);
    if (compiled && 'problem' in compiled) path.invalid(text, compiled.problem);
    else return compiled;
    return undefined;
  };
  const claimRules: { expression: Expression; message: string }[] = [];
  const seen = new Set<string>();
  for (const [position, rule] of (configuration.claimValidationRules ?? []).entries()) {
    const rulePath = at.at('claimValidationRules').index(position);
    const { claim = '', requiredValue = '', expression = '', message = '' } = rule;
    if (claim !== '' && expression !== '') rulePath.invalid(claim, "claim and expression can't both be set");
    else if (claim === '' && expression === '') rulePath.required('claim or expression is required');
    else if (claim !== '') {
      if (message !== '') rulePath.at('message').invalid(message, 'may not be specified when claim is set');
      if (seen.has(`claim ${claim}`)) rulePath.at('claim').duplicate(claim);
      seen.add(`claim ${claim}`);
    } else {
      if (requiredValue !== '')
        rulePath.at('requiredValue').invalid(requiredValue, 'may not be specified when expression is set');
      if (seen.has(`expression ${expression}`)) {
        rulePath.at('expression').duplicate(expression);
        continue;
      }
      seen.add(`expression ${expression}`);
      const compiled = compile(expression, 'claims', 'bool', rulePath.at('expression'));
      if (compiled) claimRules.push({ expression: compiled, message });
    }
  }
  const mappings = configuration.claimMappings ?? {};
  const path = at.at('claimMappings');
  const prefixed = (mapping: PrefixedClaimOrExpression | undefined, name: 'username' | 'groups') => {
    const { claim = '', prefix, expression = '' } = mapping ?? {};
    const mappingPath = path.at(name);
    if (claim !== '' && expression !== '') mappingPath.invalid('', "claim and expression can't both be set");
    else if (claim === '' && expression === '') {
      if (name === 'username') mappingPath.required('claim or expression is required');
    } else if (expression !== '') {
      if (prefix !== undefined) mappingPath.at('prefix').invalid(prefix, 'may not be specified when expression is set');
      return compile(expression, 'claims', 'any', mappingPath.at('expression'));
    } else if (prefix === undefined)
      mappingPath
        .at('prefix')
        .required('prefix is required when claim is set. It can be set to an empty string to disable prefixing');
    return undefined;
  };
  const username = prefixed(mappings.username, 'username');
  const groups = prefixed(mappings.groups, 'groups');
  const uidExpression = mappings.uid?.expression ?? '';
  if ((mappings.uid?.claim ?? '') !== '' && uidExpression !== '')
    path.at('uid').invalid('', "claim and expression can't both be set");
  const uid = uidExpression === '' ? undefined : compile(uidExpression, 'claims', 'any', path.at('uid', 'expression'));
  const extra: { key: string; expression: Expression }[] = [];
  const keys = new Set<string>();
  for (const [position, mapping] of (mappings.extra ?? []).entries()) {
    const extraPath = path.at('extra').index(position);
    checkExtraKey(mapping.key ?? '', extraPath.at('key'));
    if (keys.has(mapping.key)) extraPath.at('key').duplicate(mapping.key);
    keys.add(mapping.key);
    if (!mapping.valueExpression) extraPath.at('valueExpression').required();
    else {
      const compiled = compile(mapping.valueExpression, 'claims', 'any', extraPath.at('valueExpression'));
      if (compiled) extra.push({ key: mapping.key, expression: compiled });
    }
  }
  checkEmail(configuration, path.at('username', 'expression'));
  const userRules: { expression: Expression; message: string }[] = [];
  for (const [position, { expression = '', message = '' }] of (configuration.userValidationRules ?? []).entries()) {
    const rulePath = at.at('userValidationRules').index(position).at('expression');
    if (expression === '') rulePath.required();
    else if (seen.has(`user ${expression}`)) rulePath.duplicate(expression);
    else {
      seen.add(`user ${expression}`);
      const compiled = compile(expression, 'user', 'bool', rulePath);
      if (compiled) userRules.push({ expression: compiled, message });
    }
  }
  return {
    configuration,
    expressions: {
      ...(username && { username }),
      ...(groups && { groups }),
      ...(uid && { uid }),
      extra,
      claimRules,
      userRules,
    },
  };
}

function checkIssuer(issuer: Partial<JwtConfiguration['issuer']>, ownIssuers: readonly string[], at: Report): void {
  const { url = '', discoveryURL = '', audiences = [], audienceMatchPolicy = '' } = issuer;
  if (url === '') at.at('url').required();
  else {
    if (ownIssuers.includes(url))
      at.at('url').invalid(url, `URL must not overlap with disallowed issuers: [${[...ownIssuers].sort().join(' ')}]`);
    checkUrl(url, at.at('url'));
  }
  if (discoveryURL !== '') {
    if (url !== '' && url.replace(/\/+$/, '') === discoveryURL.replace(/\/+$/, ''))
      at.at('discoveryURL').invalid(discoveryURL, 'discoveryURL must be different from URL');
    checkUrl(discoveryURL, at.at('discoveryURL'));
  }
  if (audiences.length === 0) at.at('audiences').required(`at least one ${at.at('audiences').path} is required`);
  for (const [position, audience] of audiences.entries()) {
    if (audience === '') at.at('audiences').index(position).required();
    if (audiences.indexOf(audience) !== position) at.at('audiences').index(position).duplicate(audience);
  }
  if (audiences.length > 1 && audienceMatchPolicy !== 'MatchAny')
    at.at('audienceMatchPolicy').invalid(
      audienceMatchPolicy,
      'audienceMatchPolicy must be MatchAny for multiple audiences',
    );
  if (audiences.length === 1 && audienceMatchPolicy !== '' && audienceMatchPolicy !== 'MatchAny')
    at.at('audienceMatchPolicy').invalid(
      audienceMatchPolicy,
      'audienceMatchPolicy must be empty or MatchAny for single audience',
    );
  if (issuer.certificateAuthority && certificatesOf(issuer.certificateAuthority).length === 0)
    at.at('certificateAuthority').invalid('<omitted>', 'data does not contain any valid RSA or ECDSA certificates');
  const egress = issuer.egressSelectorType ?? '';
  if (egress !== '' && egress !== 'controlplane' && egress !== 'cluster')
    at.at('egressSelectorType').invalid(egress, 'egress selector must be either controlplane or cluster');
}

function checkUrl(text: string, at: Report): void {
  if (!URL.canParse(text)) return at.invalid(text, `parse ${JSON.stringify(text)}: invalid URI for request`);
  const url = new URL(text);
  if (url.protocol !== 'https:') at.invalid(text, 'URL scheme must be https');
  if (url.username !== '' || url.password !== '') at.invalid(text, 'URL must not contain a username or password');
  if (url.search !== '') at.invalid(text, 'URL must not contain a query');
  if (url.hash !== '') at.invalid(text, 'URL must not contain a fragment');
}

function checkExtraKey(key: string, at: Report): void {
  if (key === '') return at.required();
  const [domain = '', ...path] = key.split('/');
  if (path.length === 0 || path.join('/') === '' || !/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(domain))
    return at.invalid(key, 'must be a domain-prefixed path (such as "acme.io/foo")');
  if (key !== key.toLowerCase()) at.invalid(key, 'must be lowercase');
  if (/(^|\.)(kubernetes|k8s)\.io$/.test(domain))
    at.invalid(key, 'k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use');
}

/** Whoever is named by a mail address must have shown that it is theirs. */
function checkEmail({ claimMappings, claimValidationRules = [] }: JwtConfiguration, at: Report): void {
  const named = claimMappings?.username?.expression ?? '';
  if (!/\bclaims\s*\.\s*\??\s*email\b/.test(named)) return;
  const looked = [
    named,
    ...claimValidationRules.map(({ expression = '' }) => expression),
    ...(claimMappings.extra ?? []).map(({ valueExpression = '' }) => valueExpression),
  ];
  if (!looked.some(each => /\bclaims\s*\.\s*\??\s*email_verified\b/.test(each)))
    at.invalid(
      named,
      'claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression',
    );
}

/** The old flags `--oidc-*` say the same with fewer words. */
export function configurationFromFlags(flags: {
  readonly issuerUrl: string;
  readonly clientId: string;
  readonly caPem?: string | undefined;
  readonly usernameClaim?: string | undefined;
  readonly usernamePrefix?: string | undefined;
  readonly groupsClaim?: string | undefined;
  readonly groupsPrefix?: string | undefined;
  readonly requiredClaims?: readonly string[] | undefined;
}): JwtConfiguration {
  const { issuerUrl, usernameClaim = 'sub', usernamePrefix = '', groupsClaim = '', groupsPrefix = '' } = flags;
  const prefix =
    usernamePrefix === '-' ? '' : usernamePrefix === '' && usernameClaim !== 'email' ? `${issuerUrl}#` : usernamePrefix;
  return {
    issuer: {
      url: issuerUrl,
      audiences: [flags.clientId],
      ...(flags.caPem !== undefined && { certificateAuthority: flags.caPem }),
    },
    claimMappings: {
      username: { claim: usernameClaim, prefix },
      ...(groupsClaim !== '' && { groups: { claim: groupsClaim, prefix: groupsPrefix } }),
    },
    claimValidationRules: (flags.requiredClaims ?? []).map(each => {
      const at = each.indexOf('=');
      return { claim: at < 0 ? each : each.slice(0, at), requiredValue: at < 0 ? '' : each.slice(at + 1) };
    }),
  };
}
