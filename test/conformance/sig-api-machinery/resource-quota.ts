import assert from 'node:assert/strict';
import { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ReplicationController } from '#api/core/v1/replication-controller.ts';
import { ResourceQuota } from '#api/core/v1/resource-quota.ts';
import { Secret } from '#api/core/v1/secret.ts';
import { Service } from '#api/core/v1/service.ts';
import type { ApiObject, Kind, Partly } from '#api/machinery/kind.ts';
import { apiOperations } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { podOf, type PodWish } from '../pods.ts';
import { refusal, until, untilGone } from '../waiting.ts';

const should = '[sig-api-machinery] ResourceQuota should';

conformance(it => {
  it(`${should} create a ResourceQuota and ensure its status is promptly calculated. [Conformance]`, async t => {
    await makeQuota(t, { pods: '5', services: '10', 'requests.cpu': '1' });
    await used(t, { pods: '0', services: '0', 'requests.cpu': '0' });
  });

  it(`${should} be able to update and delete ResourceQuota. [Conformance]`, async t => {
    const { client, namespace } = t;
    await makeQuota(t, { cpu: '1', memory: '500Mi' });
    await used(t, { cpu: '0', memory: '0' });
    const made = await client.get(ResourceQuota, quota, { namespace });
    const hard = { cpu: '2', memory: '1Gi' };
    await client.update(ResourceQuota, { ...made, spec: { ...made.spec, hard } } as ResourceQuota, { namespace });
    const read = await client.get(ResourceQuota, quota, { namespace });
    assert.deepEqual(read.spec?.hard, hard);
    await client.delete(ResourceQuota, quota, { namespace });
    await untilGone(t, ResourceQuota, quota);
  });

  it(`${should} manage the lifecycle of a ResourceQuota [Conformance]`, async t =>
    apiOperations(t, { kind: ResourceQuota, object: { spec: { hard: { cpu: '1', memory: '500Mi' } } } }));

  it(`${should} apply changes to a resourcequota status [Conformance]`, async t => {
    const { client, namespace } = t;
    await makeQuota(t, { cpu: '500m', memory: '500Mi' });
    await used(t, { cpu: '0', memory: '0' });
    const options = { namespace, subresource: 'status' };
    const read = await client.get(ResourceQuota, quota, options);
    const hard = { cpu: '750m', memory: '750Mi' };
    const updated = await client.update(
      ResourceQuota,
      { ...read, status: { ...read.status, hard } } as ResourceQuota,
      options,
    );
    assert.deepEqual(updated.status?.hard, hard);
    const seen = (holds: (of: ResourceQuota) => boolean, what: string) => until(t, ResourceQuota, quota, what, holds);
    // Its controller sets it right again.
    await seen(({ status }) => status?.hard?.['cpu'] === '500m', "the status is the controller's again");
    const patch = { status: { hard: { cpu: '1', memory: '1Gi' } } };
    const patched = await client.patch(ResourceQuota, quota, { type: 'merge', patch }, options);
    assert.deepEqual(patched.status?.hard, patch.status.hard);
    assert.deepEqual(patched.spec?.hard, { cpu: '500m', memory: '500Mi' });
    await seen(({ status }) => status?.hard?.['cpu'] === '500m', "the status is the controller's once more");
  });

  it(`${should} create a ResourceQuota and capture the life of a configMap. [Conformance]`, t =>
    captured(t, ConfigMap, { data: { a: 'b' } }, 'configmaps', {}));
  it(`${should} create a ResourceQuota and capture the life of a secret. [Conformance]`, t =>
    captured(t, Secret, { stringData: { a: 'b' } }, 'secrets', {}));
  it(`${should} create a ResourceQuota and capture the life of a replica set. [Conformance]`, t =>
    captured(t, ReplicaSet, { spec: workload(t, { matchLabels: { app: 'q' } }) }, 'count/replicasets.apps', {}));
  it(`${should} create a ResourceQuota and capture the life of a replication controller. [Conformance]`, t =>
    captured(t, ReplicationController, { spec: workload(t, { app: 'q' }) }, 'replicationcontrollers', {}));

  it(`${should} create a ResourceQuota and capture the life of a service. [Conformance]`, async t => {
    const { client, namespace } = t;
    await makeQuota(t, { services: '3', 'services.nodeports': '1', 'services.loadbalancers': '1' });
    await used(t, { services: '0', 'services.nodeports': '0', 'services.loadbalancers': '0' });
    const make = (name: string, spec: object) =>
      client.create<Service>(Service, { metadata: { name }, spec: { ports: [{ port: 80 }], ...spec } }, { namespace });
    await make('plain', { type: 'ClusterIP' });
    await make('nodeport', { type: 'NodePort' });
    await used(t, { services: '2', 'services.nodeports': '1', 'services.loadbalancers': '0' });
    const refused = await refusal(make('balanced', { type: 'LoadBalancer', allocateLoadBalancerNodePorts: true }));
    assert.equal(refused.code, 403);
    assert.match(refused.message ?? '', /exceeded quota: test-quota/);
    for (const name of ['plain', 'nodeport']) await client.delete(Service, name, { namespace });
    await used(t, { services: '0', 'services.nodeports': '0', 'services.loadbalancers': '0' });
  });

  it(`${should} create a ResourceQuota and capture the life of a pod. [Conformance]`, async t => {
    const extended = 'requests.example.com/dongle';
    await makeQuota(t, { pods: '5', cpu: '1', memory: '500Mi', 'ephemeral-storage': '50Gi', [extended]: '3' });
    const none = { pods: '0', cpu: '0', memory: '0', 'ephemeral-storage': '0', [extended]: '0' };
    await used(t, none);
    const ask = (
      name: string,
      requests: Readonly<Record<string, string>>,
      more: Readonly<Record<string, string>> = {},
    ) => pod(t, { name, container: { resources: { requests: { ...requests, ...more }, limits: more } } });
    await ask('fits', { cpu: '500m', memory: '252Mi', 'ephemeral-storage': '30Gi' }, { 'example.com/dongle': '2' });
    await used(t, { pods: '1', cpu: '500m', memory: '252Mi', 'ephemeral-storage': '30Gi', [extended]: '2' });
    const refused = await refusal(ask('too-big', { cpu: '600m', memory: '100Mi', 'ephemeral-storage': '30Gi' }));
    assert.equal(refused.code, 403);
    assert.match(
      refused.message ?? '',
      /exceeded quota: test-quota, requested: cpu=600m.*used: cpu=500m.*limited: cpu=1/,
    );
    const greedy = ask(
      'greedy',
      { cpu: '100m', memory: '10Mi', 'ephemeral-storage': '1Gi' },
      { 'example.com/dongle': '2' },
    );
    assert.equal((await refusal(greedy)).code, 403);
    const patch = { spec: { containers: [{ name: 'main', resources: { requests: { cpu: '600m' } } }] } };
    assert.equal(
      (await refusal(t.client.patch(Pod, 'fits', { type: 'strategic', patch }, { namespace: t.namespace }))).code,
      422,
    );
    await used(t, { pods: '1', cpu: '500m', memory: '252Mi', 'ephemeral-storage': '30Gi', [extended]: '2' });
    await t.client.delete(Pod, 'fits', { namespace: t.namespace, gracePeriodSeconds: 0 });
    await used(t, none);
  });

  it(`${should} verify ResourceQuota with terminating scopes. [Conformance]`, async t => {
    await makeQuota(t, { pods: '5' }, ['Terminating'], 'terminating');
    await makeQuota(t, { pods: '5' }, ['NotTerminating'], 'not-terminating');
    const both = async (terminating: string, not: string) => {
      await used(t, { pods: terminating }, 'terminating');
      await used(t, { pods: not }, 'not-terminating');
    };
    await both('0', '0');
    await pod(t, { name: 'endless' });
    await both('0', '1');
    await t.client.delete(Pod, 'endless', { namespace: t.namespace, gracePeriodSeconds: 0 });
    await both('0', '0');
    await pod(t, { name: 'limited', activeDeadlineSeconds: 3600 });
    await both('1', '0');
    await t.client.delete(Pod, 'limited', { namespace: t.namespace, gracePeriodSeconds: 0 });
    await both('0', '0');
  });

  it(`${should} verify ResourceQuota with best effort scope. [Conformance]`, async t => {
    await makeQuota(t, { pods: '5' }, ['BestEffort'], 'best-effort');
    await makeQuota(t, { pods: '5' }, ['NotBestEffort'], 'not-best-effort');
    const both = async (best: string, not: string) => {
      await used(t, { pods: best }, 'best-effort');
      await used(t, { pods: not }, 'not-best-effort');
    };
    await both('0', '0');
    await pod(t, { name: 'best' });
    await both('1', '0');
    await t.client.delete(Pod, 'best', { namespace: t.namespace, gracePeriodSeconds: 0 });
    await both('0', '0');
    await pod(t, { name: 'asking', container: { resources: { requests: { cpu: '100m' } } } });
    await both('0', '1');
    await t.client.delete(Pod, 'asking', { namespace: t.namespace, gracePeriodSeconds: 0 });
    await both('0', '0');
  });
});

const quota = 'test-quota';

async function makeQuota(
  { client, namespace }: Trial,
  hard: Readonly<Record<string, string>>,
  scopes?: readonly string[],
  name = quota,
): Promise<ResourceQuota> {
  const spec = { hard, ...(scopes && { scopes }) };
  return client.create<ResourceQuota>(ResourceQuota, { metadata: { name }, spec } as Partly<ResourceQuota>, {
    namespace,
  });
}

async function used(t: Trial, expected: Readonly<Record<string, string>>, name = quota): Promise<void> {
  await until(t, ResourceQuota, name, `it counts ${JSON.stringify(expected)}`, ({ status }) =>
    Object.entries(expected).every(([resource, amount]) => status?.used?.[resource] === amount),
  );
}

/** One more object, one more in the quota; and gone with it. */
async function captured<Type extends ApiObject>(
  t: Trial,
  kind: Kind<Type>,
  object: object,
  resource: string,
  before: { readonly count?: number },
): Promise<void> {
  const { client, namespace } = t;
  // Every namespace has objects already: the root CA, the default account.
  const count = before.count ?? (await client.list(kind, { namespace })).items.length;
  await makeQuota(t, { [resource]: String(count + 1) });
  await used(t, { [resource]: String(count) });
  const make = (name: string) =>
    client.create<Type>(kind, { ...object, metadata: { name } } as Partly<Type>, { namespace });
  await make('captured');
  await used(t, { [resource]: String(count + 1) });
  assert.equal((await refusal(make('one-too-many'))).code, 403);
  await client.delete(kind, 'captured', { namespace });
  await used(t, { [resource]: String(count) });
}

function pod(t: Trial, wish: PodWish): Promise<Pod> {
  return t.client.create<Pod>(Pod, podOf(t, wish), { namespace: t.namespace });
}

function workload(t: Trial, selector: object) {
  const template = {
    metadata: { labels: { app: 'q' } },
    spec: { containers: [{ name: 'main', image: t.image('client') }] },
  };
  return { replicas: 0, selector, template };
}
