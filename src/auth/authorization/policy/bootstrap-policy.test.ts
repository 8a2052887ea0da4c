import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errors } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import type { ClusterRole } from '#api/rbac/v1/cluster-role.ts';
import type { ClusterRoleBinding } from '#api/rbac/v1/cluster-role-binding.ts';
import type { Client } from '#client/client.ts';
import { bootstrapPolicy, reconcileBootstrapPolicy } from './bootstrap-policy.ts';

/** A store that counts what is written to it. */
function store() {
  const objects = new Map<string, ApiObject>();
  const writes: string[] = [];
  const keyOf = (kind: Kind, namespace: string | undefined, name: string | undefined) =>
    `${kind.plural}/${namespace ?? ''}/${name}`;
  const client = {
    async get(kind: Kind, name: string, { namespace }: { namespace?: string } = {}) {
      const found = objects.get(keyOf(kind, namespace, name));
      if (!found) throw errors.notFound(kind, name);
      return found;
    },
    async list(kind: Kind) {
      const items = [...objects].filter(([key]) => key.startsWith(`${kind.plural}/`)).map(([, object]) => object);
      return { items, metadata: { resourceVersion: '1' } };
    },
    async create(kind: Kind, object: ApiObject) {
      const key = keyOf(kind, object.metadata.namespace, object.metadata.name);
      if (objects.has(key)) throw errors.alreadyExists(kind, object.metadata.name ?? '');
      writes.push(`create ${key}`);
      objects.set(key, object);
      return object;
    },
    async update(kind: Kind, object: ApiObject) {
      const key = keyOf(kind, object.metadata.namespace, object.metadata.name);
      writes.push(`update ${key}`);
      objects.set(key, object);
      return object;
    },
    async delete(kind: Kind, name: string, { namespace }: { namespace?: string } = {}) {
      writes.push(`delete ${keyOf(kind, namespace, name)}`);
      objects.delete(keyOf(kind, namespace, name));
    },
  } as unknown as Client;
  return { client, objects, writes };
}

test('an empty cluster gets the whole policy, a second start writes nothing', async () => {
  const { client, objects, writes } = store();
  await reconcileBootstrapPolicy(client);
  const policy = bootstrapPolicy();
  const wanted = Object.values(policy).reduce((sum, all: readonly unknown[]) => sum + all.length, 0);
  assert.equal(objects.size, wanted + 2, 'and the two namespaces');
  assert.ok(objects.has('roles/kube-public/system:controller:bootstrap-signer'));
  assert.ok(objects.has('clusterrolebindings//system:controller:deployment-controller'));
  writes.length = 0;
  await reconcileBootstrapPolicy(client);
  assert.deepEqual(writes, []);
});

test('what is missing is added, what is more stays, what is marked is left alone', async () => {
  const { client, objects, writes } = store();
  await reconcileBootstrapPolicy(client);
  const change = <Type extends ApiObject>(key: string, to: (object: Type) => Partial<Type>) => {
    const object = objects.get(key) as Type;
    objects.set(key, { ...object, ...to(object) });
  };
  const extra = { apiGroups: ['zoo'], resources: ['lions'], verbs: ['feed'] };
  change<ClusterRole>('clusterroles//system:kube-dns', () => ({ rules: [extra] }));
  change<ClusterRole>('clusterroles//system:discovery', ({ metadata }) => ({
    rules: [],
    metadata: { ...metadata, annotations: { 'rbac.authorization.kubernetes.io/autoupdate': 'false' } },
  }));
  change<ClusterRole>('clusterroles//view', () => ({ rules: [] }));
  change<ClusterRoleBinding>('clusterrolebindings//system:basic-user', () => ({ subjects: [] }));
  change<ClusterRoleBinding>('clusterrolebindings//system:node-proxier', ({ roleRef }) => ({
    roleRef: { ...roleRef, name: 'other' },
  }));
  change<ClusterRole>('clusterroles//admin', ({ metadata }) => ({
    metadata: { ...metadata, labels: { own: 'label' } },
  }));
  writes.length = 0;
  await reconcileBootstrapPolicy(client);
  assert.deepEqual(writes.toSorted(), [
    'create clusterrolebindings//system:node-proxier',
    'delete clusterrolebindings//system:node-proxier',
    'update clusterrolebindings//system:basic-user',
    'update clusterroles//admin',
    'update clusterroles//system:kube-dns',
  ]);
  const dns = objects.get('clusterroles//system:kube-dns') as ClusterRole;
  assert.deepEqual(dns.rules?.[0], extra);
  assert.ok((dns.rules?.length ?? 0) > 1);
  assert.deepEqual(objects.get('clusterroles//admin')?.metadata.labels, {
    'kubernetes.io/bootstrapping': 'rbac-defaults',
    own: 'label',
  });
  assert.equal(
    (objects.get('clusterrolebindings//system:node-proxier') as ClusterRoleBinding).roleRef.name,
    'system:node-proxier',
  );
});

test('what v1.36 lets its parts do', () => {
  const { clusterRoles, roles, roleBindings } = bootstrapPolicy();
  const rulesOf = (name: string) => [...clusterRoles, ...roles].find(each => each.metadata?.name === name)?.rules ?? [];
  const events = ['', 'events.k8s.io'];
  for (const [name, verb] of [
    ['system:node', 'create'],
    ['view', 'list'],
    ['edit', 'deletecollection'],
    ['admin', 'list'],
  ] as const)
    assert.ok(
      rulesOf(name).some(
        ({ apiGroups, resources, verbs }) =>
          String(apiGroups) === String(events) && resources?.includes('events') && verbs?.includes(verb),
      ),
      name,
    );
  const bindClaims = {
    apiGroups: ['resource.k8s.io'],
    resources: ['resourceclaims/binding'],
    verbs: ['patch', 'update'],
  };
  for (const name of ['system:kube-scheduler', 'system:controller:resource-claim-controller'])
    assert.deepEqual(rulesOf(name).at(-1), bindClaims);
  assert.deepEqual(
    rulesOf('system::leader-locking-kube-scheduler').map(({ resources }) => resources),
    [['leases'], ['leasecandidates']],
  );
  const locking = roleBindings.find(each => each.metadata?.name === 'system::leader-locking-kube-controller-manager');
  assert.deepEqual(
    locking?.subjects?.map(each => each?.name),
    ['system:kube-controller-manager', 'kube-controller-manager', 'leader-election-controller'],
  );
});

test('trust bundles are for service accounts to read where they are served', () => {
  const name = 'system:cluster-trust-bundle-discovery';
  assert.ok(!bootstrapPolicy().clusterRoles.some(each => each.metadata?.name === name));
  const { clusterRoles, clusterRoleBindings } = bootstrapPolicy({ trustBundles: true });
  assert.ok(clusterRoles.some(each => each.metadata?.name === name));
  const binding = clusterRoleBindings.find(each => each.metadata?.name === name);
  assert.deepEqual(
    binding?.subjects?.map(each => each?.name),
    ['system:serviceaccounts'],
  );
});
