import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inUpstreamForm } from '#apiserver/upstream-form.ts';
import { newKeyPem } from '#auth/certificates/certificate.ts';
import { issueAuthority } from '#auth/certificates/issue.ts';
import { systemClock } from '#base/clock.ts';
import { Lifetime } from '#base/lifetime.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ResourceQuota } from '#api/core/v1/resource-quota.ts';
import { ServiceAccount } from '#api/core/v1/service-account.ts';
import { isReason } from '#api/machinery/errors.ts';
import { Role } from '#api/rbac/v1/role.ts';
import { RoleBinding } from '#api/rbac/v1/role-binding.ts';
import { openEtcdStorage } from '#storage/etcd/etcd-storage.ts';
import { noEtcd, startEtcd } from '#storage/etcd/test-etcd.ts';
import { startControlPlane, type ControlPlane } from '../../src/cluster/control-plane.ts';
import { eventually } from '../scenarios/eventually.ts';

/** Two whole control planes in this process, on one etcd. */
async function startPair(lifetime: Lifetime): Promise<readonly [ControlPlane, ControlPlane]> {
  const etcd = lifetime.own(await startEtcd());
  const outside = { clock: systemClock, random: systemRandom };
  const authority = await issueAuthority({ commonName: 'windlass', validForMs: 3_600_000 }, outside);
  const serviceAccountKeyPem = newKeyPem();
  const start = async () => {
    const storage = await openEtcdStorage({ servers: [etcd.url], clock: systemClock, log: silentLog });
    lifetime.own(storage);
    const plane = await startControlPlane({
      storage: inUpstreamForm(storage),
      credentials: { caCertPem: authority.certPem, caKeyPem: authority.keyPem, serviceAccountKeyPem },
      ...outside,
      log: silentLog,
      podCIDR: '10.244.0.0/16',
      serviceCIDR: '10.96.0.0/12',
      serviceIP: '10.96.0.1',
      clusterDomain: 'cluster.local',
      advertise: undefined,
    });
    lifetime.own(plane);
    await plane.startActing();
    return plane;
  };
  return [await start(), await start()];
}

describe('admission of two control planes on one etcd', { skip: noEtcd }, () => {
  test('what is made at one is known to the plugins of the other', { timeout: 60_000 }, async () => {
    await using lifetime = new Lifetime();
    const [one, other] = await startPair(lifetime);
    for (let index = 0; index < 10; index++) {
      const namespace = `n-${index}`;
      await one.client.create(Namespace, { metadata: { name: namespace } });
      await other.client.create(ConfigMap, { metadata: { name: 'c' }, data: {} }, { namespace });
      await one.client.create(ServiceAccount, { metadata: { name: 'sa' } }, { namespace });
      const spec = { serviceAccountName: 'sa', containers: [{ name: 'c', image: 'x' }] };
      await other.client.create(Pod, { metadata: { name: 'p' }, spec }, { namespace });
    }
    // A role of the one counts at the other as soon as its index hears of it.
    const user = { name: 'somebody', groups: ['system:authenticated'] };
    const where = { namespace: 'n-0' };
    const rules = [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get'] }];
    await one.client.create(Role, { metadata: { name: 'reader' }, rules }, where);
    await one.client.create(
      RoleBinding,
      {
        metadata: { name: 'reader' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
        subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: user.name }],
      },
      where,
    );
    await eventually(
      'the role counts',
      async () => (await other.clientOf(user).get(ConfigMap, 'c', where)).metadata.name,
    );
  });

  test('a quota is not exceeded by creates at both', { timeout: 60_000 }, async () => {
    await using lifetime = new Lifetime();
    const [one, other] = await startPair(lifetime);
    const where = { namespace: 'default' };
    await eventually('the account is there', async () => one.client.get(ServiceAccount, 'default', where));
    const hard = { 'count/configmaps': '8' };
    await one.client.create(ResourceQuota, { metadata: { name: 'few' }, spec: { hard } }, where);
    await eventually('the quota is counted at both', async () => {
      const found = await Promise.all([one, other].map(({ client }) => client.get(ResourceQuota, 'few', where)));
      return found.every(({ status }) => status?.used?.['count/configmaps'] !== undefined);
    });
    const before = (await one.client.list(ConfigMap, where)).items.length;
    const made = await Promise.allSettled(
      Array.from({ length: 30 }, (_, index) =>
        (index % 2 === 0 ? one : other).client.create(ConfigMap, { metadata: { name: `c-${index}` } }, where),
      ),
    );
    const refused = made.filter(each => each.status === 'rejected');
    assert.equal((await other.client.list(ConfigMap, where)).items.length, 8);
    assert.equal(made.length - refused.length, 8 - before);
    for (const { reason } of refused) assert.ok(isReason(reason, 'Forbidden', 'Conflict'), String(reason));
  });
});
