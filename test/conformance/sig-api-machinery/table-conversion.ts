import assert from 'node:assert/strict';
import { conformance } from '../conformance.ts';

conformance(it => {
  it('[sig-api-machinery] Servers with support for Table transformation should return a 406 for a backend which does not implement metadata [Conformance]', async t => {
    const body = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes: { namespace: 'default', verb: 'get', resource: 'pods' } },
    };
    const answer = await t.request('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
      body,
      headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' },
    });
    assert.equal(answer.code, 406);
    assert.equal(answer.json<{ reason: string }>().reason, 'NotAcceptable');
  });
});
