import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import { request } from 'node:https';
import { after, before, test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { authenticateWith } from '#auth/authentication/authenticate.ts';
import { clientCertificateAuthenticator } from '#auth/authentication/client-certificate.ts';
import { requestHeaderAuthenticator, usualRequestHeaders } from '#auth/authentication/request-header.ts';
import type { CertifiedKey } from '#auth/certificates/certificate.ts';
import { issue, issueAuthority } from '#auth/certificates/issue.ts';
import { reviewHandlers } from '../reviews/reviews.ts';
import { alwaysAllow } from '#auth/authorization/always-allow.ts';
import { openTestServer, type TestServer } from '../test-server.ts';
import type { Listener } from './listen.ts';

const issuing = { clock: systemClock, random: systemRandom };
const validForMs = 86_400_000;

let server: TestServer;
let listener: Listener;
let ca: CertifiedKey;
let clients: Record<'admin' | 'proxy' | 'posing' | 'stray' | 'unknown', CertifiedKey>;

before(async () => {
  ca = await issueAuthority({ commonName: 'same-name', validForMs }, issuing);
  // Even with the same name the two authorities are told apart, by their keys.
  const proxyCa = await issueAuthority({ commonName: 'same-name', validForMs }, issuing);
  const of = (by: CertifiedKey, commonName: string, organizations: string[] = []) =>
    issue(by, { commonName, organizations, usages: ['client'], validForMs }, issuing);
  clients = {
    admin: await of(ca, 'kubernetes-admin', ['system:masters']),
    proxy: await of(proxyCa, 'front-proxy-client'),
    // A client that calls itself the proxy, and a proxy's certificate with a client's name.
    posing: await of(ca, 'front-proxy-client'),
    stray: await of(proxyCa, 'kubernetes-admin', ['system:masters']),
    unknown: await of(await issueAuthority({ commonName: 'same-name', validForMs }, issuing), 'front-proxy-client'),
  };
  server = await openTestServer({
    authenticate: authenticateWith(
      [requestHeaderAuthenticator(usualRequestHeaders, ['front-proxy-client']), clientCertificateAuthenticator],
      { anonymous: { paths: ['/healthz'] } },
    ),
    handlers: reviewHandlers({
      authorizer: alwaysAllow,
      tokens: { authenticate: () => undefined },
      audiences: [],
      objects: {
        serviceAccount: () => undefined,
        pod: () => undefined,
        secret: () => undefined,
        node: () => undefined,
      },
      clock: systemClock,
      issue: () => Promise.reject(new Error('no tokens here')),
    }),
  });
  const serving = await issue(
    ca,
    { commonName: 'kube-apiserver', ips: ['127.0.0.1'], usages: ['server'], validForMs },
    issuing,
  );
  listener = await server.server.listen({
    host: '127.0.0.1',
    port: 0,
    tls: { ...serving, clientCaPem: ca.certPem, proxyCaPem: proxyCa.certPem },
  });
});

after(async () => {
  await server[Symbol.asyncDispose]();
});

interface Who {
  readonly code: number;
  readonly user?: { readonly username: string; readonly groups: string[]; readonly extra?: Record<string, string[]> };
}

function whoAmI(as: CertifiedKey | undefined, headers: Record<string, string | string[]>): Promise<Who> {
  const body = JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' });
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port: listener.port,
        ca: ca.certPem,
        ...(as && { cert: as.certPem, key: as.keyPem }),
        agent: false,
        method: 'POST',
        path: '/apis/authentication.k8s.io/v1/selfsubjectreviews',
        headers: { 'content-type': 'application/json', ...headers },
      },
      response => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const answer = JSON.parse(Buffer.concat(chunks).toString()) as { status: { userInfo?: Who['user'] } };
          const user = answer.status?.userInfo;
          resolve({ code: response.statusCode ?? 0, ...(user && { user }) });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

test('a front proxy says who the user is, each group by itself', async () => {
  const { code, user } = await whoAmI(clients.proxy, {
    'X-Remote-User': 'ann',
    'X-Remote-Group': ['dev', 'a, b'],
    'X-Remote-Extra-Acme.io%2Fscopes': ['x', 'y'],
  });
  assert.equal(code, 201);
  assert.equal(user?.username, 'ann');
  assert.deepEqual(user?.groups, ['dev', 'a, b', 'system:authenticated']);
  assert.deepEqual({ ...user?.extra }, { 'acme.io/scopes': ['x', 'y'] });
});

test('its headers are worth nothing from anybody else', async () => {
  const headers = { 'X-Remote-User': 'ann', 'X-Remote-Group': 'system:masters' };
  assert.equal((await whoAmI(clients.admin, headers)).user?.username, 'kubernetes-admin');
  assert.equal((await whoAmI(clients.posing, headers)).user?.username, 'front-proxy-client');
  for (const other of [clients.stray, clients.unknown, undefined])
    assert.equal((await whoAmI(other, headers)).code, 401);
  // The proxy itself, without a user, is nobody; and its authority makes no clients.
  assert.equal((await whoAmI(clients.proxy, {})).code, 401);
  assert.equal((await whoAmI(clients.stray, {})).code, 401);
});

test('repeated impersonation headers are told apart over HTTP/1.1 and HTTP/2', async () => {
  const headers = { 'Impersonate-User': 'ann', 'Impersonate-Group': ['dev', 'a, b'] };
  assert.deepEqual((await whoAmI(clients.admin, headers)).user?.groups, ['dev', 'a, b', 'system:authenticated']);
  const session = connectHttp2(`https://127.0.0.1:${listener.port}`, {
    ca: ca.certPem,
    cert: clients.admin.certPem,
    key: clients.admin.keyPem,
  });
  try {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/apis/authentication.k8s.io/v1/selfsubjectreviews',
      'content-type': 'application/json',
      'impersonate-user': 'ann',
      'impersonate-group': ['dev', 'a, b'],
    });
    stream.end(JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' }));
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    const answer = JSON.parse(Buffer.concat(chunks).toString()) as { status: { userInfo: Who['user'] } };
    assert.deepEqual(answer.status.userInfo?.groups, ['dev', 'a, b', 'system:authenticated']);
  } finally {
    session.close();
  }
});

test('anonymous requests are let in on the listed paths alone', async () => {
  assert.equal((await server.server.handle(get('/healthz'))).code, 200);
  for (const path of ['/healthz/', '/livez', '/api/v1/namespaces'])
    assert.equal((await server.server.handle(get(path))).code, 401, path);
});

function get(path: string): Parameters<TestServer['server']['handle']>[0] {
  return {
    method: 'GET',
    path,
    query: new URLSearchParams(),
    headers: {},
    body: () => Promise.resolve({ kind: 'bytes', bytes: new Uint8Array(), contentType: '' }),
    signal: new AbortController().signal,
  };
}
