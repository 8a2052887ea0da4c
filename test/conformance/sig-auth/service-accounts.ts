import assert from 'node:assert/strict';
import { TokenReview } from '#api/authentication/v1/token-review.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { ServiceAccount } from '#api/core/v1/service-account.ts';
import { conformance } from '../conformance.ts';

conformance(it => {
  it('[sig-auth] ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace [Conformance]', async ({
    client,
    namespace,
    eventually,
  }) => {
    const name = 'kube-root-ca.crt';
    const rootCa = () => client.get(ConfigMap, name, { namespace });
    const { data } = await rootCa();
    assert.match(data?.['ca.crt'] ?? '', /^-----BEGIN CERTIFICATE-----/);
    await client.delete(ConfigMap, name, { namespace });
    await eventually('it is made again', async () => (await rootCa()).data?.['ca.crt'] === data?.['ca.crt']);
    await client.patch(ConfigMap, name, { type: 'merge', patch: { data: { 'ca.crt': '' } } }, { namespace });
    await eventually(
      'what was changed is put right',
      async () => (await rootCa()).data?.['ca.crt'] === data?.['ca.crt'],
    );
  });

  it('[sig-auth] ServiceAccounts should create a serviceAccountToken and ensure a successful TokenReview [Conformance]', async ({
    client,
    namespace,
  }) => {
    const name = 'reviewed';
    const { metadata } = await client.create(ServiceAccount, { metadata: { name } }, { namespace });
    const { status } = await client.createSubresource<object, { status: { token: string } }>(
      ServiceAccount,
      name,
      'token',
      { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { audiences: [], expirationSeconds: 600 } },
      { namespace },
    );
    const review = await client.create(TokenReview, { spec: { token: status.token } });
    assert.equal(review.status?.authenticated, true);
    assert.equal(review.status?.error ?? '', '');
    assert.equal(review.status?.user?.username, `system:serviceaccount:${namespace}:${name}`);
    assert.equal(review.status?.user?.uid, metadata.uid);
    assert.deepEqual([...(review.status?.user?.groups ?? [])].toSorted(), [
      'system:authenticated',
      'system:serviceaccounts',
      `system:serviceaccounts:${namespace}`,
    ]);
  });
});
