import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openTestIssuer } from '#auth/authentication/test-issuer.ts';
import { argumentsOf } from '#cluster/flags/components.ts';
import { admin, eventually, openPlane } from './plane.ts';

const apiServer = (...words: string[]) => ({
  apiServerArguments: argumentsOf('kube-apiserver', { 'kube-apiserver': words }),
});

test('what the flags of the API server say holds for every request', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'windlass-flags-'));
  try {
    const tokens = join(folder, 'tokens.csv');
    await writeFile(tokens, 'ann-token,ann,1,"dev"\nroot-token,root,2,"system:masters"\n');
    await using world = await openPlane(
      apiServer(`token-auth-file=${tokens}`, '--anonymous-auth=false', 'authorization-mode=AlwaysDeny'),
    );
    const code = async (path: string, token?: string) =>
      (await world.ask('GET', path, token === undefined ? {} : { authorization: `Bearer ${token}` })).code;
    assert.equal(await code('/healthz'), 401);
    assert.equal(await code('/healthz', 'ann-token'), 403);
    assert.equal(await code('/api/v1/namespaces', 'root-token'), 200);
    assert.equal(await code('/api/v1/namespaces', 'nobody'), 401);
    const { text } = await world.askAs(admin, 'GET', '/metrics');
    assert.match(text, /^authentication_attempts\{result="success"\} 2$/m);
    assert.match(text, /^authentication_attempts\{result="failure"\} 2$/m);
    assert.match(text, /^authenticated_user_requests\{username="other"\} 2$/m);
    assert.match(text, /^authorization_attempts_total\{result="no-opinion"\} 1$/m);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('an OpenID user is bound like any other, with claims by expressions', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'windlass-flags-'));
  try {
    await using provider = await openTestIssuer({ now: () => Date.UTC(2026, 0, 1) });
    const file = join(folder, 'authentication.yaml');
    await writeFile(
      file,
      `apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer:
    url: ${provider.url}
    audiences: [cluster]
    certificateAuthority: |
${provider.caPem.replace(/^/gm, '      ')}
  claimMappings:
    username: {expression: '"oidc:" + claims.sub'}
    groups: {expression: 'claims.roles.map(r, "oidc:" + r)'}
  userValidationRules:
  - {expression: "!user.username.startsWith('system:')", message: reserved}
anonymous: {enabled: true, conditions: [{path: /livez}]}
`,
    );
    await using world = await openPlane(apiServer(`authentication-config=${file}`));
    await world.make('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
      metadata: { name: 'devs' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
      subjects: [{ kind: 'Group', name: 'oidc:dev', apiGroup: 'rbac.authorization.k8s.io' }],
    });
    const token = await provider.sign({ sub: 'ann', aud: 'cluster', roles: ['dev'] });
    const get = (path: string, bearer = token) => world.ask('GET', path, { authorization: `Bearer ${bearer}` });
    await eventually(async () => (await get('/api/v1/namespaces/default/pods')).code === 200);
    assert.equal((await get('/api/v1/namespaces/default/secrets')).code, 403);
    const other = await provider.sign({ sub: 'bob', aud: 'cluster', roles: [] });
    assert.equal((await get('/api/v1/namespaces/default/pods', other)).code, 403);
    const wrong = await provider.sign({ sub: 'ann', aud: 'other', roles: ['dev'] });
    assert.equal((await get('/api/v1/namespaces/default/pods', wrong)).code, 401);
    assert.equal((await world.ask('GET', '/livez')).code, 200);
    assert.equal((await world.ask('GET', '/readyz')).code, 401);
    const review = await world.askAs(admin, 'POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token } });
    assert.deepEqual(review.body.status.user.groups, ['oidc:dev', 'system:authenticated']);
    const self = await world.ask(
      'POST',
      '/apis/authentication.k8s.io/v1/selfsubjectreviews',
      { authorization: `Bearer ${token}` },
      { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
    );
    assert.equal(self.body.status.userInfo.username, 'oidc:ann');
  } finally {
    await rm(folder, { recursive: true });
  }
});
