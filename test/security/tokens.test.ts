import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createHmac } from 'node:crypto';
import { eventually, openPlane, type Plane } from './plane.ts';

let world: Plane;
before(async () => {
  world = await openPlane();
});
after(async () => {
  await world[Symbol.asyncDispose]();
});

const accounts = '/api/v1/namespaces/default/serviceaccounts';

async function codeFor(token: string, path = '/api'): Promise<number> {
  return (await world.ask('GET', path, { authorization: `Bearer ${token}` })).code;
}

async function account(name: string): Promise<void> {
  await world.make(accounts, { metadata: { name } });
}

async function tokenFor(name: string, spec: object): Promise<string> {
  const { status } = await world.make(`${accounts}/${name}/token`, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec,
  });
  return status.token as string;
}

const root = { name: 'root', groups: ['system:masters'] };

test('a token dies with the pod, the Secret, the node and the account it is bound to', async () => {
  await account('robot');
  const bindings = [
    {
      kind: 'Pod',
      path: '/api/v1/namespaces/default/pods',
      object: {
        metadata: { name: 'web' },
        spec: { serviceAccountName: 'robot', containers: [{ name: 'c', image: 'i' }] },
      },
    },
    { kind: 'Secret', path: '/api/v1/namespaces/default/secrets', object: { metadata: { name: 'web' } } },
    { kind: 'Node', path: '/api/v1/nodes', object: { metadata: { name: 'web' } } },
  ];
  for (const { kind, path, object } of bindings) {
    await world.make(path, object);
    const token = await tokenFor('robot', { boundObjectRef: { apiVersion: 'v1', kind, name: 'web' } });
    await eventually(async () => (await codeFor(token)) === 200);
    await world.askAs(root, 'DELETE', `${path}/web?gracePeriodSeconds=0`);
    await eventually(async () => (await codeFor(token)) === 401);
    // Another object of the same name is another object.
    await world.make(path, object);
    await eventually(async () => (await world.askAs(root, 'GET', `${path}/web`)).code === 200);
    assert.equal(await codeFor(token), 401, kind);
  }
  const token = await tokenFor('robot', {});
  assert.equal(await codeFor(token), 200);
  await world.askAs(root, 'DELETE', `${accounts}/robot`);
  await eventually(async () => (await codeFor(token)) === 401);
  await account('robot');
  await eventually(async () => (await world.askAs(root, 'GET', `${accounts}/robot`)).code === 200);
  assert.equal(await codeFor(token), 401, 'the account of the same name is another one');
});

test('a token is for its audiences and its time', async () => {
  await account('timed');
  const vault = await tokenFor('timed', { audiences: ['vault'] });
  assert.equal(await codeFor(vault), 401);
  const review = async (token: string, audiences: string[]) =>
    (
      await world.make('/apis/authentication.k8s.io/v1/tokenreviews', {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token, audiences },
      })
    ).status as { authenticated?: boolean; audiences?: string[]; user: { username?: string }; error?: string };
  const said = await review(vault, ['vault', 'other']);
  assert.deepEqual(
    [said.authenticated, said.audiences, said.user.username],
    [true, ['vault'], 'system:serviceaccount:default:timed'],
  );
  assert.equal((await review(vault, ['other'])).authenticated, undefined);
  assert.match((await review(vault, [])).error ?? '', /is invalid for the target audiences/);
  const short = await tokenFor('timed', { expirationSeconds: 600 });
  assert.equal(await codeFor(short), 200);
  await world.clock.advance(599_000);
  assert.equal(await codeFor(short), 200);
  await world.clock.advance(1_000);
  assert.equal(await codeFor(short), 401);
});

test('forged tokens are nobody, and nobody with a token becomes anonymous', async () => {
  await account('real');
  const token = await tokenFor('real', {});
  const [head = '', body = '', signature = ''] = token.split('.');
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as Record<string, unknown>;
  const { keys } = (await world.ask('GET', '/openid/v1/jwks', { authorization: `Bearer ${token}` })).body ?? {
    keys: [],
  };
  const header = JSON.parse(Buffer.from(head, 'base64url').toString()) as { kid: string };
  const hs = (secret: string, kid = header.kid) => {
    const text = `${encode({ alg: 'HS256', kid })}.${body}`;
    return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
  };
  const forged = [
    `${encode({ alg: 'none' })}.${body}.`,
    `${encode({ alg: 'None', kid: header.kid })}.${body}.`,
    `${encode({ alg: 'none', kid: header.kid })}.${body}.${signature}`,
    `${head}.${body}.`,
    `${head}.${body}`,
    `${head}.${encode({ ...claims, sub: 'system:serviceaccount:kube-system:default' })}.${signature}`,
    `${encode({ alg: 'RS256', kid: header.kid })}.${body}.${signature}`,
    `${encode({ alg: 'ES256', kid: header.kid, jwk: keys?.[0] })}.${encode({ ...claims, exp: 9e9 })}.${signature}`,
    hs(JSON.stringify(keys?.[0] ?? {})),
    hs(''),
    `${head}.${body}.${signature}x`,
    `${token}.${token}`,
    'x'.repeat(100_000),
    '..',
    'null',
    '\u0000',
  ];
  // Anonymous would be let in here.
  for (const each of forged) assert.equal(await codeFor(each, '/healthz'), 401, each.slice(0, 60));
  assert.equal(await codeFor(token, '/healthz'), 200);
  assert.equal((await world.ask('GET', '/healthz')).code, 200);
  assert.equal((await world.ask('GET', '/api/v1/namespaces')).code, 403);
});

test('a bootstrap token does one thing until it expires', async () => {
  const encoded = (text: string) => Buffer.from(text).toString('base64');
  const expires = new Date(world.clock.now() + 60_000).toISOString();
  await world.make('/api/v1/namespaces/kube-system/secrets', {
    metadata: { name: 'bootstrap-token-abcdef' },
    type: 'bootstrap.kubernetes.io/token',
    data: {
      'token-id': encoded('abcdef'),
      'token-secret': encoded('0123456789abcdef'),
      'usage-bootstrap-authentication': encoded('true'),
      expiration: encoded(expires),
    },
  });
  const token = 'abcdef.0123456789abcdef';
  assert.equal(await codeFor(token), 200);
  for (const path of ['/api/v1/secrets', '/api/v1/nodes', '/api/v1/namespaces/kube-system/configmaps'])
    assert.equal(await codeFor(token, path), 403, path);
  assert.equal(await codeFor('abcdef.0123456789abcdee'), 401);
  await world.clock.advance(60_000);
  assert.equal(await codeFor(token), 401);
});
