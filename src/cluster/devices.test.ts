import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Event } from '#api/core/v1/event.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { ApiObject, Kind, Partly } from '#api/machinery/kind.ts';
import { DeviceClass } from '#api/resource/v1/device-class.ts';
import { ResourceClaimTemplate } from '#api/resource/v1/resource-claim-template.ts';
import { ResourceClaim } from '#api/resource/v1/resource-claim.ts';
import { ResourceSlice } from '#api/resource/v1/resource-slice.ts';
import type { Client } from '#client/client.ts';
import { startCluster } from './start-cluster.ts';

const namespace = 'default';
const driver = 'gpu.example.com';

async function until<Type extends ApiObject>(
  client: Client,
  kind: Kind<Type>,
  name: string,
  holds: (object: Type) => boolean,
): Promise<Type> {
  const where = kind.namespaced ? { namespace } : {};
  const selected = { ...where, fieldSelector: `metadata.name=${name}`, sendInitialEvents: true };
  for await (const event of client.watch(kind, selected))
    if (event.type !== 'BOOKMARK' && holds(event.object as Type)) return event.object as Type;
  return assert.fail('the watch ended');
}

async function untilGone(client: Client, kind: Kind, name: string): Promise<void> {
  const { metadata } = await client.list(kind, { namespace });
  const selected = { namespace, fieldSelector: `metadata.name=${name}` };
  if (!(await client.list(kind, selected)).items.length) return;
  for await (const event of client.watch(kind, { ...selected, resourceVersion: metadata.resourceVersion ?? '' }))
    if (event.type === 'DELETED') return;
}

const placed = (pod: Pod) => (pod.spec.nodeName ?? '') !== '';
const refused = (pod: Pod) => pod.status.conditions?.some(each => each.reason === 'Unschedulable') ?? false;
const whyOf = (pod: Pod) => pod.status.conditions?.find(each => each.type === 'PodScheduled')?.message ?? '';

async function makeClass(client: Client, more: object = {}): Promise<void> {
  const selectors = [{ cel: { expression: `device.driver == "${driver}"` } }];
  await client.create(DeviceClass, { metadata: { name: 'gpu' }, spec: { selectors, ...more } });
}

async function makeSlice(client: Client, nodeName: string, ...devices: readonly object[]): Promise<void> {
  const pool = { name: nodeName, generation: 1, resourceSliceCount: 1 };
  const spec = { driver, nodeName, pool, devices };
  await client.create(ResourceSlice, { metadata: { name: `${nodeName}-gpu` }, spec } as Partly<ResourceSlice>);
}

const oneGpu = { devices: { requests: [{ name: 'gpu', exactly: { deviceClassName: 'gpu' } }] } };

function podWith(name: string, resourceClaims: readonly object[], spec: object = {}): Partly<Pod> {
  const claims = resourceClaims.map(each => ({ name: (each as { name: string }).name }));
  return {
    metadata: { name },
    spec: { containers: [{ name: 'c', image: 'any', resources: { claims } }], resourceClaims, ...spec },
  } as Partly<Pod>;
}

const fromTemplate = { name: 'gpu', resourceClaimTemplateName: 'gpu' };

test('a claim made from a template gets a device where one is free, and goes with its pod', async () => {
  await using cluster = await startCluster({ nodes: ['node-1', 'node-2'] });
  const { client } = cluster;
  await makeClass(client);
  await makeSlice(client, 'node-2', { name: 'gpu-0' });
  await client.create(Pod, podWith('one', [fromTemplate]), { namespace });
  // Without the template nobody looks at the pod; the Event says what is missing.
  for await (const event of client.watch(Event, { namespace, sendInitialEvents: true }))
    if (event.type !== 'BOOKMARK' && event.object.reason === 'FailedResourceClaimCreation') {
      assert.match(event.object.message ?? '', /^PodResourceClaim gpu: resource claim template "gpu": .*not found$/);
      break;
    }
  assert.match(await client.raw('/metrics'), /^scheduler_pending_pods\{queue="gated"\} 1$/m);
  await client.create(ResourceClaimTemplate, { metadata: { name: 'gpu' }, spec: { spec: oneGpu } }, { namespace });
  const one = await until(client, Pod, 'one', placed);
  assert.equal(one.spec.nodeName, 'node-2');
  const [made] = one.status.resourceClaimStatuses ?? [];
  assert.match(made?.resourceClaimName ?? '', /^one-gpu-[a-z0-9]{5}$/);
  const claimName = made?.resourceClaimName ?? '';
  const claim = await client.get(ResourceClaim, claimName, { namespace });
  assert.deepEqual(claim.metadata.finalizers, ['resource.kubernetes.io/delete-protection']);
  assert.deepEqual(claim.status?.reservedFor, [{ resource: 'pods', name: 'one', uid: one.metadata.uid }]);
  assert.deepEqual(claim.status?.allocation?.devices?.results, [
    { request: 'gpu', driver, pool: 'node-2', device: 'gpu-0' },
  ]);
  assert.deepEqual(claim.status?.allocation?.nodeSelector, {
    nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['node-2'] }] }],
  });

  // The next waits until the device is free again.
  await client.create(Pod, podWith('two', [fromTemplate]), { namespace });
  const waiting = await until(client, Pod, 'two', refused);
  assert.match(
    whyOf(waiting),
    /^0\/2 nodes are available: 2 cannot allocate all claims\. still not schedulable, preemption: 0\/2 nodes are available: 2 Preemption is not helpful for scheduling\.$/,
  );
  await client.delete(Pod, 'one', { namespace, gracePeriodSeconds: 0 });
  await until(client, Pod, 'two', placed);
  await untilGone(client, ResourceClaim, claimName);
});

test('a claim that pods share keeps its device while one of them runs, and is free afterwards', async () => {
  await using cluster = await startCluster({ nodes: ['node-1', 'node-2'] });
  const { client } = cluster;
  await makeClass(client);
  await makeSlice(client, 'node-1', { name: 'gpu-0' });
  await client.create(ResourceClaim, { metadata: { name: 'shared' }, spec: oneGpu }, { namespace });
  const shared = { name: 'gpu', resourceClaimName: 'shared' };
  for (const name of ['one', 'two']) await client.create(Pod, podWith(name, [shared]), { namespace });
  for (const name of ['one', 'two']) assert.equal((await until(client, Pod, name, placed)).spec.nodeName, 'node-1');
  const both = await until(client, ResourceClaim, 'shared', claim => claim.status?.reservedFor?.length === 2);
  assert.equal(both.status?.allocation?.devices?.results?.[0]?.device, 'gpu-0');

  // Where the claim has its device, and nowhere else.
  const elsewhere = { nodeSelector: { 'kubernetes.io/hostname': 'node-2' } };
  await client.create(Pod, podWith('three', [shared], elsewhere), { namespace });
  assert.match(
    whyOf(await until(client, Pod, 'three', refused)),
    /^0\/2 nodes are available: 1 node\(s\) didn't match Pod's node affinity\/selector, 1 resourceclaim not available on the node\./,
  );
  await client.delete(ResourceClaim, 'shared', { namespace });
  await client.delete(Pod, 'one', { namespace, gracePeriodSeconds: 0 });
  const left = await until(client, ResourceClaim, 'shared', claim => claim.status?.reservedFor?.length === 1);
  assert.ok(left.status?.allocation);
  await client.delete(Pod, 'two', { namespace, gracePeriodSeconds: 0 });
  await untilGone(client, ResourceClaim, 'shared');
});

test('an allocation that nobody uses is taken back for a pod that cannot use it where it is', async () => {
  await using cluster = await startCluster({ nodes: ['node-1', 'node-2'] });
  const { client } = cluster;
  await makeClass(client);
  await makeSlice(client, 'node-1', { name: 'gpu-0' });
  await makeSlice(client, 'node-2', { name: 'gpu-0' });
  await client.create(ResourceClaim, { metadata: { name: 'shared' }, spec: oneGpu }, { namespace });
  const current = await client.get(ResourceClaim, 'shared', { namespace });
  const nodeSelectorTerms = [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['node-1'] }] }];
  const results = [{ request: 'gpu', driver, pool: 'node-1', device: 'gpu-0' }];
  const allocation = { devices: { results }, nodeSelector: { nodeSelectorTerms } };
  await client.update(ResourceClaim, { ...current, status: { allocation } }, { namespace, subresource: 'status' });
  const there = { nodeSelector: { 'kubernetes.io/hostname': 'node-2' } };
  await client.create(Pod, podWith('one', [{ name: 'gpu', resourceClaimName: 'shared' }], there), { namespace });
  await until(client, Pod, 'one', placed);
  const moved = await client.get(ResourceClaim, 'shared', { namespace });
  assert.equal(moved.status?.allocation?.devices?.results?.[0]?.pool, 'node-2');
});

test('an extended resource that no node has is served by devices of the class that names it', async () => {
  await using cluster = await startCluster({ nodes: ['node-1', 'node-2'] });
  const { client } = cluster;
  await makeClass(client, { extendedResourceName: 'example.com/gpu' });
  await makeSlice(client, 'node-2', { name: 'gpu-0' }, { name: 'gpu-1' });
  const resources = { requests: { 'example.com/gpu': '2' }, limits: { 'example.com/gpu': '2' } };
  const spec = { containers: [{ name: 'c', image: 'any', resources }] };
  await client.create(Pod, { metadata: { name: 'one' }, spec } as Partly<Pod>, { namespace });
  const one = await until(client, Pod, 'one', placed);
  assert.equal(one.spec.nodeName, 'node-2');
  const { extendedResourceClaimStatus: status } = one.status;
  assert.deepEqual(status?.requestMappings, [
    { containerName: 'c', resourceName: 'example.com/gpu', requestName: 'container-0-request-0' },
  ]);
  const claim = await client.get(ResourceClaim, status?.resourceClaimName ?? '', { namespace });
  assert.equal(claim.metadata.annotations?.['resource.kubernetes.io/extended-resource-claim'], 'true');
  assert.deepEqual(
    claim.status?.allocation?.devices?.results?.map(each => each.device),
    ['gpu-0', 'gpu-1'],
  );
  await client.delete(Pod, 'one', { namespace, gracePeriodSeconds: 0 });
  await untilGone(client, ResourceClaim, claim.metadata.name ?? '');
});

test('a pod is bound when its devices say that they are ready, and looks elsewhere when they cannot be', async () => {
  await using cluster = await startCluster({ nodes: ['node-1'] });
  const { client } = cluster;
  await makeClass(client);
  const conditions = { bindingConditions: ['ready'], bindingFailureConditions: ['failed'] };
  await makeSlice(client, 'node-1', { name: 'gpu-0', ...conditions });
  await client.create(ResourceClaim, { metadata: { name: 'fabric' }, spec: oneGpu }, { namespace });
  await client.create(Pod, podWith('one', [{ name: 'gpu', resourceClaimName: 'fabric' }]), { namespace });
  const allocated = (claim: ResourceClaim) => claim.status?.allocation !== undefined;
  const tell = async (type: string) => {
    const claim = await until(client, ResourceClaim, 'fabric', allocated);
    const lastTransitionTime = '2026-01-01T00:00:00Z';
    const condition = { type, status: 'True', reason: 'Test', message: '', lastTransitionTime };
    const devices = [{ driver, pool: 'node-1', device: 'gpu-0', conditions: [condition] }];
    const status = { ...claim.status, devices };
    await client.update(ResourceClaim, { ...claim, status }, { namespace, subresource: 'status' });
  };
  await tell('failed');
  await until(client, ResourceClaim, 'fabric', claim => !allocated(claim));
  assert.ok(!placed(await client.get(Pod, 'one', { namespace })));
  await tell('ready');
  await until(client, Pod, 'one', placed);
});

test('of nodes that serve other alternatives the one with the best is taken', async () => {
  await using cluster = await startCluster({ nodes: ['node-1', 'node-2'] });
  const { client } = cluster;
  await makeClass(client);
  const model = (string: string) => ({ attributes: { model: { string } } });
  await makeSlice(client, 'node-1', { name: 'gpu-0', ...model('small') });
  await makeSlice(client, 'node-2', { name: 'gpu-0', ...model('large') });
  const part = (name: string) => {
    const expression = `device.attributes["${driver}"].model == "${name}"`;
    return { name, deviceClassName: 'gpu', selectors: [{ cel: { expression } }] };
  };
  const requests = [{ name: 'gpu', firstAvailable: [part('large'), part('small')] }];
  await client.create(ResourceClaim, { metadata: { name: 'any' }, spec: { devices: { requests } } }, { namespace });
  await client.create(Pod, podWith('one', [{ name: 'gpu', resourceClaimName: 'any' }]), { namespace });
  assert.equal((await until(client, Pod, 'one', placed)).spec.nodeName, 'node-2');
  const claim = await client.get(ResourceClaim, 'any', { namespace });
  assert.equal(claim.status?.allocation?.devices?.results?.[0]?.request, 'gpu/large');
  assert.equal((await client.list(Node)).items.length, 2);
});

test('a device that breaks is taken from pods that do not tolerate it, and given to none', async () => {
  await using cluster = await startCluster({ nodes: ['node-1'] });
  const { client } = cluster;
  await makeClass(client);
  await makeSlice(client, 'node-1', { name: 'gpu-0' }, { name: 'gpu-1' });
  const tolerant = {
    ...oneGpu.devices.requests[0],
    exactly: { deviceClassName: 'gpu', tolerations: [{ operator: 'Exists' }] },
  };
  const claims = { plain: oneGpu, tolerant: { devices: { requests: [tolerant] } } };
  for (const [name, spec] of Object.entries(claims)) {
    await client.create(ResourceClaim, { metadata: { name }, spec } as Partly<ResourceClaim>, { namespace });
    await client.create(Pod, podWith(name, [{ name: 'gpu', resourceClaimName: name }]), { namespace });
    await until(client, Pod, name, placed);
  }
  const current = await client.get(ResourceSlice, 'node-1-gpu');
  const taints = [{ key: 'broken', effect: 'NoExecute' }];
  const devices = current.spec.devices?.map(each => ({ ...each, taints }));
  await client.update(ResourceSlice, { ...current, spec: { ...current.spec, devices } } as ResourceSlice);
  const evicted = await until(client, Pod, 'plain', pod => pod.metadata.deletionTimestamp !== undefined);
  assert.equal(
    evicted.status.conditions?.find(each => each.type === 'DisruptionTarget')?.reason,
    'DeletionByDeviceTaintManager',
  );
  await until(client, ResourceClaim, 'plain', claim => claim.status?.allocation === undefined);
  assert.equal((await client.get(Pod, 'tolerant', { namespace })).metadata.deletionTimestamp, undefined);
  await client.create(Pod, podWith('next', [{ name: 'gpu', resourceClaimName: 'plain' }]), { namespace });
  await until(client, Pod, 'next', refused);
});

test('administrators look at devices from namespaces that are labelled for it', async () => {
  await using cluster = await startCluster({ nodes: 0 });
  const { client } = cluster;
  const exactly = { deviceClassName: 'gpu', adminAccess: true };
  const spec = { devices: { requests: [{ name: 'gpu', exactly }] } };
  const claim = { metadata: { name: 'look' }, spec } as Partly<ResourceClaim>;
  await assert.rejects(client.create(ResourceClaim, claim, { namespace }), {
    message:
      'ResourceClaim.resource.k8s.io "look" is invalid: spec.devices.requests[0].adminAccess: Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace',
  });
  const template = { metadata: { name: 'look' }, spec: { spec } } as Partly<ResourceClaimTemplate>;
  await assert.rejects(
    client.create(ResourceClaimTemplate, template, { namespace }),
    /spec\.devices\.requests\[0\]\.adminAccess/,
  );
  const labels = { 'resource.kubernetes.io/admin-access': 'true' };
  await client.create(Namespace, { metadata: { name: 'admin', labels } });
  await client.create(ResourceClaim, claim, { namespace: 'admin' });
});
