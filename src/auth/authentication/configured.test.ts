import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { seededRandom } from '#base/random.ts';
import type { Secret } from '#api/core/v1/secret.ts';
import type { ApiObject } from '#api/machinery/kind.ts';
import { newKeyPem, publicKeyPemOf } from '../certificates/certificate.ts';
import { authenticationFrom, type Authentication, type AuthenticationArguments } from './configured.ts';
import { openTestIssuer } from './test-issuer.ts';

const issuer = 'https://kubernetes.default.svc.cluster.local';

async function withFiles(
  flags: (folder: string) => AuthenticationArguments | Promise<AuthenticationArguments>,
  run: (
    authentication: Authentication,
    world: { clock: ManualClock; objects: Map<string, ApiObject>; used: Secret[]; folder: string; ownKeyPem: string },
  ) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'windlass-authentication-'));
  const clock = new ManualClock();
  const objects = new Map<string, ApiObject>();
  const find = (kind: string) => (namespace: string, name?: string) =>
    objects.get(`${kind}/${namespace}/${name ?? ''}`);
  const used: Secret[] = [];
  const ownKeyPem = newKeyPem();
  try {
    await using authentication = await authenticationFrom(await flags(folder), {
      caCertPem: '',
      proxyCaPem: undefined,
      serviceAccountKeyPem: ownKeyPem,
      issuer,
      objects: { serviceAccount: find('sa'), pod: find('pod'), secret: find('secret'), node: find('node') },
      bootstrapSecret: () => undefined,
      usedLegacy: secret => used.push(secret),
      expressions: () => Promise.reject(new Error('no expressions here')),
      clock,
      random: seededRandom(1),
      log: silentLog,
    });
    await run(authentication, { clock, objects, used, folder, ownKeyPem });
  } finally {
    await rm(folder, { recursive: true });
  }
}

const bearer = (token: string, path = '/api') => ({ headers: { authorization: `Bearer ${token}` }, path });

test('tokens from a file are for the API server alone', async () => {
  await withFiles(
    async folder => {
      await writeFile(join(folder, 'tokens'), 'secret,ann,1,"dev,ops"\n');
      return { 'token-auth-file': join(folder, 'tokens'), 'anonymous-auth': false };
    },
    async ({ authenticate, tokens }) => {
      assert.deepEqual(await authenticate(bearer('secret')), {
        name: 'ann',
        uid: '1',
        groups: ['dev', 'ops', 'system:authenticated'],
      });
      assert.equal(await tokens.authenticate('secret', ['vault']), undefined);
      await assert.rejects(authenticate({ headers: {}, path: '/healthz' }), { message: 'Unauthorized' });
    },
  );
});

test('a token that lives in a Secret dies with it, and its use is told', async () => {
  await withFiles(
    () => ({}),
    async ({ tokens, issueLegacy, audiences }, { objects, used }) => {
      const token = await issueLegacy({ namespace: 'ns', name: 'robot', uid: 'sa-1' }, 'robot-token');
      const account = (uid: string) => objects.set('sa/ns/robot', { metadata: { name: 'robot', uid } });
      const secret = (kept: string, labels = {}) =>
        objects.set('secret/ns/robot-token', {
          metadata: { name: 'robot-token', namespace: 'ns', labels },
          data: { token: Buffer.from(kept).toString('base64') },
        } as ApiObject);
      const rejects = (why: RegExp) => assert.rejects(async () => tokens.authenticate(token, audiences), why);
      account('sa-1');
      await rejects(/Token has been invalidated/);
      secret('another');
      await rejects(/Token does not match server's copy/);
      secret(token);
      const holder = await tokens.authenticate(token, audiences);
      assert.equal(holder?.user.name, 'system:serviceaccount:ns:robot');
      assert.deepEqual(holder?.audiences, [issuer]);
      assert.deepEqual(holder?.annotations, {
        'authentication.k8s.io/legacy-token': 'system:serviceaccount:ns:robot',
        'authentication.k8s.io/legacy-token-manual-secret': 'robot-token',
      });
      assert.equal(used.length, 1);
      await assert.rejects(async () => tokens.authenticate(token, ['vault']), /invalid for the target audiences/);
      secret(token, { 'kubernetes.io/legacy-token-invalid-since': '2026-01-01' });
      await rejects(/has been marked invalid/);
      secret(token);
      account('sa-2');
      await rejects(/does not match claim/);
      objects.delete('sa/ns/robot');
      await rejects(/serviceaccounts "robot" not found/);
    },
  );
});

test('keys and issuers are rotated: the first signs, all verify', async () => {
  const older = newKeyPem();
  const newer = newKeyPem();
  await withFiles(
    async folder => {
      await writeFile(join(folder, 'newer.key'), newer);
      await writeFile(join(folder, 'both.pub'), publicKeyPemOf(older) + publicKeyPemOf(newer));
      return {
        'service-account-signing-key-file': join(folder, 'newer.key'),
        'service-account-key-file': [join(folder, 'both.pub')],
        'service-account-issuer': ['https://new.example', 'https://old.example'],
      };
    },
    async ({ tokens, issue, issuer: first, audiences, keys }, { objects, clock }) => {
      objects.set('sa/ns/robot', { metadata: { name: 'robot', uid: 'sa-1' } });
      assert.equal(first, 'https://new.example');
      assert.deepEqual(audiences, ['https://new.example', 'https://old.example']);
      assert.equal(keys.length, 2);
      const binding = { namespace: 'ns', serviceaccount: { name: 'robot', uid: 'sa-1' } };
      const request = { binding, audiences, validForSeconds: 600 };
      assert.ok(await tokens.authenticate((await issue(request)).token, audiences));
      const { tokenIssuer } = await import('./service-account-token.ts');
      const { signingKey } = await import('./signing-keys.ts');
      const random = seededRandom(2);
      const old = tokenIssuer({ issuer: 'https://old.example', key: signingKey(older), clock, random });
      assert.ok(await tokens.authenticate((await old(request)).token, audiences));
      const gone = tokenIssuer({ issuer: 'https://old.example', key: signingKey(newKeyPem()), clock, random });
      await assert.rejects(async () => tokens.authenticate((await gone(request)).token, audiences), /unknown key/);
    },
  );
});

test('issuers and anonymous paths come from a file, which may change', async () => {
  await using provider = await openTestIssuer({ now: () => Date.UTC(2026, 0, 1) });
  const file = (folder: string) => join(folder, 'authentication.yaml');
  const configuration = (prefix: string, paths: string) => `apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer:
    url: ${provider.url}
    audiences: [cluster]
    certificateAuthority: |
${provider.caPem.replace(/^/gm, '      ')}
  claimMappings:
    username: {claim: sub, prefix: "${prefix}"}
anonymous: {enabled: true, conditions: [${paths}]}
`;
  await withFiles(
    async folder => {
      await writeFile(file(folder), configuration('one:', '{path: /livez}'));
      return { 'authentication-config': file(folder) };
    },
    async ({ authenticate }, { clock, folder }) => {
      const token = await provider.sign({ sub: 'ann', aud: 'cluster' });
      const named = async () => {
        try {
          return (await authenticate(bearer(token))).name;
        } catch {
          return undefined;
        }
      };
      const until = async (name: string) => {
        while ((await named()) !== name) await new Promise(resolve => setImmediate(resolve));
      };
      await until('one:ann');
      assert.equal((await authenticate({ headers: {}, path: '/livez' })).name, 'system:anonymous');
      await assert.rejects(authenticate({ headers: {}, path: '/api' }), { message: 'Unauthorized' });
      // What is broken is not taken over.
      await writeFile(file(folder), 'kind: Nonsense');
      await clock.advance(10_000);
      assert.equal(await named(), 'one:ann');
      await writeFile(file(folder), configuration('two:', '{path: /healthz}'));
      await clock.advance(10_000);
      await until('two:ann');
      assert.equal((await authenticate({ headers: {}, path: '/healthz' })).name, 'system:anonymous');
      await assert.rejects(authenticate({ headers: {}, path: '/livez' }), { message: 'Unauthorized' });
    },
  );
});

test('flags that exclude each other are refused', async () => {
  const refused = (flags: AuthenticationArguments, why: RegExp) =>
    assert.rejects(
      withFiles(
        () => flags,
        async () => {},
      ),
      why,
    );
  await refused({ 'oidc-issuer-url': 'https://i' }, /must be specified together/);
  await refused(
    { 'oidc-issuer-url': 'https://i', 'oidc-client-id': 'c', 'oidc-signing-algs': ['HS256'] },
    /unsupported signing alg: "HS256"/,
  );
  await refused({ 'oidc-issuer-url': issuer, 'oidc-client-id': 'c' }, /must not overlap with disallowed issuers/);
  await refused({ 'service-account-max-token-expiration': 60_000 }, /between 1 hour and 2\^32 seconds/);
});

test('a webhook is asked whose a token is, and its answers are remembered', async () => {
  const asked: {
    readonly apiVersion: string;
    readonly spec: { readonly token: string; readonly audiences: string[] };
  }[] = [];
  let fail = 0;
  const server = createServer((request, response) => {
    void bodyOf(request).then(body => {
      const review = JSON.parse(body) as (typeof asked)[0];
      asked.push(review);
      if (fail > 0) {
        fail--;
        response.writeHead(500).end('{}');
        return;
      }
      const known = review.spec.token === 'good';
      const status = known
        ? { authenticated: true, user: { username: 'ann', groups: ['dev'], extra: { 'acme.io/x': ['y'] } } }
        : { authenticated: false };
      response.end(JSON.stringify({ apiVersion: review.apiVersion, kind: 'TokenReview', status }));
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  try {
    await withFiles(
      async folder => {
        const config = join(folder, 'webhook.yaml');
        await writeFile(
          config,
          `apiVersion: v1
kind: Config
clusters: [{name: w, cluster: {server: "http://127.0.0.1:${(server.address() as AddressInfo).port}/review"}}]
contexts: [{name: w, context: {cluster: w}}]
current-context: w
`,
        );
        return {
          'authentication-token-webhook-config-file': config,
          'authentication-token-webhook-version': 'v1',
          'authentication-token-webhook-cache-ttl': 60_000,
        };
      },
      async ({ authenticate, tokens, audiences }, { clock }) => {
        const both = await Promise.all([authenticate(bearer('good')), authenticate(bearer('good'))]);
        assert.deepEqual(both[0], {
          name: 'ann',
          groups: ['dev', 'system:authenticated'],
          extra: { 'acme.io/x': ['y'] },
        });
        assert.equal(asked.length, 1, 'once for two requests at the same time');
        assert.deepEqual(asked[0], {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenReview',
          spec: { token: 'good', audiences: [issuer] },
        });
        await authenticate(bearer('good'));
        assert.equal(asked.length, 1);
        await assert.rejects(authenticate(bearer('bad')), { message: 'Unauthorized' });
        await assert.rejects(authenticate(bearer('bad')), { message: 'Unauthorized' });
        assert.equal(asked.length, 2);
        assert.equal(await tokens.authenticate('good', ['vault']), undefined, 'for nobody else');
        await clock.advance(60_001);
        fail = 2;
        const again = authenticate(bearer('good'));
        while (asked.length < 6) {
          // The pauses between attempts, and not the deadline of one that is under way.
          const waitMs = (clock.nextDueMs ?? Number.POSITIVE_INFINITY) - clock.now();
          if (waitMs < 5_000) await clock.advance(waitMs);
          await new Promise(resolve => setImmediate(resolve));
        }
        assert.equal((await again).name, 'ann', 'what may pass is asked again');
        assert.deepEqual(audiences, [issuer]);
      },
    );
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
