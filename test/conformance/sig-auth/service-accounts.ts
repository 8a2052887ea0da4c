import assert from 'node:assert/strict';
import { TokenReview } from '#api/authentication/v1/token-review.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { ServiceAccount } from '#api/core/v1/service-account.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { conformance, type Trial } from '../conformance.ts';
import { createPod, execIn, nodeProgram, outputOf, readyPod } from '../pods.ts';

const directory = '/var/run/secrets/kubernetes.io/serviceaccount';

conformance(it => {
  it('[sig-auth] ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace [Conformance]', async ({
    client,
    namespace,
    eventually,
  }) => {
    const name = 'kube-root-ca.crt';
    const rootCa = () => client.get(ConfigMap, name, { namespace });
    const { data } = await rootCa();
    const expected = data?.['ca.crt'] ?? '';
    assert.match(expected, /^-----BEGIN CERTIFICATE-----/);
    await client.delete(ConfigMap, name, { namespace });
    await eventually('it is made again', async () => (await rootCa()).data?.['ca.crt'] === expected);
    const changed = { type: 'merge', patch: { data: { 'ca.crt': '' } } } as const;
    await client.patch(ConfigMap, name, changed, { namespace });
    await eventually('what was changed is put right', async () => (await rootCa()).data?.['ca.crt'] === expected);
  });

  it('[sig-auth] ServiceAccounts should create a serviceAccountToken and ensure a successful TokenReview [Conformance]', async t => {
    const name = 'reviewed';
    const { metadata } = await t.client.create(ServiceAccount, { metadata: { name } }, { namespace: t.namespace });
    const review = await t.client.create(TokenReview, { spec: { token: await tokenFor(t, name) } });
    assert.equal(review.status?.authenticated, true);
    assert.equal(review.status?.error ?? '', '');
    assert.equal(review.status?.user?.username, `system:serviceaccount:${t.namespace}:${name}`);
    assert.equal(review.status?.user?.uid, metadata.uid);
    assert.deepEqual([...(review.status?.user?.groups ?? [])].toSorted(), [
      'system:authenticated',
      'system:serviceaccounts',
      `system:serviceaccounts:${t.namespace}`,
    ]);
  });

  it('[sig-auth] ServiceAccounts should mount an API token into pods [Conformance]', async t => {
    const { metadata } = await readyPod(t);
    const read = (file: string) => execIn(t, metadata.name, 'cat', `${directory}/${file}`);
    const { data } = await t.client.get(ConfigMap, 'kube-root-ca.crt', { namespace: t.namespace });
    assert.equal(await read('ca.crt'), data?.['ca.crt']);
    assert.equal(await read('namespace'), t.namespace);
    const review = await t.client.create(TokenReview, { spec: { token: await read('token') } });
    assert.equal(review.status?.user?.username, `system:serviceaccount:${t.namespace}:default`);
    const { extra } = review.status?.user ?? {};
    assert.deepEqual(extra?.['authentication.kubernetes.io/pod-name'], [metadata.name]);
    assert.deepEqual(extra?.['authentication.kubernetes.io/pod-uid'], [metadata.uid]);
  });

  it('[sig-auth] ServiceAccounts should allow opting out of API token automount [Conformance]', async t => {
    const accounts = { unset: undefined, mount: true, nomount: false };
    const pods = { unset: undefined, mount: true, nomount: false };
    for (const [name, automount] of Object.entries(accounts))
      await t.client.create(
        ServiceAccount,
        { metadata: { name }, ...(automount !== undefined && { automountServiceAccountToken: automount }) },
        { namespace: t.namespace },
      );
    for (const [account, byAccount] of Object.entries(accounts))
      for (const [pod, byPod] of Object.entries(pods)) {
        const { spec } = await createPod(t, {
          name: `account-${account}-pod-${pod}`,
          serviceAccountName: account,
          ...(byPod !== undefined && { automountServiceAccountToken: byPod }),
        });
        assert.equal(mounts(spec), byPod ?? byAccount ?? true, `account ${account}, pod ${pod}`);
      }
  });

  it('[sig-auth] ServiceAccounts should mount projected service account token [Conformance]', async t => {
    const log = await outputOf(t, {
      script: 'stat -Lc "%a %u" /tokens/token; cut -d. -f2 /tokens/token',
      container: { volumeMounts: [{ name: 'tokens', mountPath: '/tokens' }] },
      volumes: [
        { name: 'tokens', projected: { sources: [{ serviceAccountToken: { path: 'token', audience: 'mine' } }] } },
      ],
    });
    const [mode, payload = ''] = log.trim().split('\n');
    assert.equal(mode, '644 0');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { aud: unknown; sub: unknown };
    assert.deepEqual(claims.aud, ['mine']);
    assert.equal(claims.sub, `system:serviceaccount:${t.namespace}:default`);
  });

  it('[sig-auth] ServiceAccounts ServiceAccountIssuerDiscovery should support OIDC discovery of service account issuer [Conformance]', async t => {
    // Any service account may read both documents: the bootstrap policy says so.
    const asPod = `
        import { readFileSync } from 'node:fs';
        const token = readFileSync('${directory}/token', 'utf8');
        const server = 'https://kubernetes.default.svc';
        for (const path of ['/.well-known/openid-configuration', '/openid/v1/jwks']) {
          const response = await fetch(server + path, { headers: { authorization: 'Bearer ' + token } });
          console.log(JSON.stringify(await response.json()));
        }
        console.log(token);`;
    const trusting = { env: [{ name: 'NODE_EXTRA_CA_CERTS', value: `${directory}/ca.crt` }] };
    const { container, ...program } = nodeProgram(asPod);
    const log = await outputOf(t, { ...program, container: { ...container, ...trusting } });
    const [configuration = '', keys = '', token = ''] = log.split('\n');
    const { issuer, jwks_uri: keysAt } = JSON.parse(configuration) as Record<string, string>;
    assert.match(String(keysAt), /\/openid\/v1\/jwks$/);
    const { createLocalJWKSet, jwtVerify } = await import('jose');
    const { payload } = await jwtVerify(token, createLocalJWKSet(JSON.parse(keys)), { issuer: String(issuer) });
    assert.equal(payload.sub, `system:serviceaccount:${t.namespace}:default`);
  });

  it('[sig-auth] ServiceAccounts should run through the lifecycle of a ServiceAccount [Conformance]', async t => {
    const { client, namespace } = t;
    const labels = { 'test-serviceaccount-static': 'true' };
    const labelSelector = 'test-serviceaccount-static=true';
    const { resourceVersion } = (await client.list(ServiceAccount, { namespace })).metadata;
    const seen: string[] = [];
    const watched = (async () => {
      const events = client.watch(ServiceAccount, { namespace, labelSelector, resourceVersion, timeoutSeconds: 60 });
      for await (const { type } of events) {
        seen.push(type);
        if (type === 'DELETED') return;
      }
    })();
    const metadata = { name: 'living', labels };
    await client.create(ServiceAccount, { metadata }, { namespace });
    const patch = { type: 'strategic', patch: { automountServiceAccountToken: false } } as const;
    await client.patch(ServiceAccount, 'living', patch, { namespace });
    const { items } = await client.list(ServiceAccount, { labelSelector });
    assert.deepEqual(
      items.filter(each => each.metadata.namespace === namespace).map(each => each.automountServiceAccountToken),
      [false],
    );
    await client.deleteCollection(ServiceAccount, { namespace, labelSelector });
    await watched;
    assert.deepEqual(seen, ['ADDED', 'MODIFIED', 'DELETED']);
  });

  it('[sig-auth] ServiceAccounts should update a ServiceAccount [Conformance]', async ({ client, namespace }) => {
    const account = { metadata: { name: 'updated' }, automountServiceAccountToken: false };
    const created = await client.create(ServiceAccount, account, { namespace });
    assert.equal(created.automountServiceAccountToken, false);
    const changed = { ...created, automountServiceAccountToken: true };
    assert.equal((await client.update(ServiceAccount, changed, { namespace })).automountServiceAccountToken, true);
    const now = await client.get(ServiceAccount, 'updated', { namespace });
    assert.equal(now.automountServiceAccountToken, true);
  });
});

function mounts(spec: Pod['spec']): boolean {
  return spec?.containers.some(({ volumeMounts }) => volumeMounts?.some(each => each.mountPath === directory)) ?? false;
}

async function tokenFor({ client, namespace }: Trial, account: string): Promise<string> {
  const spec = { audiences: [], expirationSeconds: 600 };
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec };
  type Answer = { readonly status: { readonly token: string } };
  const { status } = await client.createSubresource<object, Answer>(ServiceAccount, account, 'token', request, {
    namespace,
  });
  return status.token;
}
