import assert from 'node:assert/strict';
import { createHmac, createPublicKey } from 'node:crypto';
import { test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import type { Expressions } from '../expressions.ts';
import { outgoingTo } from '../outgoing.ts';
import {
  compileIssuers,
  configurationFromFlags,
  readAuthenticationConfiguration,
  type JwtConfiguration,
} from './authentication-configuration.ts';
import { oidcAuthenticator, type OidcAuthenticator } from './oidc.ts';
import { openTestIssuer, type TestIssuer } from './test-issuer.ts';

const noExpressions = () => Promise.reject<Expressions>(new Error('no expressions in this test'));

async function authenticatorFor(
  issuer: TestIssuer,
  clock: ManualClock,
  more: Partial<JwtConfiguration> = {},
  algorithms?: readonly string[],
): Promise<OidcAuthenticator> {
  const [compiled] = await compileIssuers(
    {
      jwt: [
        {
          issuer: { url: issuer.url, audiences: ['cluster'], certificateAuthority: issuer.caPem },
          claimMappings: { username: { claim: 'sub', prefix: 'oidc:' }, groups: { claim: 'roles', prefix: 'oidc:' } },
          ...more,
        },
      ],
    },
    [],
    noExpressions,
  );
  assert.ok(compiled);
  const authenticator = oidcAuthenticator(compiled, {
    outgoing: outgoingTo(
      { url: issuer.url, caPem: issuer.caPem },
      { clock, timeoutMs: 5_000, signal: new AbortController().signal },
    ),
    clock,
    log: silentLog,
    ...(algorithms && { algorithms }),
  });
  return authenticator;
}

const clockOf = () => new ManualClock();
const refused = (authenticator: OidcAuthenticator, token: string, why: RegExp) =>
  assert.rejects(async () => authenticator.authenticate(token, []), why);

test('a token of an OpenID provider names a user by its claims', async () => {
  const clock = clockOf();
  await using issuer = await openTestIssuer({ now: () => clock.now() });
  using authenticator = await authenticatorFor(issuer, clock);
  await authenticator.ready;
  const token = await issuer.sign({ sub: 'ann', aud: 'cluster', roles: ['dev', 'ops'], jti: 'id-1' });
  const holder = await authenticator.authenticate(token, []);
  assert.deepEqual(
    { ...holder?.user, extra: { ...holder?.user.extra } },
    {
      name: 'oidc:ann',
      groups: ['oidc:dev', 'oidc:ops'],
      extra: { 'authentication.kubernetes.io/credential-id': ['JTI=id-1'] },
    },
  );
  const single = await authenticator.authenticate(
    await issuer.sign({ sub: 'ann', aud: ['x', 'cluster'], roles: 'dev' }),
    [],
  );
  assert.deepEqual(single?.user.groups, ['oidc:dev']);
  assert.equal(await authenticator.authenticate('no.jwt', []), undefined);
  assert.equal(
    await authenticator.authenticate(await issuer.sign({ iss: 'https://other', sub: 'ann' }), []),
    undefined,
  );
});

test('wrong audiences, old tokens, and tokens of another make are refused', async () => {
  const clock = clockOf();
  await using issuer = await openTestIssuer({ now: () => clock.now() });
  await using stranger = await openTestIssuer({ now: () => clock.now() });
  using authenticator = await authenticatorFor(issuer, clock);
  await authenticator.ready;
  const claims = { sub: 'ann', aud: 'cluster' };
  const seconds = Math.floor(clock.now() / 1000);
  await refused(
    authenticator,
    await issuer.sign({ ...claims, aud: 'other' }),
    /expected audience in \["cluster"\] got \["other"\]/,
  );
  await refused(authenticator, await issuer.sign({ ...claims, exp: seconds - 1 }), /token is expired/);
  // Five minutes of skew are granted to a token's beginning, none to its end.
  assert.ok(await authenticator.authenticate(await issuer.sign({ ...claims, nbf: seconds + 299 }), []));
  await refused(authenticator, await issuer.sign({ ...claims, nbf: seconds + 301 }), /before the nbf/);
  // Somebody else's key, under our issuer's name, and even under its key's name.
  await refused(authenticator, await stranger.sign({ ...claims, iss: issuer.url }), /failed to verify/);
  const token = await issuer.sign(claims);
  const [head = '', body = '', signature = ''] = token.split('.');
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const none = `${encode({ alg: 'none', kid: 'key-1' })}.${body}.`;
  await refused(authenticator, none, /unexpected signature algorithm "none"/);
  const forged = `${encode({ alg: 'HS256', kid: 'key-1' })}.${body}`;
  const published = (await (await fetchKeys(issuer)).json()) as { keys: object[] };
  const publicPem = createPublicKey({ key: published.keys[0] as never, format: 'jwk' }).export({
    type: 'spki',
    format: 'pem',
  });
  const mac = createHmac('sha256', publicPem).update(forged).digest('base64url');
  await refused(authenticator, `${forged}.${mac}`, /unexpected signature algorithm "HS256"/);
  await refused(
    authenticator,
    `${head}.${encode({ ...claims, iss: issuer.url, sub: 'root', exp: 9e9 })}.${signature}`,
    /failed to verify/,
  );
  await refused(authenticator, await issuer.sign({ aud: 'cluster' }), /claim not present/);
  await refused(authenticator, await issuer.sign({ ...claims, sub: 7 as unknown as string }), /it is no string/);
  await refused(authenticator, await issuer.sign({ ...claims, roles: [1] }), /neither a string nor a list/);
});

async function fetchKeys(issuer: TestIssuer): Promise<{ json(): unknown }> {
  using outgoing = outgoingTo(
    { url: issuer.url, caPem: issuer.caPem },
    { clock: new ManualClock(), timeoutMs: 5_000, signal: new AbortController().signal },
  );
  const { text } = await outgoing.get(`${issuer.url}/keys`);
  return { json: () => JSON.parse(text) as unknown };
}

test('keys are fetched again when one is unknown, at most once a second', async () => {
  const clock = clockOf();
  await using issuer = await openTestIssuer({ now: () => clock.now() });
  await using stranger = await openTestIssuer({ now: () => clock.now() });
  using authenticator = await authenticatorFor(issuer, clock);
  await authenticator.ready;
  const claims = { sub: 'ann', aud: 'cluster' };
  const old = await issuer.sign(claims);
  assert.ok(await authenticator.authenticate(old, []));
  assert.equal(issuer.fetches, 1);
  await issuer.rotate('both', 'ES256');
  await clock.advance(1_000);
  assert.ok(await authenticator.authenticate(await issuer.sign(claims), []));
  assert.ok(await authenticator.authenticate(old, []), 'the old key still verifies while it is published');
  assert.equal(issuer.fetches, 2);
  const foreign = await stranger.sign({ ...claims, iss: issuer.url }, { kid: 'unknown' });
  for (let count = 0; count < 20; count++) await refused(authenticator, foreign, /failed to verify/);
  assert.equal(issuer.fetches, 2, 'nobody makes us ask again and again');
  await issuer.rotate('new', 'PS256');
  await clock.advance(1_000);
  assert.ok(await authenticator.authenticate(await issuer.sign(claims), []));
  await refused(authenticator, old, /failed to verify/);
});

test('an issuer that is not there yet is asked again; one that is another is refused', async () => {
  const clock = clockOf();
  await using issuer = await openTestIssuer({ now: () => clock.now() });
  issuer.pretend('https://somebody.else');
  using authenticator = await authenticatorFor(issuer, clock);
  const token = await issuer.sign({ sub: 'ann', aud: 'cluster' });
  await refused(authenticator, token, /authenticator not initialized/);
  // The first attempt has failed when the wait for the second is under way.
  while (clock.nextDueMs !== clock.now() + 10_000) await new Promise(resolve => setImmediate(resolve));
  issuer.pretend(issuer.url);
  await clock.advance(10_000);
  await authenticator.ready;
  assert.ok(await authenticator.authenticate(token, []));
});

test('discovery may be elsewhere, rules and mail addresses are looked at', async () => {
  const clock = clockOf();
  await using issuer = await openTestIssuer({ now: () => clock.now(), path: '/realm' });
  const [host = ''] = issuer.url.split('/realm');
  using authenticator = await authenticatorFor(issuer, clock, {
    issuer: {
      url: issuer.url,
      discoveryURL: `${host}/elsewhere`,
      audiences: ['a', 'b'],
      audienceMatchPolicy: 'MatchAny',
      certificateAuthority: issuer.caPem,
    },
    claimMappings: { username: { claim: 'email', prefix: '' }, uid: { claim: 'oid' } },
    claimValidationRules: [{ claim: 'tenant', requiredValue: 't1' }],
  });
  await authenticator.ready;
  const claims = { email: 'ann@example.com', aud: 'b', tenant: 't1', oid: '42' };
  const holder = await authenticator.authenticate(await issuer.sign(claims), []);
  assert.deepEqual(holder?.user, { name: 'ann@example.com', groups: [], uid: '42' });
  await refused(authenticator, await issuer.sign({ ...claims, email_verified: false }), /email not verified/);
  await refused(
    authenticator,
    await issuer.sign({ ...claims, tenant: 't2' }),
    /required claim tenant value does not match/,
  );
  await refused(
    authenticator,
    await issuer.sign({ ...claims, tenant: undefined }),
    /required claim tenant not present/,
  );
});

test('groups that did not fit into a token are fetched from where it says', async () => {
  const clock = clockOf();
  await using issuer = await openTestIssuer({ now: () => clock.now() });
  using authenticator = await authenticatorFor(issuer, clock);
  await authenticator.ready;
  const claims = { sub: 'ann', aud: 'cluster' };
  const endpoint = issuer.publish('/groups', await issuer.sign({ aud: 'cluster', roles: ['dev'] }), 'open');
  const pointing = (source: object) =>
    issuer.sign({ ...claims, _claim_names: { roles: 's' }, _claim_sources: { s: source } });
  const holder = await authenticator.authenticate(await pointing({ endpoint, access_token: 'open' }), []);
  assert.deepEqual(holder?.user.groups, ['oidc:dev']);
  // What is in the token counts, and what is nowhere is no group.
  const both = await issuer.sign({ ...claims, roles: ['own'], _claim_names: { roles: 's' } });
  assert.deepEqual((await authenticator.authenticate(both, []))?.user.groups, ['oidc:own']);
  assert.deepEqual((await authenticator.authenticate(await pointing({ JWT: 'aggregated' }), []))?.user.groups, []);
  await refused(
    authenticator,
    await pointing({ endpoint, access_token: 'wrong' }),
    /could not expand distributed claims: .*401/,
  );
  await refused(authenticator, await pointing({ endpoint: endpoint.replace('https', 'http') }), /is not HTTPS/);
  await refused(authenticator, await issuer.sign({ ...claims, _claim_names: { roles: 's' } }), /no claim sources/);
  await using stranger = await openTestIssuer({ now: () => clock.now() });
  const forged = issuer.publish(
    '/forged',
    await stranger.sign({ iss: issuer.url, aud: 'cluster', roles: ['root'] }),
    'open',
  );
  await refused(authenticator, await pointing({ endpoint: forged, access_token: 'open' }), /failed to verify/);
  const foreign = issuer.publish('/foreign', await issuer.sign({ aud: 'other', roles: ['root'] }), 'open');
  await refused(authenticator, await pointing({ endpoint: foreign, access_token: 'open' }), /expected audience/);
});

test('only the listed algorithms count', async () => {
  const clock = clockOf();
  await using issuer = await openTestIssuer({ now: () => clock.now() });
  using authenticator = await authenticatorFor(issuer, clock, {}, ['ES256']);
  await authenticator.ready;
  await refused(
    authenticator,
    await issuer.sign({ sub: 'ann', aud: 'cluster' }),
    /unexpected signature algorithm "RS256"/,
  );
});

const header = 'apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n';

test('a configuration is read strictly, and everything wrong is told', async () => {
  const read = (text: string) => readAuthenticationConfiguration(text);
  assert.throws(() => read('kind: Pod\napiVersion: v1'), /no kind "Pod" is registered for version "v1"/);
  assert.throws(() => read(`${header}jwts: []`), /unknown field "jwts"/);
  assert.throws(
    () => read(`${header}jwt: [{issuer: {audiences: x}}]`),
    /"jwt\[0\]\.issuer\.audiences" is no list of strings/,
  );
  assert.throws(() => read(`${header}anonymous: {enabled: yes please}`), /is no boolean/);
  assert.deepEqual(read(`${header}anonymous: {enabled: true, conditions: [{path: /livez}]}`), {
    jwt: [],
    anonymous: { enabled: true, conditions: [{ path: '/livez' }] },
  });
  const jwt = (issuer: object, more: object = {}): JwtConfiguration => ({
    issuer: issuer as JwtConfiguration['issuer'],
    claimMappings: { username: { claim: 'sub', prefix: '' } },
    ...more,
  });
  const wrong = async (configuration: JwtConfiguration, why: RegExp) =>
    assert.rejects(compileIssuers({ jwt: [configuration] }, ['https://ours'], noExpressions), why);
  const good = { url: 'https://issuer', audiences: ['a'] };
  await wrong(jwt({ ...good, url: '' }), /jwt\[0\]\.issuer\.url: Required value/);
  await wrong(jwt({ ...good, url: 'http://issuer' }), /URL scheme must be https/);
  await wrong(jwt({ ...good, url: 'https://u:p@issuer' }), /must not contain a username or password/);
  await wrong(
    jwt({ ...good, url: 'https://ours' }),
    /URL must not overlap with disallowed issuers: \[https:\/\/ours\]/,
  );
  await wrong(jwt({ ...good, discoveryURL: 'https://issuer/' }), /discoveryURL must be different from URL/);
  await wrong(jwt({ ...good, audiences: [] }), /jwt\[0\]\.issuer\.audiences: Required value/);
  await wrong(jwt({ ...good, audiences: ['a', 'b'] }), /audienceMatchPolicy must be MatchAny for multiple audiences/);
  await wrong(
    jwt({ ...good, certificateAuthority: 'x' }),
    /jwt\[0\]\.issuer\.certificateAuthority: Invalid value: "<omitted>"/,
  );
  await wrong(jwt({ ...good, egressSelectorType: 'etcd' }), /must be either controlplane or cluster/);
  await wrong(
    jwt(good, { claimMappings: { username: { claim: 'sub' } } }),
    /username\.prefix: Required value: prefix is required/,
  );
  await wrong(
    jwt(good, { claimMappings: { username: {} } }),
    /username: Required value: claim or expression is required/,
  );
  await wrong(jwt(good, { claimValidationRules: [{}] }), /claimValidationRules\[0\]: Required value/);
  await assert.rejects(
    compileIssuers({ jwt: [jwt(good), jwt(good)] }, [], noExpressions),
    /jwt\[1\]\.issuer\.url: Duplicate value: "https:\/\/issuer"/,
  );
  await assert.rejects(
    compileIssuers({ jwt: [], anonymous: { enabled: false, conditions: [{ path: '/x' }] } }, [], noExpressions),
    /enabled should be set to true when conditions are defined/,
  );
});

test('the old flags say what they always said', () => {
  const of = (more: object) =>
    configurationFromFlags({ issuerUrl: 'https://i', clientId: 'c', ...more }).claimMappings.username;
  assert.deepEqual(of({}), { claim: 'sub', prefix: 'https://i#' });
  assert.deepEqual(of({ usernamePrefix: '-' }), { claim: 'sub', prefix: '' });
  assert.deepEqual(of({ usernameClaim: 'email' }), { claim: 'email', prefix: '' });
  assert.deepEqual(of({ usernameClaim: 'name', usernamePrefix: 'x:' }), { claim: 'name', prefix: 'x:' });
  assert.deepEqual(
    configurationFromFlags({ issuerUrl: 'https://i', clientId: 'c', requiredClaims: ['hd=example.com'] })
      .claimValidationRules,
    [{ claim: 'hd', requiredValue: 'example.com' }],
  );
});
