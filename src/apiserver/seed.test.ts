import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClusterRole } from '#api/rbac/v1/cluster-role.ts';
import { openTestServer } from './test-server.ts';

const path = '/apis/rbac.authorization.k8s.io/v1/clusterroles';
const rules = [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }];

test('a seeded object is as a created one', async () => {
  await using api = await openTestServer();
  await api.server.seed(ClusterRole, { metadata: { name: 'seeded' }, rules });
  const created = await api.call('POST', path, { metadata: { name: 'created' }, rules });
  const seeded = await api.call('GET', `${path}/seeded`);
  const comparable = ({ body }: typeof seeded) => {
    const { uid, name: _, resourceVersion, managedFields, ...metadata } = body.metadata;
    assert.match(uid, /^[0-9a-f-]{36}$/);
    assert.ok(Number(resourceVersion) > 0);
    return { ...body, metadata, fields: managedFields.map((entry: { fieldsV1: unknown }) => entry.fieldsV1) };
  };
  assert.deepEqual(comparable(seeded), comparable(created));
});

test('what is there already is left alone', async () => {
  await using api = await openTestServer();
  const { body } = await api.call('POST', path, { metadata: { name: 'mine' }, rules: [] });
  await api.server.seed(ClusterRole, { metadata: { name: 'mine' }, rules });
  assert.deepEqual((await api.call('GET', `${path}/mine`)).body, body);
});
