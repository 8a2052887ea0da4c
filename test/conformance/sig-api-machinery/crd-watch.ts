import assert from 'node:assert/strict';
import { eventsUntil } from '../api-operations.ts';
import { conformance } from '../conformance.ts';
import { define, type Custom } from '../custom.ts';

conformance(it => {
  it('[sig-api-machinery] CustomResourceDefinition Watch [Privileged:ClusterAdmin] CustomResourceDefinition Watch watch on custom resource definition objects [Conformance]', async t => {
    const kind = (await define(t, { scope: 'Cluster' })).kind();
    const { resourceVersion } = (await t.client.list(kind)).metadata;
    const watched = eventsUntil(t, kind, { resourceVersion }, ({ length }) => length === 6);
    for (const name of ['first', 'second']) await t.client.create<Custom>(kind, { metadata: { name } });
    for (const name of ['first', 'second'])
      await t.client.patch(kind, name, { type: 'merge', patch: { dummy: 'test' } });
    for (const name of ['first', 'second']) await t.client.delete(kind, name);
    assert.deepEqual(await watched, [
      'ADDED first',
      'ADDED second',
      'MODIFIED first',
      'MODIFIED second',
      'DELETED first',
      'DELETED second',
    ]);
  });
});
