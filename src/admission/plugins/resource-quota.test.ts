import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '#api/machinery/errors.ts';
import { Job } from '#api/batch/v1/job.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ResourceQuota } from '#api/core/v1/resource-quota.ts';
import { Service } from '#api/core/v1/service.ts';
import { admit, world, type World } from '../sources.fixture.ts';
import { resourceQuota } from './resource-quota.ts';

function pod(resources: object = {}, spec: object = {}) {
  return { metadata: { name: 'p' }, spec: { containers: [{ name: 'c', resources }], ...spec } };
}

async function refusal(run: Promise<unknown>): Promise<string> {
  try {
    await run;
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    assert.equal(error.code, 403);
    return error.message;
  }
  return assert.fail('was not refused');
}

async function withQuota(
  sources: World,
  hard: Record<string, string>,
  more: object = {},
  used?: Record<string, string>,
) {
  const plugins = [resourceQuota(sources)];
  const zeros = Object.fromEntries(Object.keys(hard).map(name => [name, '0']));
  sources.put(ResourceQuota, {
    metadata: { name: 'q', namespace: 'ns', uid: 'u' },
    spec: { hard, ...more },
    status: { hard, used: used ?? zeros },
  });
  await sources.settled();
  const usedNow = async () => (await sources.client.get(ResourceQuota, 'q', { namespace: 'ns' })).status?.used;
  return { plugins, usedNow };
}

test('pods are counted and charged for what they ask, in upstream words', async () => {
  using sources = world();
  const { plugins, usedNow } = await withQuota(sources, { pods: '3', 'requests.cpu': '1', 'limits.memory': '1Gi' });
  const fits = { requests: { cpu: '400m' }, limits: { memory: '256Mi' } };
  await admit(plugins, Pod, pod(fits));
  await admit(plugins, Pod, pod(fits));
  assert.deepEqual(await usedNow(), { pods: '2', 'requests.cpu': '800m', 'limits.memory': '512Mi' });
  assert.equal(
    await refusal(admit(plugins, Pod, pod(fits))),
    'pods "p" is forbidden: exceeded quota: q, requested: requests.cpu=400m, used: requests.cpu=800m, limited: requests.cpu=1',
  );
  assert.equal(
    await refusal(admit(plugins, Pod, pod())),
    'pods "p" is forbidden: failed quota: q: must specify limits.memory for: c; requests.cpu for: c',
  );
  assert.deepEqual(await usedNow(), { pods: '2', 'requests.cpu': '800m', 'limits.memory': '512Mi' });
  await admit(plugins, Pod, pod({ requests: { cpu: '100m' }, limits: { memory: '1Mi' } }), { dryRun: true });
  assert.equal((await usedNow())?.['pods'], '2');
});

test('creates in parallel never overshoot, and share their writes', async () => {
  using sources = world();
  const { plugins, usedNow } = await withQuota(sources, { 'count/configmaps': '10' });
  let writes = 0;
  const { update } = sources.client;
  sources.client.update = ((...parameters: Parameters<typeof update>) => {
    writes++;
    return update(...parameters);
  }) as typeof update;
  const outcomes = await Promise.allSettled(
    Array.from({ length: 50 }, (_, position) => admit(plugins, ConfigMap, { metadata: { name: `c-${position}` } })),
  );
  assert.equal(outcomes.filter(each => each.status === 'fulfilled').length, 10);
  assert.equal((await usedNow())?.['count/configmaps'], '10');
  assert.ok(writes <= 5, `${writes} writes`);
});

test('another writer of the status loses nothing', async () => {
  using sources = world();
  const { plugins, usedNow } = await withQuota(sources, { configmaps: '10' }, {}, { configmaps: '1' });
  const first = admit(plugins, ConfigMap, { metadata: { name: 'a' } });
  // The controller counts again at the same moment.
  sources.put(ResourceQuota, {
    metadata: { name: 'q', namespace: 'ns', uid: 'u' },
    spec: { hard: { configmaps: '10' } },
    status: { hard: { configmaps: '10' }, used: { configmaps: '5' } },
  });
  await first;
  assert.equal((await usedNow())?.['configmaps'], '6');
  await sources.settled();
  await admit(plugins, ConfigMap, { metadata: { name: 'b' } });
  assert.equal((await usedNow())?.['configmaps'], '7');
});

test('scopes: a quota concerns the pods it names', async () => {
  using sources = world();
  const scopeSelector = { matchExpressions: [{ scopeName: 'PriorityClass', operator: 'In', values: ['high'] }] };
  const { plugins, usedNow } = await withQuota(sources, { pods: '1' }, { scopes: ['NotTerminating'], scopeSelector });
  await admit(plugins, Pod, pod());
  await admit(plugins, Pod, pod({}, { priorityClassName: 'high', activeDeadlineSeconds: 5 }));
  assert.equal((await usedNow())?.['pods'], '0');
  await admit(plugins, Pod, pod({}, { priorityClassName: 'high' }));
  assert.match(
    await refusal(admit(plugins, Pod, pod({}, { priorityClassName: 'high' }))),
    /exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1/,
  );
});

test('services, claims and other kinds', async () => {
  using sources = world();
  const { plugins, usedNow } = await withQuota(sources, {
    'services.nodeports': '2',
    'requests.storage': '10Gi',
    'fast.storageclass.storage.k8s.io/requests.storage': '5Gi',
    'count/jobs.batch': '1',
  });
  const service = (type: string, ports: number) => ({
    metadata: { name: 's' },
    spec: { type, ports: Array.from({ length: ports }, () => ({ port: 1 })) },
  });
  await admit(plugins, Service, service('NodePort', 2));
  assert.match(
    await refusal(admit(plugins, Service, service('LoadBalancer', 1))),
    /services.nodeports=1, used: services.nodeports=2/,
  );
  // A change is charged for what it adds.
  await admit(plugins, Service, service('NodePort', 2), { operation: 'UPDATE', old: service('NodePort', 2) });
  const claim = (storage: string, storageClassName: string) => ({
    metadata: { name: 'v' },
    spec: { storageClassName, resources: { requests: { storage } } },
  });
  await admit(plugins, PersistentVolumeClaim, claim('4Gi', 'fast'));
  assert.match(
    await refusal(admit(plugins, PersistentVolumeClaim, claim('2Gi', 'fast'))),
    /fast.storageclass.storage.k8s.io\/requests.storage=2Gi/,
  );
  await admit(plugins, PersistentVolumeClaim, claim('6Gi', 'slow'));
  await admit(plugins, Job, { metadata: { name: 'j' }, spec: {} });
  assert.match(
    await refusal(admit(plugins, Job, { metadata: { name: 'k' }, spec: {} })),
    /jobs.batch "k" is forbidden: exceeded quota: q, requested: count\/jobs.batch=1/,
  );
  assert.deepEqual(await usedNow(), {
    'services.nodeports': '2',
    'requests.storage': '10Gi',
    'fast.storageclass.storage.k8s.io/requests.storage': '4Gi',
    'count/jobs.batch': '1',
  });
});

test('a quota whose usage nobody has counted yet lets nothing through', async () => {
  using sources = world();
  const { plugins } = await withQuota(sources, { pods: '1' }, {}, {});
  assert.equal(
    await refusal(admit(plugins, Pod, pod())),
    'pods "p" is forbidden: status unknown for quota: q, resources: pods',
  );
});
