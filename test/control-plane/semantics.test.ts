/** What is there from the start, and what the collector says of owners that cannot be: reference sections 11 and 20. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClusterRole } from '#api/rbac/v1/cluster-role.ts';
import { ClusterRoleBinding } from '#api/rbac/v1/cluster-role-binding.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Event } from '#api/core/v1/event.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Service } from '#api/core/v1/service.ts';
import { ServiceCIDR } from '#api/networking/v1/service-cidr.ts';
import { PriorityClass } from '#api/scheduling/v1/priority-class.ts';
import { startControlPlane } from './control-plane.ts';

const timeout = 20_000;

test('objects that clients expect are there from the start', { timeout }, async () => {
  await using plane = await startControlPlane({ only: [] });
  const { client } = plane;
  for (const name of ['default', 'kube-system', 'kube-public', 'kube-node-lease']) await client.get(Namespace, name);
  const service = await client.get(Service, 'kubernetes', { namespace: 'default' });
  assert.equal(service.spec?.ports?.[0]?.port, 443);
  assert.equal((await client.get(PriorityClass, 'system-cluster-critical')).value, 2_000_000_000);
  assert.equal((await client.get(PriorityClass, 'system-node-critical')).value, 2_000_001_000);
  await client.get(ServiceCIDR, 'kubernetes');
  for (const name of ['cluster-admin', 'admin', 'edit', 'view', 'system:discovery'])
    await client.get(ClusterRole, name);
  await client.get(ClusterRoleBinding, 'cluster-admin');
});

test('an owner in another namespace is told of in an Event', { timeout }, async () => {
  await using plane = await startControlPlane();
  const { client } = plane;
  await client.create(Namespace, { metadata: { name: 'other' } });
  const owner = await client.create(ConfigMap, { metadata: { name: 'owner', namespace: 'default' } });
  const reference = { apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: owner.metadata.uid ?? '' };
  const metadata = { name: 'lost', namespace: 'other', ownerReferences: [reference] };
  await client.create(ConfigMap, { metadata });
  const event = await plane.until(Event, events =>
    [...events.values()].find(({ reason }) => reason === 'OwnerRefInvalidNamespace'),
  );
  assert.match(
    event.message ?? '',
    /^ownerRef \[v1\/ConfigMap, namespace: other, name: owner, uid: .*\] does not exist in namespace "other"$/,
  );
});
