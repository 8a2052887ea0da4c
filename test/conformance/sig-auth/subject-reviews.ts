import assert from 'node:assert/strict';
import { LocalSubjectAccessReview } from '#api/authorization/v1/local-subject-access-review.ts';
import { SubjectAccessReview } from '#api/authorization/v1/subject-access-review.ts';
import { ServiceAccount } from '#api/core/v1/service-account.ts';
import { conformance } from '../conformance.ts';

conformance(it => {
  it('[sig-auth] SubjectReview should support SubjectReview API operations [Conformance]', async t => {
    const { client, namespace } = t;
    const name = t.unique('reviewed');
    await client.create(ServiceAccount, { metadata: { name } }, { namespace });
    const user = `system:serviceaccount:${namespace}:${name}`;
    const headers = { 'impersonate-user': user };
    const list = await t.request('GET', `/api/v1/namespaces/${namespace}/configmaps`, { headers });
    assert.equal(list.code, 403);
    const listed = false;
    const resourceAttributes = { verb: 'list', resource: 'configmaps', namespace, version: 'v1' };
    const review = await client.create(SubjectAccessReview, { spec: { user, resourceAttributes } });
    assert.equal(review.status?.allowed ?? false, listed, 'both say the same');
    const local = await client.create(
      LocalSubjectAccessReview,
      { metadata: { namespace }, spec: { user, resourceAttributes } },
      { namespace },
    );
    assert.equal(local.status?.allowed ?? false, listed, 'in a namespace, too');

    await t.kubectl('create', 'rolebinding', 'viewer', '--clusterrole=view', `--serviceaccount=${namespace}:${name}`);
    await t.eventually('the binding holds', async () => {
      const again = await client.create(SubjectAccessReview, { spec: { user, resourceAttributes } });
      return again.status?.allowed;
    });
    const allowed = await t.request('GET', `/api/v1/namespaces/${namespace}/configmaps`, { headers });
    assert.equal(allowed.code, 200);
  });
});
