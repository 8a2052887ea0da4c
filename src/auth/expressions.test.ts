import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { celEnvironment } from '#cel/environment.ts';
import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { compileIssuers, type JwtConfiguration } from './authentication/authentication-configuration.ts';
import { oidcAuthenticator } from './authentication/oidc.ts';
import { openTestIssuer } from './authentication/test-issuer.ts';
import type { Attributes, Authorizer } from './authorization/authorizer.ts';
import { readAuthorizationConfiguration } from './authorization/authorization-configuration.ts';
import { authorizationFrom } from './authorization/configured.ts';
import { expressionsIn } from './expressions.ts';
import { outgoingTo } from './outgoing.ts';

const expressions = expressionsIn(celEnvironment);
const compiler = () => Promise.resolve(expressions);

test('claims become a user by expressions, and rules judge both', async () => {
  const clock = new ManualClock();
  await using issuer = await openTestIssuer({ now: () => clock.now() });
  const configuration: JwtConfiguration = {
    issuer: { url: issuer.url, audiences: ['cluster'], certificateAuthority: issuer.caPem },
    claimMappings: {
      username: { expression: '"oidc:" + claims.email' },
      groups: { expression: 'claims.roles.split(",").filter(r, r != "")' },
      uid: { expression: 'claims.sub' },
      extra: [
        { key: 'acme.io/tenant', valueExpression: 'claims.org.tenant' },
        { key: 'acme.io/none', valueExpression: 'claims.?missing.orValue("")' },
        { key: 'acme.io/list', valueExpression: '["a", "", "b"]' },
      ],
    },
    claimValidationRules: [
      { expression: 'claims.?email_verified.orValue(true) == true', message: 'the address is not verified' },
      { expression: 'int(claims.exp) - int(claims.nbf) <= 3600', message: 'it lives too long' },
    ],
    userValidationRules: [
      { expression: "!user.username.startsWith('system:')", message: 'system names are reserved' },
      { expression: "user.groups.all(g, !g.startsWith('system:'))", message: 'system groups are reserved' },
    ],
  };
  const [compiled] = await compileIssuers({ jwt: [configuration] }, [], compiler);
  assert.ok(compiled);
  using authenticator = oidcAuthenticator(compiled, {
    outgoing: outgoingTo(
      { url: issuer.url, caPem: issuer.caPem },
      { clock, timeoutMs: 5_000, signal: new AbortController().signal },
    ),
    clock,
    log: silentLog,
  });
  await authenticator.ready;
  const nbf = Math.floor(clock.now() / 1000);
  const claims = {
    aud: 'cluster',
    sub: '42',
    email: 'ann@x.org',
    roles: 'dev,ops,',
    nbf,
    exp: nbf + 600,
    org: { tenant: 't1' },
  };
  const holder = await authenticator.authenticate(await issuer.sign(claims), []);
  assert.deepEqual(
    { ...holder?.user, extra: { ...holder?.user.extra } },
    {
      name: 'oidc:ann@x.org',
      uid: '42',
      groups: ['dev', 'ops'],
      extra: { 'acme.io/tenant': ['t1'], 'acme.io/list': ['a', 'b'] },
    },
  );
  const refused = async (more: object, why: RegExp) =>
    assert.rejects(async () => authenticator.authenticate(await issuer.sign({ ...claims, ...more }), []), why);
  await refused(
    { email_verified: false },
    /validation expression 'claims\.\?email_verified.*' failed: the address is not verified/,
  );
  await refused({ exp: nbf + 7200 }, /it lives too long/);
  await refused({ roles: 'system:masters' }, /system groups are reserved/);
  await refused({ sub: 7 }, /the expression must return a string/);
  await refused({ org: {} }, /error evaluating extra claim expression: .*tenant/);
  await refused({ roles: { a: 1 } }, /error evaluating group claim expression/);
});

test('claims with a dot or a slash are fields, too', () => {
  const value = (text: string) => {
    const compiled = expressions.claims(text, 'any');
    assert.ok(!('problem' in compiled), JSON.stringify(compiled));
    return compiled.evaluate({ 'kubernetes.io': { 'pod/name': 'web' }, list: [{ 'a.b': 1 }] });
  };
  assert.equal(value('claims.kubernetes__dot__io.pod__slash__name'), 'web');
  assert.equal(value('claims["kubernetes.io"]["pod/name"]'), 'web');
  assert.equal(value('claims.list[0].a__dot__b'), 1);
  assert.equal(value('has(claims.missing__dot__x)'), false);
});

test('expressions that cannot be are refused before anybody is judged by them', async () => {
  const of = (more: Partial<JwtConfiguration>): JwtConfiguration => ({
    issuer: { url: 'https://issuer', audiences: ['a'] },
    claimMappings: { username: { claim: 'sub', prefix: '' } },
    ...more,
  });
  const wrong = (configuration: JwtConfiguration, why: RegExp) =>
    assert.rejects(compileIssuers({ jwt: [configuration] }, [], compiler), why);
  await wrong(
    of({ claimMappings: { username: { expression: 'claims.' } } }),
    /username\.expression: Invalid value: .*compilation failed: ERROR/,
  );
  await wrong(of({ claimMappings: { username: { expression: 'user.name' } } }), /undeclared reference to 'user'/);
  await wrong(
    of({ claimMappings: { username: { expression: 'claims.email' } } }),
    /claims\.email_verified must be used/,
  );
  await wrong(
    of({ claimValidationRules: [{ expression: '"x"' }] }),
    /claimValidationRules\[0\]\.expression: Invalid value: "\\"x\\"": must evaluate to bool/,
  );
  await wrong(of({ userValidationRules: [{ expression: 'user.nonsense == ""' }] }), /undefined field 'nonsense'/);
  await compileIssuers(
    {
      jwt: [
        of({
          claimMappings: {
            username: { expression: 'claims.?email_verified.orValue(false) ? claims.email : claims.sub' },
          },
        }),
      ],
    },
    [],
    compiler,
  );
});

test('a webhook is asked only where all its conditions hold', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'windlass-conditions-'));
  let asked = 0;
  const server = createServer((_request, response) => {
    asked++;
    response.end(
      JSON.stringify({ apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', status: { allowed: true } }),
    );
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  try {
    const kubeconfig = join(folder, 'webhook.yaml');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await writeFile(
      kubeconfig,
      `clusters: [{name: w, cluster: {server: "${url}"}}]\ncontexts: [{name: w, context: {cluster: w}}]\ncurrent-context: w\n`,
    );
    const file = join(folder, 'authorization.yaml');
    const configuration = (policy: string, conditions: string[]) => `apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Webhook
  name: first
  webhook:
    timeout: 3s
    subjectAccessReviewVersion: v1
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: ${policy}
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: ${kubeconfig}}
    matchConditions:
${conditions.map(each => `    - expression: ${JSON.stringify(each)}\n`).join('')}`;
    const said = async (policy: string, conditions: string[], attributes: Attributes) => {
      await writeFile(file, configuration(policy, conditions));
      const none: Authorizer = { name: 'none', authorize: () => ({ decision: 'noOpinion', reason: '' }) };
      await using authorizer = await authorizationFrom(
        { 'authorization-config': file },
        { node: none, rbac: none, expressions: compiler, clock: new ManualClock(), log: silentLog },
      );
      asked = 0;
      return await authorizer.authorize(attributes);
    };
    const listing: Attributes = {
      user: { name: 'ann', groups: ['dev'] },
      verb: 'list',
      resourceRequest: true,
      path: '',
      group: '',
      version: 'v1',
      resource: 'pods',
      subresource: '',
      namespace: 'ns',
      name: '',
      fieldSelector: 'spec.nodeName=n1',
    };
    const conditions = [
      'has(request.resourceAttributes)',
      "request.resourceAttributes.namespace == 'ns'",
      "'dev' in request.groups",
    ];
    assert.deepEqual(await said('Deny', conditions, listing), { decision: 'allow', reason: '' });
    assert.equal((await said('Deny', conditions, { ...listing, namespace: 'kube-system' })).decision, 'noOpinion');
    assert.equal(asked, 0);
    const selector =
      "request.resourceAttributes.?fieldSelector.requirements.orValue([]).exists(r, r.key == 'spec.nodeName' && r.values == ['n1'])";
    assert.deepEqual(await said('Deny', [selector], listing), { decision: 'allow', reason: '' });
    const { fieldSelector, ...broad } = listing;
    assert.equal((await said('Deny', [selector], broad)).decision, 'noOpinion');
    assert.ok(fieldSelector);
    // One that fails counts by the policy, unless another says that the webhook has nothing to do with it.
    const failing = "request.extra['a'][0] == 'x'";
    assert.equal((await said('Deny', [failing], listing)).decision, 'deny');
    const open = await said('NoOpinion', [failing], listing);
    assert.equal(open.decision, 'noOpinion');
    assert.match(open.error ?? '', /cel evaluation error: expression 'request\.extra/);
    assert.equal((await said('Deny', [failing, 'request.user == "bob"'], listing)).decision, 'noOpinion');
    await assert.rejects(
      readAuthorizationConfiguration(configuration('Deny', ['request.nonsense == 1']), compiler),
      /authorizers\[0\]\.matchConditions\[0\]\.expression: Invalid value: .*undefined field 'nonsense'/s,
    );
    await assert.rejects(
      readAuthorizationConfiguration(configuration('Deny', ['"x"']), compiler),
      /must evaluate to bool/,
    );
  } finally {
    server.closeAllConnections();
    server.close();
    await rm(folder, { recursive: true });
  }
});
