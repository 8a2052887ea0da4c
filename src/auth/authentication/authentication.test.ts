import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync } from 'node:crypto';
import type { PeerCertificate } from 'node:tls';
import { test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { seededRandom } from '#base/random.ts';
import { ApiError } from '#api/machinery/errors.ts';
import type { ApiObject } from '#api/machinery/kind.ts';
import { authenticateWith } from './authenticate.ts';
import { anyToken, bearerAuthenticator } from './bearer.ts';
import { bootstrapTokenAuthenticator } from './bootstrap-token.ts';
import { clientCertificateAuthenticator } from './client-certificate.ts';
import {
  legacyTokenIssuer,
  serviceAccountTokenAuthenticator,
  tokenIssuer,
  type BoundObjects,
} from './service-account-token.ts';
import { keySet, signingKey, verificationKey } from './signing-keys.ts';
import { tokenFileAuthenticator } from './token-file.ts';

const issuer = 'https://kubernetes.default.svc.cluster.local';

function keyPem(): string {
  return generateKeyPairSync('ec', {
    namedCurve: 'prime256v1',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }).privateKey;
}

function cluster() {
  const clock = new ManualClock();
  const key = signingKey(keyPem());
  const objects = new Map<string, ApiObject>();
  const find = (kind: string) => (namespace: string, name?: string) =>
    objects.get(`${kind}/${namespace}/${name ?? ''}`);
  const bound: BoundObjects = {
    serviceAccount: find('sa'),
    pod: find('pod'),
    secret: find('secret'),
    node: find('node'),
  };
  const put = (key: string, uid: string, more: object = {}) =>
    objects.set(key, { metadata: { name: key.split('/')[2] ?? '', uid, ...more } });
  put('sa/ns/robot', 'sa-1');
  put('pod/ns/web-0', 'pod-1');
  const tokens = serviceAccountTokenAuthenticator({ issuers: [issuer], keys: [key], objects: bound, clock });
  const issue = tokenIssuer({ issuer, key, clock, random: seededRandom(1) });
  const robot = { namespace: 'ns', serviceaccount: { name: 'robot', uid: 'sa-1' } };
  return { clock, key, objects, put, tokens, issue, robot };
}

function rejected(run: () => unknown): Promise<void> {
  return assert.rejects(
    async () => run(),
    (error: unknown) => error instanceof ApiError && error.code === 401 && error.message === 'Unauthorized',
  );
}

test('a service account token names its account, pod and node', async () => {
  const { tokens, issue, robot } = cluster();
  const binding = { ...robot, pod: { name: 'web-0', uid: 'pod-1' }, node: { name: 'n1', uid: 'node-1' } };
  const { token, id } = await issue({
    binding,
    audiences: [issuer, 'vault'],
    validForSeconds: 600,
    warnAfterSeconds: 300,
  });
  const holder = await tokens.authenticate(token, [issuer]);
  assert.deepEqual(holder, {
    user: {
      name: 'system:serviceaccount:ns:robot',
      uid: 'sa-1',
      groups: ['system:serviceaccounts', 'system:serviceaccounts:ns', 'system:authenticated'],
      extra: {
        'authentication.kubernetes.io/credential-id': [`JTI=${id}`],
        'authentication.kubernetes.io/node-name': ['n1'],
        'authentication.kubernetes.io/node-uid': ['node-1'],
        'authentication.kubernetes.io/pod-name': ['web-0'],
        'authentication.kubernetes.io/pod-uid': ['pod-1'],
      },
    },
    audiences: [issuer],
  });
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;
  assert.deepEqual(Object.keys(claims).sort(), ['aud', 'exp', 'iat', 'iss', 'jti', 'kubernetes.io', 'nbf', 'sub']);
  assert.equal((claims['kubernetes.io'] as { warnafter: number }).warnafter, (claims['iat'] as number) + 300);
});

test('a token dies of age, of a wrong audience, and with what it is bound to', async () => {
  const { tokens, issue, robot, put, objects, clock } = cluster();
  const binding = { ...robot, pod: { name: 'web-0', uid: 'pod-1' } };
  const { token } = await issue({ binding, audiences: [issuer], validForSeconds: 600 });
  await assert.rejects(async () => tokens.authenticate(token, ['other']), /is invalid for the target audiences/);
  assert.ok(await tokens.authenticate(token, [issuer]));
  put('pod/ns/web-0', 'pod-2');
  await assert.rejects(async () => tokens.authenticate(token, [issuer]), /its pod is another one/);
  objects.delete('pod/ns/web-0');
  await assert.rejects(async () => tokens.authenticate(token, [issuer]), /its pod is gone/);
  put('pod/ns/web-0', 'pod-1', { deletionTimestamp: new Date(clock.now()).toISOString() });
  assert.ok(await tokens.authenticate(token, [issuer]), 'a pod that is stopping may finish');
  await clock.advance(61_000);
  await assert.rejects(async () => tokens.authenticate(token, [issuer]), /its pod has been deleted/);
  put('pod/ns/web-0', 'pod-1');
  objects.delete('sa/ns/robot');
  await assert.rejects(async () => tokens.authenticate(token, [issuer]), /its service account is gone/);
  put('sa/ns/robot', 'sa-1');
  assert.ok(await tokens.authenticate(token, [issuer]));
  await clock.advance(600_000);
  await assert.rejects(async () => tokens.authenticate(token, [issuer]), /expired/);
});

test('a token that was not signed by us is refused, however it is made', async () => {
  const { tokens, issue, robot, key, clock } = cluster();
  const authenticate = authenticateWith([bearerAuthenticator(tokens, [issuer])], { anonymous: true });
  const withToken = (token: string) => authenticate({ headers: { authorization: `Bearer ${token}` } });
  const { token } = await issue({ binding: robot, audiences: [issuer], validForSeconds: 600 });
  assert.equal((await withToken(token)).name, 'system:serviceaccount:ns:robot');
  const [, body = '', signature = ''] = token.split('.');
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const forged = tokenIssuer({ issuer, key: signingKey(keyPem()), clock, random: seededRandom(2) });
  const other = await forged({ binding: robot, audiences: [issuer], validForSeconds: 600 });
  // The public key taken for a shared secret.
  const confused = `${encode({ alg: 'HS256', kid: key.id })}.${body}`;
  const publicPem = key.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as object;
  for (const bad of [
    `${encode({ alg: 'none' })}.${body}.`,
    `${encode({ alg: 'none', kid: key.id })}.${body}.${signature}`,
    `${confused}.${createHmac('sha256', publicPem).update(confused).digest('base64url')}`,
    other.token,
    `${token.split('.')[0]}.${encode({ ...claims, sub: 'system:serviceaccount:kube-system:admin' })}.${signature}`,
    `${token}x`,
    'nonsense',
    'a.b.c',
  ])
    await rejected(() => withToken(bad));
  assert.equal(await tokens.authenticate('abcdef.0123456789abcdef', [issuer]), undefined);
});

test('keys are rotated: old ones verify while they are listed', async () => {
  const { issue, robot, key, clock } = cluster();
  const { token } = await issue({ binding: robot, audiences: [issuer], validForSeconds: 600 });
  const objects: BoundObjects = {
    serviceAccount: () => ({ metadata: { name: 'robot', uid: 'sa-1' } }),
    pod: () => undefined,
    secret: () => undefined,
    node: () => undefined,
  };
  const next = signingKey(keyPem());
  const old = verificationKey(key.publicKey.export({ type: 'spki', format: 'pem' }).toString());
  const both = serviceAccountTokenAuthenticator({ issuers: [issuer], keys: [next, old], objects, clock });
  assert.ok(await both.authenticate(token, [issuer]));
  const after = serviceAccountTokenAuthenticator({ issuers: [issuer], keys: [next], objects, clock });
  await assert.rejects(async () => after.authenticate(token, [issuer]), /unknown key/);
  const published = keySet([next, old]).keys;
  assert.deepEqual(
    published.map(each => [each['kid'], each['alg'], each['kty'], 'd' in each]),
    [
      [next.id, 'ES256', 'EC', false],
      [old.id, 'ES256', 'EC', false],
    ],
  );
});

test('a client certificate is its subject; one without a name or for servers is nobody', async () => {
  const authenticate = authenticateWith([clientCertificateAuthenticator], { anonymous: true });
  const certificate = (subject: object, usages = ['1.3.6.1.5.5.7.3.2']) =>
    ({ subject, ext_key_usage: usages, fingerprint256: 'AB:CD' }) as unknown as PeerCertificate;
  const who = (clientCertificate: PeerCertificate) => authenticate({ headers: {}, clientCertificate });
  assert.deepEqual(await who(certificate({ CN: 'ann', O: ['dev', 'ops'] })), {
    name: 'ann',
    groups: ['dev', 'ops', 'system:authenticated'],
    extra: { 'authentication.kubernetes.io/credential-id': ['X509SHA256=abcd'] },
  });
  await rejected(() => who(certificate({ O: 'system:masters' })));
  await rejected(() => who(certificate({ CN: '', O: 'system:masters' })));
  await rejected(() => who(certificate({ CN: 'system:node:a', O: 'system:nodes' }, ['1.3.6.1.5.5.7.3.1'])));
  assert.equal((await authenticate({ headers: {} })).name, 'system:anonymous');
  await rejected(() => authenticateWith([clientCertificateAuthenticator], { anonymous: false })({ headers: {} }));
});

test('tokens from a file and from bootstrap secrets', async () => {
  const clock = new ManualClock();
  const encode = (value: string) => Buffer.from(value).toString('base64');
  const data: Record<string, string> = {
    'token-id': encode('abcdef'),
    'token-secret': encode('0123456789abcdef'),
    'usage-bootstrap-authentication': encode('true'),
    'auth-extra-groups': encode('system:bootstrappers:kubeadm:default-node-token'),
    expiration: encode(new Date(clock.now() + 60_000).toISOString()),
  };
  const secret = { metadata: { name: 'bootstrap-token-abcdef' }, type: 'bootstrap.kubernetes.io/token', data };
  const tokens = anyToken([
    tokenFileAuthenticator('s3cret,ann,42,"dev,ops"\n\nplain,bob,7\n'),
    bootstrapTokenAuthenticator(name => (name === secret.metadata.name ? secret : undefined), clock),
  ]);
  const authenticate = authenticateWith([bearerAuthenticator(tokens, [])], { anonymous: true });
  const who = (token: string) => authenticate({ headers: { authorization: `bearer ${token}` } });
  assert.deepEqual(await who('s3cret'), { name: 'ann', uid: '42', groups: ['dev', 'ops', 'system:authenticated'] });
  assert.deepEqual((await who('plain')).groups, ['system:authenticated']);
  assert.deepEqual(await who('abcdef.0123456789abcdef'), {
    name: 'system:bootstrap:abcdef',
    groups: ['system:bootstrappers', 'system:bootstrappers:kubeadm:default-node-token', 'system:authenticated'],
  });
  await rejected(() => who('abcdef.0123456789abcdee'));
  await rejected(() => who('unknown'));
  const viaWebSocket = `base64url.bearer.authorization.k8s.io.${Buffer.from('s3cret').toString('base64url')}`;
  const headers = { 'sec-websocket-protocol': `v5.channel.k8s.io, ${viaWebSocket}` };
  assert.equal((await authenticate({ headers })).name, 'ann');
  data['auth-extra-groups'] = encode('system:masters');
  await rejected(() => who('abcdef.0123456789abcdef'));
  data['auth-extra-groups'] = encode('');
  assert.ok(await who('abcdef.0123456789abcdef'));
  await clock.advance(61_000);
  await rejected(() => who('abcdef.0123456789abcdef'));
  assert.throws(() => tokenFileAuthenticator('only-a-token'), /line 1/);
});

test('a token that lives on beyond its time says so in the audit log, one that its account names warns its holder', async () => {
  const { tokens, issue, robot, clock } = cluster();
  const { token } = await issue({
    binding: robot,
    audiences: [issuer],
    validForSeconds: 7_200,
    warnAfterSeconds: 3_600,
  });
  const noted: string[] = [];
  const notes = {
    annotate: (key: string, value: string) => noted.push(`${key}=${value}`),
    warn: (message: string) => noted.push(message),
  };
  const authenticate = authenticateWith([bearerAuthenticator(tokens, [issuer])], { anonymous: false });
  const use = (text: string) => authenticate({ headers: { authorization: `Bearer ${text}` }, notes });
  await use(token);
  assert.deepEqual(noted, []);
  await clock.advance(3_605_000);
  await use(token);
  assert.deepEqual(noted, [
    'authentication.k8s.io/stale-token=subject: system:serviceaccount:ns:robot, seconds after warning threshold: 5',
  ]);
  const key = signingKey(keyPem());
  const legacy = await legacyTokenIssuer(key)({ namespace: 'ns', name: 'robot', uid: 'sa-1' }, 'robot-token');
  const objects: BoundObjects = {
    serviceAccount: () =>
      ({ metadata: { name: 'robot', uid: 'sa-1' }, secrets: [{ name: 'robot-token' }] }) as ApiObject,
    secret: () => ({ metadata: {}, data: { token: Buffer.from(legacy).toString('base64') } }) as ApiObject,
    pod: () => undefined,
    node: () => undefined,
  };
  const old = serviceAccountTokenAuthenticator({ issuers: [issuer], keys: [key], objects, clock });
  noted.length = 0;
  await authenticateWith([bearerAuthenticator(old, [issuer])], { anonymous: false })({
    headers: { authorization: `Bearer ${legacy}` },
    notes,
  });
  assert.match(noted.join('\n'), /legacy-token-autogenerated-secret=robot-token\nUse tokens from the TokenRequest API/);
});
